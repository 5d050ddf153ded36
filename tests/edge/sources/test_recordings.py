"""Folders of pictures as streams: their order, times, labels, and how they are turned."""

from __future__ import annotations

import logging

import msgspec
import numpy as np
import pytest
from PIL import Image

from edge.card import NOTE, Camera
from edge.errors import SourceError
from edge.frame import SIZE
from edge.sources.recordings import Folder, Recordings
from edge.sources.taken import AUTOMATIC


def put(folder, *names, shade=0):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 2), (shade, 0, 0)).save(path)
    return folder


# --- Folder


def test_a_folder_gives_its_pictures_in_counting_order(tmp_path):
    put(tmp_path, "rock/s1/10.png", "rock/s1/9.png", "palm/s1/1.png")
    frames = list(Folder(tmp_path))
    assert [frame.name for frame in frames] == ["palm/s1/1.png", "rock/s1/9.png", "rock/s1/10.png"]
    assert [frame.truth for frame in frames] == ["palm", "rock", "rock"]
    assert all(frame.image.shape == (2, 4, 3) for frame in frames)


def test_loose_pictures_have_no_truth(tmp_path):
    put(tmp_path, "1.png", "rock/1.png")
    assert [(f.name, f.truth) for f in Folder(tmp_path)] == [
        ("1.png", None),
        ("rock/1.png", "rock"),
    ]


def test_pictures_are_a_steady_stream_with_a_pause_between_labels(tmp_path):
    put(tmp_path, "a/s1/1.png", "a/s1/2.png", "a/s2/1.png", "b/s1/1.png")
    times = [frame.time for frame in Folder(tmp_path, rate=4)]
    assert times == pytest.approx([0, 0.25, 0.5, 0.75 + 0.5])


def test_a_folder_can_be_watched_twice(tmp_path):
    folder = Folder(put(tmp_path, "1.png", "2.png"))
    assert [f.time for f in folder] == [f.time for f in folder] == [0, 0.125]


def test_an_unreadable_picture_is_named_and_skipped(tmp_path, caplog):
    put(tmp_path, "a/1.png", "a/3.png")
    (tmp_path / "a" / "2.png").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        frames = list(Folder(tmp_path))
    assert [frame.name for frame in frames] == ["a/1.png", "a/3.png"]
    assert frames[1].time == 0.125, "what is not there takes no time"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"skipped: {tmp_path / 'a' / '2.png'}: not a picture")


def test_a_picture_that_vanishes_meanwhile_is_skipped(tmp_path, caplog):
    folder = Folder(put(tmp_path, "1.png", "2.png"))
    (tmp_path / "2.png").unlink()
    assert len(list(folder)) == 1
    assert "no such picture" in caplog.text


def test_closing_ends_the_iteration(tmp_path):
    with Folder(put(tmp_path, "1.png", "2.png", "3.png")) as folder:
        frames = iter(folder)
        next(frames)
        folder.close()
        folder.close()
        assert list(frames) == []


def test_a_folder_is_no_live_view(tmp_path):
    assert not Folder(put(tmp_path, "1.png")).live


def test_an_empty_folder_is_one_line(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="no pictures in there"):
        Folder(tmp_path)


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="none: no such folder; a source is pi, webcam:0, "):
        Folder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="no such folder"):
        Folder(tmp_path / "file")


def test_labels_are_composed_however_the_disk_spells_them(tmp_path):
    names = ["u\u0308ben/1.png", "rock/1.png"]
    assert {frame.truth for frame in Folder(put(tmp_path, *names))} == {"\xfcben", "rock"}
    assert {frame.truth for frame in Recordings(tmp_path)} == {"\xfcben", "rock"}


