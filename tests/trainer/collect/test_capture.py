"""Recording a session: when it begins, how fast it goes, what it leaves however it ends."""

from __future__ import annotations

import time

import cv2
import numpy as np
import PIL.Image
import pytest

import edge.card
from edge.errors import SourceError
from edge.frame import Frame, Source
from edge.sources.opening import Folder
from edge.sources.taken import AUTOMATIC, read_note
from edge.sources.virtual import Scene, Virtual, draw
from trainer.collect.capture import RATE, capture, open_for_capture, session_folder
from trainer.dataset import read_dataset
from trainer.errors import DataError


class Camera(Source):
    """Gives one picture over and over, by a clock of its own."""

    def __init__(self, rate=30.0, seconds=4.0, image=None, start=5000.0, live=True):
        self.image = np.full((48, 64, 3), 120, np.uint8) if image is None else image
        self.times = start + np.arange(round(seconds * rate)) / rate
        self.closed = False
        self.live = live

    def __iter__(self):
        for moment in self.times:
            yield Frame(self.image, float(moment))

    def close(self):
        self.closed = True


class Failing(Camera):
    def __iter__(self):
        yield from list(super().__iter__())[:20]
        raise SourceError("webcam:0: stopped giving frames")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "palm" / "s"


# --- When and how many


@pytest.mark.parametrize("rate", [8, 10, 15, 25, 30, 60])
def test_about_eight_pictures_a_second_are_kept_by_the_frames_own_clock(folder, rate):
    shots = list(capture(Camera(rate, seconds=5), folder, countdown=0))
    assert len(shots) == 5 * rate  # every frame is shown
    assert len(names(folder)) == pytest.approx(5 * RATE, abs=3)


def test_a_slow_camera_loses_nothing(folder):
    list(capture(Camera(rate=3, seconds=4), folder, countdown=0))
    assert len(names(folder)) == 12


def test_pictures_are_kept_evenly(folder):
    camera = Camera(rate=30, seconds=4)
    kept = [shot.kept for shot in capture(camera, folder, countdown=0)]
    at = camera.times[np.flatnonzero(np.diff([0, *kept]))]
    assert np.diff(at).min() > 0.6 / RATE
    assert np.diff(at).max() < 1.6 / RATE


def test_after_a_pause_of_the_camera_nothing_is_made_up_for(folder):
    camera = Camera(rate=30, seconds=2)
    camera.times[30:] += 20
    kept = [shot.kept for shot in capture(camera, folder, countdown=0)]
    assert kept[-1] == pytest.approx(16, abs=2)


def test_it_stops_at_the_number_wanted_and_closes_the_camera(folder):
    camera = Camera(seconds=60)
    shots = list(capture(camera, folder, number=5, countdown=0))
    assert shots[-1].kept == 5
    assert names(folder) == ["0001.jpg", "0002.jpg", "0003.jpg", "0004.jpg", "0005.jpg"]
    assert camera.closed


def test_the_countdown_counts_down_to_the_first_picture(folder):
    shots = list(capture(Camera(rate=10, seconds=5), folder, countdown=2))
    counts = [shot.countdown for shot in shots]
    assert counts[0] == 2
    assert counts == sorted(counts, reverse=True)
    first = next(i for i, shot in enumerate(shots) if shot.kept)
    assert first == counts.index(0) == 20
    assert all(count == 0 for count in counts[first:])


def test_a_recording_needs_no_countdown(folder):
    shots = list(capture(Camera(live=False), folder, countdown=60))
    assert shots[0].countdown == 0
    assert shots[0].kept == 1


# --- Sources


def test_from_a_folder_every_picture_is_kept_in_order(folder, data):
    source = data / "palm"
    list(capture(Folder(source), folder))
    assert len(names(folder)) == 12
    first = np.asarray(PIL.Image.open(folder / "0001.jpg"), int)
    original = np.asarray(PIL.Image.open(source / "s0" / "0.jpg"), int)
    assert np.abs(first - original).mean() < 3


def test_from_drawn_hands(folder):
    camera = Virtual((64, 48), labels=["palm"], paced=False, seconds=2)
    list(capture(camera, folder, countdown=1))
    assert len(names(folder)) == pytest.approx(8, abs=1)


def test_drawn_hands_show_the_label_alone_and_another_person_each_session(tmp_path):
    one = open_for_capture("virtual", "fist", tmp_path)
    assert one.labels == ("fist",)
    (tmp_path / "fist" / "s1").mkdir(parents=True)
    two = open_for_capture("virtual", "fist", tmp_path)
    assert one.scene != two.scene


