"""The Pi's camera: the real picamera2 on a stand-in for libcamera, standin_libcamera.py.

What runs here is picamera2's own queue, jobs, controls and closing. What never runs here is a Pi:
docs/camera.md lists what nobody has tried on one.
"""

from __future__ import annotations

import ast
import gc
import importlib.util
import inspect
import os
import selectors
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import edge.sources.camera
from edge import card
from edge.config import CameraSettings
from edge.errors import SourceError
from edge.sources.camera import Camera
from edge.sources.opening import open_source

pytestmark = pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning")  # picamera2's

SIZE = (32, 24)
FRAME = 33_333_000  # nanoseconds
SETTINGS = CameraSettings()


class Quick(selectors.DefaultSelector):
    """picamera2's threads look every 0.2 s whether to end; here they do not wait that long."""

    def select(self, timeout=None):
        return super().select(0.005)


@pytest.fixture(scope="module")
def standin():
    """The stand-in, with picamera2 imported on it once: that takes half a second."""
    if importlib.util.find_spec("picamera2") is None:
        pytest.skip("picamera2 is not installed: make .venv/dev installs its source")
    if sys.platform != "linux":
        pytest.skip("picamera2 runs on Linux only")
    path = Path(__file__).with_name("standin_libcamera.py")
    spec = importlib.util.spec_from_file_location("standin_libcamera", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "DefaultSelector", Quick)
        module.picamera2 = module.install(patch)
        yield module
        for name in [name for name in sys.modules if name.partition(".")[0] == "picamera2"]:
            del sys.modules[name]  # other tests must not find a camera here


@pytest.fixture
def libcamera(standin):
    """The stand-in with one fresh camera."""
    standin.CameraManager.current = standin.CameraManager()
    yield standin
    standin.CameraManager.current.close()
    standin.picamera2.Picamera2._cm._cms = None


@pytest.fixture
def sensor(libcamera):
    """The one camera there is."""
    return libcamera.CameraManager.current.cameras[0]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless told."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(edge.sources.camera.time, "clock_gettime", lambda _which: Clock.now)
    return Clock


def picture(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)


