"""One network: what hands are taught with that other pictures are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trainer.learn
from trainer.dataset import Dataset, Picture
from trainer.describe import Described
from trainer.features.subjects import SUBJECTS
from trainer.learn import BATCH, EPOCHS, NOISE, STEPS, learn


def described(kind, pictures=6):
    """Pictures of two labels, as a kind of features of three numbers would see them."""
    labels = [("fist", "palm")[number % 2] for number in range(pictures)]
    shown = [Picture(Path(f"{n}.jpg"), label, "one") for n, label in enumerate(labels)]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(pictures, 2, 3)).astype(np.float32) * [1, 10, 0] + [0, 0, 1]
    return Described(
        dataset=Dataset(Path(), shown),
        rows=rows.astype(np.float32),
        scraps=rows[:, :1].astype(np.float32),
        widths={kind: 3},
        finders=(kind,) if kind in SUBJECTS else (),
        unreadable=[],
        size=(320, 240),
    )


@pytest.fixture
def lesson(monkeypatch):
    """Return how a kind of features is taught: the settings of its training."""

    def settings(kind):
        told = {}

        def watched(network, X, Y, **options):
            told.update(options, X=X)
            return fit(network, X, Y, **options)

        fit = trainer.learn.fit
        with monkeypatch.context() as patch:
            patch.setattr(trainer.learn, "fit", watched)
            pictures = described(kind)
            learn(pictures, np.arange(len(pictures.rows)), hidden=4, seed=0)
        return told

    return settings


@pytest.mark.parametrize("kind", ["hand", "hand-full"])
def test_a_hand_is_learned_with_as_much_noise_as_each_number_has_spread(kind, lesson):
    told = lesson(kind)
    np.testing.assert_allclose(told["noise"], NOISE * told["X"].std(axis=0))
    assert told["noise"][2] == pytest.approx(0, abs=1e-6), "what never moves stays what it is"


def test_few_pictures_of_hands_are_learned_from_for_longer(lesson):
    told = lesson("hand")
    assert len(told["X"]) < BATCH
    assert told["epochs"] == STEPS


@pytest.mark.parametrize("kind", ["edges", "face"])
def test_all_else_is_learned_without(kind, lesson):
    told = lesson(kind)
    assert told["noise"] == 0
    assert told["epochs"] == EPOCHS
