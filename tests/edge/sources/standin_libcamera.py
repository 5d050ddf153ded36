"""A libcamera with one camera, for the real picamera2 to run on: a frame comes when a test says so.

Only what picamera2 0.3.38 uses of it, as its Python bindings name it. On a Pi this is C++ and a
kernel; nothing here says anything about those.
"""

from __future__ import annotations

import enum
import os
import sys
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np

UNUSED = (
    "av", "jsonschema", "kms", "libarchive", "pidng", "pidng.camdefs", "pidng.core", "piexif",
    "prctl", "pykms", "simplejpeg", "tqdm", "videodev2",
)  # fmt: skip
"""What picamera2 imports for encoders, previews and files, which edge never uses."""


class Value:
    """Things that are equal when what they hold is."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __str__(self):
        return f"{type(self).__name__}({self.__dict__})"

    def __hash__(self):
        return hash((type(self), *sorted(self.__dict__.items())))


class Transform(Value):
    def __init__(self, other=None, *, hflip=0, vflip=0, transpose=0):
        if other is not None:
            hflip, vflip, transpose = other.hflip, other.vflip, other.transpose
        super().__init__(hflip=bool(hflip), vflip=bool(vflip), transpose=bool(transpose))


Orientation = enum.Enum(
    "Orientation",
    "Rotate0 Rotate0Mirror Rotate180 Rotate180Mirror Rotate90 Rotate90Mirror Rotate270 "
    "Rotate270Mirror",
)
ControlType = enum.Enum("ControlType", "Integer32 Integer64 Float Rectangle Size")
StreamRole = enum.Enum("StreamRole", "StillCapture Raw VideoRecording Viewfinder")


class Size(Value):
    def __init__(self, width, height):
        super().__init__(width=width, height=height)


class Rectangle(Value):
    def __init__(self, x, y, width, height):
        super().__init__(x=x, y=y, width=width, height=height)


class PixelFormat(Value):
    def __init__(self, name):
        super().__init__(name=name)

    def __str__(self):
        return self.name


class ColorSpace(Value):
    YcbcrEncoding = enum.Enum("YcbcrEncoding", "Null Rec601 Rec709")
    Range = enum.Enum("Range", "Full Limited")

    def __init__(self, other=None, **fields):
        fields = dict(other.__dict__) if other else fields
        super().__init__(**fields)

    @classmethod
    def made(cls, primaries, scope):
        return cls(
            primaries=primaries, transferFunction=primaries, range=scope,
            ycbcrEncoding=cls.YcbcrEncoding.Rec601,
        )  # fmt: skip

    @classmethod
    def Sycc(cls):  # noqa: N802
        return cls.made("sycc", cls.Range.Full)

    @classmethod
    def Smpte170m(cls):  # noqa: N802
        return cls.made("smpte170m", cls.Range.Limited)

    @classmethod
    def Rec709(cls):  # noqa: N802
        return cls.made("rec709", cls.Range.Limited)

    @classmethod
    def Raw(cls):  # noqa: N802
        return cls.made("raw", cls.Range.Full)


class SensorConfiguration(SimpleNamespace):
    pass


class FrameMetadata:
    Status = enum.Enum("Status", "Success Error Startup")


class FrameBuffer:
    def __init__(self, size):
        self.memory = np.zeros(size, np.uint8)
        self.metadata = SimpleNamespace(status=FrameMetadata.Status.Success)


class Request:
    Status = enum.Enum("Status", "Pending Complete Cancelled")

    def __init__(self, cookie):
        self.cookie, self.buffers, self.metadata = cookie, {}, {}
        self.status, self.set = Request.Status.Pending, {}

    def add_buffer(self, stream, buffer):
        self.buffers[stream] = buffer

    def reuse(self):
        self.status = Request.Status.Pending

    def set_control(self, control, value):
        self.set[control.name] = value


class CameraConfiguration:
    Status = enum.Enum("Status", "Valid Adjusted Invalid")

    def __init__(self, camera, roles):
        self._camera, self.orientation, self.sensor_config = camera, None, None
        formats = SimpleNamespace(
            pixel_formats=[PixelFormat("SBGGR10"), PixelFormat("SBGGR8")],
            sizes=lambda pixel: [
                Size(*mode["size"]) for mode in camera.modes if pixel.name in mode["formats"]
            ],
        )
        self._streams = [
            SimpleNamespace(stream=object(), role=role, formats=formats, stride=0) for role in roles
        ]

    def at(self, index):
        return self._streams[index]

    def __iter__(self):
        return iter(self._streams)

    def validate(self):
        """Do as a driver does: give the nearest that it can."""
        status = CameraConfiguration.Status.Valid
        main = self.at(0)
        if self._camera.only_format:
            main.pixel_format = PixelFormat(self._camera.only_format)
            status = CameraConfiguration.Status.Adjusted
        if not self._camera.mirrors:
            self.orientation = Orientation.Rotate0
            status = CameraConfiguration.Status.Adjusted
        for one in self._streams:
            per_pixel = {"BGR888": 3, "RGB888": 3, "XBGR8888": 4, "XRGB8888": 4, "NV12": 1}
            line = one.size.width * per_pixel.get(str(one.pixel_format), 2)
            align = self._camera.align
            one.stride = (line + align - 1) // align * align
            rows = one.size.height * 3 // 2 if str(one.pixel_format) == "NV12" else one.size.height
            one.frame_size = one.stride * rows
        return status


class Camera:
    """One camera of the Pi; a test's own attributes say what it is like."""

    id = "/base/soc/i2c0mux/i2c@1/imx219@10"
    # An IMX219's: the small ones see only the middle.
    modes = tuple(
        {"size": size, "crop": crop, "fps": fps, "formats": {"SBGGR10", "SBGGR8"}}
        for size, crop, fps in (
            ((640, 480), (1000, 752, 1280, 960), 103.3),
            ((1640, 1232), (0, 0, 3280, 2464), 41.9),
            ((1920, 1080), (680, 692, 1920, 1080), 47.6),
            ((3280, 2464), (0, 0, 3280, 2464), 21.2),
        )
    )
    align = 1
    only_format: str | None = None
    mirrors = True
    lens = False
    pi = True
    busy = False
    fixed = False
    """Whether it has no controls at all, as some USB cameras."""
    error: str | None = None

    def __init__(self, manager):
        self._manager = manager
        self.acquired = self.running = False
        self.queue, self.started_with, self.mode = [], {}, self.modes[0]
        self.configuration = None

    @property
    def properties(self):
        values = {"Model": "imx219", "Rotation": 180}
        if self.pi:
            values["ColorFilterArrangement"] = 0
        return {control(name): value for name, value in values.items()}

    @property
    def controls(self):
        shortest = round(1e6 / self.mode["fps"])
        limits = {} if self.fixed else {
            "FrameDurationLimits": (shortest, 11_000_000, 33_333),
            "ExposureTime": (75, 11_000_000, 20_000),
            "AnalogueGain": (1.0, 10.6, 1.0),
            "AwbEnable": (False, True, True),
            "AwbMode": (0, 7, 0),
            "ColourGains": (0.0, 32.0, 1.0),
            "NoiseReductionMode": (0, 4, 0),
        }  # fmt: skip
        if self.pi:
            limits["ScalerCrop"] = (
                Rectangle(0, 0, 64, 64), Rectangle(*self.mode["crop"]), None,
            )  # fmt: skip
        if self.lens:
            limits |= {"AfMode": (0, 2, 0), "AfTrigger": (0, 1, 0), "LensPosition": (0, 32, 1)}
        return {
            control(name): SimpleNamespace(min=low, max=high, default=usual)
            for name, (low, high, usual) in limits.items()
        }

    def acquire(self):
        if self.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        assert not self.acquired
        self.acquired = True

    def release(self):
        assert not self.running
        self.acquired = False

    def generate_configuration(self, roles):
        return CameraConfiguration(self, roles)

    def configure(self, configuration):
        if self.error == "configure":
            raise RuntimeError("Unable to set\nthe format")
        self.configuration = configuration
        if configuration.sensor_config is not None:
            wanted = configuration.sensor_config.output_size
            (self.mode,) = [mode for mode in self.modes if Size(*mode["size"]) == wanted]

    def create_request(self, cookie):
        return Request(cookie)

    def start(self, controls):
        if self.error == "start":
            raise RuntimeError("Failed to start camera: No space left on device")
        self.started_with = {control.name: value for control, value in controls.items()}
        self.running = True

    def stop(self):
        if self.error == "stop":
            raise RuntimeError("Failed to stop camera")
        self.running, self.queue = False, []

    def queue_request(self, request):
        self.queue.append(request)

    def take(self, picture, nanoseconds, **metadata):
        """Make a frame of what the sensor would see; False where there is no buffer for it."""
        if not (self.running and self.queue):
            return False
        request = self.queue.pop(0)
        main = self.configuration.at(0)
        buffer = request.buffers[main.stream]
        rows = buffer.memory.reshape(-1, main.stride)
        rows[...] = 99  # padding is no picture
        raw = as_stored(self._seen(picture), str(main.pixel_format))
        rows[:, : raw.shape[1]] = raw
        metadata = {"SensorTimestamp": nanoseconds, "ExposureTime": 9000} | metadata
        request.metadata = {control(name): value for name, value in metadata.items()}
        request.status = Request.Status.Complete
        self._manager.complete(request)
        return True

    def _seen(self, picture):
        wanted = self.configuration.orientation
        if wanted in {Orientation.Rotate0Mirror, Orientation.Rotate180}:
            picture = picture[:, ::-1]
        if wanted in {Orientation.Rotate180Mirror, Orientation.Rotate180}:
            picture = picture[::-1]
        return picture


