"""The network against three witnesses: finite differences, scikit-learn, and its own promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neural_network import MLPClassifier

from trainer.network import Network, dropout_mask, one_hot, sigmoid, smooth, softmax

ACTIVATIONS = ("relu", "tanh", "sigmoid")
OUTPUTS = ("softmax", "sigmoid")
N, INPUTS, HIDDEN, CLASSES = 9, 5, 4, 3


def pictures(*, soft=False, seed=1):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, INPUTS))
    Y = np.eye(CLASSES)[rng.integers(0, CLASSES, N)]
    return X, rng.dirichlet(np.ones(CLASSES), N) if soft else Y


def shifted(network, seed=2):
    """Biases start at 0; move them, so that a test sees them."""
    rng = np.random.default_rng(seed)
    network.load({k: v + 0.1 * rng.standard_normal(v.shape) for k, v in network.parameters.items()})
    return network


@pytest.mark.parametrize(
    ("activation", "output", "biases", "masked", "soft"),
    list(product(ACTIVATIONS, OUTPUTS, (True, False), (True, False), (True, False))),
)
def test_gradients_are_the_slopes_of_the_loss(activation, output, biases, masked, soft):
    network = Network(
        INPUTS, HIDDEN, CLASSES, activation=activation, output=output, biases=biases, dtype=float
    )
    X, Y = pictures(soft=soft)
    shifted(network)
    mask = dropout_mask((N, HIDDEN), 0.4, np.random.default_rng(3)) if masked else None
    loss, gradients = network.gradients(X, Y, mask)
    assert masked or loss == pytest.approx(network.loss(X, Y), rel=1e-12)
    assert set(gradients) == {"W1", "W2", *(("b1", "b2") if biases else ())}

    step = 1e-5
    for name, parameter in network.parameters.items():
        measured = np.zeros_like(parameter)
        for i in np.ndindex(parameter.shape):
            here = parameter[i]
            parameter[i] = here + step
            above, _ = network.gradients(X, Y, mask)
            parameter[i] = here - step
            below, _ = network.gradients(X, Y, mask)
            parameter[i] = here
            measured[i] = (above - below) / (2 * step)
        size = np.linalg.norm(measured) + np.linalg.norm(gradients[name])
        assert size > 1e-3, f"{name}: nothing to compare"
        assert np.linalg.norm(measured - gradients[name]) / size < 1e-6, name


def sklearn_twin(network, X, y, *, activation, **options):
    """scikit-learn's network with our weights, one step of plain gradient descent at a time."""
    twin = MLPClassifier(
        (HIDDEN,),
        activation="logistic" if activation == "sigmoid" else activation,
        solver="sgd",
        learning_rate_init=1,
        momentum=0,
        alpha=0,
        batch_size=N,
        **options,
    )
    twin.partial_fit(X, y, classes=np.arange(CLASSES))  # makes its arrays
    p = network.parameters
    zeros = {"b1": np.zeros(HIDDEN), "b2": np.zeros(CLASSES)}
    twin.coefs_ = [p["W1"].copy(), p["W2"].copy()]
    twin.intercepts_ = [p.get(b, zeros[b]).copy() for b in ("b1", "b2")]
    return twin


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_softmax_network_agrees_with_sklearn(activation):
    X, Y = pictures()
    network = shifted(Network(INPUTS, HIDDEN, CLASSES, activation=activation, dtype=float))
    twin = sklearn_twin(network, X, Y.argmax(axis=1), activation=activation)
    np.testing.assert_allclose(network.forward(X), twin.predict_proba(X), rtol=1e-10)

    before = {"W": twin.coefs_, "b": twin.intercepts_}
    before = {name: [array.copy() for array in arrays] for name, arrays in before.items()}
    twin.partial_fit(X, Y.argmax(axis=1))  # one step of 1 along the gradient
    loss, gradients = network.gradients(X, Y)
    assert loss == pytest.approx(twin.loss_, rel=1e-10)
    for layer in (0, 1):
        slope = before["W"][layer] - twin.coefs_[layer]
        np.testing.assert_allclose(gradients[f"W{layer + 1}"], slope, rtol=1e-8, atol=1e-12)
        slope = before["b"][layer] - twin.intercepts_[layer]
        np.testing.assert_allclose(gradients[f"b{layer + 1}"], slope, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("activation", "biases"), list(product(ACTIVATIONS, (True, False))))
def test_sigmoid_outputs_agree_with_sklearn(activation, biases):
    X, Y = pictures()
    network = Network(
        INPUTS, HIDDEN, CLASSES, activation=activation, output="sigmoid", biases=biases, dtype=float
    )
    twin = sklearn_twin(shifted(network), X, Y.astype(int), activation=activation)
    np.testing.assert_allclose(network.forward(X), twin.predict_proba(X), rtol=1e-10)


def test_losses_are_the_textbook_ones():
    X, Y = pictures(soft=True)
    network = Network(INPUTS, HIDDEN, CLASSES, dtype=float)
    expected = -(Y * np.log(network.forward(X))).sum(axis=1).mean()
    assert network.loss(X, Y) == pytest.approx(expected)
    network = Network(INPUTS, HIDDEN, CLASSES, output="sigmoid", dtype=float)
    expected = 0.5 * ((network.forward(X) - Y) ** 2).sum(axis=1).mean()
    assert network.loss(X, Y) == pytest.approx(expected)


