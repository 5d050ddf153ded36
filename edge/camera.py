"""The Raspberry Pi's camera, through picamera2, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.errors import SourceError
from edge.frame import Frame, Source

if TYPE_CHECKING:
    from collections.abc import Iterator


STALLED = 3.0
"""Seconds without a frame after which the camera has failed."""


class Camera(Source):
    """The Pi's own camera: the newest frame each time one is asked for, never a queue of old ones.

    The camera's image processor does the scaling, so a small `size` costs nothing. Frames carry the
    sensor's own time stamps.

    Args:
        size: `(width, height)`, pixels; the model card's `camera.size` is the best one.
        rate: frames a second to ask the sensor for, Hz.

    Raises:
        SourceError: picamera2 is not installed, or there is no camera, or it is busy.
    """

    def __init__(self, size: tuple[int, int] = (640, 480), *, rate: float = 30.0) -> None:
        self._camera: Any = None
        picamera2 = _picamera2()
        try:
            self._camera = picamera2()
            # "BGR888" is R, G, B in memory ("RGB888" is not). queue=True keeps only the last frame
            # that was completed, so a slow reader gets the newest one at once.
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"size": size, "format": "BGR888"},
                    controls={"FrameRate": rate},
                    buffer_count=4,
                    queue=True,
                )
            )
            self._camera.start()
        except Exception as problem:  # libcamera's errors are plain RuntimeErrors and IndexErrors
            self.close()
            raise SourceError(_advice(problem)) from problem

    def __iter__(self) -> Iterator[Frame]:
        while self._camera is not None:
            try:
                request = self._camera.capture_request(wait=STALLED)
                try:
                    image = request.make_array("main")
                    time = request.get_metadata()["SensorTimestamp"] / 1e9
                finally:
                    request.release()  # the camera has few buffers: give this one back at once
            except Exception as problem:
                raise SourceError(_advice(problem)) from problem
            yield Frame(image, time)

    def close(self) -> None:
        """Stop the camera and let others have it; closing twice is fine."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()  # stops it as well


def _picamera2() -> Any:
    try:
        from picamera2 import Picamera2  # only there on a Pi, and slow to import
    except ImportError as problem:
        raise SourceError(
            f"no picamera2 here ({problem}); on a Pi: sudo apt install python3-picamera2 and make "
            "the venv with --system-site-packages; elsewhere: --source webcam:0 or virtual"
        ) from None
    return Picamera2


def _advice(problem: Exception) -> str:
    text = str(problem).partition("\n")[0] or type(problem).__name__
    if isinstance(problem, TimeoutError):
        return f"the camera gave no frame for {STALLED:g} s; check its cable"
    if isinstance(problem, IndexError):
        return "no camera found; check its cable, then: rpicam-hello --list-cameras"
    if "busy" in text.lower() or "acquire" in text.lower():
        return f"the camera is used by another program ({text}); stop that one first"
    return f"the camera failed: {text}; try: rpicam-hello --list-cameras"