def as_stored(rgb, form):
    """An RGB picture as libcamera's formats store it: lines of bytes."""
    if form == "NV12":
        r, g, b = np.moveaxis(rgb.astype(float), 2, 0)
        y = 0.299 * r + 0.587 * g + 0.114 * b
        u, v = (b - y) / 1.772 + 128, (r - y) / 1.402 + 128
        colour = np.stack([u[::2, ::2], v[::2, ::2]], axis=2).reshape(len(rgb) // 2, -1)
        return np.concatenate([y, colour]).round().clip(0, 255).astype(np.uint8)
    order = {"BGR888": (0, 1, 2), "RGB888": (2, 1, 0), "XBGR8888": (0, 1, 2, 2)}
    order["XRGB8888"] = (2, 1, 0, 0)
    return rgb[..., order.get(form, (0, 1))].reshape(len(rgb), -1)


class CameraManager:
    current: CameraManager

    def __init__(self):
        self.event_fd, self._write = os.pipe()
        os.set_blocking(self.event_fd, False)
        self.cameras, self._ready = [Camera(self)], []

    @staticmethod
    def singleton():
        return CameraManager.current

    def complete(self, request):
        self._ready.append(request)
        os.write(self._write, b"\0")

    def get_ready_requests(self):
        with suppress(BlockingIOError):
            os.read(self.event_fd, 4096)
        ready, self._ready = self._ready, []
        return ready

    def close(self):
        os.close(self.event_fd)
        os.close(self._write)


_controls = {}


def control(name):
    kind = ControlType.Rectangle if name.startswith("ScalerCrop") else ControlType.Integer32
    return _controls.setdefault(name, SimpleControl(name, kind))


class SimpleControl:
    def __init__(self, name, kind):
        self.name, self.type = name, kind


class _Controls(ModuleType):
    AwbModeEnum = enum.IntEnum(
        "AwbModeEnum",
        "Auto Incandescent Tungsten Fluorescent Indoor Daylight Cloudy Custom",
        start=0,
    )
    AfModeEnum = enum.IntEnum("AfModeEnum", "Manual Auto Continuous", start=0)
    AfTriggerEnum = enum.IntEnum("AfTriggerEnum", "Start Cancel", start=0)
    draft = SimpleNamespace(
        NoiseReductionModeEnum=enum.IntEnum(
            "NoiseReductionModeEnum", "Off Fast HighQuality Minimal ZSL", start=0
        )
    )

    def __getattr__(self, name):
        return control(name)


def install(monkeypatch):
    """Import the real picamera2 on this libcamera; return its module, until the test is over."""
    here = ModuleType("libcamera")
    here.__dict__.update({name: value for name, value in globals().items() if name[0].isupper()})
    here._libcamera = here  # picamera2 asks for that
    here.controls = _Controls("libcamera.controls")
    here.properties = MagicMock()
    for name in UNUSED:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.setitem(sys.modules, "libcamera", here)
    monkeypatch.setitem(sys.modules, "libcamera.controls", here.controls)
    for name in [name for name in sys.modules if name.partition(".")[0] == "picamera2"]:
        monkeypatch.delitem(sys.modules, name)

    import picamera2
    from picamera2.allocators import Allocator

    class Memory(Allocator):
        """Buffers in plain memory, instead of a Pi's DMA heap."""

        def __init__(self):
            super().__init__()
            self.sync = _Sync
            self._buffers = {}

        def allocate(self, configuration, use_case):
            self._buffers = {
                one.stream: [FrameBuffer(one.frame_size) for _ in range(one.buffer_count)]
                for one in configuration
            }

        def buffers(self, stream):
            return self._buffers[stream]

    monkeypatch.setattr(sys.modules["picamera2.picamera2"], "DmaAllocator", Memory)
    return picamera2


class _Sync:
    def __init__(self, allocator, buffer, write):
        self._buffer = buffer

    def __enter__(self):
        return self._buffer.memory

    def __exit__(self, *_):
        pass
