"""Teaching: measured on sessions not trained on, repeatable, and whole when interrupted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import trainer.learn
import trainer.recipe
import trainer.training
import trainer.validate
from trainer.cache import FeatureCache
from trainer.calibrate import USUAL_TEMPERATURE
from trainer.dataset import read_dataset
from trainer.errors import DataError, TrainingError
from trainer.features import Features, make_features
from trainer.learn import Scaler
from trainer.recipe import teach
from trainer.splits import folds


def weights(taught):
    return [taught.learned.network.parameters[name] for name in ("W1", "b1", "W2", "b2")]


def same(one, other):
    pairs = zip(weights(one), weights(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_the_accuracy_is_measured_on_sessions_not_trained_on(data, edges, monkeypatch, quick):
    """Watch `learn`: no picture of a held-out session is among those it learns from."""
    lessons = []

    def watched(described, chosen, **options):
        lessons.append(set(chosen.tolist()))
        return trainer.learn.learn(described, chosen, **options)

    monkeypatch.setattr(trainer.validate, "learn", watched)
    dataset = read_dataset(data)
    taught = teach(dataset, edges, hidden=4, seed=7)
    where = folds(dataset, seed=7)
    expected = [set(np.flatnonzero(where != fold).tolist()) for fold in range(3)]
    assert sorted(map(sorted, lessons)) == sorted(map(sorted, expected))
    assert taught.held_out.sessions == 3
    assert taught.held_out.indices.tolist() == list(range(len(dataset.pictures)))
    names = [dataset.pictures[i].label for i in taught.held_out.indices]
    assert [dataset.labels[target] for target in taught.held_out.targets] == names


def test_drawn_gestures_are_learned(taught):
    rows = taught.described.rows[:, 0]
    right = taught.probabilities(rows).argmax(axis=1) == taught.described.targets
    assert right.mean() > 0.95  # on pictures it was taught, at the end from all of them
    assert right.mean() > taught.held_out.accuracy


def test_the_network_has_the_labels_classes_and_no_scrap_class(taught):
    assert taught.learned.network.sizes[2] == 3
    P = taught.probabilities(taught.described.rows[:, 0])
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)


def test_scrambled_pictures_are_stranger_than_taught_ones(taught):
    known = taught.novelty(taught.described.rows[:, 0])
    scraps = taught.novelty(taught.described.scraps[:, 0])
    assert np.median(scraps) > np.quantile(known, 0.9)


def test_background_that_looks_strange_is_nothing_refused(make_data, edges, quick):
    dataset = read_dataset(make_data(labels=("background", "fist"), sessions=2, pictures=2))
    taught = teach(dataset, edges, hidden=4)
    held = taught.held_out
    empty = held.targets == taught.described.dataset.labels.index("background")
    strange = taught.thresholds.novelty + 1

    def refused(novelty):
        return replace(taught, held_out=replace(held, novelty=novelty)).refused

    assert refused(np.where(empty, strange, 0.0)) == 0
    assert refused(np.where(empty, 0.0, strange)) == 1


def test_one_session_a_class_leaves_nothing_to_measure_on(make_data, edges, quick):
    dataset = read_dataset(make_data(sessions=1, pictures=2))
    epochs = []
    taught = teach(dataset, edges, hidden=4, progress=epochs.append)
    assert taught.held_out is None
    assert taught.temperature == 1.0
    assert taught.thresholds.enter <= 0.6
    assert len(epochs) == trainer.learn.EPOCHS
    assert epochs[-1].validation_loss is None
    assert taught.candidates[0].accuracy is None


def test_hands_that_nothing_could_be_measured_on_are_believed_as_far_as_is_usual(
    make_data, edges, quick, monkeypatch
):
    monkeypatch.setattr(trainer.recipe, "learns_with_noise", lambda _: True)
    taught = teach(read_dataset(make_data(sessions=1, pictures=2)), edges, hidden=4)
    assert taught.temperature == USUAL_TEMPERATURE
    measured = teach(read_dataset(make_data("more", sessions=2, pictures=2)), edges, hidden=4)
    assert measured.temperature == measured.held_out.temperature


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


def test_what_the_cache_kept_teaches_the_same(data, edges, quick, tmp_path, monkeypatch):
    dataset = read_dataset(data)
    with FeatureCache(tmp_path / "cache" / "features.sqlite") as cache:
        one = teach(dataset, edges, hidden=4, cache=cache)
    runs = []
    monkeypatch.setattr(Features, "__call__", lambda self, image: runs.append(self.name))
    with FeatureCache(tmp_path / "cache" / "features.sqlite") as cache:
        again = teach(dataset, edges, hidden=4, cache=cache)
    assert not [name for name in runs if name != "edges"]
    assert len(runs) <= 17  # no picture was run again: only the speed was measured
    assert same(one, again)


def test_ctrl_c_after_an_epoch_keeps_the_network_so_far(data, edges, quick):
    def stop(epoch):
        if epoch.number == 3:
            raise KeyboardInterrupt

    taught = teach(read_dataset(data), edges, hidden=4, progress=stop)
    assert taught.interrupted
    assert taught.held_out is None, "those networks learned to the end: this one did not"
    assert taught.measured_on == "nothing: the training was stopped early"
    assert len(taught.history.epochs) == 3
    assert len(taught.learned.history.epochs) == 3


def test_ctrl_c_while_measuring_is_an_error_and_says_what_became_of_it(
    data, edges, quick, monkeypatch
):
    def pressed(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.validate, "learn", pressed)
    with pytest.raises(TrainingError, match="nothing was learned or written"):
        teach(read_dataset(data), edges, hidden=4)


def test_ctrl_c_before_the_first_epoch_ends_is_an_error(make_data, edges, monkeypatch, quick):
    def pressed(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.training, "_batches", pressed)
    dataset = read_dataset(make_data(sessions=1, pictures=1))
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


@pytest.mark.parametrize(
    ("sessions", "says"),
    [(1, "stopped while measuring features"), (2, "stopped while measuring on held-out sessions")],
)
def test_who_stops_it_is_told_at_what(make_data, edges, monkeypatch, sessions, says):
    def stopped(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.recipe, "choose", stopped)
    with pytest.raises(TrainingError, match=f"{says}; nothing was learned or written"):
        teach(
            read_dataset(make_data(sessions=sessions, pictures=1)), [make_features("pixels"), edges]
        )


def test_several_kinds_are_measured_and_one_is_taken(data, edges, quick):
    kinds = [make_features("pixels"), edges]
    taught = teach(read_dataset(data), kinds, hidden=8)
    assert [one.name for one in taught.candidates] == ["pixels", "edges"]
    (chosen,) = (one for one in taught.candidates if one.chosen)
    assert chosen.name == taught.features.name
    assert taught.described.rows.shape[-1] == taught.features.size
    assert taught.learned.network.sizes[0] == taught.features.size


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


def test_joined_kinds_are_scaled_each_by_its_own_spread():
    rng = np.random.default_rng(1)
    small = rng.standard_normal((400, 3)).astype(np.float32)
    rows = np.concatenate([small, 1000 * small], axis=1)
    scaled = Scaler.of(rows, [3, 3])(rows)
    np.testing.assert_allclose(scaled[:, :3], scaled[:, 3:], atol=1e-4)
