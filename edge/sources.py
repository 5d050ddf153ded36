"""Sources that are no Pi camera, and the words that name each source on a command line."""

from __future__ import annotations

import math
import re
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.config import FORMS, CameraSettings
from edge.errors import SourceError
from edge.frame import SIZE, Frame, Source
from edge.pictures import find_pictures, read_those_that_can_be
from edge.platform import is_raspberry_pi
from edge.webcam import Webcam, open_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge import card
    from edge.frame import Image

RATE = 8.0
"""Pictures of a folder a second, Hz: what `trainer capture` records."""
PAUSE = 0.5
"""Seconds between two labels of a folder: longer than a decider's window, shorter than its gap."""


class Folder(Source):
    """A folder of pictures as a camera: every picture below it, in counting order, once.

    Frames are `1 / rate` seconds apart, and half a second more where the label changes, so that a
    decider's window never mixes two gestures. Below `label/` the label is the frame's `truth`. A
    picture that cannot be read is named in the log and skipped.

    Args:
        path: the folder.
        rate: pictures a second, Hz.

    Raises:
        SourceError: no such folder, or no picture in it.
    """

    live = False

    def __init__(self, path: str | Path, *, rate: float = RATE) -> None:
        self._root = Path(path)
        self._rate = rate
        self._open = True
        if not _is_folder(path):
            raise SourceError(f"{path}: no such folder; a source is {FORMS}")
        self._paths = find_pictures(self._root)
        if not self._paths:
            raise SourceError(f"{path}: no pictures in there (JPEG, PNG, WebP, BMP, GIF)")

    def __iter__(self) -> Iterator[Frame]:
        now = 0.0
        last: Frame | None = None
        names = (path.relative_to(self._root) for path in self._paths)
        for name, image in read_those_that_can_be(self._root, names):
            if not self._open:
                return
            truth = name.parts[0] if len(name.parts) > 1 else None
            if last is not None and truth != last.truth:
                now += PAUSE
            last = Frame(image, now, truth, str(name))
            yield last
            now += 1 / self._rate
        if last is None:
            raise SourceError(f"{self._root}: not one picture in there can be read")

    def close(self) -> None:
        """End the iteration."""
        self._open = False


class Video(Source):
    """A video file, frame by frame, each with its time in the film.

    Args:
        path: the file; whatever OpenCV's FFmpeg reads.

    Raises:
        SourceError: missing, or no video.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        if not _is_file(path):
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
        for number in count():
            if self._capture is None:
                return
            good, bgr = self._capture.read()
            if not good and number == 0:
                raise SourceError(f"{self._path}: not one frame of a video in it can be read")
            if not good:
                return
            image: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            # Phones take fewer frames a second in dim light: only the film knows when each was.
            told = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            now = told if told > now else now + period
            yield Frame(image, now, name=f"frame {number}")

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


def _is_folder(path: str | Path) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # a name too long, or below a folder that is not ours
        return False


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except OSError:
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
        from edge.camera import Camera  # each source's libraries only when used

        return Camera(size, settings=camera, taken=taken)
    if kind == "webcam" and re.fullmatch(r"\d{0,2}", rest):  # to OpenCV 200 is another driver's 0
        return Webcam(int(rest or 0), size, settings=camera, taken=taken)
    if kind == "virtual" and re.fullmatch(r"\d{0,18}", rest):
        from edge.virtual import Virtual

        return Virtual(size, seed=int(rest or 0), paced=paced)
    if name.startswith("ssh://"):
        from edge.remote_camera import RemoteCamera

        return RemoteCamera(name)  # it is opened as the Pi's own service does
    if name and _is_folder(name):
        return Folder(name)
    if _is_file(name):
        return Video(name)
    raise SourceError(f"{name}: no such source; a source is {FORMS}")
