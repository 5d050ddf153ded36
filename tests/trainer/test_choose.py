"""Choosing features: the cheapest that is good enough, told without the winner's luck."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.choose import _cheapest_good, _honest


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


def test_the_accuracy_told_is_without_the_winners_luck():
    """Many useless kinds: the best of them looks good, the figure told does not."""
    rng = np.random.default_rng(0)
    folds, told, best = np.arange(100) % 5, [], []
    for _ in range(50):
        right = rng.random((40, 100)) < 0.5
        told.append(_honest(right, folds, [1.0] * 40))
        best.append(right.mean(axis=1).max())
    assert np.mean(best) > 0.59
    assert np.mean(told) == pytest.approx(0.5, abs=0.03)


def test_one_kind_is_told_as_it_is():
    right = np.array([[True, True, False, True]])
    assert _honest(right, np.array([0, 0, 1, 1]), [1.0]) == 0.75
