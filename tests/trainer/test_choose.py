"""Choosing features: the cheapest that is good enough, told without the winner's luck."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from trainer.choose import (
    BELIEF,
    FOUND,
    _believed,
    _cheapest_good,
    _chosen,
    _honest,
    _usual,
    worth_trying,
)
from trainer.dataset import read_dataset
from trainer.describe import describe
from trainer.features import Features, join, make_features
from trainer.features.two_poses import SECOND
from trainer.recipe import teach


@pytest.mark.parametrize(
    ("accuracies", "taken"),
    [
        ([0.5, 0.9, 0.905], 1),  # within one point: the cheaper
        ([0.5, 0.9, 0.92], 2),  # two points are worth it
        ([0.91, 0.9, 0.91], 0),
    ],
)
def test_the_cheapest_within_one_point_of_the_best_is_taken(accuracies, taken):
    assert _cheapest_good(np.array(accuracies), [1.0, 2.0, 3.0]) == taken


def test_few_pictures_leave_the_choice_to_what_is_usual_and_many_do_not():
    usual = np.array([0.45, 0.54])
    few = np.array([[True] * 12 + [False] * 8, [True] * 11 + [False] * 9])
    many = np.repeat(few, BELIEF, axis=1)
    assert _believed(few, usual).argmax() == 1
    assert _believed(many, usual).argmax() == 0


@pytest.mark.parametrize(("better", "taken"), [(6, 1), (7, 0)])
def test_few_pictures_that_leave_no_doubt_overrule_what_is_usual(better, taken):
    usual, pictures = np.array([0.2, 0.9]), 20
    right = np.ones((2, pictures), bool)
    right[1, :better] = False  # one in 64, one in 128: luck is believed in up to one in 100
    folds = np.arange(pictures) % 2
    assert _chosen(right, folds, usual, [1.0, 2.0]) == taken
    assert _chosen(right, np.zeros(pictures, int), usual, [1.0, 2.0]) == 1, "all of one burst"


def test_the_accuracy_told_is_without_the_winners_luck():
    """Many useless kinds: the best of them looks good, the figure told does not."""
    rng = np.random.default_rng(0)
    folds, told, best = np.arange(100) % 5, [], []
    for _ in range(50):
        right = rng.random((40, 100)) < 0.5
        told.append(_honest(right, right, folds, [1.0] * 40, np.full(40, 0.5)))
        best.append(right.mean(axis=1).max())
    assert np.mean(best) > 0.59
    assert np.mean(told) == pytest.approx(0.5, abs=0.03)


def test_one_kind_is_told_as_it_is():
    right = np.array([[True, True, False, True]])
    assert _honest(right, right, np.array([0, 0, 1, 1]), [1.0], np.array([0.5])) == 0.75


def finder(name, found, numbers=1):
    """A kind that finds what it looks for in pictures brighter than so much, and says so often."""
    text = f"""
    <ir_version: 8, opset_import: ["" : 18]>
    g (uint8[h, w, 3] image, float[1] state) => (float[n] features, float[1] next_state) <
        float[1] state = {{0}}, float limit = {{{found}}}, int64[1] often = {{{numbers}}}
    > {{
        numbers = Cast <to = 1> (image)
        mean = ReduceMean <keepdims = 0> (numbers)
        brighter = Greater (mean, limit)
        flat = Constant <value_ints = [-1]> ()
        row = Reshape (brighter, flat)
        one = Cast <to = 1> (row)
        features = Expand (one, often)
        next_state = Identity (state)
    }}
    """
    return Features(name, parser.parse_model(text))


def test_what_is_looked_for_and_hardly_ever_there_is_not_tried(tmp_path, save_picture):
    for label, bright in (("background", 250), ("fist", 200), ("palm", 20)):
        for number in range(4):
            image = np.full((20, 20, 3), bright, np.uint8)
            save_picture(tmp_path / label / "s" / f"{number}.png", image)
    (tmp_path / "palm" / "s" / "bad.png").write_bytes(b"?")
    dataset = read_dataset(tmp_path)
    pixels = make_features("pixels")
    one_gesture, nobody = finder("hand", 100), finder("face", 220)  # only the background is so
    kinds = [pixels, one_gesture, nobody, join([nobody, pixels])]
    tried = [kind.name for kind in worth_trying(dataset, kinds)]
    assert tried == ["pixels", "hand"]
    both = [*kinds, finder("hand-full", 100)]  # looks for the same
    assert [kind.name for kind in worth_trying(dataset, both)] == ["pixels", "hand", "hand-full"]


@pytest.mark.parametrize(("second", "tried"), [(100, ["hand", "two-hands"]), (230, ["hand"])])
def test_two_hands_are_tried_where_a_gesture_shows_two(tmp_path, save_picture, second, tried):
    for label, bright in (("clap", 200), ("palm", 20)):
        for number in range(4):
            image = np.full((20, 20, 3), bright, np.uint8)
            save_picture(tmp_path / label / "s" / f"{number}.png", image)
    kinds = [finder("hand", 10), finder("two-hands", second, numbers=SECOND + 1)]
    assert [kind.name for kind in worth_trying(read_dataset(tmp_path), kinds)] == tried


def test_kinds_that_look_for_the_same_are_believed_in_alike(tmp_path, save_picture):
    for label in ("fist", "palm"):
        save_picture(tmp_path / label / "s" / "0.png", np.full((20, 20, 3), 200, np.uint8))
    kinds = [finder("hand", 100), finder("hand-full", 100), finder("other", 100)]
    parts = [describe(read_dataset(tmp_path), kind) for kind in kinds]
    hand, full, other = _usual(parts, kinds)
    assert hand == full == FOUND["hand"] > other


@pytest.mark.parametrize(("empty", "taken"), [("nobody", "hand+pixels"), ("background", "hand")])
def test_what_can_switch_nothing_of_a_gesture_is_not_chosen_for_it(
    tmp_path, save_picture, quick, empty, taken
):
    """Where no hand is found all is strange, which is right for background and no other label."""
    rng = np.random.default_rng(0)
    for label, bright in ((empty, 20), ("fist", 200)):
        for number in range(60):
            image = np.clip(bright + rng.normal(0, 15, (20, 20, 3)), 0, 255).astype(np.uint8)
            save_picture(tmp_path / label / f"s{number % 3}" / f"{number}.png", image)
    hand = finder("hand", 100)
    kinds = [hand, join([hand, make_features("pixels")])]
    taught = teach(read_dataset(tmp_path), kinds, hidden=8)
    assert taught.candidates[0].accuracy == 1, "it is told rightly all the same"
    assert taught.features.name == taken
