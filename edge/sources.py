"""Sources that are no Pi camera, and the words that name each source on a command line."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import PictureError, SourceError
from edge.frame import Frame, Source
from edge.pictures import find_pictures, read_picture
from edge.platform import is_raspberry_pi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.frame import Image

log = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two labels of a folder: longer than a decider's window, shorter than its gap."""

FORMS = "pi, webcam:0, a folder, a video file, or virtual"


class Folder(Source):
    """A folder of pictures as a camera: every picture below it, in counting order, once.

    Frames are `1 / rate` seconds apart, and half a second more where the label changes, so that a
    decider's window never mixes two gestures. Below `label/` the label is the frame's `truth`. A
    picture that cannot be read is named in the log and skipped.

    Args:
        path: the folder.
        rate: pictures a second, Hz; 8 is what `trainer capture` records.

    Raises:
        SourceError: no such folder, or no picture in it.
    """

    live = False

    def __init__(self, path: str | Path, *, rate: float = 8.0) -> None:
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
        for path in self._paths:
            if not self._open:
                return
            try:
                image = read_picture(path)
            except PictureError as problem:
                log.warning("skipped: %s", problem)
                continue
            name = path.relative_to(self._root)
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


class _Capture(Source):
    """What OpenCV reads frame by frame."""

    _capture: Any = None

    def _open_capture(self, what: str | int, problem: str) -> None:
        try:
            import cv2  # large, and not on the Pi
        except ImportError:
            raise SourceError(
                "OpenCV is missing; pip install 'handwave[laptop]', or on a Pi: "
                "sudo apt install python3-opencv"
            ) from None
        # It and its FFmpeg print lines of their own otherwise; what is wrong, we say.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(what)
        if not self._capture.isOpened():
            self.close()
            raise SourceError(problem)

    def _read(self) -> Image | None:
        """Return the next picture, RGB, or None at the end."""
        good, bgr = self._capture.read() if self._capture is not None else (False, None)
        if not good or bgr is None:
            return None
        rgb: Image = np.ascontiguousarray(bgr[..., ::-1])
        return rgb

    def close(self) -> None:
        """Let go of the camera or file; closing twice is fine."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


class Video(_Capture):
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
        self._path = path
        self._open_capture(str(path), f"{path}: not a video that can be read here")

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        rate = self._capture.get(cv2.CAP_PROP_FPS) if self._capture is not None else 0
        for number in count():
            image = self._read()
            if image is None and number == 0 and self._capture is not None:
                raise SourceError(f"{self._path}: not one frame of a video in it can be read")
            if image is None:
                return
            yield Frame(image, number / (rate if rate > 0 else 25.0), name=f"frame {number}")


class Webcam(_Capture):
    """A USB webcam or a laptop's own camera.

    Args:
        number: which one, from 0.
        size: `(width, height)` to ask for, pixels; the camera gives the nearest it has.

    Raises:
        SourceError: not there, busy, or it stopped giving frames.
    """

    def __init__(self, number: int = 0, size: tuple[int, int] = (640, 480)) -> None:
        self._name = f"webcam:{number}"
        self._open_capture(
            number, f"{self._name}: no such camera, or another program has it; try webcam:1"
        )
        import cv2

        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # newest frame wins

    def __iter__(self) -> Iterator[Frame]:
        while self._capture is not None:
            image = self._read()
            if image is None:
                raise SourceError(f"{self._name}: stopped giving frames; is it still plugged in?")
            yield Frame(image, time.monotonic())


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
    name: str | None = None, *, size: tuple[int, int] = (640, 480), paced: bool = True
) -> Source:
    """Open the source that a command line names.

    Args:
        name: `pi`, `webcam:N`, a folder, a video file, `virtual` or `virtual:SEED`; None takes
            this machine's own.
        size: `(width, height)` to ask a camera for, pixels.
        paced: whether drawn frames come in real time, or as fast as they are taken.

    Raises:
        SourceError: no such source, or it cannot be opened.
    """
    name = default_source() if name is None else name
    kind, _, rest = name.partition(":")
    if name == "pi":
        from edge.camera import Camera  # each source's libraries only when used

        return Camera(size)
    if kind == "webcam" and re.fullmatch(r"\d{0,2}", rest):  # to OpenCV 200 is another driver's 0
        return Webcam(int(rest or 0), size)
    if kind == "virtual" and re.fullmatch(r"\d{0,18}", rest):
        from edge.virtual import Virtual

        return Virtual(size, seed=int(rest or 0), paced=paced)
    if name.startswith("ssh://"):
        raise SourceError(f"{name}: a Pi's camera over SSH is not built yet; a source is {FORMS}")
    if name and _is_folder(name):
        return Folder(name)
    if _is_file(name):
        return Video(name)
    raise SourceError(f"{name}: no such source; a source is {FORMS}")
