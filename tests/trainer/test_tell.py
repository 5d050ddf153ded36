"""What is said in the end: only what somebody should know."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainer.choose import Candidate
from trainer.dataset import Dataset, Picture
from trainer.tell import say, say_choice, say_end, say_sessions


def taught(
    *, accuracy=0.95, refused=0.04, interrupted=False, pictures=50,
    sessions=(("fist", "a"), ("fist", "b"), ("palm", "a"), ("palm", "c")),
):  # fmt: skip
    found = [Picture(Path(label) / session, label, session) for label, session in sessions]
    return SimpleNamespace(
        interrupted=interrupted,
        described=SimpleNamespace(dataset=Dataset(Path("data"), found)),
        held_out=None
        if accuracy is None
        else SimpleNamespace(accuracy=accuracy, targets=[0] * pictures),
        refused=refused,
    )


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (taught(), ""),
        (taught(interrupted=True), "stopped early"),
        (taught(accuracy=0.6), "warning: 60% right in sessions held out is little"),
        (taught(accuracy=0.6, pictures=5), ""),  # luck
        (taught(refused=0.34), "warning: 34% of the pictures held out look like nothing that was"),
    ],
)
def test_what_went_badly_is_said(case, says, capsys):
    say_end(case)
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert bool(err) == bool(says)


@pytest.mark.parametrize(
    ("features", "accuracy", "advised"),
    [
        ("hand", 0.9, "--features hand-full is right"),
        ("hand+backbone", 0.9, "--features hand-full+backbone is right"),
        ("hand", None, ""),
        ("hand", 0.99, ""),
        ("edges", 0.9, ""),
    ],
)
def test_larger_networks_are_told_of_where_hands_are_mistaken(capsys, features, accuracy, advised):
    case = taught(accuracy=accuracy)
    case.features, case.why = SimpleNamespace(name=features), "the best"
    case.candidates = [Candidate(name, accuracy, 1.0, 1, name == features) for name in "ab"]
    say_choice(case)
    err = capsys.readouterr().err
    assert "the best" in err
    assert ("note: " in err) == bool(advised)
    assert advised in err


PLACES = [(place, label) for place in ("place2", "place5") for label in ("palm", "rock")]


@pytest.mark.parametrize(
    ("case", "asks"),
    [
        (taught(accuracy=0.48, sessions=PLACES), True),
        (taught(accuracy=0.62, sessions=PLACES), False),  # something was recognised
        (taught(accuracy=0.48), False),  # other sessions
        (taught(accuracy=0.48, sessions=[("palm", "a"), ("rock", "a")]), False),  # one: no habit
    ],
)
def test_folders_that_may_be_the_wrong_way_round_are_asked_about(case, asks, capsys):
    say_end(case)
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert said.count("\n") == 1
    assert ("They go label/session, and here place2 and place5 are taught as" in said) == asks
    assert ("labels, palm and rock as their sessions" in said) == asks


@pytest.mark.parametrize(("root", "more"), [("data", ""), ("my data", " --data 'my data'")])
def test_the_recording_that_is_advised_goes_to_the_same_data(capsys, root, more):
    pictures = [Picture(Path(root) / "fist" / "1.jpg", "fist", "a"),
                Picture(Path(root) / "palm" / "1.jpg", "palm", "a"),
                Picture(Path(root) / "palm" / "2.jpg", "palm", "b")]  # fmt: skip
    say_sessions(Dataset(Path(root), pictures))
    assert capsys.readouterr().err.endswith(f"trainer capture fist{more}\n")


def test_many_labels_with_one_session_are_a_number(capsys):
    found = [Picture(Path(f"{n}/a"), str(n), "a") for n in range(150)]
    say_sessions(Dataset(Path("data"), found))
    err = capsys.readouterr().err
    assert "only one session of 0, 1, 2 and 147 more, so" in err


def test_a_terminal_gets_whole_words_and_whole_commands(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    say("warning: how well it is told from the others is not known: trainer capture rock --data d")
    *lines, last = capsys.readouterr().err.splitlines()
    assert lines == ["warning: how well it is told from the", "others is not known:"]
    assert last == "trainer capture rock --data d"


def test_what_is_no_terminal_gets_one_line(capsys):
    say("note: " + "word " * 50 + "end")
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_terminal_would_obey_is_not_told(capsys):
    say("note: '\u202e\x1b[2J' is called 'x' here")
    assert capsys.readouterr().err == "note: '??[2J' is called 'x' here\n"
