"""Sources that are no Pi camera, and the words that name each source on a command line."""

from __future__ import annotations

import logging
import math
import re
import sys
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.config import FORMS, CameraSettings
from edge.errors import SourceError
from edge.files import is_file, is_folder
from edge.frame import SIZE, Frame, Source
from edge.platform import is_raspberry_pi
from edge.sources.recordings import Folder
from edge.sources.webcam import Webcam, open_capture
from edge.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge import card
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


def default_source() -> str:
    """Return the source of this machine: its camera, or drawn hands where there is none."""
    if is_raspberry_pi():
        return "pi"
    if sys.platform == "darwin":
        return "webcam:0"  # a Mac tells of its camera only when it is opened
    cameras = sorted(int(path.name[5:]) for path in Path("/dev").glob("video[0-9]*"))
    return f"webcam:{cameras[0]}" if cameras else "virtual"


def open_source(
    name: str | None = None,
    *,
    size: tuple[int, int] = SIZE,
    paced: bool = True,
    camera: CameraSettings = CameraSettings(),  # noqa: B008  (it is frozen)
    taken: card.Camera | None = None,
) -> Source:
    """Open the source that a command line names.

    Args:
        name: `pi`, `webcam:N`, a folder, a video file, `virtual` or `virtual:SEED`, or
            `ssh://user@host` for that Pi's camera; None takes this machine's own.
        size: `(width, height)` to ask a camera for, pixels.
        paced: whether drawn frames come in real time, or as fast as they are taken.
        camera: how a camera is mounted and set, `[camera]` of `edge.toml`.
        taken: how the model's pictures were taken, its card's `camera`; `camera` goes before it.

    Raises:
        SourceError: no such source, or it cannot be opened.
    """
    name = default_source() if name is None else name
    kind, _, rest = name.partition(":")
    if name == "pi":
        from edge.sources.camera import Camera  # each source's libraries only when used

        return Camera(size, settings=camera, taken=taken)
    if kind == "webcam" and re.fullmatch(r"\d{0,2}", rest):  # to OpenCV 200 is another driver's 0
        return Webcam(int(rest or 0), size, settings=camera, taken=taken)
    if kind == "virtual" and re.fullmatch(r"\d{0,18}", rest):
        from edge.sources.virtual import Virtual

        return Virtual(size, seed=int(rest or 0), paced=paced)
    if name.startswith("ssh://"):
        from edge.sources.remote import RemoteCamera

        return RemoteCamera(name)  # it is opened as the Pi's own service does
    if name and is_folder(name):
        return Folder(name, taken=taken)
    if is_file(name):
        return Video(name)
    raise SourceError(f"{name}: no such source; a source is {FORMS}")
