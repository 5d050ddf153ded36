"""The two-layer network, from scratch: what it says, how wrong it is, and which way is better.

    X ──W1, b1──▶ Z ──activation──▶ H ──W2, b2──▶ logits ──output──▶ P
  inputs                          hidden          classes          classes

Every row is one picture. Learning (mini-batches, optimisers, early stopping) is in `training.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Array: TypeAlias = NDArray[np.floating[Any]]
"""Floats of one width throughout: float32 to learn with, float64 to check gradients with."""

Parameters: TypeAlias = dict[str, Array]
"""`W1` (inputs, hidden), `b1` (hidden,), `W2` (hidden, classes), `b2` (classes,)."""


class Network:
    """Two layers of weights: inputs to hidden units, hidden units to classes.

    Weights start as normal noise, scaled so that signals neither fade nor explode from layer to
    layer: variance 2/inputs before a relu, which silences half of what it gets (He et al. 2015,
    "Delving deep into rectifiers"), otherwise 2/(inputs + outputs) (Glorot & Bengio 2010,
    "Understanding the difficulty of training deep feedforward neural networks"). Biases start at 0.

    Args:
        inputs: numbers a picture is described by.
        hidden: hidden units.
        classes: outputs.
        activation: what a hidden unit makes of its weighted sum.
        output: `"softmax"`, learnt with cross-entropy: the classes exclude each other; or
            `"sigmoid"`, learnt with the sum of squares: each output stands alone.
        biases: whether each unit also has a threshold of its own.
        seed: the same seed gives the same weights.
        dtype: `np.float32` to learn with, `np.float64` to check gradients with.

    Attributes:
        parameters: the weights by name; arrays that an optimiser changes in place.

    Raises:
        ValueError: a size below 1, a softmax over one class (it would always be sure), or an
            unknown activation or output.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        activation: Literal["relu", "tanh", "sigmoid"] = "relu",
        output: Literal["softmax", "sigmoid"] = "softmax",
        biases: bool = True,
        seed: int = 0,
        dtype: type[np.floating[Any]] = np.float32,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation={activation!r}{did_you_mean(activation, _ACTIVATIONS)}")
        if output not in _OUTPUTS:
            raise ValueError(f"output={output!r}{did_you_mean(output, _OUTPUTS)}")
        if min(inputs, hidden, classes) < 1 or (output == "softmax" and classes < 2):
            raise ValueError(f"no network has {inputs} inputs, {hidden} hidden, {classes} {output}")
        self.sizes = inputs, hidden, classes
        self.activation = activation
        self.output = output
        self.dtype = np.dtype(dtype)

        noise = np.random.default_rng(seed).standard_normal
        variance = 2 / inputs if activation == "relu" else 2 / (inputs + hidden)
        self.parameters: Parameters = {"W1": noise((inputs, hidden)) * np.sqrt(variance)}
        if biases:
            self.parameters["b1"] = np.zeros(hidden)
        self.parameters["W2"] = noise((hidden, classes)) * np.sqrt(2 / (hidden + classes))
        if biases:
            self.parameters["b2"] = np.zeros(classes)
        self.load(self.parameters)  # in our dtype

    def hidden(self, X: Array) -> Array:
        """Return the hidden units' values H, (n, hidden), for the inputs X, (n, inputs)."""
        Z = np.asarray(X, self.dtype) @ self.parameters["W1"]  # (n, hidden)
        if "b1" in self.parameters:
            Z += self.parameters["b1"]
        return _ACTIVATIONS[self.activation].value(Z)

    def logits(self, X: Array) -> Array:
        """Return the classes' weighted sums, (n, classes), for the inputs X, (n, inputs)."""
        return self._sums(self.hidden(X))

    def forward(self, X: Array) -> Array:
        """Return the probabilities P, (n, classes), for the inputs X, (n, inputs).

        A softmax's rows sum to 1; a sigmoid's outputs each lie between 0 and 1.
        """
        return _OUTPUTS[self.output].probabilities(self.logits(X))

    def loss(self, X: Array, Y: Array) -> float:
        """Return the mean loss over the pictures X, (n, inputs), with targets Y, (n, classes).

        A picture's loss is, for softmax, the cross-entropy -sum(y log p), where the targets may be
        soft but each row sums to 1; for sigmoid, half the sum of squares, sum((p - y)^2) / 2.
        """
        return self.evaluate(X, Y)[0]

    def evaluate(self, X: Array, Y: Array) -> tuple[float, float]:
        """Return the mean loss, as `loss` does, and the share of pictures that are right (0 to 1).

        A picture is right when its largest output is its target's largest; a network with a single
        output is right when both lie on the same side of a half.
        """
        logits, Y = self.logits(X), np.asarray(Y, self.dtype)
        loss, _ = _OUTPUTS[self.output].loss(logits, Y)
        if logits.shape[1] == 1:
            right = (logits > 0) == (Y > 0.5)  # the sigmoid of 0 is a half
        else:
            right = logits.argmax(axis=1) == Y.argmax(axis=1)
        return loss, float(right.mean())

    def gradients(
        self, X: Array, Y: Array, mask: Array | None = None, *, out: Parameters | None = None
    ) -> tuple[float, Parameters]:
        """Return the mean loss and its slope along every parameter, by backpropagation.

        Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors".

        Args:
            X: inputs, (n, inputs).
            Y: targets, (n, classes), as for `loss`.
            mask: what each hidden value is multiplied by, (n, hidden), for dropout: see
                `dropout_mask`.
            out: where the gradients go; None: into new arrays.

        Returns:
            The loss, and the gradients with the parameters' names and shapes.
        """
        X, Y = np.asarray(X, self.dtype), np.asarray(Y, self.dtype)
        H = self.hidden(X)  # (n, hidden)
        kept = H if mask is None else H * mask
        loss, dlogits = _OUTPUTS[self.output].loss(self._sums(kept), Y)  # (n, classes)

        # logits = kept @ W2 + b2. A weight carries its hidden unit's value to its class, so its
        # slope is value times error, summed over pictures; a bias always carries 1.
        slopes = out or {name: np.empty_like(array) for name, array in self.parameters.items()}
        np.matmul(kept.T, dlogits, out=slopes["W2"])  # (hidden, classes)
        dZ = dlogits @ self.parameters["W2"].T  # (n, hidden): each unit's share of the blame
        if mask is not None:
            dZ *= mask  # a dropped unit said nothing: no blame
        dZ *= _ACTIVATIONS[self.activation].slope(H)  # from values back to weighted sums
        np.matmul(X.T, dZ, out=slopes["W1"])  # (inputs, hidden): as for W2, one layer down
        if "b1" in slopes:
            dZ.sum(axis=0, out=slopes["b1"])
            dlogits.sum(axis=0, out=slopes["b2"])
        return loss, slopes

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take over copies of these parameters, at once or not at all.

        Raises:
            ValueError: other names or shapes than this network's.
        """
        ours = {name: array.shape for name, array in self.parameters.items()}
        theirs = {name: np.shape(array) for name, array in parameters.items()}
        if theirs != ours:
            raise ValueError(f"this network has parameters {ours}, not {theirs}")
        self.parameters = {name: np.array(parameters[name], self.dtype) for name in ours}

    def copy(self) -> Network:
        """Return a network that says the same and learns apart."""
        twin = Network.__new__(Network)
        twin.__dict__.update(self.__dict__)
        twin.load(self.parameters)
        return twin

    def _sums(self, H: Array) -> Array:
        logits = H @ self.parameters["W2"]  # (n, classes)
        if "b2" in self.parameters:
            logits += self.parameters["b2"]
        return logits


def one_hot(indices: NDArray[np.integer[Any]], classes: int) -> NDArray[np.float32]:
    """Return targets, (n, classes): 1 at each picture's class, 0 elsewhere.

    Raises:
        ValueError: an index that is no class, 0 to classes - 1.
    """
    indices = np.asarray(indices)
    if indices.size and not 0 <= indices.min() <= indices.max() < classes:
        raise ValueError(
            f"class indices run from 0 to {classes - 1}; there is "
            f"{indices.min()} to {indices.max()}"
        )
    return np.eye(classes, dtype=np.float32).take(indices, axis=0)


def smooth(Y: Array, amount: float) -> Array:
    """Return softer targets, (n, classes): `amount` of each row's certainty shared by all classes.

    Szegedy et al. 2016, "Rethinking the Inception architecture", section 7. Rows still sum to 1.
    """
    classes: int = Y.shape[1]
    return Y * (1 - amount) + amount / classes


def dropout_mask(shape: tuple[int, int], rate: float, rng: np.random.Generator) -> Array:
    """Return a mask: 0 with probability `rate`, otherwise 1 / (1 - rate), so that its mean is 1.

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    Scaled up while learning, nothing is left to do when predicting.
    """
    mask = (rng.random(shape) >= rate).astype(np.float32)
    mask /= 1 - rate
    return mask


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), written as a tanh, which cannot overflow."""
    half: Array = np.tanh(z / 2)
    return (1 + half) / 2


