"""Sources: their order, their times, their truth; and one line for each that is not there."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest

from edge import card
from edge.config import CameraSettings
from edge.errors import SourceError
from edge.sources import opening, video
from edge.sources.opening import default_source, open_source
from edge.sources.recordings import Folder
from edge.sources.video import Video
from edge.sources.virtual import Virtual

# --- Video

BLACK = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def film(tmp_path):
    """Five frames at 10 Hz, ever redder, on a little blue."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for number in range(5):
        writer.write(np.full((48, 64, 3), (20, 0, 50 * number), np.uint8))  # B, G, R
    writer.release()
    return path


def test_a_video_gives_every_frame_in_rgb_with_its_time(film):
    frames = list(Video(film))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [frame.truth for frame in frames] == [None] * 5
    assert frames[3].image.shape == (48, 64, 3)
    assert frames[3].image.dtype == np.uint8
    np.testing.assert_allclose(frames[3].image[20, 30], (150, 0, 20), atol=12)


def matroska(path, images, milliseconds):
    """Write a film whose frames come when they come, as a phone's in dim light."""

    def element(name, *content):
        body = b"".join(content)
        return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8, "big") + body

    def number(name, value):
        return element(name, value.to_bytes(8, "big"))

    height, width, _ = images[0].shape
    video = element("e0", number("b0", width), number("ba", height))
    track = element(
        "ae", number("d7", 1), number("73c5", 1), number("83", 1), element("86", b"V_MJPEG"), video
    )
    blocks = [
        element("a3", b"\x81", time.to_bytes(2, "big"), b"\x80", cv2.imencode(".jpg", one)[1])
        for one, time in zip(images, milliseconds, strict=True)
    ]
    path.write_bytes(
        element("1a45dfa3", element("4282", b"matroska"))
        + element(
            "18538067",
            element("1549a966", number("2ad7b1", 1_000_000)),
            element("1654ae6b", track),
            element("1f43b675", number("e7", 0), *blocks),
        )
    )


def test_a_frame_has_its_own_time_where_their_rate_varies(tmp_path):
    times = [0, 40, 80, 400, 1000, 1040]
    matroska(tmp_path / "film.mkv", [BLACK] * 6, times)
    frames = list(Video(tmp_path / "film.mkv"))
    assert [round(1000 * frame.time) for frame in frames] == times


def test_a_film_that_knows_no_times_has_its_rates(film, monkeypatch):
    real = video.open_capture

    class Mute:
        def __init__(self, capture):
            self._capture = capture

        def __getattr__(self, name):
            return getattr(self._capture, name)

        def get(self, what):
            return 0.0 if what == cv2.CAP_PROP_POS_MSEC else self._capture.get(what)

    monkeypatch.setattr(video, "open_capture", lambda *words: Mute(real(*words)))
    assert [frame.time for frame in Video(film)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_closing_a_video_ends_it(film):
    with Video(film) as video:
        frames = iter(video)
        next(frames)
        video.close()
        video.close()
        assert list(frames) == []
        assert list(video) == []


@pytest.mark.parametrize("content", [b"", b"no video", bytes(10_000), b"\0\0\0\x20ftypisom" * 9])
def test_what_is_no_video_is_one_line(tmp_path, content):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"film\.mp4: not a video that can be read here$"):
        Video(path)


def test_opencv_and_ffmpeg_print_nothing_of_their_own(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(1000))
    # In a process of its own: FFmpeg is told how loud to be once, when first used.
    code = (
        "import sys\nfrom edge.sources.opening import open_source\n"
        "for name in sys.argv[1:]:\n"
        "    try: open_source(name)\n"
        "    except Exception as problem: print(type(problem).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, "webcam:97"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["SourceError", "SourceError"]
    assert done.stderr == ""


def test_an_archive_is_not_played_as_a_film(tmp_path):
    with zipfile.ZipFile(tmp_path / "project.tm", "w") as archive:
        for number in range(9):  # stored, as FFmpeg finds its frames
            archive.writestr(f"rock-!-{number}.jpg", cv2.imencode(".jpg", BLACK)[1].tobytes())
    with pytest.raises(SourceError, match=r"project\.tm: an archive, no film; .*trainer import"):
        open_source(str(tmp_path / "project.tm"))


def test_a_missing_video_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="no such file; a source is"):
        Video(tmp_path / "none.mp4")
    with pytest.raises(SourceError, match="no such file"):
        Video(tmp_path)


