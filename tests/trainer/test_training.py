"""Learning: it lowers the loss, is repeatable, and always ends with a whole network."""

from __future__ import annotations

import os
import signal
import threading
from typing import ClassVar

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from edge.errors import HandwaveError
from trainer import training
from trainer.errors import TrainingError
from trainer.network import Network, one_hot
from trainer.optimisers import Descent
from trainer.rows import CHUNK, RowFile
from trainer.training import MEASURED, fit

OPTIMISERS = {"sgd": 0.3, "momentum": 0.05, "adam": 0.01}  # and a learning rate that suits


def clouds(n=120, seed=0, *, spread=1.0):
    """Three clouds of points: inputs, targets."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centres = np.array([[0, 2, 0, 1], [2, 0, 0, 0], [-2, -1, 1, 0]])
    X = centres[y] + spread * rng.standard_normal((n, 4))
    return X.astype(np.float32), one_hot(y, 3)


def same(one, other):
    return all(np.array_equal(one.parameters[k], other.parameters[k]) for k in one.parameters)


@pytest.mark.parametrize(("optimiser", "learning_rate"), OPTIMISERS.items())
def test_every_optimiser_learns_the_clouds(optimiser, learning_rate):
    network = Network(4, 8, 3)
    X, Y = clouds()
    before = network.loss(X, Y)
    history = fit(network, X, Y, optimiser=optimiser, learning_rate=learning_rate, epochs=20)
    assert network.loss(X, Y) < before / 4
    assert network.evaluate(*clouds(seed=1))[1] > 0.9
    assert history.stopped == "epochs"
    assert not history.interrupted
    assert [epoch.number for epoch in history.epochs] == list(range(1, 21))
    assert history.epochs[0].validation_loss is None


@pytest.mark.parametrize(
    ("optimiser", "options", "within"),
    [
        ("sgd", {"solver": "sgd", "momentum": 0}, 1e-12),
        ("momentum", {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False}, 1e-12),
        ("adam", {"solver": "adam"}, 1e-5),  # it adds epsilon before its bias correction
    ],
)
def test_a_few_steps_agree_with_sklearn(optimiser, options, within):
    X, Y = clouds(n=30)
    X, y = X.astype(float), Y.argmax(axis=1)
    options |= {"alpha": 0, "batch_size": 30, "random_state": 0}
    start = MLPClassifier((8,), learning_rate_init=1e-15, **options).partial_fit(
        X, y, classes=range(3)
    )
    twin = MLPClassifier((8,), learning_rate_init=0.01, **options)  # the same seed: the same start
    for _ in range(6):
        twin.partial_fit(X, y, classes=range(3))

    network = Network(4, 8, 3, dtype=float)
    network.load(theirs(start))
    fit(network, X, Y, optimiser=optimiser, learning_rate=0.01, epochs=6, batch=30)
    for name, parameter in theirs(twin).items():
        np.testing.assert_allclose(network.parameters[name], parameter, rtol=0, atol=within)


def theirs(twin):
    (W1, W2), (b1, b2) = twin.coefs_, twin.intercepts_
    return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "weight_decay": 0.01, "noise": 1.0}])
def test_the_same_seed_learns_the_same_weights_bit_for_bit(options):
    networks = [Network(4, 8, 3) for _ in range(3)]
    for network, seed in zip(networks, (5, 5, 6), strict=True):
        fit(network, *clouds(), epochs=4, seed=seed, **options)
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])


def test_dropout_noise_and_label_smoothing_leave_the_reported_loss_plain():
    network = Network(4, 16, 3)
    X, Y = clouds()
    softly = {"dropout": 0.5, "label_smoothing": 0.1, "noise": 0.5}
    history = fit(network, X, Y, epochs=9, learning_rate=0.01, **softly)
    assert history.best is not None
    assert (history.best.loss, history.best.accuracy) == network.evaluate(X, Y)
    whole = Network(4, 16, 3)
    fit(whole, X, Y, epochs=9, label_smoothing=0.1, learning_rate=0.01)
    assert not same(network, whole)


def test_an_input_that_drowns_in_noise_is_not_relied_on():
    """A number that gives the answer away here and means nothing elsewhere."""
    X, Y = clouds(spread=1.5)
    told = np.hstack([X, 4 * Y])  # the last three columns say the label
    elsewhere, truth = clouds(seed=1, spread=1.5)
    right = []
    for noise in (0.0, np.array([0.5] * 4 + [20.0] * 3)):
        network = Network(7, 16, 3)
        fit(network, told, Y, epochs=40, learning_rate=0.01, noise=noise)
        lied = np.hstack([elsewhere, 4 * np.roll(truth, 1, axis=1)])
        right.append(network.evaluate(lied, truth)[1])
    assert right[0] < 0.3
    assert right[1] > 0.7


def test_noise_leaves_the_pictures_as_they_were():
    X, Y = clouds()
    before = X.copy()
    fit(Network(4, 8, 3), X, Y, epochs=2, noise=1.0)
    assert np.array_equal(X, before)


def test_of_many_training_pictures_some_are_measured_and_of_the_held_out_all():
    X, Y = clouds(n=3 * MEASURED, spread=2)
    held_out = clouds(n=2 * CHUNK + 1, seed=1, spread=2)
    network = Network(4, 16, 3)
    best = fit(network, X, Y, validation=held_out, epochs=8).best
    assert best.loss != network.loss(X, Y)
    assert best.loss == pytest.approx(network.loss(X, Y), rel=0.2)
    assert best.accuracy * MEASURED == round(best.accuracy * MEASURED)
    assert best.accuracy == pytest.approx(network.evaluate(X, Y)[1], abs=0.05)
    assert best.validation_loss == pytest.approx(network.loss(*held_out), rel=1e-5)
    assert best.validation_accuracy == pytest.approx(network.evaluate(*held_out)[1])


def test_rows_from_a_file_prepared_as_needed_teach_what_the_array_teaches():
    X, Y = clouds()
    X = X.astype(np.float16)
    middle, scale = X.astype(np.float32).mean(axis=0), np.float32(0.5)
    scaled = (X - middle) * scale
    from_array, from_half, from_file = (Network(4, 8, 3) for _ in range(3))
    fit(from_array, scaled, Y, validation=(scaled[:9], Y[:9]), epochs=3)

    def prepare(x):
        return (x - middle) * scale

    taught = {"validation": (X[:9], Y[:9]), "prepare": prepare, "epochs": 3}
    fit(from_half, X, Y, **taught)
    with RowFile(4) as rows:
        rows.append(X)
        fit(from_file, rows, Y, **taught)
    assert same(from_half, from_array)
    assert same(from_file, from_array)


def test_a_batch_may_be_prepared_in_place():
    def double(x):
        x *= 2
        return x

    X, Y = clouds()
    before, plain, prepared = X.copy(), Network(4, 8, 3), Network(4, 8, 3)
    fit(plain, 2 * X, Y, epochs=3)
    fit(prepared, X, Y, prepare=double, epochs=3)
    np.testing.assert_array_equal(X, before)
    assert same(plain, prepared)


def test_only_a_few_rows_are_asked_for_at_a_time():
    class Watched:
        shape = (3000, 4)
        asked: ClassVar = []

        def __getitem__(self, rows):
            self.asked.append(len(rows))
            return np.zeros((len(rows), 4), np.float16)

    rows = Watched()
    Y = one_hot(np.zeros(3000, int), 3)
    fit(Network(4, 8, 3), rows, Y, validation=(rows, Y), epochs=1)
    assert max(rows.asked) <= max(CHUNK, MEASURED)


def test_label_smoothing_makes_the_network_less_sure():
    X, Y = clouds(spread=0.1)
    sure, modest = Network(4, 16, 3), Network(4, 16, 3)
    fit(sure, X, Y, epochs=60, learning_rate=0.01)
    fit(modest, X, Y, epochs=60, learning_rate=0.01, label_smoothing=0.3)
    assert sure.forward(X).max(axis=1).mean() > 0.98
    assert modest.forward(X).max(axis=1).mean() == pytest.approx(0.8, abs=0.03)  # 1 - 0.3 + 0.3/3


def test_early_stopping_restores_the_best_epoch():
    held_out = clouds(n=200, seed=1, spread=2)
    network = Network(4, 64, 3)
    options = {"epochs": 300, "learning_rate": 0.02, "batch": 8}
    history = fit(network, *clouds(40, spread=2), validation=held_out, patience=6, **options)
    losses = [epoch.validation_loss for epoch in history.epochs]
    best = history.best
    assert history.stopped == "patience"
    assert best.number == int(np.argmin(losses)) + 1
    assert len(losses) == best.number + 6
    assert losses[-1] > best.validation_loss
    assert network.evaluate(*held_out) == (best.validation_loss, best.validation_accuracy)


def test_without_patience_the_best_epoch_is_still_the_one_kept():
    held_out = clouds(n=200, seed=1, spread=2)
    network = Network(4, 64, 3)
    history = fit(network, *clouds(40, spread=2), validation=held_out, epochs=40, batch=4)
    assert history.stopped == "epochs"
    assert network.loss(*held_out) == min(epoch.validation_loss for epoch in history.epochs)


def test_without_validation_the_last_epoch_is_kept_and_patience_never_runs_out():
    network = Network(4, 8, 3)
    history = fit(network, *clouds(spread=3), learning_rate=0.3, epochs=30, patience=1)
    assert history.stopped == "epochs"
    assert history.best is history.epochs[-1]
    assert history.best.loss > min(epoch.loss for epoch in history.epochs)


@pytest.mark.parametrize("how", ["raise", "signal", "stop"])
def test_ctrl_c_keeps_the_best_network_so_far(how):
    X, Y = clouds()
    three, interrupted = Network(4, 8, 3), Network(4, 8, 3)
    fit(three, X, Y, epochs=3)
    enough = threading.Event()

    def progress(epoch):
        if epoch.number == 3:
            {
                "raise": lambda: signal.default_int_handler(signal.SIGINT, None),
                "signal": lambda: signal.raise_signal(signal.SIGINT),
                "stop": enough.set,
            }[how]()

    history = fit(interrupted, X, Y, epochs=50, progress=progress, stop=enough.is_set)
    assert history.interrupted
    assert history.best.number == len(history.epochs) == 3
    assert same(interrupted, three)


def test_ctrl_c_before_the_first_epoch_ends_leaves_the_network_as_it_was():
    network = Network(4, 8, 3)
    history = fit(network, *clouds(), stop=lambda: True)
    assert history.interrupted
    assert (history.best, history.epochs) == (None, [])
    assert same(network, Network(4, 8, 3))


def test_ctrl_c_in_the_middle_of_an_update_leaves_nothing_half_done(monkeypatch):
    class Torn(Descent):
        steps = 0

        def move(self, theta, g):
            self.steps += 1
            if self.steps > 10:  # in the third epoch of four steps
                self.parameters["W1"] -= self.gradients["W1"]
                raise KeyboardInterrupt
            super().move(theta, g)

    X, Y = clouds()
    two, torn = Network(4, 8, 3), Network(4, 8, 3)
    fit(two, X, Y, optimiser="sgd", epochs=2)
    monkeypatch.setitem(training.OPTIMISERS, "sgd", Torn)
    history = fit(torn, X, Y, optimiser="sgd", epochs=5)
    assert history.interrupted
    assert history.best.number == 2
    assert same(torn, two)


@pytest.mark.parametrize("delay", [0.013, 0.05, 0.11])
def test_a_real_ctrl_c_at_any_moment_leaves_a_whole_network(delay):
    X, Y = clouds()
    network = Network(4, 8, 3)
    pressing = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))

    def progress(epoch):
        if epoch.number == 1:
            pressing.start()

    history = fit(network, X, Y, epochs=10**6, progress=progress)
    pressing.join()
    assert history.interrupted
    assert network.loss(X, Y) == history.best.loss


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_learning_that_runs_away_says_so_and_leaves_the_network_as_it_was(optimiser):
    network = Network(4, 8, 3)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(network, *clouds(), optimiser=optimiser, learning_rate=1e30)
    assert same(network, Network(4, 8, 3))
    assert issubclass(TrainingError, HandwaveError)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("which", ["training", "validation"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_one_input_that_is_no_number_gets_the_blame(bad, which, activation):
    data = {which: clouds() for which in ("training", "validation")}
    damaged = data[which][0].astype(float)
    damaged[7, 2] = bad
    data[which] = damaged, data[which][1]
    network = Network(4, 8, 3, activation=activation)
    with pytest.raises(TrainingError, match=f"{which} inputs: nan or infinity"):
        fit(network, *data["training"], validation=data["validation"])
    assert same(network, Network(4, 8, 3, activation=activation))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"optimiser": "adagrad"}, "optimiser: one of sgd, momentum, adam"),
        ({"learning_rate": 0}, "learning_rate: above 0"),
        ({"learning_rate": float("nan")}, "learning_rate: above 0"),
        ({"epochs": 0}, "epochs: at least 1"),
        ({"batch": 0}, "batch: at least 1"),
        ({"weight_decay": -1}, "weight_decay: at least 0"),
        ({"label_smoothing": 1}, "label_smoothing: 0 to below 1"),
        ({"dropout": 1}, "dropout: 0 to below 1"),
        ({"noise": -0.1}, "noise: at least 0"),
        ({"noise": float("nan")}, "noise: at least 0"),
        ({"patience": 0}, "patience: at least 1"),
    ],
)
def test_a_setting_out_of_range_is_named(options, says):
    with pytest.raises(TrainingError, match=says):
        fit(Network(4, 8, 3), *clouds(), **options)


X, Y = clouds()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((X[:, :3], Y), r"inputs: .*\(n, 4\).* there is \(120, 3\)"),
        ((X[0], Y), r"inputs: .*\(n, 4\)"),
        ((X[:0], Y[:0]), r"inputs: .* there is \(0, 4\)"),
        ((X, Y[:-1]), r"targets: .*\(120, 3\).* there is \(119, 3\)"),
        ((X, Y.argmax(axis=1)), r"one_hot\(\)"),
        ((X, 2 * Y), "sum to 1"),
        ((X * np.float32(np.nan), Y), "nan or infinity"),
    ],
)
@pytest.mark.parametrize("which", ["training", "validation"])
def test_data_of_the_wrong_shape_is_named(which, data, says):
    arguments = (*data,) if which == "training" else (X, Y)
    with pytest.raises(TrainingError, match=f"{which} .*{says}"):
        fit(Network(4, 8, 3), *arguments, validation=data if which == "validation" else None)