def test_a_seeded_drawing_shows_the_label_alone_too(tmp_path):
    camera = open_for_capture("virtual:7", "fist", tmp_path)
    assert camera.labels == ("fist",)
    assert camera.scene.seed == 7


def test_drawn_hands_of_an_unknown_label_are_refused(tmp_path):
    for name in ("virtual", "virtual:3"):
        with pytest.raises(SourceError, match=r"draws .*not 'rock'"):
            open_for_capture(name, "rock", tmp_path)


# --- How the camera is set

SET = edge.card.Camera(size=(640, 480), white_balance="daylight", exposure=0.01)


@pytest.mark.parametrize("name", ["pi", "webcam:0"])
def test_a_camera_is_set_as_asked(tmp_path, monkeypatch, name):
    asked = []
    camera = Camera()
    monkeypatch.setattr(
        "trainer.collect.capture.open_source",
        lambda name, **how: asked.append((name, how)) or camera,
    )
    assert open_for_capture(name, "palm", tmp_path, SET) is camera
    assert asked == [(name, {"size": (640, 480), "taken": SET})]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ssh://pi@host", "its own edge.toml and its model"),
        ("virtual", "no camera"),
        (".", "no camera"),
    ],
)
def test_what_is_no_camera_of_this_machine_cannot_be_set(tmp_path, name, says):
    with pytest.raises(SourceError, match=says):
        open_for_capture(name, "palm", tmp_path, SET)


def test_without_a_camera_nothing_drawn_is_recorded_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.collect.capture.default_source", lambda: "virtual")
    with pytest.raises(SourceError, match=r"no camera is found here; plug one in, .*virtual"):
        open_for_capture(None, "palm", tmp_path, AUTOMATIC)
    open_for_capture("virtual", "palm", tmp_path, AUTOMATIC).close()


def taking(taken, **how):
    camera = Camera(**how)
    camera.taken = taken
    return camera


def test_how_a_camera_takes_pictures_is_noted_beside_them(folder):
    list(capture(taking(SET), folder, number=2, countdown=0))
    assert names(folder) == ["0001.jpg", "0002.jpg", "handwave.json"]
    assert read_note(folder, error=DataError) == SET


@pytest.mark.parametrize("taken", [None, edge.card.Camera(size=(64, 48), white_balance="auto")])
def test_of_a_camera_left_alone_nothing_is_noted(folder, taken):
    list(capture(taking(taken), folder, number=2, countdown=0))
    assert names(folder) == ["0001.jpg", "0002.jpg"]


def test_a_note_without_pictures_is_removed_with_its_folder(folder):
    assert list(capture(taking(SET, seconds=0), folder)) == []
    assert not folder.exists()


# --- What is left


def test_files_are_whole_pictures_of_the_frames(folder, photo):
    list(capture(Camera(image=photo, seconds=1), folder, countdown=0))
    for path in folder.iterdir():
        with PIL.Image.open(path) as file:
            assert file.format == "JPEG"
            assert file.size == (64, 48)
            assert np.abs(np.asarray(file, int) - photo).mean() < 3


def test_stopping_at_any_moment_keeps_whole_files(folder, photo):
    shots = capture(Camera(image=photo, seconds=60), folder, countdown=0)
    for shot in shots:
        assert len(names(folder)) == shot.kept
        if shot.kept == 3:
            break
    shots.close()
    assert names(folder) == ["0001.jpg", "0002.jpg", "0003.jpg"]


def test_nothing_kept_leaves_no_trace_that_would_stop_a_training(tmp_path, data):
    folder = tmp_path / "data" / "newlabel" / "s"
    camera = Camera(seconds=1)
    list(capture(camera, folder, countdown=5))
    assert camera.closed
    assert not (tmp_path / "data" / "newlabel").exists()


def test_nothing_kept_leaves_other_sessions_alone(tmp_path):
    (tmp_path / "palm" / "old").mkdir(parents=True)
    list(capture(Camera(seconds=1), tmp_path / "palm" / "new", countdown=5))
    assert names(tmp_path / "palm") == ["old"]


