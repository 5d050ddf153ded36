"""Teaching: measured on sessions not trained on, repeatable, and whole when interrupted."""

from __future__ import annotations

import numpy as np
import pytest

import trainer.recipe
import trainer.training
from trainer.dataset import read_dataset, split
from trainer.errors import DataError, TrainingError
from trainer.recipe import Scaler, teach


def weights(taught):
    return [taught.learned.network.parameters[name] for name in ("W1", "b1", "W2", "b2")]


def same(one, other):
    pairs = zip(weights(one), weights(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_the_accuracy_is_measured_on_sessions_not_trained_on(data, edges, monkeypatch, quick):
    """Watch `fit`: no row of a held-out picture, nor of its copies, is in what it learns from."""
    lessons = []

    def watched(network, X, Y, **options):
        lessons.append((len(X), options["validation"] and len(options["validation"][0])))
        return trainer.training.fit(network, X, Y, **options)

    monkeypatch.setattr(trainer.recipe, "fit", watched)
    dataset = read_dataset(data)
    train, held_out = split(dataset, seed=7)
    taught = teach(dataset, edges, hidden=4, seed=7)
    assert len(held_out) == 12
    assert lessons == [(2 * len(train), len(held_out)), (2 * len(dataset.pictures), None)]
    assert taught.held_out.sessions == 1
    expected = [dataset.labels.index(dataset.pictures[i].label) for i in held_out]
    assert taught.held_out.targets.tolist() == expected


def test_drawn_gestures_are_learned(taught, data):
    rows = taught.described.rows[:, 0]
    right = taught.probabilities(rows).argmax(axis=1) == taught.described.targets
    assert right.mean() > 0.95  # on pictures it was taught, at the end from all of them


def test_the_final_network_learned_from_all_sessions(taught, data, edges, monkeypatch):
    """The first network, stopped by the held-out ones, is another."""
    assert not taught.interrupted
    assert taught.history.best.validation_loss is not None
    P = taught.probabilities(taught.described.rows[:, 0])
    _, held_out = split(taught.described.dataset, seed=taught.seed)
    after = (P[held_out].argmax(axis=1) == taught.described.targets[held_out]).mean()
    assert after > taught.held_out.accuracy


def test_one_session_a_class_leaves_nothing_to_measure_on(make_data, edges, quick):
    dataset = read_dataset(make_data(sessions=1, pictures=2))
    epochs = []
    taught = teach(dataset, edges, hidden=4, progress=epochs.append)
    assert taught.held_out is None
    assert taught.temperature == 1.0
    assert taught.thresholds.enter <= 0.6
    assert len(epochs) == trainer.recipe.EPOCHS // 2
    assert epochs[-1].validation_loss is None


def test_one_picture_a_class_can_be_taught(make_data, edges, quick):
    taught = teach(read_dataset(make_data(sessions=1, pictures=1)), edges, hidden=4)
    P = taught.probabilities(taught.described.rows[:, 0])
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(taught.novelty(taught.described.rows[:, 0])).all()


@pytest.mark.parametrize("hidden", [1, 3])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(data, edges, quick, hidden):
    dataset = read_dataset(data)
    one, again, other = (teach(dataset, edges, hidden=hidden, seed=seed) for seed in (5, 5, 6))
    assert same(one, again)
    assert not same(one, other)
    assert (one.temperature, one.thresholds) == (again.temperature, again.thresholds)
    np.testing.assert_array_equal(one.learned.strangeness.whiten, again.learned.strangeness.whiten)


def test_ctrl_c_after_an_epoch_keeps_the_best_network_so_far(data, edges, monkeypatch):
    monkeypatch.setattr(trainer.recipe, "COPIES", 1)

    def stop(epoch):
        if epoch.number == 3:
            raise KeyboardInterrupt

    dataset = read_dataset(data)
    taught = teach(dataset, edges, hidden=4, progress=stop)
    assert taught.interrupted
    assert len(taught.history.epochs) == 3
    assert taught.held_out is not None
    train, _ = split(dataset, seed=0)
    rows = taught.described.rows[train].reshape(-1, edges.size)
    assert taught.learned.network.loss(
        taught.learned.scaler(rows), np.eye(3)[taught.described.targets[train].repeat(2)]
    ) == pytest.approx(taught.history.best.loss, rel=1e-5)


def test_ctrl_c_while_learning_from_all_keeps_the_first_network(data, edges, quick, monkeypatch):
    lessons = []

    def second_is_stopped(network, X, Y, **options):
        lessons.append(network)
        stop = (lambda: True) if len(lessons) == 2 else None
        return trainer.training.fit(network, X, Y, stop=stop, **options)

    monkeypatch.setattr(trainer.recipe, "fit", second_is_stopped)
    taught = teach(read_dataset(data), edges, hidden=4)
    assert taught.interrupted
    assert taught.learned.network is lessons[0]
    assert taught.held_out is not None


@pytest.mark.parametrize("name", ["fit", "Strangeness.of"])
def test_ctrl_c_at_any_moment_after_the_first_network_keeps_it(
    data, edges, quick, monkeypatch, name
):
    def second_is_interrupted(function):
        calls = []

        def call(*arguments, **options):
            calls.append(name)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    owner, _, attribute = f"trainer.recipe.{name}".rpartition(".")
    function = trainer.recipe.fit if name == "fit" else trainer.recipe.Strangeness.of
    monkeypatch.setattr(f"{owner}.{attribute}", second_is_interrupted(function))
    taught = teach(read_dataset(data), edges, hidden=4)
    assert taught.interrupted
    assert taught.held_out is not None
    assert taught.thresholds.novelty > 0


@pytest.mark.parametrize("sessions", [1, 2])
def test_ctrl_c_before_the_first_epoch_ends_is_an_error(make_data, edges, monkeypatch, sessions):
    def pressed(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.training, "_batches", pressed)
    dataset = read_dataset(make_data(sessions=sessions, pictures=1))
    with pytest.raises(TrainingError, match="nothing was learned or written"):
        teach(dataset, edges, hidden=4)


def test_one_readable_class_is_not_enough(make_data, edges):
    root = make_data(labels=("fist", "palm"), sessions=1, pictures=2)
    for path in (root / "palm").rglob("*.jpg"):
        path.write_bytes(b"?")
    with pytest.raises(DataError, match="'palm'"):
        teach(read_dataset(root), edges)


@pytest.mark.parametrize("value", [0, 255])
def test_pictures_of_nothing_teach_nothing_but_break_nothing(
    tmp_path, save_picture, edges, quick, value
):
    for label in ("a", "b"):
        for session in ("1", "2"):
            nothing = np.full((20, 30, 3), value, np.uint8)
            save_picture(tmp_path / label / session / "0.jpg", nothing)
    taught = teach(read_dataset(tmp_path), edges, hidden=4)
    P = taught.probabilities(taught.described.rows[:, 0])
    assert np.isfinite(P).all()
    assert np.isfinite(taught.thresholds.novelty)


def test_the_scaler_centres_and_tames_features_that_never_move():
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((500, 6)) * 3 + 7).astype(np.float32)
    rows[:, 2] = 4.0
    scaler = Scaler.of(rows)
    scaled = scaler(rows)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    assert np.delete(scaled, 2, axis=1).std(axis=0) == pytest.approx(1, abs=0.1)
    assert abs(scaler(rows + np.float32(0.1))[:, 2]).max() < 1  # not blown up when it moves
