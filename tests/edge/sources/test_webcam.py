"""Webcams: a stand-in for cv2.VideoCapture with a driver's queue, and the real one on a film."""

from __future__ import annotations

import inspect
import queue
import re
import threading
import time

import cv2
import msgspec
import numpy as np
import pytest

from edge import card
from edge.config import CameraSettings
from edge.errors import SourceError
from edge.sources import webcam
from edge.sources.webcam import Webcam

REAL = cv2.VideoCapture


class Capture:
    """A camera whose driver queues frames until they are read, and which can be pulled out."""

    made: list[Capture] = []  # noqa: RUF012
    refuses: frozenset[int] = frozenset()
    backend = "V4L2"

    def __init__(self, what):
        self.what, self.settings, self.released = what, {}, False
        self.frames = queue.Queue()
        self.made.append(self)

    def isOpened(self):  # noqa: N802
        return True

    def getBackendName(self):  # noqa: N802
        return self.backend

    def set(self, propId, value):
        if propId in self.refuses:
            return False
        self.settings[propId] = value
        return True

    def read(self, image=None):
        try:
            frame = self.frames.get(timeout=0.02)
        except queue.Empty:
            return False, None
        if isinstance(frame, Exception):
            raise frame
        return True, frame

    def release(self):
        assert not self.released
        assert threading.current_thread().name.startswith("webcam:"), "while it may be reading"
        self.released = True


@pytest.fixture
def capture(monkeypatch):
    """The class of the stand-in; each test has its own."""
    fake = type("Capture", (Capture,), {"made": []})
    monkeypatch.setattr(cv2, "VideoCapture", fake)
    return fake


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("webcam:")] == []


def picture(shade=0):
    return np.full((2, 4, 3), (1, 2, shade), np.uint8)  # B, G, R


def wait_until(true):
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_frames_are_rgb_with_the_time_at_which_they_came(capture):
    with Webcam(3, (4, 2)) as camera:
        before = camera.now()
        capture.made[0].frames.put(picture(200))
        frame = next(iter(camera))
        assert frame.image.tolist() == [[[200, 2, 1]] * 4] * 2
        assert before <= frame.time <= camera.now()
        assert camera.live
    assert capture.made[0].what == 3
    assert capture.made[0].released


def test_a_first_frame_may_take_its_time_and_later_ones_less(capture, monkeypatch):
    monkeypatch.setattr(webcam, "FAILING", 0.1)
    monkeypatch.setattr(webcam, "WARMING", 30.0)
    with Webcam(0, (4, 2)) as camera:
        later = threading.Timer(0.5, lambda: capture.made[0].frames.put(picture()))
        later.start()
        frames = iter(camera)
        assert next(frames).image[0, 0, 1] == 2
        later.join()
        with pytest.raises(SourceError, match="stopped giving frames"):
            next(frames)


def test_a_slow_reader_gets_the_newest_frame_and_each_only_once(capture):
    with Webcam(0, (4, 2)) as camera:
        frames = iter(camera)
        for shade in (10, 20, 30):
            capture.made[0].frames.put(picture(shade))
        wait_until(lambda: (item := camera._newest._item) is not None and item[0][0, 0, 2] == 30)
        assert next(frames).image[0, 0, 0] == 30
        later = threading.Timer(0.05, lambda: capture.made[0].frames.put(picture(40)))
        later.start()
        assert next(frames).image[0, 0, 0] == 40
        later.join()


def test_it_asks_for_size_and_rate(capture):
    Webcam(0, (320, 240), settings=CameraSettings(rate=15)).close()
    assert capture.made[0].settings == {
        cv2.CAP_PROP_FRAME_WIDTH: 320,
        cv2.CAP_PROP_FRAME_HEIGHT: 240,
        cv2.CAP_PROP_FPS: 15,
        cv2.CAP_PROP_BUFFERSIZE: 1,
        cv2.CAP_PROP_AUTO_WB: 1,
        cv2.CAP_PROP_AUTO_EXPOSURE: 3,
    }


def test_what_another_program_has_set_is_automatic_again_where_that_is_wanted(capture):
    Webcam(0, settings=CameraSettings(exposure=0.01)).close()
    Webcam(0).close()
    first, then = (made.settings for made in capture.made)
    assert (first[cv2.CAP_PROP_AUTO_EXPOSURE], then[cv2.CAP_PROP_AUTO_EXPOSURE]) == (1, 3)
    assert then[cv2.CAP_PROP_AUTO_WB] == 1


def test_it_says_how_its_pictures_are_taken(capture):
    asked = card.Camera(
        size=(640, 480), white_balance="daylight", exposure=0.01, horizontal_flip=True
    )
    with Webcam(0, (320, 240), taken=asked) as camera:
        assert camera.taken == msgspec.structs.replace(asked, size=(320, 240))
    with Webcam(0, (320, 240)) as camera:
        assert not camera.taken.is_set
    capture.refuses = {cv2.CAP_PROP_AUTO_EXPOSURE}
    with Webcam(0, (320, 240), taken=asked) as camera:
        assert camera.taken.exposure is None
        assert camera.taken.white_balance == "daylight"


def test_it_is_turned_upright_and_mirrored_as_the_card_says(capture):
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    settings = CameraSettings(rotation=90)
    taken = card.Camera(size=(2, 4), horizontal_flip=True)
    with Webcam(0, (2, 4), settings=settings, taken=taken) as camera:
        assert capture.made[0].settings[cv2.CAP_PROP_FRAME_WIDTH] == 4
        capture.made[0].frames.put(image)
        frame = next(iter(camera))
    np.testing.assert_array_equal(frame.image, np.rot90(image[..., ::-1], -1)[:, ::-1])
    assert frame.image.flags.c_contiguous


