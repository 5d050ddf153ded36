"""Temperature, thresholds and strangeness, on made-up values whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.calibrate import (
    NOT_FOUND_NOVELTY,
    OF_TWO,
    Strangeness,
    fit_temperature,
    pick_thresholds,
)
from trainer.network import softmax


def drawn_by(logits, rng):
    """Draw each row's label with the probabilities that its logits mean."""
    P = softmax(logits)
    return (P.cumsum(axis=1) > rng.random((len(P), 1))).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.8])
def test_the_temperature_that_the_logits_were_spoilt_with_is_found(temperature):
    rng = np.random.default_rng(0)
    honest = 2 * rng.standard_normal((20_000, 4))
    targets = drawn_by(honest, rng)
    assert fit_temperature(honest * temperature, targets) == pytest.approx(temperature, rel=0.06)


def test_the_temperature_stays_within_bounds():
    sure = np.eye(3)[[0, 1, 2] * 5] * 100.0
    right = np.array([0, 1, 2] * 5)
    assert fit_temperature(sure, right) >= 0.25
    assert fit_temperature(sure / 1e6, right) == pytest.approx(0.25)
    assert fit_temperature(sure, (right + 1) % 3) == pytest.approx(2.0)


SURE = np.tile([0.99, 0.01], (10, 1))
"""What a network says to pictures that it was taught."""