def test_evaluate_counts_the_largest_output():
    X, Y = pictures()
    network = Network(INPUTS, HIDDEN, CLASSES)
    right = (network.forward(X).argmax(axis=1) == Y.argmax(axis=1)).mean()
    assert network.evaluate(X, Y) == (network.loss(X, Y), right)


def test_a_single_output_is_right_on_its_side_of_a_half():
    X, _ = pictures()
    network = Network(INPUTS, HIDDEN, 1, output="sigmoid")
    said = network.forward(X) > 0.5
    assert 0 < said.sum() < N
    assert network.evaluate(X, said)[1] == 1
    assert network.evaluate(X, ~said)[1] == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(activation):
    one, same, other = (
        Network(INPUTS, HIDDEN, CLASSES, activation=activation, seed=s) for s in (7, 7, 8)
    )
    for name in one.parameters:
        assert one.parameters[name].tobytes() == same.parameters[name].tobytes()
    assert not np.array_equal(one.parameters["W1"], other.parameters["W1"])


@pytest.mark.parametrize(("activation", "variance"), [("relu", 2 / 400), ("tanh", 2 / 600)])
def test_weights_start_as_he_and_glorot_say(activation, variance):
    W1 = Network(400, 200, 2, activation=activation).parameters["W1"]
    assert W1.var() == pytest.approx(variance, rel=0.02)
    assert abs(W1.mean()) < 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_stays_in_the_networks_own_floats(dtype):
    X, Y = pictures()
    for output in OUTPUTS:
        network = Network(INPUTS, HIDDEN, CLASSES, output=output, dtype=dtype)
        _, gradients = network.gradients(
            X, Y, dropout_mask((N, HIDDEN), 0.5, np.random.default_rng())
        )
        for array in (network.forward(X), *network.parameters.values(), *gradients.values()):
            assert array.dtype == dtype


def test_a_copy_says_the_same_and_learns_apart():
    X, _ = pictures()
    network = Network(INPUTS, HIDDEN, CLASSES)
    before = network.forward(X)
    twin = network.copy()
    np.testing.assert_array_equal(twin.forward(X), before)
    twin.parameters["W1"] += 1
    np.testing.assert_array_equal(network.forward(X), before)


def test_load_takes_copies_and_refuses_what_does_not_fit():
    network = Network(2, 3, 2)
    other = Network(2, 3, 2, seed=1)
    network.load(other.parameters)
    other.parameters["W1"] += 1
    assert not np.array_equal(network.parameters["W1"], other.parameters["W1"])
    before = network.parameters
    for wrong in (Network(2, 4, 2), Network(2, 3, 2, biases=False)):
        with pytest.raises(ValueError, match="this network has parameters"):
            network.load(wrong.parameters)
    assert network.parameters is before


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((2, 3, 2), {"activation": "rellu"}, "did you mean 'relu'"),
        ((2, 3, 2), {"output": "softmix"}, "did you mean 'softmax'"),
        ((2, 0, 2), {}, "no network has 2 inputs, 0 hidden"),
        ((2, 3, 1), {}, "no network has 2 inputs, 3 hidden, 1 softmax"),
    ],
)
def test_a_network_that_cannot_be_says_so(arguments, options, says):
    with pytest.raises(ValueError, match=says):
        Network(*arguments, **options)


def test_one_hot_marks_each_class_and_refuses_others():
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="from 0 to 2"):
            one_hot(np.array(wrong), 3)


@given(st.integers(2, 9), st.integers(1, 9), st.floats(0, 0.99), st.integers(0, 99))
def test_smoothed_targets_still_sum_to_1_and_keep_their_order(classes, n, amount, seed):
    Y = one_hot(np.random.default_rng(seed).integers(0, classes, n), classes)
    soft = smooth(Y, amount)
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(soft.argmax(axis=1), Y.argmax(axis=1))
    assert soft.min() >= 0


LOGITS = arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(-50, 50)
)


@given(LOGITS, st.floats(-1000, 1000))
def test_softmax_rows_sum_to_1_and_do_not_see_a_shift(logits, shift):
    P = softmax(logits)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(softmax(logits + shift), P, rtol=1e-9)


@given(arrays(np.float32, (3, 4), elements=st.floats(-(2.0**120), 2.0**120, width=32)))
def test_huge_logits_do_not_overflow(logits):
    for P in (softmax(logits), sigmoid(logits)):
        assert np.isfinite(P).all()
        assert P.min() >= 0
        assert P.max() <= 1


def test_sigmoid_is_the_logistic_curve():
    z = np.linspace(-20, 20, 41)
    np.testing.assert_allclose(sigmoid(z), 1 / (1 + np.exp(-z)), atol=1e-15)


def test_a_dropout_mask_keeps_the_mean():
    mask = dropout_mask((400, 500), 0.3, np.random.default_rng(0))
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert mask.mean() == pytest.approx(1, abs=0.01)