# --- Light


def test_light_is_set_where_the_driver_is_linuxs(capture, caplog):
    taken = card.Camera(size=(4, 2), white_balance="daylight", exposure=0.01)
    Webcam(0, taken=taken, settings=CameraSettings(focus="continuous")).close()
    made = capture.made[0].settings
    assert made[cv2.CAP_PROP_AUTO_WB] == 0
    assert made[cv2.CAP_PROP_WB_TEMPERATURE] == 5500
    assert made[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert made[cv2.CAP_PROP_EXPOSURE] == 100
    assert made[cv2.CAP_PROP_AUTOFOCUS] == 1
    assert caplog.messages == []


def test_every_kind_of_light_has_a_temperature():
    assert set(webcam.KELVIN) == {*card.WHITE_BALANCES} - {"auto"}


@pytest.mark.parametrize("why", ["another system", "another camera"])
def test_what_it_cannot_set_is_one_warning(capture, caplog, why):
    capture.backend = "AVFOUNDATION" if why == "another system" else "V4L2"
    capture.refuses = {cv2.CAP_PROP_AUTO_WB, cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_AUTOFOCUS}
    settings = CameraSettings(white_balance="indoor", exposure=0.02, focus="once")
    Webcam(0, settings=settings).close()
    (message,) = caplog.messages
    assert message == (
        "this camera cannot set white balance indoor, exposure 0.02 s, focus once; going on with "
        "its own"
    )


def test_gains_are_for_the_pis_own_camera(capture, caplog):
    Webcam(0, settings=CameraSettings(white_balance=(1.5, 2.0))).close()
    assert "white balance (1.5, 2.0)" in caplog.text


# --- What goes wrong


def test_a_webcam_that_is_not_there_is_one_line():
    with pytest.raises(SourceError, match=r"webcam:97: no such camera, or another program has it"):
        Webcam(97)


def test_pulled_out_is_one_line_in_less_than_three_seconds(capture, monkeypatch):
    assert max(webcam.STALLED, webcam.FAILING) < 3
    monkeypatch.setattr(webcam, "FAILING", 0.05)
    with Webcam(3) as camera:
        frames = iter(camera)
        capture.made[0].frames.put(picture())
        next(frames)
        with pytest.raises(SourceError, match="webcam:3: stopped giving frames; is it still plug"):
            next(frames)
        wait_until(lambda: capture.made[0].released)  # so that it can be opened again


def test_a_driver_that_hangs_is_one_line_too(capture, monkeypatch):
    monkeypatch.setattr(webcam, "STALLED", 0.05)
    hang = threading.Event()
    with Webcam(3) as camera:
        frames = iter(camera)
        capture.made[0].frames.put(picture())
        next(frames)
        monkeypatch.setattr(capture, "read", lambda self: (hang.wait(20), None))
        with pytest.raises(SourceError, match="webcam:3: stopped giving frames"):
            next(frames)
        hang.set()


def test_one_damaged_frame_is_passed_over(capture):
    with Webcam(0) as camera:
        frames = iter(camera)
        later = threading.Timer(0.1, lambda: capture.made[0].frames.put(picture(7)))
        later.start()  # meanwhile every read fails
        assert next(frames).image[0, 0, 0] == 7
        later.join()


def test_a_drivers_exception_is_a_line_and_the_end(capture, caplog):
    with Webcam(0) as camera:
        capture.made[0].frames.put(cv2.error("OpenCV(5.0.0) error: (-215)\nmore"))
        with pytest.raises(SourceError, match="webcam:0: stopped giving frames"):
            next(iter(camera))
    assert caplog.messages == ["webcam:0: OpenCV(5.0.0) error: (-215)"]


def test_closing_ends_a_wait_the_iteration_and_the_thread(capture):
    camera = Webcam(0)
    seen = []
    waiting = threading.Thread(target=lambda: seen.extend(camera))
    waiting.start()
    camera.close()
    camera.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert seen == []
    assert list(camera) == []
    assert capture.made[0].released


def test_a_thread_that_does_not_end_is_said(capture, monkeypatch, caplog):
    monkeypatch.setattr(webcam, "CLOSING", 0.05)
    hang = threading.Event()
    monkeypatch.setattr(capture, "read", lambda self: (hang.wait(20), None))
    camera = Webcam(0)
    camera.close()
    assert caplog.messages == ["webcam:0 does not close within 0.05 s; going on without"]
    hang.set()
    camera._reader.join(20)


# --- The real one


def test_the_stand_in_has_the_real_ones_methods_and_parameters():
    for name, ours in vars(Capture).items():
        if not inspect.isfunction(ours) or name.startswith("_"):
            continue
        # OpenCV's functions have no signature that Python can read, but their help begins with it.
        line = getattr(REAL, name).__doc__.partition("->")[0]
        theirs = re.findall(r"\w+", line.partition("(")[2])
        assert [*inspect.signature(ours).parameters][1:] == theirs, name


def test_the_real_capture_of_a_film_serves_as_a_camera(tmp_path, monkeypatch):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(5):
        writer.write(np.full((48, 64, 3), (20, 0, 50 * number), np.uint8))  # B, G, R
    writer.release()
    monkeypatch.setattr(cv2, "VideoCapture", lambda _number: REAL(str(path)))
    monkeypatch.setattr(webcam, "FAILING", 0.05)
    with Webcam(0, (64, 48)) as camera:
        frames = iter(camera)
        wait_until(lambda: camera._newest.ended)  # the film is over: only its last frame is left
        frame = next(frames)
        np.testing.assert_allclose(frame.image[20, 30], (200, 0, 20), atol=12)
        with pytest.raises(SourceError, match="stopped giving frames"):
            next(frames)