# --- Words


def test_every_word_opens_its_source(clips, film, monkeypatch):
    monkeypatch.setattr(opening, "Webcam", lambda number, size, **how: ("webcam", number, size))
    assert isinstance(open_source(str(clips)), Folder)
    assert isinstance(open_source(str(film)), Video)
    assert open_source("webcam") == ("webcam", 0, (640, 480))
    assert open_source("webcam:", size=(64, 48)) == ("webcam", 0, (64, 48))
    assert open_source("webcam:12") == ("webcam", 12, (640, 480))
    drawn = open_source("virtual:7", size=(64, 48), paced=False)
    assert isinstance(drawn, Virtual)
    assert not drawn.paced
    assert next(iter(drawn)).image.shape == (48, 64, 3)
    assert isinstance(open_source("virtual", size=(64, 48)), Virtual)


@pytest.mark.parametrize(
    "word",
    [
        "nonsense",
        "",
        "webcam:x",
        "webcam:-1",
        "webcam:200",  # OpenCV takes it for another driver's camera 0
        "webcam:" + "9" * 5000,
        "virtual:x",
        "virtual:" + "9" * 5000,
        "pi:0",
        "http://example.org/a.mp4",
        "a\0b",
        "x" * 5000,
        "/dev/null",
    ],
)
def test_any_other_word_is_one_line_with_the_words_there_are(word):
    with pytest.raises(SourceError) as caught:
        open_source(word)
    message = str(caught.value)
    said = word.replace("\0", "?")  # nothing that a terminal would obey
    assert message == f"{said}: no such source; a source is {opening.FORMS}"


@pytest.mark.parametrize(
    ("pi", "video", "expected"),
    [(True, True, "pi"), (True, False, "pi"), (False, True, "webcam:2"), (False, False, "virtual")],
)
def test_the_default_is_this_machines_camera(monkeypatch, tmp_path, pi, video, expected):
    for number in (2, 10) if video else ():
        (tmp_path / f"video{number}").touch()
    monkeypatch.setattr(opening, "is_raspberry_pi", lambda: pi)
    monkeypatch.setattr(opening, "Path", lambda _path: tmp_path)
    monkeypatch.setattr(opening.sys, "platform", "linux")
    assert default_source() == expected


def test_a_mac_has_a_camera(monkeypatch):
    monkeypatch.setattr(opening.sys, "platform", "darwin")
    assert default_source() == "webcam:0"


def test_a_webcam_is_told_how_it_is_mounted_and_how_the_pictures_were_taken(monkeypatch):
    told = {}
    monkeypatch.setattr(opening, "Webcam", lambda number, size, **how: told.update(how))
    settings, taken = CameraSettings(rotation=90), card.Camera(size=(64, 48))
    open_source("webcam:1", camera=settings, taken=taken)
    assert told == {"settings": settings, "taken": taken}


def test_a_recording_has_no_now(clips, film):
    assert Folder(clips).now() is None
    with Video(film) as video:
        assert video.now() is None


def test_no_word_at_all_opens_the_default(monkeypatch):
    monkeypatch.setattr(opening, "default_source", lambda: "virtual:3")
    assert open_source(None, size=(64, 48)).scene.seed == 3


def test_a_file_without_a_single_frame_is_an_error(tmp_path):
    path = tmp_path / "film.jpg"
    path.write_text("hi")
    with pytest.raises(SourceError, match=r"film\.jpg: not"), Video(path) as video:
        list(video)