def test_a_camera_that_fails_keeps_what_there_is(folder):
    camera = Failing()
    with pytest.raises(SourceError, match="stopped giving frames"):
        list(capture(camera, folder, countdown=0))
    assert camera.closed
    assert len(names(folder)) >= 5


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_picture_that_cannot_be_written_leaves_no_half(folder, monkeypatch, problem):
    save = PIL.Image.Image.save

    def fails_later(self, path, **options):
        save(self, path, **options)
        if path.stem == "0003":
            raise problem

    monkeypatch.setattr(PIL.Image.Image, "save", fails_later)
    camera = Camera()
    kind = DataError if isinstance(problem, OSError) else KeyboardInterrupt
    with pytest.raises(kind):
        list(capture(camera, folder, countdown=0))
    assert names(folder) == ["0001.jpg", "0002.jpg"]
    assert camera.closed


def test_where_the_first_picture_cannot_be_written_no_folder_is_left(folder, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PIL.Image.Image, "save", full)
    with pytest.raises(DataError, match="No space left"):
        list(capture(Camera(), folder, countdown=0))
    assert not folder.exists()


def test_a_label_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "palm").touch()
    camera = Camera()
    with pytest.raises(DataError, match="cannot be made"):
        list(capture(camera, session_folder(tmp_path, "palm"), countdown=0))
    assert camera.closed


def test_what_was_recorded_can_be_read_back_as_a_session(tmp_path):
    for label in ("palm", "fist"):
        list(capture(Camera(seconds=1), session_folder(tmp_path, label), countdown=0))
    dataset = read_dataset(tmp_path)
    assert {label: len(found) for label, found in dataset.sessions().items()} == {
        "fist": 1,
        "palm": 1,
    }
    assert dataset.notes == []


# --- Names


def test_sessions_never_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda _format: "2024-02-29-120000")
    seen = []
    for _ in range(4):
        folder = session_folder(tmp_path, "palm")
        folder.mkdir(parents=True)
        seen.append(folder.name)
    assert len(set(seen)) == 4
    assert seen[0] == "2024-02-29-120000"


@pytest.mark.parametrize("label", ["palm", "thumb up", "C++", "手", "a.b-c_d", "1", "x" * 64])
def test_a_label_may_be_any_plain_name(tmp_path, label):
    assert session_folder(tmp_path, label).parent == tmp_path / label


@pytest.mark.parametrize("label", ["नमस्ते", "สวัสดี", "ok👌", "👍🏽", "✌️", "thumb up", "a.b", "ü+ö"])
def test_a_word_of_any_script_is_a_label(tmp_path, label):
    assert session_folder(tmp_path, label).parent == tmp_path / label


@pytest.mark.parametrize(
    "label",
    [
        *["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "-x", " a", "a ", "a\n", "a\0"],
        *["x" * 65, "a:b", "~", "*", "a.", "_x", "\udcff"],
    ],
)
def test_a_label_that_leads_elsewhere_is_refused(tmp_path, label):
    with pytest.raises(DataError, match="cannot be a label"):
        session_folder(tmp_path, label)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("rock ", "it ends with a blank"),
        ("rock.", "it ends with a dot"),
        ("x" * 101, "it has 101 letters, and 64 are the most"),
        ("-x", "it begins with '-'"),
        ("a/b", "it has '/' in it"),
        ("", "it is empty"),
    ],
)
def test_a_label_is_refused_with_the_rule_that_it_breaks(tmp_path, label, says):
    with pytest.raises(DataError, match=f"cannot be a label: {says}"):
        session_folder(tmp_path, label)


# --- Warnings


def warning(tmp_path, image):
    (shot,) = capture(Camera(image=image, rate=1, seconds=1), tmp_path / "w", countdown=0)
    return shot.warning


@pytest.fixture
def sharp():
    return draw("palm", Scene.random(3, (320, 240)), 0)


def test_a_good_picture_has_no_warning(tmp_path):
    board = np.kron(np.indices((12, 16)).sum(axis=0) % 2, np.ones((20, 20)))
    image = (60 + 120 * board).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert warning(tmp_path, image) == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image: image // 12, "too dark"),
        (lambda image: 255 - image // 12, "too bright"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 8), "blurred"),
        (lambda image: np.full_like(image, 128), "or a bare wall"),
    ],
)
def test_dark_bright_and_blurred_pictures_are_told(tmp_path, sharp, change, says):
    assert says in warning(tmp_path, change(sharp))


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (2, 2)])
def test_a_picture_of_any_size_can_be_judged(tmp_path, shape):
    assert warning(tmp_path, np.full((*shape, 3), 5, np.uint8)).startswith("too dark")


def test_brightness_is_a_share(folder):
    (shot,) = capture(
        Camera(image=np.full((9, 9, 3), 51, np.uint8), rate=1, seconds=1), folder, countdown=0
    )
    assert shot.brightness == pytest.approx(0.2, abs=0.01)
