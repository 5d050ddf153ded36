"""Turning and mirroring pictures, where no camera does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from edge.frame import Image


class Turn(NamedTuple):
    """How a picture is turned upright, and then mirrored.

    Any turn and two mirrors come down to these three, in this order.
    """

    quarter: bool = False
    """By a quarter, clockwise; the sides change places."""
    horizontal: bool = False
    """Then left for right."""
    vertical: bool = False
    """Then top for bottom."""

    @classmethod
    def of(cls, rotation: int, *, horizontal: bool = False, vertical: bool = False) -> Turn:
        """Return the turn by 0, 90, 180 or 270 degrees clockwise, and the mirrors after it."""
        half = rotation in {180, 270}  # half a turn is both mirrors
        return cls(rotation in {90, 270}, half != horizontal, half != vertical)

    @property
    def mirrors_before(self) -> tuple[bool, bool]:
        """The mirrors (horizontal, vertical) that do the same before the quarter turn."""
        if self.quarter:
            return self.vertical, self.horizontal
        return self.horizontal, self.vertical


def turn(image: Image, how: Turn) -> Image:
    """Return the picture turned and mirrored; itself where there is nothing to do."""
    if not any(how):
        return image
    # Whole pixels are moved, three bytes at once: half the time of moving each byte.
    pixels = np.ascontiguousarray(image).view("V3")[..., 0]
    if how.quarter:
        pixels = np.rot90(pixels, -1)
    turned = pixels[:: -1 if how.vertical else 1, :: -1 if how.horizontal else 1]
    upright: Image = np.ascontiguousarray(turned)[..., np.newaxis].view(np.uint8)
    return upright
