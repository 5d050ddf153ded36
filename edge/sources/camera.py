"""The Raspberry Pi's camera, through picamera2, and nothing else; docs/camera.md has the why."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.config import CameraSettings
from edge.errors import SourceError
from edge.frame import SIZE, Frame, Source
from edge.sources.turning import Turn, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge import card
    from edge.frame import Image

log = logging.getLogger(__name__)

STALLED = 3.0
"""Seconds without a frame after which the camera has failed."""
CLOSING = 5.0
"""Seconds that a camera may take to close, before it is left to the end of the process."""
FORGETTING = 0.01
"""Seconds added to the smallest age seen, per frame, so that one wrong time stamp cannot make every
later frame look old."""
BUFFERS = 4
"""One with us, one kept as the newest, two with the camera: it never waits for us."""
FULL_VIEW = 0.95
"""Share of the largest view that counts as all of it: modes differ by a few columns."""


class Camera(Source):
    """The Pi's own camera: the newest frame each time one is asked for, never a queue of old ones.

    The camera's image processor does the scaling, from all that the sensor sees, so a small `size`
    costs nothing. Frames carry the sensor's own time stamps.

    Args:
        size: `(width, height)`, pixels; the model card's `camera.size` is the best one.
        settings: how this camera is mounted and set, `[camera]` of `edge.toml`.
        taken: how the model's pictures were taken, its card's `camera`; `settings` go before it.

    Raises:
        SourceError: picamera2 is not installed, or there is no camera, or it is busy.
    """

    def __init__(
        self,
        size: tuple[int, int] = SIZE,
        *,
        settings: CameraSettings = CameraSettings(),  # noqa: B008  (it is frozen)
        taken: card.Camera | None = None,
    ) -> None:
        self._camera: Any = None
        self._rate = settings.rate
        self._smallest_age = math.inf
        picamera2 = load_picamera2()
        try:
            self._camera = _open(picamera2, settings.number)
            self._start(size, settings, taken)
        except SourceError:
            self.close()
            raise
        except Exception as problem:  # libcamera's errors are plain RuntimeErrors and IndexErrors
            self.close()
            raise SourceError(_advice(problem)) from problem

    def _start(
        self, size: tuple[int, int], settings: CameraSettings, taken: card.Camera | None
    ) -> None:
        from libcamera import Transform

        self._turn = Turn.of(
            settings.rotation,
            horizontal=taken is not None and taken.horizontal_flip,
            vertical=taken is not None and taken.vertical_flip,
        )
        set_to, lacks = _controls(self._camera.camera_controls, settings, taken)
        self.taken = settings.taken(size, taken, lacks)
        if self._turn.quarter:
            size = size[1], size[0]
        horizontal, vertical = self._turn.mirrors_before
        sensor = _sensor_mode(self._camera, size, settings.rate)
        self._camera.configure(
            self._camera.create_video_configuration(
                # "BGR888" is R, G, B in memory ("RGB888" is not).
                main={"size": size, "format": "BGR888"},
                transform=Transform(hflip=horizontal, vflip=vertical),
                controls=set_to,
                sensor=sensor,
                buffer_count=BUFFERS,
                # It keeps the last frame that was completed, and only that: a slow reader gets it
                # at once. Without, each reader would wait for the next.
                queue=True,
            )
        )
        self._adapt(self._camera.camera_configuration(), horizontal, vertical)
        self._camera.start()
        if settings.focus == "once" and "AfTrigger" in self._camera.camera_controls:
            from libcamera import controls

            self._camera.set_controls({"AfTrigger": controls.AfTriggerEnum.Start})

    def _adapt(self, given: Any, horizontal: bool, vertical: bool) -> None:  # noqa: FBT001  (a pair)
        """Do ourselves what the camera does not: it may change what it was asked for."""
        self._format = given["main"]["format"]
        if self._format not in FORMATS:
            raise SourceError(
                f"the camera gives {self._format} pictures, which edge cannot read; if it is a USB "
                "camera: --source webcam:0"
            )
        self._size = given["main"]["size"]
        space = given.get("colour_space")
        self._full_range = "Limited" not in str(getattr(space, "range", ""))
        done = given["transform"]
        left = horizontal != bool(done.hflip), vertical != bool(done.vflip)
        self._turn = Turn(self._turn.quarter, *Turn(self._turn.quarter, *left).mirrors_before)

    def __iter__(self) -> Iterator[Frame]:
        while self._camera is not None:
            try:
                frame = self._newest()
            except Exception as problem:
                raise SourceError(_advice(problem)) from problem
            yield frame

    def _newest(self) -> Frame:
        """Return the newest frame, at most one frame period old.

        picamera2 hands out the oldest frame it holds: the only one, unless Python was too busy to
        let it drop older ones.
        """
        for left in reversed(range(BUFFERS)):
            request = self._camera.capture_request(wait=STALLED)
            try:
                metadata = request.get_metadata()
                taken = metadata["SensorTimestamp"] / 1e9
                if left and self._is_old(taken, metadata.get("FrameDuration", 1e6 / self._rate)):
                    continue
                # A copy, as the frame outlives the buffer: the camera has few, and wants this one
                # back at once.
                array = request.make_array("main")
            finally:
                request.release()
            return Frame(turn(self._as_rgb(array), self._turn), taken)
        raise AssertionError  # the last one is never too old

    def _is_old(self, taken: float, microseconds: float) -> bool:
        """Return whether the camera must have made another since.

        Delivery takes constant time, so the smallest age ever seen is that of a frame that did
        not wait.
        """
        age = self.now() - taken
        self._smallest_age = min(self._smallest_age + FORGETTING, age)
        return age > self._smallest_age + microseconds / 1e6

    def _as_rgb(self, array: Image) -> Image:
        """Return a picture RGB; padding at the ends of lines, picamera2 has taken away."""
        if self._format == "BGR888":
            return array
        if self._format == "NV12":
            return from_nv12(array, self._size, full_range=self._full_range)
        rgb = np.empty((*array.shape[:2], 3), np.uint8)
        for to, channel in enumerate(FORMATS[self._format]):
            rgb[..., to] = array[..., channel]
        return rgb

    def now(self) -> float:
        """Return the time now, in seconds since the Pi was started: libcamera's clock."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    def close(self) -> None:
        """Stop the camera and let others have it; closing twice is fine."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        # With a camera that has gone, closing may take for ever.
        closing = threading.Thread(target=_close, args=(camera,), name="closing", daemon=True)
        closing.start()
        closing.join(CLOSING)
        if closing.is_alive():
            log.warning("the camera does not close within %g s; going on without", CLOSING)


FORMATS = {
    "BGR888": (0, 1, 2),
    "RGB888": (2, 1, 0),
    "XBGR8888": (0, 1, 2),
    "XRGB8888": (2, 1, 0),
    "NV12": (),
}
"""Readable formats, by libcamera's names: where red, green and blue are in each pixel."""


