"""Pictures that the device was unsure about, kept in memory for whoever comes to teach it better.

Off unless `[keep]` of `edge.toml` says so. Nothing of it is ever written to disk, and it ends with
the process. `deploy pull` takes them; docs/watching.md says how they are chosen.
"""

from __future__ import annotations

import io
import logging
import math
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge.card import Camera  # noqa: TC001  (msgspec reads the types of `Lot`)
from edge.frame import GAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.decider import Decider
    from edge.frame import Image
    from edge.loop import Step

log = logging.getLogger(__name__)

LASTS = 0.4
"""Seconds for which the device must be unsure: a hand on its way is no lesson."""
APART = 5.0
"""Seconds between two pictures at least."""
AGAIN = 1.0
"""Seconds before the next picture is examined, after one like those that are kept."""
DIFFERENT = 14.0
"""Brightness, of 255, by which some part of a picture must differ from all that are kept: a chair
that looks like a fist all day is one picture."""
GRID = 8
"""Parts across and down of which the mean brightness is compared."""
MOST_BYTES = 16_000_000
"""All pictures together: fifty of 640x480 are half of it."""
LARGEST = 640
"""Pixels of a picture's longer side, as of any picture that is read to teach from."""
QUALITY = 95
"""JPEG's, without fewer colours than pixels: as `trainer capture` keeps what it records. A PNG is
three times the bytes and takes several times as long: `benchmarks/kept.py`."""


class Kept(msgspec.Struct, frozen=True):
    """One picture, and what the device thought of it."""

    number: int
    label: str
    """The likeliest: a guess."""
    confidence: float
    novelty: float
    why: str
    ago: float
    """Seconds before it was asked for."""
    jpeg: bytes


class Lot(msgspec.Struct, frozen=True):
    """All that is kept at one moment, as it travels."""

    ring: str
    """Stands for this process's memory; another one has kept other pictures."""
    pictures: list[Kept]
    taken: Camera | None = None
    """How they were taken."""


class _One(msgspec.Struct, frozen=True, eq=False):
    """A picture in memory."""

    number: int
    step: Step
    why: str
    parts: NDArray[np.float32]
    jpeg: bytes


class Unsure:
    """A bounded number of pictures, spread over the time that they are from.

    One thread may see and others ask.

    Args:
        most: pictures at most.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.problem: str | None = None
        """Why none can be kept; None where nothing is wrong."""
        self.taken: Camera | None = None
        """How the pictures are taken."""
        self._ring = secrets.token_hex(8)
        self._kept: list[_One] = []
        self._number = 0
        self._since: float | None = None  # when this doubt began
        self._tried = self._last = self._now = -math.inf
        self._encoding: threading.Thread | None = None
        self._lock = threading.Lock()

    def see(self, step: Step, decider: Decider) -> None:
        """Take the newest turn of the loop; copies its picture now and then, and no more."""
        now = step.frame.time
        if now < self._now:  # the source began again
            self._tried = self._last = -math.inf
        if not 0 <= now - self._now <= GAP:
            self._since = None  # whatever it was may have gone and come back
        self._now = now
        why = why_unsure(step, decider)
        if why is None:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now - self._since < LASTS or now - self._last < APART or now - self._tried < AGAIN:
            return
        self._tried = now
        if self.problem is None and (self._encoding is None or not self._encoding.is_alive()):
            self._keep(step, why)

    def lot(self) -> Lot:
        """Return all that is kept now, oldest first."""
        self._settle()
        with self._lock:
            return Lot(self._ring, [_told(one, self._now) for one in self._kept], self.taken)

    def forget(self, ring: str, until: int) -> int:
        """Forget the pictures that somebody has fetched; return how many.

        Args:
            ring: of the lot that they have; that of another process changes nothing.
            until: the largest number in it.
        """
        with self._lock:
            if ring != self._ring:
                return 0
            before = len(self._kept)
            self._kept = [one for one in self._kept if one.number > until]
            return before - len(self._kept)

    def _keep(self, step: Step, why: str) -> None:
        """Keep a picture if none like it is kept; the encoding is done in a thread of its own."""
        parts = _parts(step.frame.image)
        if any(_alike(parts, one.parts) for one in self._kept):
            return
        self._last = step.frame.time
        self._number += 1
        image = step.frame.image.copy()  # a camera may write the next frame into the same memory
        work = (self._number, step, why, parts, image)
        self._encoding = threading.Thread(target=self._add, args=work, daemon=True)
        self._encoding.start()

    def _add(
        self, number: int, step: Step, why: str, parts: NDArray[np.float32], image: Image
    ) -> None:
        try:
            jpeg = _encode(image)
        except ImportError:
            self.problem = "pictures need Pillow there: sudo apt install python3-pil"
            log.warning("[keep] keeps nothing: %s", self.problem)
            return
        # The pixels are in the JPEG; an empty view would keep the whole array alive.
        bare = msgspec.structs.replace(step.frame, image=np.empty((0, 0, 3), np.uint8))
        one = _One(number, msgspec.structs.replace(step, frame=bare), why, parts, jpeg)
        with self._lock:
            self._kept.append(one)
            while len(self._kept) > self.most or _size(self._kept) > MOST_BYTES:
                del self._kept[_crowded([one.step.frame.time for one in self._kept])]

    def _settle(self) -> None:
        """Wait for a picture that is being encoded."""
        if self._encoding is not None:
            self._encoding.join(5)


def why_unsure(step: Step, decider: Decider) -> str | None:
    """Return in a few words why a turn of the loop is no sure thing; None where it is."""
    if step.trouble is not None:
        return None  # a covered lens teaches nothing; while paused nothing is decided
    if step.prediction.novelty > decider.novelty:
        return "like nothing taught"
    confidence = step.decision.confidence
    if confidence < decider.leave:
        return f"no label is likely, the best {confidence:.0%}"
    if confidence < decider.enter:
        return f"{confidence:.0%}, between leave and enter"
    return None


def _told(one: _One, now: float) -> Kept:
    prediction = one.step.prediction
    return Kept(
        number=one.number,
        label=prediction.label,
        confidence=round(prediction.confidence, 4),
        novelty=round(prediction.novelty, 3),
        why=one.why,
        ago=round(max(0.0, now - one.step.frame.time), 1),
        jpeg=one.jpeg,
    )


def _parts(image: Image) -> NDArray[np.float32]:
    """Return the mean brightness of each part of a picture, `[GRID * GRID]`."""
    height, width = image.shape[:2]
    few = image[:: max(1, height // 64), :: max(1, width // 64), 1]  # green: the eye's brightness
    rows = np.array_split(few, GRID)
    return np.array(
        [part.mean() if part.size else 0 for row in rows for part in np.array_split(row, GRID, 1)],
        np.float32,
    )


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return float(np.abs(one - other).max()) < DIFFERENT


def _crowded(times: list[float]) -> int:
    """Return the index of the time in the densest part; never the first or the last."""
    if len(times) < 3:
        return 0
    gaps = [after - before for before, after in zip(times, times[2:], strict=False)]
    return 1 + min(range(len(gaps)), key=gaps.__getitem__)


def _size(kept: list[_One]) -> int:
    return sum(len(one.jpeg) for one in kept)


def _encode(image: Image) -> bytes:
    from PIL import Image as Pictures  # only where pictures are kept

    picture = Pictures.fromarray(image)
    if max(picture.size) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST), Pictures.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()
