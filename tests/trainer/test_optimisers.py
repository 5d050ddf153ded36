"""The optimisers against the papers, one step at a time."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.network import Network, one_hot
from trainer.optimisers import OPTIMISERS, Adam


def examples(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((40, 4)).astype(np.float32), one_hot(rng.integers(0, 3, 40), 3)


def test_adam_is_the_papers_algorithm():
    rng = np.random.default_rng(0)
    start = {"W1": rng.standard_normal((3, 4)), "b1": rng.standard_normal(4)}
    theirs = {name: array.copy() for name, array in start.items()}
    m, v = dict.fromkeys(start, 0), dict.fromkeys(start, 0)
    adam = Adam(start, 0.1)
    for t in range(1, 20):
        for name, shape in (("W1", (3, 4)), ("b1", (4,))):
            # some so small that epsilon counts
            g = rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 3, shape)
            m[name], v[name] = 0.9 * m[name] + 0.1 * g, 0.999 * v[name] + 0.001 * g * g
            mean, size = m[name] / (1 - 0.9**t), np.sqrt(v[name] / (1 - 0.999**t))
            theirs[name] -= 0.1 * mean / (size + 1e-8)
            adam.gradients[name][...] = g
        adam.step()
        for name, theta in theirs.items():
            np.testing.assert_allclose(adam.parameters[name], theta, rtol=1e-10)


@pytest.mark.parametrize("optimiser", OPTIMISERS.values())
def test_weight_decay_shrinks_weights_but_not_biases_and_stays_out_of_the_gradient(optimiser):
    def moved(weight_decay):
        network = Network(4, 8, 3)
        update = optimiser(network.parameters, 0.1, weight_decay)
        network.gradients(*examples(), out=update.gradients)
        update.step()
        return network.parameters, update.parameters

    before, plain = moved(0)
    _, decayed = moved(0.5)
    for name in ("W1", "W2"):
        shrunk = plain[name] - 0.1 * 0.5 * before[name]
        np.testing.assert_allclose(decayed[name], shrunk, rtol=1e-5, atol=1e-7)
    for name in ("b1", "b2"):
        assert np.any(plain[name])
        np.testing.assert_array_equal(decayed[name], plain[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_lie_in_one_vector_and_start_as_copies(dtype):
    network = Network(5, 3, 2, dtype=dtype)
    update = Adam(network.parameters, 0.1)
    assert update.theta.dtype == dtype
    assert update.theta.size == 5 * 3 + 3 + 3 * 2 + 2
    for vector, views in ((update.theta, update.parameters), (update.slope, update.gradients)):
        assert vector.ctypes.data % 64 == 0  # a cache line
        for name, array in network.parameters.items():
            assert views[name].shape == array.shape
            assert np.shares_memory(views[name], vector)
            assert not np.shares_memory(views[name], array)
    for name, array in network.parameters.items():
        np.testing.assert_array_equal(update.parameters[name], array)