def load_picamera2() -> Any:
    """Return the class Picamera2.

    Raises:
        SourceError: it is not installed.
    """
    # Both libraries log by themselves; we report errors, so silence them.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    if not log.isEnabledFor(logging.DEBUG):
        logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    try:
        from picamera2 import Picamera2  # only there on a Pi, and slow to import
    except ImportError as problem:
        raise SourceError(
            f"no picamera2 here ({problem}); on a Pi: sudo apt install python3-picamera2 and make "
            "the venv with --system-site-packages; elsewhere: --source webcam:0 or virtual"
        ) from None
    return Picamera2


def _open(picamera2: Any, number: int) -> Any:
    """Return the opened camera of a number."""
    found = len(picamera2.global_camera_info())
    if found == 0:
        raise SourceError(NO_CAMERA)
    if number >= found:
        raise SourceError(
            f"[camera] number: there is no camera {number}, only "
            f"{found} ({'just 0' if found == 1 else f'0 to {found - 1}'}); "
            "what there is: rpicam-hello --list-cameras"
        )
    camera = picamera2.__new__(picamera2)
    try:
        camera.__init__(number)
    except BaseException:
        with suppress(Exception):
            camera.close()
        _let_go(camera)
        raise
    return camera


def _close(camera: Any) -> None:
    with suppress(Exception):
        camera.cancel_all_and_flush()  # a request that timed out is still waited for
    try:
        camera.close()  # stops it as well
    except Exception as problem:  # noqa: BLE001  (whatever it is: we are done with it)
        log.warning("the camera did not close properly: %s", _first_line(problem))
        _let_go(camera)


def _let_go(camera: Any) -> None:
    """Close what picamera2 leaves open where it fails: we may try again for a year."""
    for act in ("stop", "release"):  # at libcamera itself, so that others can have it
        with suppress(Exception):
            getattr(camera.camera, act)()
    with suppress(Exception):
        camera.is_open = False  # so that it does not close once more when it is collected
        if not camera.notifymeread.closed:
            camera.notifymeread.close()
            os.close(camera.notifyme_w)