def wait_until(true):
    """Let picamera2's own thread catch up."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "picamera2 has not caught up"
        time.sleep(0.001)


def take(camera, sensor, image, seconds, **metadata):
    """Let a frame come, and wait until picamera2 holds it."""
    device = camera._camera
    before = device.frames
    assert sensor.take(image, round(1e9 * seconds), **metadata), "no buffer is free"
    wait_until(lambda: device.frames > before)


def card_camera(**how):
    return card.Camera(size=SIZE, **how)


# --- Frames


def test_frames_are_rgb_with_the_sensors_time(sensor):
    with Camera(SIZE) as camera:
        take(camera, sensor, picture(), 1.5)
        frame = next(iter(camera))
        np.testing.assert_array_equal(frame.image, picture())
        assert frame.image.flags.c_contiguous
        assert frame.time == 1.5
        assert camera.live


def test_its_clock_is_libcameras_seconds_since_the_pi_was_started():
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("Linux only")
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = Camera.__new__(Camera).now()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_lines_with_padding_are_read_right(sensor):
    sensor.align = 128
    with Camera(SIZE) as camera:
        assert camera._camera.camera_configuration()["main"]["stride"] == 128
        take(camera, sensor, picture(), 1)
        frame = next(iter(camera))
    np.testing.assert_array_equal(frame.image, picture())
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize("form", ["RGB888", "XBGR8888", "XRGB8888", "NV12"])
@pytest.mark.parametrize("align", [1, 128])
def test_another_format_than_asked_for_is_still_rgb(sensor, form, align):
    sensor.only_format, sensor.align = form, align
    even = np.full((24, 32, 3), (200, 90, 30), np.uint8)
    even[:, 16:] = (20, 160, 220)
    with Camera(SIZE) as camera:
        # NV12 comes in the range that the colour space says; the stand-in stores the full one.
        camera._full_range = True
        take(camera, sensor, even, 1)
        frame = next(iter(camera))
    assert frame.image.shape == (24, 32, 3)
    assert frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    np.testing.assert_allclose(frame.image, even, atol=3 if form == "NV12" else 0)


def test_nv12_of_television_has_black_at_16_and_white_at_235(sensor):
    sensor.only_format = "NV12"
    with Camera(SIZE) as camera:
        assert camera._full_range is False, "the colour space of small pictures is SMPTE 170M"
        grey = np.full((24, 32, 3), 16, np.uint8)
        grey[:, 16:] = 235
        take(camera, sensor, grey, 1)
        image = next(iter(camera)).image
    assert image[:, :16].max() <= 1
    assert image[:, 16:].min() >= 254


def test_a_format_that_cannot_be_read_is_one_line(sensor):
    sensor.only_format = "YUYV"
    with pytest.raises(SourceError, match=r"^the camera gives YUYV [^\n]+--source webcam:0$"):
        Camera(SIZE)
    assert not sensor.acquired


def test_a_frame_outlives_the_cameras_buffer_and_the_camera(sensor):
    with Camera(SIZE) as camera:
        frames = []
        for number in range(2 * edge.sources.camera.BUFFERS):
            take(camera, sensor, picture(number), number)
            frames.append(next(iter(camera)))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(number))


# --- The newest wins


def test_a_slow_reader_gets_the_newest_frame_and_each_only_once(sensor):
    with Camera(SIZE) as camera:
        frames = iter(camera)
        for number in range(5):  # while a model is at work
            take(camera, sensor, picture(number), number / 30)
        assert next(frames).time == pytest.approx(4 / 30)
        for number in range(5, 9):
            take(camera, sensor, picture(number), number / 30)
        frame = next(frames)
        np.testing.assert_array_equal(frame.image, picture(8))


def test_the_camera_never_waits_for_a_slow_reader(sensor):
    with Camera(SIZE) as camera:
        take(camera, sensor, picture(), 0)
        next(iter(camera))
        for number in range(100):  # asserts that a buffer is free, each time
            take(camera, sensor, picture(), number)


def test_a_quick_reader_waits_for_the_next_frame(sensor):
    with Camera(SIZE) as camera:
        frames = iter(camera)
        take(camera, sensor, picture(1), 1)
        next(frames)
        later = threading.Timer(0.05, lambda: sensor.take(picture(2), 2_000_000_000))
        later.start()
        assert next(frames).time == 2
        later.join()


def test_frames_that_piled_up_behind_a_busy_python_are_passed_over(sensor, clock):
    with Camera(SIZE) as camera:
        frames = iter(camera)
        clock.now = 100.05  # this camera takes 50 ms for a frame
        take(camera, sensor, picture(0), 100)
        assert next(frames).time == 100
        seen = []
        reader = threading.Thread(target=lambda: seen.append(next(frames)))
        reader.start()
        device = camera._camera
        wait_until(lambda: device._job_list)  # it waits for the next frame
        with device.lock:  # picamera2's thread gets no turn while three come
            for number in (1, 2, 3):
                sensor.take(picture(number), 100 * 10**9 + number * FRAME)
            clock.now = 100.05 + 3 * FRAME / 1e9
        reader.join(20)
        (frame,) = seen
        assert clock.now - frame.time <= 0.05 + FRAME / 1e9 + 1e-6
        number = round((frame.time - 100) * 1e9 / FRAME)
        np.testing.assert_array_equal(frame.image, picture(number))


def test_an_old_frame_is_dropped_for_the_next(sensor, clock):
    with Camera(SIZE) as camera:
        frames = iter(camera)
        clock.now = 100.05
        take(camera, sensor, picture(0), 100)
        next(frames)
        take(camera, sensor, picture(1), 100.1)
        clock.now = 105  # the whole machine was asleep
        later = threading.Timer(0.05, lambda: sensor.take(picture(2), 105 * 10**9))
        later.start()
        assert next(frames).time == 105
        later.join()


def test_one_wrong_time_stamp_is_forgotten(sensor, clock):
    with Camera(SIZE) as camera:
        frames = iter(camera)
        clock.now = 100.0
        take(camera, sensor, picture(0), 101)  # it cannot have been taken a second from now
        next(frames)
        for number in range(200):
            clock.now = 102 + number / 30
            take(camera, sensor, picture(number), clock.now - 0.05)
            if camera._camera.frames and not camera._is_old(clock.now - 0.05, 33_000):
                break
        assert 50 < number < 150


def test_a_clock_that_is_not_the_sensors_loses_no_frame(sensor, clock):
    clock.now = 5_000.0
    with Camera(SIZE) as camera:
        frames = iter(camera)
        for number in range(10):
            clock.now += 1 / 30
            take(camera, sensor, picture(number), 77 + number / 30)
            assert next(frames).time == pytest.approx(77 + number / 30)


def test_in_the_dark_a_frame_may_take_longer(sensor, clock):
    with Camera(SIZE) as camera:
        frames = iter(camera)
        clock.now = 100.05
        take(camera, sensor, picture(0), 100)
        next(frames)
        take(camera, sensor, picture(1), 100.1, FrameDuration=200_000)
        clock.now = 100.1 + 0.05 + 0.199
        assert next(frames).time == 100.1


# --- What the camera is asked for


def test_it_asks_for_the_size_and_rate(sensor):
    with Camera((320, 240), settings=CameraSettings(rate=12.5)) as camera:
        main = camera._camera.camera_configuration()["main"]
        assert (main["size"], main["format"]) == ((320, 240), "BGR888")
        assert sensor.started_with["FrameDurationLimits"] == (80_000, 80_000)
        assert len(sensor.queue) == edge.sources.camera.BUFFERS


@pytest.mark.parametrize(
    ("size", "rate", "mode"),
    [
        ((64, 48), 30, (1640, 1232)),  # libcamera's own choice would be 640x480, a third of it
        ((640, 480), 30, (1640, 1232)),
        ((1920, 1080), 15, (3280, 2464)),
        ((1920, 1080), 30, (3280, 2464)),
    ],
)
def test_the_sensor_shows_all_that_it_sees(sensor, size, rate, mode):
    with Camera(size, settings=CameraSettings(rate=rate)):
        assert sensor.mode["size"] == mode
        assert sensor.mode["crop"][2:] == (3280, 2464)


def test_libcamera_alone_would_have_cut_the_view(sensor, monkeypatch):
    monkeypatch.setattr(edge.sources.camera, "_sensor_mode", lambda *_: {})
    with Camera((64, 48)):
        assert sensor.mode["crop"][2:] == (1280, 960)


def test_a_rate_beyond_the_whole_view_is_said(sensor, caplog):
    with Camera((64, 48), settings=CameraSettings(rate=90)):
        assert sensor.mode["size"] == (1640, 1232)
    assert caplog.messages == [
        "the camera sees everything at 42 frames a second at most, not 90",
    ]


def test_a_camera_that_is_no_sensor_of_a_pi_chooses_its_mode(sensor):
    sensor.pi = False
    with Camera(SIZE) as camera:
        assert camera._camera.camera_configuration()["raw"] is None
        take(camera, sensor, picture(), 1)
        next(iter(camera))


def test_modes_that_cannot_be_read_are_no_reason_to_fail(sensor, monkeypatch, caplog):
    sensor.modes = [mode | {"crop": (0, 0, 10, 10)} for mode in sensor.modes]
    monkeypatch.setattr(
        type(sensor), "controls", property(lambda self: {}), raising=True
    )  # no ScalerCrop
    with Camera(SIZE):
        pass
    assert "its view may be cut" in caplog.text


# --- How it is mounted


@pytest.mark.parametrize("mirrors", [True, False], ids=["by the camera", "by us"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(("horizontal", "vertical"), [(False, False), (True, False), (True, True)])
def test_a_picture_is_turned_upright_and_mirrored_as_the_card_says(
    sensor, mirrors, rotation, horizontal, vertical
):
    sensor.mirrors = mirrors
    seen = picture(size=(24, 32) if rotation in {90, 270} else SIZE)
    expected = np.rot90(seen, -rotation // 90)
    expected = expected[:, ::-1] if horizontal else expected
    expected = expected[::-1] if vertical else expected
    settings = CameraSettings(rotation=rotation)
    taken = card_camera(horizontal_flip=horizontal, vertical_flip=vertical)
    with Camera(SIZE, settings=settings, taken=taken) as camera:
        take(camera, sensor, seen, 1)
        image = next(iter(camera)).image
    assert image.shape == (24, 32, 3)
    np.testing.assert_array_equal(image, expected)
    assert image.flags.c_contiguous


def test_half_a_turn_costs_nothing(sensor):
    with Camera(SIZE, settings=CameraSettings(rotation=180)) as camera:
        assert not any(camera._turn)


# --- White balance, exposure, focus


@pytest.mark.parametrize(
    ("settings", "taken", "expected"),
    [
        ({}, {}, {}),
        ({}, {"white_balance": "auto"}, {}),
        ({}, {"white_balance": "daylight"}, {"AwbEnable": True, "AwbMode": 5}),
        ({"white_balance": "cloudy"}, {"white_balance": "indoor"},
         {"AwbEnable": True, "AwbMode": 6}),
        ({"white_balance": "auto"}, {"white_balance": "daylight"}, {}),
        ({"white_balance": (1.5, 2.0)}, {}, {"ColourGains": (1.5, 2.0)}),
        ({}, {"exposure": 0.01}, {"ExposureTime": 10_000, "ExposureTimeMode": 1}),
        ({"exposure": 0.02}, {"exposure": 0.01}, {"ExposureTime": 20_000, "ExposureTimeMode": 1}),
        ({"exposure": "auto"}, {"exposure": 0.01}, {}),
    ],
)  # fmt: skip
def test_the_light_is_set_as_edge_toml_says_and_else_as_the_card(
    sensor, settings, taken, expected, caplog
):
    taken = card_camera(**taken)
    with Camera(SIZE, settings=CameraSettings(**settings), taken=taken):
        light = {
            name: value
            for name, value in sensor.started_with.items()
            if name not in {"NoiseReductionMode", "FrameDurationLimits"}
        }
    assert light == expected
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("settings", "asked", "expected"),
    [
        ({}, {}, {}),
        ({}, {"white_balance": "daylight", "exposure": 0.01, "vertical_flip": True},
         {"white_balance": "daylight", "exposure": 0.01, "vertical_flip": True}),
        ({"white_balance": "cloudy", "exposure": "auto"},
         {"white_balance": "daylight", "exposure": 0.01}, {"white_balance": "cloudy"}),
        ({"white_balance": (1.5, 2.0)}, {"white_balance": "daylight"}, {}),
        ({"rotation": 90}, {"horizontal_flip": True}, {"horizontal_flip": True}),
    ],
)  # fmt: skip
def test_it_says_how_its_pictures_are_taken(sensor, settings, asked, expected):
    with Camera(SIZE, settings=CameraSettings(**settings), taken=card_camera(**asked)) as camera:
        assert camera.taken == card_camera(**expected)


def test_what_it_cannot_set_it_does_not_say_to_be_set(sensor):
    sensor.fixed = True
    with Camera(SIZE, taken=card_camera(white_balance="cloudy", exposure=0.005)) as camera:
        assert not camera.taken.is_set


def test_every_white_balance_is_one_of_libcameras(libcamera):
    names = {name.lower() for name in libcamera._Controls.AwbModeEnum.__members__}
    assert set(card.WHITE_BALANCES) == names - {"custom"}


def test_a_long_exposure_makes_frames_as_long(sensor):
    with Camera(SIZE, settings=CameraSettings(exposure=0.1)):
        assert sensor.started_with["FrameDurationLimits"] == (100_000, 100_000)


def test_what_the_camera_cannot_set_is_one_warning(sensor, caplog):
    sensor.fixed = sensor.pi = False
    sensor.fixed = True
    taken = card_camera(white_balance="cloudy", exposure=0.005)
    with Camera(SIZE, settings=CameraSettings(focus=2.0), taken=taken):
        assert sensor.started_with == {}
    (message,) = caplog.messages
    assert message == (
        "this camera cannot set exposure 0.005 s, white balance cloudy, focus 2.0; going on with "
        "its own"
    )


@pytest.mark.parametrize(
    ("focus", "expected"),
    [
        (None, {"AfMode": 2}),
        ("continuous", {"AfMode": 2}),
        ("once", {"AfMode": 1}),
        (0, {"AfMode": 0, "LensPosition": 0.0}),
        (2.5, {"AfMode": 0, "LensPosition": 2.5}),
    ],
)
def test_a_lens_is_focused(sensor, focus, expected):
    sensor.lens = True
    with Camera(SIZE, settings=CameraSettings(focus=focus)) as camera:
        started = sensor.started_with
        assert {name: started[name] for name in expected} == expected
        assert "AfTrigger" not in started
        take(camera, sensor, picture(), 1)
        next(iter(camera))
        requests = list(sensor.queue)
    triggers = [r.set["AfTrigger"] for r in requests if "AfTrigger" in r.set]
    assert triggers == ([0] if focus == "once" else [])


def test_without_a_lens_nothing_is_said_unless_focus_was_asked_for(sensor, caplog):
    Camera(SIZE).close()
    assert caplog.messages == []
    Camera(SIZE, settings=CameraSettings(focus="once")).close()
    assert caplog.messages == ["this camera cannot set focus once; going on with its own"]


# --- What goes wrong


def test_no_camera_is_one_line(libcamera):
    libcamera.CameraManager.current.cameras = []
    with pytest.raises(SourceError, match=r"^no camera found; check its cable[^\n]+$"):
        Camera()


def test_a_number_that_is_not_there_is_one_line(sensor):
    with pytest.raises(SourceError, match=r"^\[camera\] number: there is no camera 1, only 1 "):
        Camera(settings=CameraSettings(number=1))


def test_the_second_camera(libcamera, sensor):
    second = libcamera.Camera(libcamera.CameraManager.current)
    second.id = "/base/soc/i2c0mux/i2c@0/imx708@1a"  # picamera2 sorts by these, backwards
    libcamera.CameraManager.current.cameras.append(second)
    with Camera(SIZE, settings=CameraSettings(number=1)):
        assert second.acquired
        assert not sensor.acquired


def test_a_busy_camera_is_one_line(sensor):
    sensor.busy = True
    with pytest.raises(
        SourceError,
        match=r"^the camera is used by another program \(Failed to acquire camera: [^\n]+$",
    ):
        Camera()


def test_a_user_without_the_right_is_told_the_group(libcamera, sensor, monkeypatch):
    def denied():
        raise PermissionError(13, "Permission denied", "/dev/dma_heap/linux,cma")

    monkeypatch.setattr(sys.modules["picamera2.picamera2"], "DmaAllocator", denied)
    with pytest.raises(SourceError, match=r"may not use the camera .*usermod -aG video"):
        Camera()
    assert not sensor.acquired
    assert libcamera.picamera2.Picamera2._cm.cameras == {}


@pytest.mark.parametrize("error", ["configure", "start"])
def test_a_camera_that_does_not_start_is_let_go(sensor, error):
    sensor.error = error
    with pytest.raises(SourceError, match=r"^the camera failed: [^\n]+; try: rpicam-hello"):
        Camera(SIZE)
    assert not sensor.acquired
    sensor.error = None
    Camera(SIZE).close()


def test_trying_again_and_again_leaves_nothing_open(sensor):
    def attempt():
        with pytest.raises(SourceError):
            Camera(SIZE)
        gc.collect()

    def count():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("Linux only")
    sensor.busy = True
    attempt()
    before = count()
    for _ in range(5):
        attempt()
    sensor.busy, sensor.error = False, "start"
    for _ in range(5):
        attempt()
    assert count() == before


def test_a_camera_that_gives_nothing_is_one_line_and_is_let_go(sensor, monkeypatch):
    monkeypatch.setattr(edge.sources.camera, "STALLED", 0.05)
    with Camera(SIZE) as camera, pytest.raises(SourceError, match=r"no frame for 0\.05 s; check"):
        next(iter(camera))
    assert not sensor.acquired
    with Camera(SIZE) as camera:  # and it may come back
        take(camera, sensor, picture(), 1)
        next(iter(camera))


@pytest.mark.parametrize("broken", ["make_array", "get_metadata"])
def test_the_buffer_is_given_back_when_reading_it_fails(libcamera, sensor, monkeypatch, broken):
    def fail(*_):
        raise RuntimeError("Stream 'main' is not defined")

    with Camera(SIZE) as camera:
        take(camera, sensor, picture(), 1)
        monkeypatch.setattr(libcamera.picamera2.CompletedRequest, broken, fail)
        with pytest.raises(SourceError, match=r"^the camera failed: Stream [^\n]+rpicam-hello"):
            next(iter(camera))
        wait_until(lambda: len(sensor.queue) == edge.sources.camera.BUFFERS)


def test_closing_twice_closes_once_and_ends_the_iteration(sensor):
    camera = Camera(SIZE)
    frames = iter(camera)
    take(camera, sensor, picture(), 1)
    next(frames)
    camera.close()
    camera.close()
    assert not sensor.acquired
    assert list(frames) == []
    assert list(camera) == []


def test_an_error_in_the_loop_closes_the_camera(sensor):
    def loop():
        with Camera(SIZE) as camera:
            take(camera, sensor, picture(), 1)
            for _frame in camera:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert not sensor.acquired


def test_a_camera_that_fails_to_close_is_let_go_all_the_same(sensor, caplog):
    camera = Camera(SIZE)
    sensor.error = "stop"
    camera.close()
    assert caplog.messages == ["the camera did not close properly: Failed to stop camera"]
    sensor.error = None


def test_a_camera_that_never_closes_does_not_keep_the_device(sensor, monkeypatch, caplog):
    monkeypatch.setattr(edge.sources.camera, "CLOSING", 0.05)
    camera = Camera(SIZE)
    hang, stop = threading.Event(), sensor.stop
    monkeypatch.setattr(sensor, "stop", lambda: (hang.wait(20), stop()))
    camera.close()
    assert caplog.messages == ["the camera does not close within 0.05 s; going on without"]
    hang.set()
    wait_until(lambda: not sensor.acquired)
    wait_until(lambda: "closing" not in {thread.name for thread in threading.enumerate()})


def test_picamera2_says_nothing_of_its_own(sensor, caplog):
    sensor.busy = True
    with pytest.raises(SourceError):
        Camera()
    assert caplog.messages == []
    assert os.environ["LIBCAMERA_LOG_LEVELS"]


def test_without_picamera2_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError, match=r"no picamera2 here .*apt install python3-picamera2"):
        Camera()


def test_the_word_pi_opens_it_with_all_its_settings(sensor):
    settings = CameraSettings(rotation=90, rate=10)
    with open_source(
        "pi", size=(96, 64), camera=settings, taken=card_camera(white_balance="indoor")
    ) as camera:
        assert isinstance(camera, Camera)
        assert camera._camera.camera_configuration()["main"]["size"] == (64, 96)
        assert sensor.started_with["AwbMode"] == 4
        assert sensor.started_with["FrameDurationLimits"] == (100_000, 100_000)


# --- What older picamera2s said


def test_an_older_picamera2s_words_for_no_camera(monkeypatch):
    class Old:
        @staticmethod
        def global_camera_info():
            return [{}]

        def __init__(self, camera_num=0):
            raise IndexError("list index out of range")

    module = ModuleType("picamera2")
    module.Picamera2 = Old
    monkeypatch.setitem(sys.modules, "picamera2", module)
    with pytest.raises(SourceError, match=r"^no camera found"):
        Camera()


# --- The calls fit the real one, whatever path a test takes


def real_class(file, name):
    """The methods of a class of the real picamera2, read but not imported."""
    spec = importlib.util.find_spec("picamera2")
    if spec is None or spec.origin is None:
        pytest.skip("picamera2 is not installed: make .venv/dev installs its source")
    gc.collect()  # Python 3.11's parser fails if picamera2's __del__ runs in the middle of it
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


def test_every_call_that_edge_makes_fits_the_real_ones_parameters():
    real = real_class("picamera2.py", "Picamera2") | {
        name: arguments
        for name, arguments in real_class("request.py", "CompletedRequest").items()
        if name in {"make_array", "get_metadata", "release"}
    }
    tree = ast.parse(Path(edge.sources.camera.__file__).read_text())
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
        "__init__", "create_video_configuration", "camera_configuration", "configure", "start",
        "set_controls", "capture_request", "cancel_all_and_flush", "close", "make_array",
        "get_metadata", "release",
    }  # fmt: skip
    assert {"camera_controls", "camera_properties", "sensor_modes"} <= set(real)


def test_the_format_asked_for_is_the_one_that_the_real_one_calls_rgb():
    spec = importlib.util.find_spec("picamera2")
    if spec is None or spec.origin is None:
        pytest.skip("picamera2 is not installed: make .venv/dev installs its source")
    source = (Path(spec.origin).parent / "request.py").read_text()
    # How the real one hands its arrays to Pillow: the mode says what order the bytes have.
    assert '"BGR888": "RGB"' in source.replace("'", '"')
    assert '"format": "BGR888"' in Path(edge.sources.camera.__file__).read_text()
