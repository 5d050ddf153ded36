"""How pictures were taken goes from the camera, beside them, into the model's card."""

from __future__ import annotations

import pytest

from edge.card import NOTE, Camera
from edge.sources.taken import AUTOMATIC, read_note
from trainer.dataset import read_dataset
from trainer.errors import DataError
from trainer.taken import how_taken, most_usual, note

DAYLIGHT = Camera(size=(640, 480), white_balance="daylight", exposure=0.01)


@pytest.fixture
def data(tmp_path):
    """Make two labels of two sessions with three pictures each, which nobody opens."""
    for label in ("palm", "rock"):
        for session in ("monday", "tuesday"):
            folder = tmp_path / label / session
            folder.mkdir(parents=True)
            for number in range(3):
                (folder / f"{number}.jpg").touch()
    return tmp_path


def sessions(data):
    return sorted(data.glob("*/*"))


def test_a_note_is_read_back(tmp_path):
    assert read_note(tmp_path, error=DataError) is None
    note(DAYLIGHT, tmp_path)
    assert read_note(tmp_path, error=DataError) == DAYLIGHT


def test_without_notes_everything_is_automatic(data):
    dataset = read_dataset(data)
    assert dataset.taken == AUTOMATIC
    assert dataset.notes == []


def test_what_all_sessions_agree_on_is_told_without_a_word(data):
    for folder in sessions(data):
        note(DAYLIGHT, folder)
    dataset = read_dataset(data)
    assert (dataset.taken.white_balance, dataset.taken.exposure) == ("daylight", 0.01)
    assert dataset.notes == []


def test_where_sessions_differ_most_pictures_decide_and_it_is_said(data):
    first, *others = sessions(data)
    note(Camera(size=(640, 480), white_balance="cloudy", horizontal_flip=True), first)
    for folder in others:
        note(DAYLIGHT, folder)
    dataset = read_dataset(data)
    assert dataset.taken == DAYLIGHT
    assert dataset.notes[0].endswith(
        "9 of 12: white balance daylight, exposure 0.01, flipped left for right no"
    )


def test_a_session_without_a_note_counts_as_automatic(data):
    note(DAYLIGHT, sessions(data)[0])
    taken, said = most_usual(how_taken(list(data.glob("*/*/*.jpg")), data))
    assert taken == AUTOMATIC
    assert said[0].endswith("9 of 12: white balance automatic, exposure automatic")


def test_an_exposure_of_a_second_is_not_a_yes(data):
    for folder in sessions(data)[1:]:
        note(Camera(size=(640, 480), exposure=1.0), folder)
    assert read_dataset(data).notes[0].endswith("exposure 1.0")


def test_automatic_by_name_or_in_another_size_is_automatic_all_the_same(data):
    note(Camera(size=(320, 240), white_balance="auto"), sessions(data)[0])
    dataset = read_dataset(data)
    assert (dataset.taken, dataset.notes) == (AUTOMATIC, [])


def test_a_note_holds_for_folders_within_its_session(data):
    for folder in sessions(data):
        note(DAYLIGHT, folder)
        (folder / "more").mkdir()
        (folder / "0.jpg").rename(folder / "more" / "0.jpg")
    assert (read_dataset(data).taken, read_dataset(data).notes) == (DAYLIGHT, [])


def test_a_note_beside_loose_pictures_holds_for_them(tmp_path):
    for label in ("palm", "rock"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.jpg").touch()
        note(DAYLIGHT, tmp_path / label)
    assert read_dataset(tmp_path).taken == DAYLIGHT


def test_pictures_left_out_take_no_note_with_them(data):
    for folder in sessions(data):
        note(DAYLIGHT, folder)
    dataset = read_dataset(data)
    assert dataset.without(dataset.pictures[:1]).taken == DAYLIGHT


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Input data was truncated"),
        (b"{}", "missing required field `size`"),
        (b'{"size": [640, 480], "iso": 100}', "unknown field `iso`"),
        (b'{"size": [640, 480], "white_balance": "moon"}', "a white balance that is none"),
        (b'{"size": [640, 480], "exposure": 7}', "an exposure out of range"),
        (b"\xff", "damaged"),
        (b" " * 20_000, "larger than 10 kB"),
    ],
)
def test_a_damaged_note_is_one_line(data, content, says):
    path = sessions(data)[0] / NOTE
    path.write_bytes(content)
    with pytest.raises(DataError, match=NOTE) as caught:
        read_dataset(data)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
