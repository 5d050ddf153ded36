"""What is said in the end: only what somebody should know."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trainer.tell import LOOSE, say_end


def taught(*, accuracy=0.95, novelty=3.0, interrupted=False, pictures=50):
    return SimpleNamespace(
        interrupted=interrupted,
        described=SimpleNamespace(dataset=SimpleNamespace(labels=["fist", "palm"])),
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
