"""Loose pictures: never a burst in two, whatever its pictures are called."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.sessions import connected, guess_recordings, guess_sessions

START = datetime(2024, 1, 1, 11, 58, 40, tzinfo=UTC)


def burst(form, count=40, every=2.0, start=START):
    times = [start + timedelta(seconds=every * number) for number in range(count)]
    return [Path(form(time, number)) for number, time in enumerate(times)]


def photo_booth(time, _):
    """Name a picture as Photo Booth does: by the minute, and from its second on with a number."""
    begin = max(time.replace(second=0), START)
    number = int((time - begin).total_seconds() / 2) + 1
    more = f" #{number}" if number > 1 else ""
    return f"{time:Photo on %d-%m-%Y at %H.%M}{more}.jpg"


NAMES = {
    "phone": lambda time, _: time.strftime("IMG_%Y%m%d_%H%M%S.jpg"),
    "screenshot": lambda time, _: time.strftime("Screenshot %Y-%m-%d at %H.%M.%S.png"),
    "webcam": lambda time, number: f"rock_{int(time.timestamp())}_{number}.png",
    "milliseconds": lambda time, _: f"{int(time.timestamp() * 1000)}.jpg",
    "counted": lambda _, number: f"frame{number}.jpg",
    "every fifth": lambda _, number: f"frame{25 * number}.jpg",
    "every fifteenth": lambda _, number: f"film-{15 * number:05d}.jpg",
    "seconds": lambda _, number: f"frame_{0.25 * number:.2f}.jpg",
    "clock": lambda time, _: time.strftime("%H_%M_%S.jpg"),
    "clock, by tens": lambda _, number: f"cam_{number // 6:03d}_{number % 6 * 10:02d}.jpg",
    "player": lambda time, _: time.strftime("vlcsnap-%Y-%m-%d-%Hh%Mm%Ss123.png"),
    "film": lambda _, number: f"{number // 25:02d}.{number % 25 * 40:03d}.png",
    "copies": lambda _, number: f"photo ({number + 1}).jpg",
    "plain": lambda _, number: f"{number}.jpg",
    "doubled": lambda _, number: f"photo ({number}).jpg" if number else "photo.jpg",
    "duplicated": lambda _, number: ["p.jpg", "p copy.jpg", f"p copy {number}.jpg"][min(number, 2)],
    "Photo Booth": photo_booth,
}


@pytest.mark.parametrize("name", NAMES)
def test_one_burst_is_one_session(name):
    paths = burst(NAMES[name])
    sessions, _ = guess_sessions(paths)
    assert sessions == [paths]


@pytest.mark.parametrize("name", ["phone", "screenshot", "webcam", "milliseconds"])
def test_two_bursts_an_hour_apart_are_two_sessions_by_their_times(name):
    one, other = burst(NAMES[name]), burst(NAMES[name], start=START + timedelta(hours=1))
    sessions, how = guess_sessions(one + other)
    assert sessions == [one, other]
    assert "time stamps" in how


def test_two_runs_of_numbers_are_two_sessions():
    one = [Path(f"IMG_{number:04d}.jpg") for number in range(10, 40)]
    other = [Path(f"IMG_{number:04d}.jpg") for number in range(90, 120)]
    sessions, how = guess_sessions(one + other)
    assert sessions == [one, other]
    assert "numbers" in how


def test_numbers_that_begin_anew_begin_a_session():
    paths = [Path(f"place{place}-pic{number}.jpg") for place in (1, 2) for number in range(20)]
    assert [len(session) for session in guess_sessions(paths)[0]] == [20, 20]


def test_a_number_that_only_looks_like_a_date_is_a_number():
    paths = [Path(f"2024{99 + number:02d}99999999.jpg") for number in range(3)]
    assert len(guess_sessions(paths)[0]) == 1


@pytest.mark.parametrize("gone", [range(30, 41), range(20, 39), [*range(5), *range(44, 60)]])
def test_bad_pictures_that_were_deleted_cut_no_recording_in_two(gone):
    kept = [Path(f"IMG_{number}.jpg") for number in range(60) if number not in gone]
    assert guess_sessions(kept)[0] == [kept]


@pytest.mark.parametrize("name", ["x.jpg", "0.jpg"])
def test_a_single_picture_is_a_session(name):
    assert guess_sessions([Path(name)])[0] == [[Path(name)]]


# --- Several labels


def in_turn(form, turns=3, pause=timedelta()):
    """Take ten pictures of each gesture in turn; return them by label."""
    taken = {"fist": [], "palm": []}
    for number in range(20 * turns):
        time = START + timedelta(seconds=8 * number) + number // 20 * pause
        taken["palm" if number // 10 % 2 else "fist"].append(Path(form(time, number)))
    return taken


@pytest.mark.parametrize(
    "form", [NAMES["phone"], lambda _, number: f"IMG_{1000 + number}.jpg", NAMES["every fifth"]]
)
def test_gestures_taken_in_turn_without_a_pause_are_one_recording(form):
    taken = in_turn(form)
    found = guess_recordings(taken)
    assert {label: list(named.values()) for label, (named, _) in found.items()} == {
        label: [paths] for label, paths in taken.items()
    }
    assert "count on from one to the other" in found["fist"][1]
    assert found["fist"][0].keys() == found["palm"][0].keys()  # never one here, the other there


def test_gestures_taken_in_turn_an_hour_apart_are_several_recordings():
    found = guess_recordings(in_turn(NAMES["phone"], pause=timedelta(hours=1)))
    assert [[len(paths) for paths in named.values()] for named, _ in found.values()] == [
        [10] * 3
    ] * 2
    assert "stamps" in found["fist"][1]


def test_a_label_that_is_called_loose_is_a_label():
    loose = [Path(f"loose/IMG_{number:04}.jpg") for number in range(1, 31)]
    others = [Path(f"x/DSC{number:04}.jpg") for number in range(900, 930)]
    found = guess_recordings({"loose": loose, "x": others})
    assert found["loose"][1] == "nothing in their names or times says more"


def test_labels_that_each_count_for_themselves_say_nothing_of_each_other():
    runs = [Path(f"{number}.jpg") for number in (*range(30), *range(100, 130))]
    found = guess_recordings({label: [Path(label) / one for one in runs] for label in ("a", "b")})
    assert [list(named) for named, _ in found.values()] == [
        ["a-run1", "a-run2"],
        ["b-run1", "b-run2"],
    ]


@pytest.mark.parametrize("count", [3, 20, 100])
def test_another_labels_random_names_neither_cut_nor_join(count):
    numbers = [*range(30), *range(300, 330)]
    random_names = [hashlib.md5(bytes([number])).hexdigest() for number in range(count)]
    loose = {
        "a": [Path(f"IMG_{number:04d}.jpg") for number in numbers],
        "b": sorted(Path(f"{name}.jpg") for name in random_names),
    }
    found = guess_recordings(loose)
    assert [len(paths) for paths in found["a"][0].values()] == [30, 30]
    assert len(found["b"][0]) == 1


@given(st.lists(st.sets(st.integers(0, 9), min_size=1)))
def test_connected_sets_share_nothing_and_leave_nothing_out(sets):
    apart = connected(sets)
    assert sum(map(len, apart)) == len(set().union(*sets))
    assert all(any(one <= whole for whole in apart) for one in sets)
