"""What a source gives: frames, each with its own time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.card import Camera

Image: TypeAlias = NDArray[np.uint8]
"""A picture: uint8 `[height, width, 3]`, RGB."""


SIZE = (640, 480)
"""Default `(width, height)` to ask a camera for, pixels."""
GAP = 1.0
"""Seconds without a frame after which a stream counts as a new one: whatever was shown then may
have gone and come back."""


class Frame(msgspec.Struct, frozen=True, eq=False):
    """One picture and when it was taken.

    Time travels with the picture, so that playing a recording is the same as living it.
    """

    image: Image
    """uint8 `[height, width, 3]`, RGB."""
    time: float
    """Seconds on the source's own clock; only differences mean something."""
    truth: str | None = None
    """The label it really shows, where the source knows (a labelled folder, a drawn hand)."""
    name: str | None = None
    """Where it came from, for messages: a file's path inside its folder."""


class Source(ABC):
    """Where frames come from: iterate it, close it (or use it in a `with`)."""

    live: bool = True
    """Whether it shows the present, as a camera does; a recording can wait."""
    taken: Camera | None = None
    """How its pictures are taken, as far as it could be set; None where nobody knows."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, oldest first, until the source ends or is closed."""

    def now(self) -> float | None:
        """Return the time now on the clock of its frames; None where that means nothing.

        `source.now() - frame.time` is how long ago a frame was taken.
        """
        return None

    def close(self) -> None:  # noqa: B027  (a source without hardware has nothing to do)
        """Let go of the hardware or file; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
