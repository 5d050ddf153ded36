"""USB webcams and laptops' own cameras, through OpenCV."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from edge.config import CameraSettings
from edge.errors import SourceError
from edge.frame import SIZE, Frame, Source
from edge.sources.newest import Newest
from edge.sources.turning import Turn, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge import card

log = logging.getLogger(__name__)

WARMING = 10.0
"""Seconds that a webcam may take for its first frame."""
STALLED = 2.5
"""Seconds without a frame after which it has failed."""
FAILING = 1.0
"""Seconds for which it may fail to give frames: an occasional damaged one is no reason to stop."""
CLOSING = 5.0
"""Seconds to wait for its reader to end."""
KELVIN = {
    "incandescent": 2700, "tungsten": 2850, "fluorescent": 4000, "indoor": 4500,
    "daylight": 5500, "cloudy": 6500,
}  # fmt: skip
"""Webcams know kinds of light as colour temperatures."""


def open_capture(what: str | int, problem: str) -> Any:
    """Return OpenCV's capture of a camera's number or a video file.

    Raises:
        SourceError: no OpenCV, or `problem` where it cannot be opened.
    """
    # Otherwise OpenCV and FFmpeg print messages; we report errors ourselves.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Seconds that it waits for a camera's frame: uninterruptible, and 10 by default.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")
    try:
        import cv2  # large, and not on the Pi
    except ImportError:
        raise SourceError(
            "OpenCV is missing; pip install opencv-python-headless, or on a Pi: "
            "sudo apt install python3-opencv"
        ) from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if isinstance(what, int):
        capture = cv2.VideoCapture(what)
    else:  # only FFmpeg: OpenCV's own readers of AVI and of pictures print what they do not like
        capture = cv2.VideoCapture(what, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        raise SourceError(problem)
    return capture


class Webcam(Source):
    """A USB webcam or a laptop's own camera: the newest frame each time one is asked for.

    Its driver keeps a queue of frames, however few it is asked for; so a thread takes each as it
    comes and keeps the last. Frames carry the time at which they came.

    Args:
        number: which one, from 0.
        size: `(width, height)` to ask for, pixels; the camera gives the nearest it has.
        settings: how this camera is mounted and set, `[camera]` of `edge.toml`.
        taken: how the model's pictures were taken, its card's `camera`; `settings` go before it.

    Raises:
        SourceError: not there, busy, or it stopped giving frames.
    """

    def __init__(
        self,
        number: int = 0,
        size: tuple[int, int] = SIZE,
        *,
        settings: CameraSettings = CameraSettings(),  # noqa: B008  (it is frozen)
        taken: card.Camera | None = None,
    ) -> None:
        self._name = f"webcam:{number}"
        self._turn = Turn.of(
            settings.rotation,
            horizontal=taken is not None and taken.horizontal_flip,
            vertical=taken is not None and taken.vertical_flip,
        )
        capture = open_capture(
            number, f"{self._name}: no such camera, or another program has it; try webcam:1"
        )
        lacks = _set_up(capture, size[::-1] if self._turn.quarter else size, settings, taken)
        self.taken = settings.taken(size, taken, lacks)
        self._newest: Newest[tuple[Any, float]] = Newest()
        self._reader = threading.Thread(
            target=self._read, args=(capture,), name=self._name, daemon=True
        )
        self._reader.start()

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        patience = WARMING
        while True:
            newest = self._newest.take(patience)
            if self._newest.closed:
                return
            if newest is None:
                raise SourceError(f"{self._name}: stopped giving frames; is it still plugged in?")
            patience = STALLED
            bgr, now = newest
            yield Frame(turn(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), self._turn), now)

    def _read(self, capture: Any) -> None:
        """Keep the newest frame, until closed or pulled out; in a thread of its own."""
        last, patience = time.monotonic(), WARMING
        try:
            while not self._newest.closed:
                good, bgr = capture.read()
                now = time.monotonic()
                if good and bgr is not None:
                    last, patience = now, FAILING
                    self._newest.put((bgr, now))
                elif now - last > patience:
                    break
                else:
                    time.sleep(0.02)
        except Exception as problem:  # noqa: BLE001  (a driver's own; the reader of frames is told)
            log.warning("%s: %s", self._name, str(problem).partition("\n")[0])
        finally:
            self._newest.end()
            capture.release()  # here, as it must not be released during a read

    def now(self) -> float:
        """Return the time now, on this machine's monotonic clock."""
        return time.monotonic()

    def close(self) -> None:
        """Let go of the camera; closing twice is fine."""
        self._newest.close()
        self._reader.join(CLOSING)
        if self._reader.is_alive():
            log.warning("%s does not close within %g s; going on without", self._name, CLOSING)


def _set_up(
    capture: Any, size: tuple[int, int], settings: CameraSettings, taken: card.Camera | None
) -> dict[str, object]:
    """Ask a camera for what it should give; return what it lacks, by name."""
    import cv2

    capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    capture.set(cv2.CAP_PROP_FPS, settings.rate)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # few drivers heed it, and those respond faster
    linux = capture.getBackendName() == "V4L2"  # other backends have units of their own
    balance, exposure = settings.light(taken)
    missing: dict[str, object] = {}
    if linux:  # V4L2 keeps settings of other programs
        capture.set(cv2.CAP_PROP_AUTO_WB, 1)
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 3)  # V4L2's number for "by the aperture's priority"
    if balance != "auto" and not (
        linux
        and isinstance(balance, str)
        and capture.set(cv2.CAP_PROP_AUTO_WB, 0)
        and capture.set(cv2.CAP_PROP_WB_TEMPERATURE, KELVIN[balance])
    ):
        missing["white balance"] = balance
    if not isinstance(exposure, str) and not (
        linux
        and capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1)  # V4L2's number for "by hand"
        and capture.set(cv2.CAP_PROP_EXPOSURE, max(1, round(exposure * 10_000)))  # in 0.1 ms
    ):
        missing["exposure"] = f"{exposure:g} s"
    if settings.focus is not None and not (
        settings.focus == "continuous" and capture.set(cv2.CAP_PROP_AUTOFOCUS, 1)
    ):
        missing["focus"] = settings.focus
    return missing
