"""What is said in the end: only what somebody should know."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from trainer.dataset import Dataset, Picture
from trainer.tell import LOOSE, say_end, say_sessions


def taught(
    *, accuracy=0.95, novelty=3.0, interrupted=False, pictures=50,
    sessions=(("fist", "a"), ("fist", "b"), ("palm", "a"), ("palm", "c")),
):  # fmt: skip
    found = [Picture(Path(label) / session, label, session) for label, session in sessions]
    return SimpleNamespace(
        interrupted=interrupted,
        described=SimpleNamespace(dataset=Dataset(Path("data"), found)),
        held_out=None
        if accuracy is None
        else SimpleNamespace(accuracy=accuracy, targets=[0] * pictures),
        thresholds=SimpleNamespace(novelty=novelty),
    )


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (taught(), ""),
        (taught(interrupted=True), "stopped early"),
        (taught(accuracy=0.6), "warning: 60% right in sessions held out is little"),
        (taught(novelty=LOOSE + 23), "warning: what was never taught will seldom be noticed"),
        (taught(novelty=LOOSE + 23, pictures=5), ""),  # luck
        (taught(accuracy=None, novelty=LOOSE + 23), ""),  # nothing was measured
    ],
)
def test_what_went_badly_is_said(case, says, capsys):
    say_end(case)
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert bool(err) == bool(says)


PLACES = [(place, label) for place in ("place2", "place5") for label in ("palm", "rock")]


@pytest.mark.parametrize(
    ("case", "asks"),
    [
        (taught(accuracy=0.48, sessions=PLACES), True),
        (taught(accuracy=0.7, sessions=PLACES), False),  # something was recognised
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
