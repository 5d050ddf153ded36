"""Whether there is anything to see: a covered, dark, dazzled or frozen camera decides nothing.

Pure: no clock, no camera. Every limit lies far from real pictures; docs/reliability.md has both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.frame import GAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.frame import Frame

STRIDE = 8
"""Only every eighth row and column is examined: enough to judge light, and cheap."""
COVERED, DARK = 16, 48
"""Brightness, of 255, that one in a hundred pixels passes even in a dim picture."""
WHITE, DAZZLED = 250, 0.95
"""Brightness of a pixel that has lost its colour, and the share of such pixels that is too many."""
PATIENCE = 0.5
"""Seconds for which a picture must be bad, or good again, before that counts."""
SLOW = 3
"""Frames in a row, each over a second after the one before, that are too slow to decide by."""
FROZEN = 2.0
"""Seconds for which a live camera may send the very same picture; noise alone changes real ones."""


class Sight:
    """Tell what is wrong with a stream of frames, if something is.

    Args:
        live: whether frames show the present; a recording may well hold a picture twice.
    """

    def __init__(self, *, live: bool = True) -> None:
        self._live = live
        self._trouble: str | None = None
        self._candidate: str | None = None
        self._since = -np.inf  # when the candidate was first seen
        self._last = b""
        self._time, self._slow = np.inf, 0
        self._still_since = -np.inf
        self.fresh = True
        """Whether the newest frame is another picture than the one before."""

    def update(self, frame: Frame) -> str | None:
        """Take one more frame; return what is wrong in a few words, None where nothing is."""
        green = frame.image[::STRIDE, ::STRIDE, 1].tobytes()  # the eye's colour, and a camera's
        still = self._is_still(green, frame.time)
        fine = _is_plainly_fine(green)
        now = None if fine else _trouble_of(frame.image[::STRIDE, ::STRIDE])
        if now is None and still:
            now = "the camera sends the same picture again and again"
        if self._is_slow(frame.time) and now is None:
            now = "less than a frame a second: too slow to decide by; take features that cost less"
        if now != self._candidate:
            self._candidate, self._since = now, frame.time
        # `_is_still` has already waited `FROZEN` seconds.
        if still or not 0 <= frame.time - self._since < PATIENCE:
            self._trouble = self._candidate
        return self._trouble

    def _is_slow(self, time: float) -> bool:
        """Return whether so little comes that each frame begins a stream of its own."""
        self._slow = self._slow + 1 if self._live and time - self._time > GAP else 0
        self._time = time
        return self._slow >= SLOW

    def _is_still(self, green: bytes, time: float) -> bool:
        """Return whether nothing at all has changed for too long."""
        self.fresh = green != self._last
        self._last = green
        if self.fresh or time < self._still_since:
            self._still_since = time
        return self._live and time - self._still_since >= FROZEN


_KINDS = bytes(0 if level <= DARK else 1 if level < WHITE else 2 for level in range(256))
"""Dark, neither, or white: one byte for each level."""


def _is_plainly_fine(green: bytes) -> bool:
    """Return True where the green channel alone shows that nothing can be wrong.

    Where green is bright the pixel is, and where it is not white the pixel is not. Bytes count
    faster than arrays do, above all after a large model has emptied the processor's caches.
    """
    kinds = green.translate(_KINDS)
    dark, white = kinds.count(0), kinds.count(2)
    return dark <= len(green) * 99 // 100 and white < DAZZLED * len(green)


def _trouble_of(sample: NDArray[np.uint8]) -> str | None:
    """Return what is wrong with one picture, uint8 `[height, width, 3]`."""
    red, green, blue = sample[..., 0], sample[..., 1], sample[..., 2]  # quicker than max(axis=2)
    bright = np.maximum(np.maximum(red, green), blue)
    at = bright.size * 99 // 100
    level = int(np.partition(bright, at, axis=None)[at])  # one pixel in a hundred is brighter
    if level <= COVERED:
        return "the picture is black; is the lens covered?"
    if level <= DARK:
        return "it is too dark to see"
    dimmest = np.minimum(np.minimum(red, green), blue)
    if np.count_nonzero(dimmest >= WHITE) >= DAZZLED * bright.size:
        return "the picture is white; is a light shining into the lens?"
    return None