def softmax(logits: Array) -> Array:
    """Return probabilities in proportion to exp(logits), (n, classes); rows sum to 1."""
    P: Array = np.exp(_log_softmax(logits))
    return P


def _log_softmax(logits: Array) -> Array:
    # Adding the same to every logit changes nothing: with the largest at 0, exp cannot overflow.
    shifted: Array = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _cross_entropy(logits: Array, Y: Array) -> tuple[float, Array]:
    n = len(logits)
    log_p = _log_softmax(logits)
    loss = -np.vdot(Y, log_p) / n
    return float(loss), (np.exp(log_p) - Y) / n  # softmax and cross-entropy collapse into p - y


def _sum_of_squares(logits: Array, Y: Array) -> tuple[float, Array]:
    n = len(logits)
    P = sigmoid(logits)
    error = P - Y
    loss = np.vdot(error, error) / (2 * n)
    return float(loss), error * P * (1 - P) / n  # d(loss)/dp is the error; dp/dlogit is p(1 - p)


class _Activation(NamedTuple):
    value: Callable[[Array], Array]  # of the weighted sums Z
    slope: Callable[
        [Array], NDArray[Any]
    ]  # of the values H: each of these slopes is known from its value


class _Output(NamedTuple):
    probabilities: Callable[[Array], Array]
    loss: Callable[[Array, Array], tuple[float, Array]]  # logits, Y -> mean loss, its slope dlogits


_ACTIVATIONS = {
    "relu": _Activation(lambda Z: np.maximum(Z, 0, out=Z), lambda H: H > 0),
    "tanh": _Activation(np.tanh, lambda H: 1 - H * H),
    "sigmoid": _Activation(sigmoid, lambda H: H * (1 - H)),
}
_OUTPUTS = {
    "softmax": _Output(softmax, _cross_entropy),
    "sigmoid": _Output(sigmoid, _sum_of_squares),
}
