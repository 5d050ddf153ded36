"""One moment's picture and decision, in the browser's formats."""

from __future__ import annotations

import base64
import io
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.classifier import Prediction
    from edge.decider import Decision
    from edge.frame import Image

LARGEST, SMALL = 640, 96
"""Pixels of the longer side: a browser's, and what a terminal can show."""
QUALITY = 80
"""JPEG quality: half the bytes of 95, and hands can still be told apart."""


@dataclass(slots=True, eq=False)
class Look:
    """One frame and its decision, encoded once, on the first request."""

    image: Image
    """uint8 `[height, width, 3]`, RGB; a copy, so that no camera writes into it."""
    prediction: Prediction
    decision: Decision
    trouble: str | None
    pins: Mapping[int, bool]
    names: Mapping[int, str]
    """What hangs on each pin."""
    time: float
    """When it was taken, by the page's clock, seconds."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _jpegs: dict[int, bytes] = field(default_factory=dict)
    _jsons: dict[int, bytes] = field(default_factory=dict)

    def jpeg(self, side: int = LARGEST) -> bytes:
        """Return the picture as JPEG, no side longer than `side` pixels.

        Raises:
            ImportError: there is no Pillow.
        """
        with self._lock:
            if side not in self._jpegs:
                self._jpegs[side] = _encode(self.image, side)
            return self._jpegs[side]

    def json(self, side: int = LARGEST) -> bytes:
        """Return all of it as JSON; without Pillow, or for a side of 0, the picture is null."""
        jpeg = None
        if side:
            with suppress(ImportError):
                jpeg = self.jpeg(side)
        with self._lock:
            if side not in self._jsons:
                self._jsons[side] = msgspec.json.encode(self._described(jpeg))
            return self._jsons[side]

    def _described(self, jpeg: bytes | None) -> dict[str, object]:
        return {
            "picture": jpeg and "data:image/jpeg;base64," + base64.b64encode(jpeg).decode(),
            "labels": self.prediction.labels,
            "probabilities": [round(float(p), 4) for p in self.prediction.probabilities],
            "novelty": round(self.prediction.novelty, 3),
            "label": self.decision.label,
            "confidence": round(self.decision.confidence, 4),
            "trouble": self.trouble,
            "pins": [
                {"pin": pin, "name": self.names.get(pin), "on": on}
                for pin, on in sorted(self.pins.items())
            ],
        }


def _encode(image: Image, side: int) -> bytes:
    from PIL import Image as Pictures  # only where somebody looks

    picture = Pictures.fromarray(image)
    if max(picture.size) > side:
        picture.thumbnail((side, side))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
