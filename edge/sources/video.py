"""A video file, frame by frame."""

from __future__ import annotations

import logging
import math
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.config import FORMS
from edge.errors import SourceError
from edge.files import is_file
from edge.frame import Frame, Source
from edge.sources.webcam import open_capture
from edge.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.frame import Image

log = logging.getLogger(__name__)

SHORT = 0.9
"""Share of its declared frames below which a film counts as cut short; some formats guess them."""


class Video(Source):
    """A video file, frame by frame, each with its time in the film.

    Args:
        path: the file; whatever OpenCV's FFmpeg reads.

    Raises:
        SourceError: missing, or no video.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        if not is_file(path):
            raise SourceError(f"{path}: no such file; a source is {FORMS}")
        if _is_zip(path):  # FFmpeg takes the pictures in it for a film
            raise SourceError(
                f"{path}: an archive, no film; to teach from it: trainer import {path}"
            )
        self._path = path
        self._capture: Any = open_capture(str(path), f"{path}: not a video that can be read here")

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        rate = self._capture.get(cv2.CAP_PROP_FPS) if self._capture is not None else 0
        period, now = 1 / (rate if rate > 0 else 25.0), -math.inf
        for number in numbers():
            if self._capture is None:
                return
            good, bgr = self._capture.read()
            if not good and number == 0:
                raise SourceError(f"{self._path}: not one frame of a video in it can be read")
            if not good:
                self._say_if_short(number)
                return
            image: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            # Phones take fewer frames a second in dim light: only the film knows when each was.
            told = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            now = told if told > now else now + period
            yield Frame(image, now, name=f"frame {number}")

    def _say_if_short(self, read: int) -> None:
        """Say that a film breaks off: what it holds is counted at its beginning, or guessed."""
        import cv2

        promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if read < SHORT * promised:
            log.warning(
                "%s: breaks off: %s of the %d it promises can be read; copy it anew",
                self._path, count(read, "frame"), promised,
            )  # fmt: skip

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def _is_zip(path: str | Path) -> bool:
    """Return whether a file begins as a zip archive does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:  # said where it is opened
        return False