@pytest.mark.parametrize("kind", [Folder, Recordings])
def test_sessions_that_were_flipped_otherwise_are_turned_as_the_models_camera_takes_them(
    tmp_path, kind
):
    put(tmp_path, "rock/a/1.png", "rock/b/1.png", "rock/loose.png")
    for path in tmp_path.rglob("*.png"):
        Image.fromarray(np.array([[[250] * 3, [0] * 3]], np.uint8)).save(path)
    mirrored = Camera(size=SIZE, horizontal_flip=True)
    (tmp_path / "rock" / "b" / NOTE).write_bytes(msgspec.json.encode(mirrored))

    def bright(taken):
        """Return which pictures are bright on the left."""
        frames = kind(tmp_path, taken=taken)
        return {frame.name for frame in frames if frame.image[0, 0, 0] > 100}

    assert bright(None) == {"rock/a/1.png", "rock/b/1.png", "rock/loose.png"}
    assert bright(AUTOMATIC) == {"rock/a/1.png", "rock/loose.png"}
    assert bright(mirrored) == {"rock/b/1.png"}
    (tmp_path / "rock" / "b" / "deep").mkdir()
    (tmp_path / "rock" / "b" / "1.png").rename(tmp_path / "rock" / "b" / "deep" / "1.png")
    assert bright(mirrored) == {"rock/b/deep/1.png"}, "the session's note counts below it, too"
    (tmp_path / "rock" / "b" / NOTE).write_text("{")
    with pytest.raises(SourceError, match=r"handwave\.json: damaged"):
        bright(mirrored)


def test_pictures_that_were_upside_down_are_turned_as_well(tmp_path):
    put(tmp_path, "rock/a/1.png")
    top = np.array([[[250] * 3], [[0] * 3]], np.uint8)
    Image.fromarray(top).save(tmp_path / "rock" / "a" / "1.png")
    (frame,) = Folder(tmp_path, taken=Camera(size=SIZE, vertical_flip=True))
    assert frame.image[:, 0, 0].tolist() == [0, 250]


# --- As recordings


def test_sessions_follow_each_other_and_in_each_the_labels(tmp_path):
    names = [
        f"{label}/{session}/{number}.png"
        for label in ("palm", "rock") for session in ("s2", "s10") for number in (1, 2)
    ]  # fmt: skip
    frames = list(Recordings(put(tmp_path, *names), rate=4))
    order = [(frame.truth, frame.name.split("/")[1]) for frame in frames[::2]]
    assert order == [("palm", "s2"), ("rock", "s2"), ("palm", "s10"), ("rock", "s10")]
    times = [frame.time for frame in frames[:4]]
    assert times == [0, 0.25, 0.5 + Recordings.rest, 0.75 + Recordings.rest]


def test_single_pictures_of_a_label_are_one_recording(tmp_path):
    names = ["rock/a/1.png", "rock/b/1.png", "rock/c/1.png", "rock/c/2.png", "rock/loose.png"]
    frames = list(Recordings(put(tmp_path, *names), rate=4))
    assert [frame.name for frame in frames] == [
        "rock/a/1.png", "rock/b/1.png", "rock/loose.png", "rock/c/1.png", "rock/c/2.png",
    ]  # fmt: skip
    assert frames[3].time - frames[2].time == 0.25 + Recordings.rest


def test_without_labels_all_is_one_recording(tmp_path):
    names = ["b/1.png", "a/1.png", "a/2.png"]
    frames = list(Recordings(put(tmp_path, *names), rate=4, labelled=False))
    assert [(f.name, f.time, f.truth) for f in frames] == [
        ("a/1.png", 0, None), ("a/2.png", 0.25, None), ("b/1.png", 0.5, None),
    ]  # fmt: skip


def test_a_damaged_picture_is_skipped_and_named(tmp_path, caplog):
    put(tmp_path, "rock/1.png", "rock/3.png")
    (tmp_path / "rock" / "2.png").write_text("no picture")
    frames = list(Recordings(tmp_path, rate=4))
    assert [frame.time for frame in frames] == [0, 0.25]
    assert "2.png" in caplog.text
