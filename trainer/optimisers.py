"""Three ways down a slope: what to do with the parameters once their gradients are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.network import Parameters


class Optimiser(ABC):
    """Turns gradients into better parameters, in place.

    Weight decay is decoupled (Loshchilov & Hutter 2019, "Decoupled weight decay regularization"):
    it shrinks the weights themselves and never passes through the gradient, where Adam would
    rescale it away. Biases are left alone.
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def step(self, gradients: Parameters) -> None:
        """Shrink the weights, then move every parameter; the gradients are used up."""
        if self.weight_decay:
            for name in ("W1", "W2"):
                self.parameters[name] *= 1 - self.learning_rate * self.weight_decay
        self.move(gradients)

    @abstractmethod
    def move(self, gradients: Parameters) -> None:
        """Move every parameter by what its gradient asks for; the gradients are used up."""

    def zeros(self) -> Parameters:
        """Return a zero for every parameter: a memory to start with."""
        return {name: np.zeros_like(array) for name, array in self.parameters.items()}


class Descent(Optimiser):
    """Plain gradient descent: a small step against the slope (Cauchy 1847)."""

    def move(self, gradients: Parameters) -> None:
        """Step against the gradients."""
        for name in self.parameters:
            gradients[name] *= self.learning_rate
            self.parameters[name] -= gradients[name]


class Momentum(Optimiser):
    """A heavy ball: it keeps nine tenths of its speed, and the slope only steers it.

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; Sutskever et
    al. 2013, "On the importance of initialization and momentum in deep learning", equations 1-2.
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.velocity = self.zeros()

    def move(self, gradients: Parameters) -> None:
        """Roll on."""
        for name, velocity in self.velocity.items():
            np.multiply(velocity, 0.9, out=velocity)
            gradients[name] *= self.learning_rate
            np.subtract(velocity, gradients[name], out=velocity)
            self.parameters[name] += velocity


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
        self.m, self.v = self.zeros(), self.zeros()  # running sums of gradients, of their squares
        self.t = 0  # steps so far

    def move(self, gradients: Parameters) -> None:
        """Move each parameter by learning_rate * mean / (size + epsilon)."""
        beta1, beta2, epsilon = 0.9, 0.999, 1e-8
        self.t += 1
        to_mean = (1 - beta1) / (1 - beta1**self.t)  # mean = m * to_mean, unbiased
        to_size = ((1 - beta2) / (1 - beta2**self.t)) ** 0.5  # size = sqrt(v) * to_size
        for name, parameter in self.parameters.items():
            m, v, g = self.m[name], self.v[name], gradients[name]
            m *= beta1
            m += g
            v *= beta2
            v += np.multiply(g, g, out=g)
            np.sqrt(v, out=g)
            g += epsilon / to_size
            np.divide(m, g, out=g)
            g *= self.learning_rate * to_mean / to_size
            np.subtract(parameter, g, out=parameter)


OPTIMISERS: dict[str, Callable[[Parameters, float, float], Optimiser]] = {
    "sgd": Descent,
    "momentum": Momentum,
    "adam": Adam,
}