@st.composite
def held_out(draw):
    n, classes = draw(st.integers(1, 60)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    P = softmax(draw(st.floats(0, 30)) * rng.standard_normal((n, classes)))
    return P, rng.integers(0, classes, n), rng.random(n) * 10


@given(held_out())
def test_thresholds_are_in_order_and_within_bounds(values):
    probabilities, targets, novelty = values
    limits = pick_thresholds(SURE, novelty, (probabilities, targets, novelty))
    assert 0 < limits.leave < limits.enter
    assert 0.65 <= limits.enter <= 0.7
    assert limits.leave == pytest.approx(limits.enter * 2 / 3, abs=0.001)
    assert 0 <= limits.novelty <= max(1.5 * novelty.max(), OF_TWO) + 1e-3


@given(held_out())
def test_few_pictures_are_wrong_and_surer_than_enter(values):
    probabilities, targets, novelty = values
    limits = pick_thresholds(SURE, novelty, (probabilities, targets, novelty))
    wrong = (probabilities.argmax(axis=1) != targets) & (novelty <= limits.novelty - 1e-4)
    surer = (probabilities.max(axis=1) > limits.enter + 0.001) & wrong
    if limits.enter < 0.7:
        assert surer.mean() <= 0.05


def test_a_network_that_is_never_wrong_needs_little_confidence_and_a_sure_liar_much():
    right = np.tile([0.9, 0.1], (40, 1))
    assert pick_thresholds(SURE, np.ones(40), (right, np.zeros(40, int), np.ones(40))).enter == 0.65
    assert pick_thresholds(SURE, np.ones(40), (right, np.ones(40, int), np.ones(40))).enter == 0.7
    some = np.zeros(40, int)
    some[:4] = 1  # a tenth is wrong, at 0.68
    unsure = np.where(some[:, None] == 1, [0.68, 0.32], [0.9, 0.1])
    assert pick_thresholds(SURE, np.ones(40), (unsure, some, np.ones(40))).enter == 0.681


def test_most_of_the_taught_pictures_are_sure_enough_however_wrong_it_is_elsewhere():
    """Or no output would ever be switched, in the taught place neither."""
    familiar = softmax(np.random.default_rng(0).standard_normal((500, 4)))
    wrong = np.tile([0.9, 0.1, 0, 0], (40, 1)), np.ones(40, int), np.ones(40)
    for held_out in (None, wrong):
        enter = pick_thresholds(familiar, np.ones(40), held_out).enter
        assert (familiar.max(axis=1) >= enter).mean() >= 0.89


def test_without_held_out_pictures_there_are_thresholds_too():
    limits = pick_thresholds(SURE, np.linspace(0, 2, 1001))
    assert (limits.enter, limits.leave) == (0.65, 0.433)
    assert limits.novelty == pytest.approx(1.5 * 1.98, abs=0.01)


def test_what_is_strange_is_not_counted_as_wrong_and_sure():
    """It is refused by its novelty, whatever its confidence."""
    sure = np.tile([0.9, 0.1], (100, 1))
    targets, novelty = np.zeros(100, int), np.ones(100)
    targets[:3], novelty[:3] = 1, 9.0
    targets[3:7] = 1
    limits = pick_thresholds(SURE, np.ones(40), (sure, targets, novelty))
    assert limits.enter == 0.65
    assert limits.novelty < 9


def test_96_of_100_held_out_pictures_are_not_strange():
    novelty = np.linspace(0, 2, 1001)
    held_out = np.tile([0.9, 0.1], (1001, 1)), np.zeros(1001, int), novelty
    assert pick_thresholds(SURE, novelty, held_out).novelty == pytest.approx(1.92, abs=0.01)


def test_what_is_strange_is_bounded_by_what_was_taught_however_strange_other_sessions_look():
    """Else with few pictures an empty room would not be strange."""
    taught, elsewhere = np.linspace(0, 2, 1001), np.linspace(0, 90, 1001)
    held_out = np.tile([0.9, 0.1], (1001, 1)), np.zeros(1001, int), elsewhere
    assert pick_thresholds(SURE, 2 * taught, held_out).novelty == pytest.approx(6 * 1.98, abs=0.02)
    assert pick_thresholds(SURE, taught, held_out).novelty == 6  # very uniform pictures


def test_what_the_thresholds_cost_is_told():
    sure = np.tile([0.9, 0.1], (100, 1))
    targets = np.zeros(100, int)
    targets[:4] = 1
    limits = pick_thresholds(SURE, np.ones(40), (sure, targets, np.ones(100)))
    assert limits.false_triggers == pytest.approx(0.04)
    assert limits.kept == pytest.approx(0.96)
    assert pick_thresholds(SURE, np.ones(40)).false_triggers is None


def test_what_is_taken_for_background_triggers_nothing():
    sure = np.tile([0.9, 0.1], (100, 1))
    targets = np.ones(100, int)
    limits = pick_thresholds(SURE, np.ones(40), (sure, targets, np.ones(100)), background=0)
    assert (limits.false_triggers, limits.kept) == (0, 0)
    assert limits.enter == 0.65


# --- Strangeness


def hidden_values(n=3000, hidden=12, dead=0, seed=0):
    """Two classes of skewed, correlated values, some units of which never fire."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((hidden, hidden))
    targets = rng.integers(0, 2, n)
    H = rng.standard_normal((n, hidden)) @ mix + 5 * targets[:, None]
    H = np.concatenate([H, np.zeros((n, dead))], axis=1)
    return H.astype(np.float32), targets


def test_what_was_taught_is_about_1_strange():
    H, targets = hidden_values()
    novelty = Strangeness.of(H, targets)(H)
    assert novelty.shape == (len(H),)
    assert novelty.mean() == pytest.approx(1, abs=0.35)
    fresh, _ = hidden_values(seed=0, n=4000)
    assert Strangeness.of(H, targets)(fresh[3000:]).mean() == pytest.approx(1, abs=0.4)


def test_strangeness_grows_with_the_square_of_the_distance():
    H, targets = hidden_values()
    strangeness = Strangeness.of(H, targets)
    away = np.random.default_rng(1).standard_normal(H.shape[1]).astype(np.float32)
    near, far = (float(strangeness(H[:1] * 0 + away * times)[0]) for times in (100, 200))
    assert near > 5 * strangeness(H).max()
    assert far == pytest.approx(4 * near, rel=0.2)


def test_the_nearest_class_counts():
    H, targets = hidden_values()
    strangeness = Strangeness.of(H, targets)
    centres = np.stack([H[targets == label].mean(axis=0) for label in range(2)])
    np.testing.assert_allclose(strangeness(centres), 0, atol=1e-3)


@pytest.mark.parametrize("dead", [1, 30])
def test_dead_hidden_units_do_not_blow_it_up(dead):
    H, targets = hidden_values(dead=dead)
    strangeness = Strangeness.of(H, targets)
    assert strangeness(H).mean() < 1.3
    woken = H.copy()
    woken[:, -1] = H.std()  # one fires for the first time, as strongly as others do
    assert strangeness(woken).max() < 60
    assert np.isfinite(strangeness.whiten).all()


@pytest.mark.parametrize("n", [2, 3])
def test_fewer_pictures_than_hidden_units_and_all_the_same(n):
    H = np.zeros((n, 40), np.float32)
    strangeness = Strangeness.of(H, np.arange(n) % 2)
    np.testing.assert_array_equal(strangeness(H), 0)
    assert np.isfinite(strangeness(H + 1)).all()
    assert strangeness(H).dtype == np.float32


def test_pictures_in_which_nothing_is_found_move_no_threshold():
    """Else a tenth of hands not found would let every empty room through."""
    familiar, targets = np.tile([0.9, 0.05, 0.05], (20, 1)), np.zeros(20, np.int64)
    novelty = np.linspace(0, 1, 20)
    strange = np.concatenate([novelty[:18], [NOT_FOUND_NOVELTY, NOT_FOUND_NOVELTY + 1]])
    picked = pick_thresholds(familiar, strange, (familiar, targets, strange))
    assert picked.novelty < 1
    assert picked.kept < 0.9
    alone = pick_thresholds(familiar, np.full(20, NOT_FOUND_NOVELTY))
    assert alone.novelty < NOT_FOUND_NOVELTY


def test_pictures_of_a_class_in_two_groups_are_both_familiar():
    rng = np.random.default_rng(0)
    H = np.concatenate([rng.normal(0, 1, (50, 3)), rng.normal(20, 1, (50, 3))])
    together, apart = Strangeness.of(H, np.zeros(100)), Strangeness.of(H, np.repeat([0, 1], 50))
    between = np.full((1, 3), 10.0)
    assert apart(H).mean() < 1.5
    assert apart(between)[0] > 10
    assert together(between)[0] < 1


def test_of_two_labels_the_limit_is_no_less_than_one_and_a_half():
    taught, targets = np.full(40, 0.5), np.zeros(40, int)
    for classes, limit in ((2, OF_TWO), (3, 0.7)):
        sure = np.eye(classes)[targets]
        held_out = (sure, targets, np.full(40, 0.7))
        familiar = np.eye(classes)[targets]
        assert pick_thresholds(familiar, taught, held_out).novelty == pytest.approx(limit)
    for classes, limit in ((2, OF_TWO), (3, 0.75)):
        assert pick_thresholds(np.eye(classes)[targets], taught).novelty == pytest.approx(limit)
