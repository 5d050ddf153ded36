"""Three ways down a slope: what to do with the parameters once their gradients are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.network import Array, Parameters


class Optimiser(ABC):
    """Turns gradients into better parameters, in place.

    All parameters lie in one vector and all their gradients in another, so that each operation of
    an update is one call, however many layers there are:

        update = Adam(network.parameters, 0.001)
        network.parameters = update.parameters
        network.gradients(X, Y, out=update.gradients)
        update.step()

    Weight decay is decoupled (Loshchilov & Hutter 2019, "Decoupled weight decay regularization"):
    it shrinks the weights themselves and never passes through the gradient, where Adam would
    rescale it away. Biases are left alone.

    Args:
        parameters: where to start; copied.
        learning_rate: how far a step goes.
        weight_decay: each step shrinks the weights by `learning_rate * weight_decay` of themselves.

    Attributes:
        parameters: by name, views of `theta`.
        gradients: by name, views of `slope`: to be filled in before each step.
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        self.theta, self.parameters = _in_one_vector(parameters)
        self.slope, self.gradients = _in_one_vector(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def step(self) -> None:
        """Shrink the weights, then move every parameter; the gradients are used up."""
        if self.weight_decay:
            for name in ("W1", "W2"):
                self.parameters[name] *= 1 - self.learning_rate * self.weight_decay
        self.move(self.theta, self.slope)

    @abstractmethod
    def move(self, theta: Array, g: Array) -> None:
        """Move the parameters by what their gradients ask for; the gradients are used up."""


class Descent(Optimiser):
    """Plain gradient descent: a small step against the slope (Cauchy 1847)."""

    def move(self, theta: Array, g: Array) -> None:
        """Step against the gradients."""
        g *= self.learning_rate
        theta -= g


class Momentum(Optimiser):
    """A heavy ball: it keeps nine tenths of its speed, and the slope only steers it.

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; Sutskever et
    al. 2013, "On the importance of initialization and momentum in deep learning", equations 1-2.
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.velocity = _zeros(self.theta.size, self.theta.dtype)

    def move(self, theta: Array, g: Array) -> None:
        """Roll on."""
        self.velocity *= 0.9
        g *= self.learning_rate
        self.velocity -= g
        theta += self.velocity


class Adam(Optimiser):
    """Each weight at its own pace: its gradient's running mean over its running size.

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", with their constants. A large
    layer spends as long here as in its matrix products, so every pass over the weights counts: the
    running sums leave out their common factors (1 - beta), which join the bias corrections in two
    plain numbers, and the gradient's own memory holds what lies between.
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.m = _zeros(self.theta.size, self.theta.dtype)  # running sum of the gradients
        self.v = _zeros(self.theta.size, self.theta.dtype)  # and of their squares
        self.t = 0  # steps so far

    def move(self, theta: Array, g: Array) -> None:
        """Move each parameter by learning_rate * mean / (size + epsilon)."""
        beta1, beta2, epsilon = 0.9, 0.999, 1e-8
        self.t += 1
        to_mean = (1 - beta1) / (1 - beta1**self.t)  # mean = m * to_mean, unbiased
        to_size = ((1 - beta2) / (1 - beta2**self.t)) ** 0.5  # size = sqrt(v) * to_size
        m, v = self.m, self.v
        m *= beta1
        m += g
        v *= beta2
        g *= g
        v += g
        np.sqrt(v, out=g)
        g += epsilon / to_size
        np.divide(m, g, out=g)
        g *= self.learning_rate * to_mean / to_size
        theta -= g


OPTIMISERS: dict[str, Callable[[Parameters, float, float], Optimiser]] = {
    "sgd": Descent,
    "momentum": Momentum,
    "adam": Adam,
}


def _in_one_vector(parameters: Parameters) -> tuple[Array, Parameters]:
    """Copy parameters into one vector; return it, and views of it by their names."""
    ends = np.cumsum([array.size for array in parameters.values()])
    vector = _zeros(ends[-1], parameters["W1"].dtype)
    pieces = np.split(vector, ends[:-1])
    views = {
        name: piece.reshape(array.shape)
        for (name, array), piece in zip(parameters.items(), pieces, strict=True)
    }
    for name, view in views.items():
        view[...] = parameters[name]
    return vector, views


def _zeros(size: int, dtype: np.dtype[Any]) -> Array:
    """Return zeros that start at a cache line: numpy passes over them a tenth faster."""
    line = 64  # bytes
    memory = np.zeros(size * dtype.itemsize + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + size * dtype.itemsize].view(dtype)
