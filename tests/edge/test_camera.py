"""The Pi's camera, on a stand-in for picamera2 that is itself checked against the real one."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import edge.camera
from edge.camera import Camera
from edge.errors import SourceError
from edge.sources import open_source

# What edge/camera.py may use, with the very parameters of picamera2 0.3.38. A test below compares.
# ruff: noqa: B006, PLR0917


class CompletedRequest:
    def __init__(self, camera):
        self.camera, self.released = camera, False

    def make_array(self, name):
        assert not self.released, "the buffer is the camera's again"
        if self.camera.broken == "make_array":
            raise RuntimeError("Stream 'main' is not defined")
        width, height = self.camera.settings["main"]["size"]
        image = np.zeros((height, width, 3), np.uint8)
        # libcamera's "BGR888" is R, G, B in memory, and "RGB888" is B, G, R: a red picture
        red = {"BGR888": 0, "RGB888": 2}[self.camera.settings[name]["format"]]
        image[..., red] = 255
        return image

    def get_metadata(self):
        assert not self.released
        if self.camera.broken == "get_metadata":
            return {}
        return {"SensorTimestamp": self.camera.taken * 33_000_000, "ExposureTime": 9_000}

    def release(self):
        assert not self.released, "released twice"
        self.released = True


class Picamera2:
    made: list[Picamera2] = []  # noqa: RUF012
    broken: str | None = None

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        if self.broken == "none":
            raise IndexError("list index out of range")
        if self.broken == "busy":
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self.calls, self.requests, self.taken = [], [], 0
        self.made.append(self)

    def create_video_configuration(
        self, main={}, lores=None, raw={}, transform=None, colour_space=None, buffer_count=6,
        controls={}, display="main", encode="main", queue=True, sensor={}, use_case="video",
    ):  # fmt: skip
        return {"main": main, "buffer_count": buffer_count, "controls": controls, "queue": queue}

    def configure(self, camera_config=None):
        if self.broken == "configure":
            raise RuntimeError("Unable to set\nthe format")
        self.settings = camera_config
        self.calls.append("configure")

    def start(self, config=None, show_preview=False):
        if self.broken == "start":
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.calls.append("start")

    def capture_request(self, wait=None, signal_function=None, flush=None):
        if self.broken == "capture_request":
            raise RuntimeError("Camera frontend has timed out!")
        assert self.calls[-1] == "start"
        self.taken += 1
        self.requests.append(CompletedRequest(self))
        return self.requests[-1]

    def close(self):
        self.calls.append("close")
        if self.broken == "close":
            raise RuntimeError("Closing failed")


@pytest.fixture
def picamera2(monkeypatch):
    fake = type("Picamera2", (Picamera2,), {"made": []})
    module = ModuleType("picamera2")
    module.Picamera2 = fake
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return fake


def test_frames_are_rgb_with_the_sensors_time(picamera2):
    with Camera((32, 24)) as camera:
        frames = iter(camera)
        one, two = next(frames), next(frames)
    assert one.image.shape == (24, 32, 3)
    assert one.image[0, 0].tolist() == [255, 0, 0]
    assert (one.time, two.time) == pytest.approx((0.033, 0.066))
    assert camera.live


def test_it_asks_for_the_size_and_rate(picamera2):
    Camera((320, 240), rate=12).close()
    (device,) = picamera2.made
    assert device.settings["main"] == {"size": (320, 240), "format": "BGR888"}
    assert device.settings["controls"] == {"FrameRate": 12}
    assert device.settings["queue"] is True
    assert device.calls == ["configure", "start", "close"]


def test_each_request_is_given_back_before_the_frame_is_used(picamera2):
    with Camera((4, 2)) as camera:
        for number, _frame in enumerate(camera):
            requests = picamera2.made[0].requests
            assert len(requests) == number + 1
            assert all(request.released for request in requests)
            if number == 3:
                break


@pytest.mark.parametrize("broken", ["make_array", "get_metadata"])
def test_the_request_is_given_back_when_reading_it_fails(picamera2, broken):
    with Camera((4, 2)) as camera:
        picamera2.broken = broken
        with pytest.raises(SourceError, match=r"^the camera failed: [^\n]+rpicam-hello"):
            next(iter(camera))
    (request,) = picamera2.made[0].requests
    assert request.released


def test_a_camera_that_stops_is_one_line(picamera2):
    with Camera((4, 2)) as camera:
        picamera2.broken = "capture_request"
        with pytest.raises(SourceError, match="the camera failed: Camera frontend has timed out"):
            next(iter(camera))
    assert picamera2.made[0].calls[-1] == "close"


def test_no_camera_is_one_line(picamera2):
    picamera2.broken = "none"
    with pytest.raises(SourceError, match=r"^no camera found; check its cable[^\n]+$"):
        Camera()


def test_a_busy_camera_is_one_line(picamera2):
    picamera2.broken = "busy"
    with pytest.raises(SourceError, match=r"^the camera is used by another program \([^\n]+$"):
        Camera()


@pytest.mark.parametrize("broken", ["configure", "start"])
def test_a_camera_that_does_not_start_is_closed_again(picamera2, broken):
    picamera2.broken = broken
    with pytest.raises(SourceError, match=r"^the camera failed: [^\n]+$"):
        Camera()
    assert picamera2.made[0].calls[-1] == "close"


def test_closing_twice_closes_once_and_ends_the_iteration(picamera2):
    camera = Camera((4, 2))
    frames = iter(camera)
    next(frames)
    camera.close()
    camera.close()
    assert list(frames) == []
    assert list(camera) == []
    assert picamera2.made[0].calls.count("close") == 1


def test_an_error_in_the_loop_closes_the_camera(picamera2):
    def loop():
        with Camera((4, 2)) as camera:
            for _frame in camera:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert picamera2.made[0].calls[-1] == "close"


def test_without_picamera2_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError, match=r"no picamera2 here .*apt install python3-picamera2"):
        Camera()


def test_the_word_pi_opens_it(picamera2):
    with open_source("pi", size=(96, 64)) as camera:
        assert isinstance(camera, Camera)
    assert picamera2.made[0].settings["main"]["size"] == (96, 64)


# --- The stand-in is like the real one


def real_class(file, name):
    """The methods of a class of the real picamera2, read but not imported: it needs libcamera."""
    spec = importlib.util.find_spec("picamera2")  # a top level name is found without importing it
    if spec is None or spec.origin is None:
        pytest.skip("picamera2 is not installed: make .venv/dev installs its source")
    tree = ast.parse((Path(spec.origin).parent / file).read_text())
    (found,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return {
        node.name: node.args
        for node in found.body
        if isinstance(node, ast.FunctionDef)
        and not any(ast.unparse(d).endswith("overload") for d in node.decorator_list)
    }


def signature(arguments):
    """A signature with the real parameters, to bind calls to."""
    assert not arguments.posonlyargs
    assert not arguments.kwonlyargs
    required = len(arguments.args) - len(arguments.defaults)
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.arg,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if number < required else None,
            )
            for number, argument in enumerate(arguments.args)
        ]
    )


@pytest.mark.parametrize(
    ("file", "fake"), [("picamera2.py", Picamera2), ("request.py", CompletedRequest)]
)
def test_the_stand_in_has_the_real_ones_parameters(file, fake):
    real = real_class(file, fake.__name__)
    own = {name for name, value in vars(fake).items() if inspect.isfunction(value)}
    for name in own - ({"__init__"} if fake is CompletedRequest else set()):
        assert name in real, f"picamera2 has no {fake.__name__}.{name}"
        ours = list(inspect.signature(getattr(fake, name)).parameters)
        assert ours == [argument.arg for argument in real[name].args], name


def test_every_call_that_edge_makes_fits_the_real_ones_parameters():
    real = real_class("picamera2.py", "Picamera2") | {
        name: arguments
        for name, arguments in real_class("request.py", "CompletedRequest").items()
        if name in {"make_array", "get_metadata", "release"}
    }
    tree = ast.parse(Path(edge.camera.__file__).read_text())
    checked = set()
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        holder, name = ast.unparse(call.func.value), call.func.attr
        if holder not in {"self._camera", "camera", "request"}:
            continue
        assert name in real, f"picamera2 has no {name}()"
        assert all(keyword.arg for keyword in call.keywords), "**options cannot be checked"
        options = {keyword.arg: keyword.value for keyword in call.keywords}
        signature(real[name]).bind("self", *call.args, **options)
        checked.add(name)
    assert checked == {
        "create_video_configuration", "configure", "start", "capture_request", "close",
        "make_array", "get_metadata", "release",
    }  # fmt: skip


def test_the_format_asked_for_is_the_one_that_the_real_one_calls_rgb():
    spec = importlib.util.find_spec("picamera2")
    if spec is None or spec.origin is None:
        pytest.skip("picamera2 is not installed: make .venv/dev installs its source")
    source = (Path(spec.origin).parent / "request.py").read_text()
    # How the real one hands its arrays to Pillow: the mode says what order the bytes have.
    assert '"BGR888": "RGB"' in source.replace("'", '"')
    assert '"format": "BGR888"' in Path(edge.camera.__file__).read_text()
