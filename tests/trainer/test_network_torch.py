"""PyTorch's automatic derivatives beside ours, for every kind of network; where it is installed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from trainer.network import Network, one_hot, smooth

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def torch_loss(parameters, X, Y, activation, output):
    """The same network and loss, in PyTorch's own words."""
    hidden = ACTIVATIONS[activation](X @ parameters["W1"] + parameters.get("b1", 0))
    logits = hidden @ parameters["W2"] + parameters.get("b2", 0)
    if output == "softmax":
        return torch.nn.functional.cross_entropy(logits, Y)
    squares = torch.nn.functional.mse_loss(torch.sigmoid(logits), Y, reduction="sum")
    return squares / (2 * len(X))


@pytest.mark.parametrize(
    ("activation", "output", "biases"),
    list(product(ACTIVATIONS, ("softmax", "sigmoid"), (True, False))),
)
def test_loss_and_gradients_agree_with_pytorch(activation, output, biases):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((12, 7))
    Y = smooth(one_hot(rng.integers(0, 4, 12), 4).astype(float), 0.1)
    network = Network(7, 5, 4, activation=activation, output=output, biases=biases, dtype=float)
    for value in network.parameters.values():
        value[...] += 0.1 * rng.standard_normal(value.shape)  # biases that are not 0
    theirs = {
        name: torch.tensor(value, requires_grad=True) for name, value in network.parameters.items()
    }
    expected = torch_loss(theirs, torch.tensor(X), torch.tensor(Y), activation, output)
    expected.backward()

    loss, gradients = network.gradients(X, Y)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name].grad.numpy(), rtol=1e-9, atol=1e-12)
