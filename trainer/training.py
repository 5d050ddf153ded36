"""How a network learns: mini-batches, and knowing when to stop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from trainer.errors import TrainingError
from trainer.network import Array, Network, Parameters, dropout_mask, smooth
from trainer.optimisers import OPTIMISERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Examples: TypeAlias = tuple[Array, Array]
"""Inputs X, (n, inputs), and targets Y, (n, classes)."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One walk through the training pictures, and how good the network was at its end.

    Losses are the network's own (`Network.loss`), without smoothing or dropout, so that training
    and validation compare. Accuracies are shares, 0 to 1.
    """

    number: int
    """Counted from 1."""
    of: int
    """How many there may be; stopping early makes them fewer."""
    loss: float
    accuracy: float
    validation_loss: float | None
    """None without validation pictures, as is `validation_accuracy`."""
    validation_accuracy: float | None
    seconds: float
    """Since training began."""

    def beats(self, other: Epoch | None) -> bool:
        """Whether its validation loss is smaller; with nothing to compare, the later is better."""
        if other is None or self.validation_loss is None or other.validation_loss is None:
            return True
        return self.validation_loss < other.validation_loss


@dataclass(slots=True)
class History:
    """What happened in training, epoch by epoch."""

    epochs: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    """The one whose weights were kept; None if stopped before the first ended."""
    stopped: Literal["epochs", "patience", "interrupted"] = "epochs"
    """All epochs done, none better for `patience` of them, or asked to (Ctrl-C or `stop`)."""
    seconds: float = 0.0

    @property
    def interrupted(self) -> bool:
        """Whether it was asked to stop."""
        return self.stopped == "interrupted"


@np.errstate(over="ignore", invalid="ignore")  # learning that runs away: `_measure` says so
def fit(
    network: Network,
    X: Array,
    Y: Array,
    *,
    validation: Examples | None = None,
    optimiser: Literal["adam", "momentum", "sgd"] = "adam",
    learning_rate: float = 1e-3,
    epochs: int = 100,
    batch: int = 32,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    dropout: float = 0.0,
    patience: int | None = None,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> History:
    """Teach the network, and leave it with the weights of its best epoch.

    Best is the smallest loss on the validation pictures (Prechelt 1998, "Early stopping - but
    when?"). Without them it is the last: the training loss would favour whatever learns by heart.
    The network changes once, at the end and as a whole: Ctrl-C, even in the middle of an update,
    keeps the best epoch so far, and an error leaves it as it was.

    Args:
        network: taught in place.
        X: training inputs, (n, inputs); float32 for a float32 network saves a copy.
        Y: training targets, (n, classes); see `one_hot`.
        validation: inputs and targets that are only looked at.
        optimiser: `"adam"`, `"momentum"` or `"sgd"`, plain gradient descent.
        learning_rate: how far a step goes.
        epochs: how often the training pictures are walked through, at most.
        batch: pictures to a step.
        weight_decay: each step also shrinks `W1` and `W2` by `learning_rate * weight_decay` of
            themselves; see `Optimiser`.
        label_smoothing: the share of certainty taken from the training targets; see `smooth`.
        dropout: the share of hidden units that are silent at each step; see `dropout_mask`.
        patience: stop after this many epochs without a better one; None, or without validation:
            never.
        seed: of the shuffling and the dropout; the same seed gives the same weights.
        progress: called at the end of every epoch.
        stop: asked before every step; returning True is as good as Ctrl-C, also from a thread.

    Raises:
        TrainingError: arrays of the wrong shape, a setting out of range, or a loss that is no
            longer a number.
    """
    _require(
        {
            "optimiser: one of " + ", ".join(OPTIMISERS): optimiser in OPTIMISERS,
            "learning_rate: above 0": learning_rate > 0,
            "epochs: at least 1": epochs >= 1,
            "batch: at least 1": batch >= 1,
            "weight_decay: at least 0": weight_decay >= 0,
            "label_smoothing: 0 to below 1": 0 <= label_smoothing < 1,
            "dropout: 0 to below 1": 0 <= dropout < 1,
            "patience: at least 1, or None": patience is None or patience >= 1,
        }
    )
    X, Y = _checked(network, X, Y, "training")
    held_out = None if validation is None else _checked(network, *validation, "validation")
    learner = network.copy()
    update = OPTIMISERS[optimiser](learner.parameters, learning_rate, weight_decay)
    rng = np.random.default_rng(seed)

    history = History()
    best: tuple[Epoch | None, Parameters] = None, network.parameters  # one name: they always match
    waited = 0
    began = time.perf_counter()
    try:
        for number in range(1, epochs + 1):
            for x, y in _batches(X, Y, batch, rng, stop):
                mask = dropout_mask((len(x), learner.sizes[1]), dropout, rng) if dropout else None
                _, gradients = learner.gradients(x, smooth(y, label_smoothing), mask)
                update.step(gradients)
            measured = _measure(learner, (X, Y), held_out)
            epoch = Epoch(number, epochs, *measured, seconds=time.perf_counter() - began)
            history.epochs.append(epoch)
            if epoch.beats(best[0]):
                best, waited = (epoch, learner.copy().parameters), 0
            else:
                waited += 1
            if progress is not None:
                progress(epoch)
            if waited == patience:
                history.stopped = "patience"
                break
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    history.best, network.parameters = best
    history.seconds = time.perf_counter() - began
    return history


def _batches(
    X: Array, Y: Array, batch: int, rng: np.random.Generator, stop: Callable[[], bool] | None
) -> Iterator[Examples]:
    """Yield every picture once, in a new order, unless told to stop."""
    order = rng.permutation(len(X))
    for start in range(0, len(X), batch):
        if stop is not None and stop():
            raise KeyboardInterrupt
        rows = order[start : start + batch]
        yield X[rows], Y[rows]


def _measure(
    learner: Network, taught: Examples, held_out: Examples | None
) -> tuple[float, float, float | None, float | None]:
    """Return loss and accuracy on the training pictures, then on the validation pictures."""
    loss, accuracy = learner.evaluate(*taught)
    unseen = (None, None) if held_out is None else learner.evaluate(*held_out)
    if not all(isfinite(figure) for figure in (loss, *unseen) if figure is not None):
        raise TrainingError(
            "training ran away: its loss is no longer a number; lower the learning rate"
        )
    return loss, accuracy, *unseen


def _checked(network: Network, X: Array, Y: Array, which: str) -> Examples:
    """Return X and Y as the network's own floats, or say what is wrong with them."""
    X, Y = np.asarray(X, network.dtype), np.asarray(Y, network.dtype)
    inputs, _, classes = network.sizes
    if X.ndim != 2 or X.shape[1] != inputs or not len(X):
        raise TrainingError(
            f"{which} inputs: one row a picture, (n, {inputs}), are needed; there is {X.shape}"
        )
    if Y.shape != (len(X), classes):
        raise TrainingError(
            f"{which} targets: one row a picture, {(len(X), classes)}, are needed; there is "
            f"{Y.shape}; one_hot() makes them from class indices"
        )
    if not (np.isfinite(X).all() and np.isfinite(Y).all()):
        raise TrainingError(f"{which} data: nan or infinity among it; look at the features")
    if network.output == "softmax" and not np.allclose(Y.sum(axis=1), 1, atol=1e-3):
        raise TrainingError(f"{which} targets: for a softmax each row must sum to 1")
    return X, Y


def _require(rules: dict[str, bool]) -> None:
    for rule, met in rules.items():
        if not met:
            raise TrainingError(f"a training setting is out of range; {rule}")
