"""The benchmark of deciding composes, divides and counts what it says; its figures are no test."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge.card import Thresholds
from trainer.dataset import Dataset, Picture

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "deciding.py"
LABELS = ("background", "palm", "rock")
OPTIONS = argparse.Namespace(rate=15.0, stay=0.4)


@pytest.fixture(scope="module")
def deciding():
    spec = importlib.util.spec_from_file_location("deciding", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["deciding"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["deciding"]


def said(label, views=5):
    probabilities = np.full(3, 0.02, np.float32)
    probabilities[LABELS.index(label)] = 0.96
    return [(probabilities, 0.0)] * views


@pytest.fixture
def scene(deciding):
    """What a model says that is always right; a tenth of its rooms it takes for a rock."""
    return deciding.Scene(
        "drawn",
        LABELS,
        Thresholds(enter=0.6, leave=0.4, novelty=1.0),
        [("palm", [said("palm")] * 3), ("rock", [said("rock")])],
        [said("rock"), *[said("background")] * 9],
        [said("background")] * 10,
    )


def test_streams_alternate_between_nothing_and_gestures(deciding, scene):
    streams = deciding.Streams.of(scene, OPTIONS, 120, 0)
    times = [prediction.time for prediction, _, _ in streams.gestures]
    assert times == pytest.approx(np.arange(1800) / 15)
    truths = [truth for _, truth, _ in streams.gestures]
    starts = [n for n in range(1, 1800) if truths[n] and not truths[n - 1]]
    assert {truths[n] for n in starts} == {"palm", "rock"}
    assert 120 / 10.7 - 1 <= len(starts) <= 120 / 4.4 + 1
    for start in starts:  # the hand comes up for three frames first
        assert streams.gestures[start][2] == pytest.approx(times[start] + 0.2)
    assert set(streams.quiet) == {"passing", "rooms", "office"}
    assert all(truth is None for one in streams.quiet.values() for _, truth, _ in one)


def test_the_same_seed_composes_the_same(deciding, scene):
    def labels(seed):
        streams = deciding.Streams.of(scene, OPTIONS, 20, seed)
        several = [streams.gestures, *streams.quiet.values()]
        return [prediction.label for stream in several for prediction, _, _ in stream]

    assert labels(1) == labels(1) != labels(2)


def test_a_perfect_model_is_counted_as_such_but_for_what_it_takes_for_a_gesture(deciding, scene):
    outcome = deciding.Outcome()
    outcome.add(deciding.NOW, scene, deciding.Streams.of(scene, OPTIONS, 300, 0))
    events = outcome.events
    assert events.shown > 20
    assert events.soon >= events.shown - 1  # the last one may be cut off
    assert (events.mistaken, events.repeated) == (0, 0)
    assert outcome.false["office"] == outcome.false["passing"] == 0
    assert outcome.false["rooms"] > 5
    assert outcome.hours["rooms"] == pytest.approx(300 / 3600, rel=0.01)
    assert outcome.row().count("|") == len(deciding.TITLES) - 1


@pytest.mark.parametrize("rule", ["mean", "fading"])
def test_every_rule_sees_a_gesture_and_lets_it_go(deciding, scene, rule):
    outcome = deciding.Outcome()
    setting = deciding.Setting(rule, 0.1, 0.06, None)
    outcome.add(setting, scene, deciding.Streams.of(scene, OPTIONS, 60, 0))
    assert outcome.events.soon >= outcome.events.shown - 1 > 0


def test_no_session_is_learned_and_shown(deciding):
    pictures = [
        Picture(Path(f"{label}{session}{n}"), label, f"s{session}")
        for label in LABELS for session in range(9) for n in range(4)
    ]  # fmt: skip
    parts = list(deciding.parts(Dataset(Path(), pictures)))
    assert [choosing for choosing, _, _ in parts] == [True, True, True, False]
    aside = {pictures[i].session for i in parts[-1][2]}
    for choosing, learned, shown in parts:
        sessions = {pictures[i].session for i in learned}
        assert sessions
        assert sessions.isdisjoint(pictures[i].session for i in shown)
        if choosing:
            assert aside.isdisjoint(sessions | {pictures[i].session for i in shown})


def test_two_recordings_are_only_reported(deciding):
    pictures = [Picture(Path(f"{s}{n}"), "rock", s) for s in "ab" for n in range(4)]
    parts = list(deciding.parts(Dataset(Path(), pictures)))
    assert parts == [(False, [4, 5, 6, 7], [0, 1, 2, 3]), (False, [0, 1, 2, 3], [4, 5, 6, 7])]


def test_the_largest_part_without_the_hand_is_cut_out(deciding):
    image = np.zeros((60, 80, 3), np.uint8)

    def cut(sure, x, y, side):
        state = np.array([sure, x, y, side, 0, -1], np.float32)
        finder = SimpleNamespace(_session=SimpleNamespace(run=lambda *_: [state]))
        return deciding.without_hand(image, finder)

    assert cut(0.99, 10, 30, 20).shape == (45, 60, 3)  # right of it
    assert cut(0.99, 40, 30, 60) is None  # all of it is hand
    assert cut(0.2, 10, 30, 20) is None  # who knows where


def test_views_are_pictures_of_the_same_shape_and_the_same_each_time(deciding):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for view in (deciding.tremble, deciding.passing):
        one, other = (view(image, np.random.default_rng(1)) for _ in range(2))
        assert (one.shape, one.dtype) == (image.shape, np.uint8)
        np.testing.assert_array_equal(one, other)
        assert (one != image).any()