def _sensor_mode(camera: Any, size: tuple[int, int], rate: float) -> dict[str, Any]:
    """Return the sensor's mode to use: the smallest that is large enough and shows all it sees.

    Left alone, libcamera takes the one whose size is nearest, and on several sensors the small ones
    see only the middle.
    """
    if "ColorFilterArrangement" not in camera.camera_properties:
        return {}  # no sensor of a Pi: a USB camera chooses by itself
    try:
        modes = camera.sensor_modes
        views = [mode["crop_limits"][2] * mode["crop_limits"][3] for mode in modes]
    except Exception as problem:  # noqa: BLE001  (a narrower view is better than no camera)
        log.warning("the camera tells no modes, its view may be cut: %s", _first_line(problem))
        return {}
    whole = [m for m, view in zip(modes, views, strict=True) if view >= FULL_VIEW * max(views)]
    if not whole:
        return {}

    def cost(mode: dict[str, Any]) -> tuple[Any, ...]:
        width, height = mode["size"]
        small = width < size[0] or height < size[1]
        slow = max(0.0, rate - mode["fps"] - 0.5)
        return small, slow, width * height, -mode["bit_depth"]

    best = min(whole, key=cost)
    if best["fps"] + 0.5 < rate:
        log.warning(
            "the camera sees everything at %.0f frames a second at most, not %g", best["fps"], rate
        )
    return {"output_size": best["size"], "bit_depth": best["bit_depth"]}


def _controls(
    known: dict[str, Any], settings: CameraSettings, taken: card.Camera | None
) -> tuple[dict[str, Any], dict[str, object]]:
    """Return the controls to set, of those this camera has; and what it lacks, by name."""
    balance, exposure = settings.light(taken)
    period = 1 / settings.rate
    controls: dict[str, Any] = {}
    missing: dict[str, object] = {}
    if not isinstance(exposure, str) and "ExposureTime" in known:
        controls["ExposureTime"] = round(1e6 * exposure)
        period = max(period, exposure)  # no frame is shorter than its light
    elif not isinstance(exposure, str):
        missing["exposure"] = f"{exposure:g} s"
    if "FrameDurationLimits" in known:
        controls["FrameDurationLimits"] = (round(1e6 * period),) * 2
    if isinstance(balance, tuple) and "ColourGains" in known:
        controls["ColourGains"] = balance
    elif balance != "auto" and isinstance(balance, str) and "AwbMode" in known:
        from libcamera import controls as enums

        controls |= {"AwbEnable": True, "AwbMode": getattr(enums.AwbModeEnum, balance.title())}
    elif balance != "auto":
        missing["white balance"] = balance
    if "AfMode" in known:
        controls |= _focus(settings.focus)
    elif settings.focus is not None:
        missing["focus"] = settings.focus
    return controls, missing


def _focus(focus: str | float | None) -> dict[str, Any]:
    from libcamera import controls as enums

    if isinstance(focus, int | float):
        return {"AfMode": enums.AfModeEnum.Manual, "LensPosition": float(focus)}
    return {"AfMode": enums.AfModeEnum.Auto if focus == "once" else enums.AfModeEnum.Continuous}


def from_nv12(array: Image, size: tuple[int, int], *, full_range: bool) -> Image:
    """Return RGB from brightness for each pixel and, below it, colour for each four.

    Source: ITU-R BT.601; `full_range` is JPEG's, else black is 16 and white 235.
    """
    width, height = size
    y = array[:height, :width].astype(np.float32)
    colour = array[height : height * 3 // 2, :width].reshape(height // 2, width // 2, 2)
    u, v = np.moveaxis(colour.repeat(2, 0).repeat(2, 1).astype(np.float32) - 128, 2, 0)
    if not full_range:
        y, u, v = (y - 16) * (255 / 219), u * (255 / 224), v * (255 / 224)
    rgb = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=2)
    return (rgb + 0.5).clip(0, 255).astype(np.uint8)


NO_CAMERA = (
    "no camera found; check its cable, with the Pi switched off, then: "
    "rpicam-hello --list-cameras; or ask: edge doctor"
)


def _advice(problem: BaseException) -> str:
    """Say what went wrong and what to do: the reason is at the end of picamera2's chain."""
    chain = [problem]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    words = " ".join(map(str, chain)).lower()
    text = _first_line(chain[-1])
    if isinstance(problem, TimeoutError):
        return f"the camera gave no frame for {STALLED:g} s; check its cable"
    if isinstance(problem, IndexError) or "no camera number" in words or "(s) not found" in words:
        return NO_CAMERA
    if isinstance(chain[-1], PermissionError) or "permission denied" in words:
        return f"this user may not use the camera ({text}); try: sudo usermod -aG video $USER"
    if "busy" in words or "acquire" in words:
        return f"the camera is used by another program ({text}); stop that one first"
    return f"the camera failed: {text}; try: rpicam-hello --list-cameras"


def _first_line(problem: BaseException) -> str:
    return str(problem).partition("\n")[0] or type(problem).__name__
