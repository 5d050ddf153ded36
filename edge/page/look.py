"""What is seen at one moment, as a browser takes it."""

from __future__ import annotations

import base64
import io
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.classifier import Prediction
    from edge.decider import Decision
    from edge.frame import Image

LARGEST = 640
"""Pixels of the longer side."""
QUALITY = 80
"""JPEG's: hands are told apart at half the bytes of 95."""


@dataclass(slots=True, eq=False)
class Look:
    """One frame and what became of it. The encoding is done once, by who first asks for it."""

    image: Image
    """uint8 `[height, width, 3]`, RGB; nobody else's, so that no camera writes into it."""
    prediction: Prediction
    decision: Decision
    trouble: str | None
    pins: Mapping[int, bool]
    names: Mapping[int, str]
    """What hangs on each pin."""
    time: float
    """When it was taken, by the page's clock, seconds."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _jpeg: bytes | None = None
    _json: bytes | None = None

    def jpeg(self) -> bytes:
        """Return the picture as JPEG.

        Raises:
            ImportError: there is no Pillow.
        """
        with self._lock:
            if self._jpeg is None:
                self._jpeg = _encode(self.image)
            return self._jpeg

    def json(self) -> bytes:
        """Return all of it as a JSON object; without Pillow the picture is null."""
        try:
            jpeg: bytes | None = self.jpeg()
        except ImportError:
            jpeg = None
        with self._lock:
            if self._json is None:
                self._json = msgspec.json.encode(self._described(jpeg))
            return self._json

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


def _encode(image: Image) -> bytes:
    from PIL import Image as Pictures  # only where somebody looks

    picture = Pictures.fromarray(image)
    if max(picture.size) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
