"""The classic lessons, run as a reader would run them."""

from __future__ import annotations

import runpy
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments, monkeypatch, cwd):
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def falls_to_the_answers(network, history, X, y):
    losses = [epoch.loss for epoch in history.epochs]
    return (
        len(losses) == 1500
        and all(later < earlier for earlier, later in pairwise(losses))
        and np.abs(network.forward(X) - y).max() < 0.05
    )


@pytest.mark.parametrize("arguments", [(), ("curve.png",)])
def test_four_points_are_learnt_and_plotted(arguments, tmp_path, monkeypatch, capsys):
    lesson = run("four_points.py", *arguments, monkeypatch=monkeypatch, cwd=tmp_path)
    assert lesson["network"].sizes == (3, 4, 1)
    assert set(lesson["network"].parameters) == {"W1", "W2"}
    assert falls_to_the_answers(*(lesson[name] for name in ("network", "history", "X", "y")))
    picture = tmp_path / (arguments or ("four_points.png",))[0]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"loss curve: {picture.name}" in capsys.readouterr().out


def test_four_points_are_no_lucky_seed():
    lesson = runpy.run_path(str(EXAMPLES / "four_points.py"))
    for seed in range(1, 11):
        assert falls_to_the_answers(*lesson["learn"](seed), lesson["X"], lesson["y"]), seed


def test_a_threshold_unit_tells_two_cars_apart(tmp_path, monkeypatch, capsys):
    lesson = run("two_cars.py", monkeypatch=monkeypatch, cwd=tmp_path)
    X, is_golf, unit = lesson["X"], lesson["is_golf"], lesson["unit"]
    total = X @ lesson["weights"] + lesson["bias"]
    np.testing.assert_array_equal(total > 0, is_golf)
    np.testing.assert_allclose(unit.logits(X)[:, 0], total, rtol=1e-5)  # the unit is the network
    np.testing.assert_array_equal(unit.forward(X)[:, 0] > 0.5, is_golf)
    *_, last = out = capsys.readouterr().out.splitlines()
    assert len(out) == 1 + len(X)
    assert last.startswith("Volkswagen Golf VIII")
    assert last.endswith("Golf")


def test_the_cars_cannot_be_told_apart_by_mass_alone():
    lesson = runpy.run_path(str(EXAMPLES / "two_cars.py"))
    mass, is_golf = lesson["X"][:, 1], lesson["is_golf"]
    assert mass[~is_golf].max() > mass[is_golf].max()


def test_unseen_digits_are_read(tmp_path, monkeypatch, capsys):
    lesson = run("digits.py", monkeypatch=monkeypatch, cwd=tmp_path)
    assert len(lesson["test"]) == 599
    assert not set(lesson["test"]) & set(lesson["train"])
    assert lesson["accuracy"] > 0.96
    assert lesson["history"].seconds < 20
    assert "unseen digits are right" in capsys.readouterr().out
