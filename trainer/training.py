"""How a network learns: mini-batches, and knowing when to stop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainer.errors import TrainingError
from trainer.network import Array, Network, Parameters, dropout_mask, smooth
from trainer.optimisers import OPTIMISERS
from trainer.rows import in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from trainer.rows import Rows

MEASURED = 256
"""Training pictures measured after every epoch, at most: measuring all would take a third as long
as learning from them, for a figure that only shows progress."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One walk through the training pictures, and how good the network was at its end.

    Losses are the network's own (`Network.loss`), without smoothing or dropout, so that training
    and validation compare. Accuracies are shares, 0 to 1. On the validation pictures both are of
    all; on the training pictures, of at most `MEASURED`, drawn once before learning begins.
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
    X: Rows,
    Y: Array,
    *,
    validation: tuple[Rows, Array] | None = None,
    prepare: Callable[[Array], Array] | None = None,
    optimiser: Literal["adam", "momentum", "sgd"] = "adam",
    learning_rate: float = 1e-3,
    epochs: int = 100,
    batch: int = 32,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    dropout: float = 0.0,
    noise: float | Array = 0.0,
    patience: int | None = None,
    keep: Literal["best", "last"] = "best",
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> History:
    """Teach the network, and leave it with the weights of its best epoch.

    Best is the smallest loss on the validation pictures (Prechelt 1998, "Early stopping - but
    when?"). Without them it is the last epoch: the training loss would favour overfitting.
    The network changes once, at the end and as a whole: Ctrl-C, even in the middle of an update,
    keeps the best epoch so far, and an error leaves it as it was.

    Args:
        network: taught in place.
        X: training inputs, (n, inputs): an array, or rows that need not fit in memory
            (`trainer.rows.RowFile`); a batch of them is asked for at a time.
        Y: training targets, (n, classes); see `one_hot`.
        validation: inputs and targets that are only looked at.
        prepare: what is done to each batch of inputs, (batch, inputs), before the network sees it,
            validation's too: such as scaling, of rows too many to scale beforehand. It may change
            them in place.
        optimiser: `"adam"`, `"momentum"` or `"sgd"`, plain gradient descent.
        learning_rate: how far a step goes.
        epochs: how often the training pictures are walked through, at most.
        batch: pictures to a step.
        weight_decay: each step also shrinks `W1` and `W2` by `learning_rate * weight_decay` of
            themselves; see `Optimiser`.
        label_smoothing: the share of certainty taken from the training targets; see `smooth`.
        dropout: the share of hidden units that are silent at each step; see `dropout_mask`.
        noise: the spread of what is added to each input at each step, normally distributed and new
            each time: one for all, or (inputs,). It keeps what is learned smooth (Bishop 1995,
            "Training with noise is equivalent to Tikhonov regularization").
        patience: stop after this many epochs without a better one; None, or without validation:
            never.
        keep: the weights of the best epoch, or of the last: validation figures that are reported
            must not choose the epoch.
        seed: of the shuffling, the dropout and the noise; the same seed gives the same weights.
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
            "noise: at least 0": bool(np.all(np.asarray(noise) >= 0)),
            "patience: at least 1, or None": patience is None or patience >= 1,
        }
    )
    taught = _Examples.checked(network, X, Y, prepare, "training")
    held_out = validation and _Examples.checked(network, *validation, prepare, "validation")
    if held_out is not None:
        held_out.check_finite()
    soft = smooth(taught.Y, label_smoothing)
    learner = network.copy()
    update = OPTIMISERS[optimiser](learner.parameters, learning_rate, weight_decay)
    learner.parameters = update.parameters
    rng = np.random.default_rng(seed)
    sample = taught.some(MEASURED, rng)
    noise, noisy = np.asarray(noise, network.dtype), bool(np.any(noise))

    history = History()
    best: tuple[Epoch | None, Parameters] = None, network.parameters  # one name: they always match
    waited = 0
    began = time.perf_counter()
    try:
        for number in range(1, epochs + 1):
            for rows in _batches(len(soft), batch, rng, stop):
                mask = (
                    dropout_mask((len(rows), learner.sizes[1]), dropout, rng) if dropout else None
                )
                x = taught.inputs(rows)
                if noisy:
                    x = x + noise * rng.standard_normal(x.shape, np.float32)  # not in place: kept
                learner.gradients(x, soft[rows], mask, out=update.gradients)
                update.step()
            measured = _measure(learner, taught, sample, held_out)
            epoch = Epoch(number, epochs, *measured, seconds=time.perf_counter() - began)
            history.epochs.append(epoch)
            if keep == "last" or epoch.beats(best[0]):
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


@dataclass(frozen=True, slots=True, eq=False)
class _Examples:
    """Pictures' inputs and targets, and what is done to inputs when they are needed."""

    X: Rows
    Y: Array
    prepare: Callable[[Array], Array] | None
    which: str
    """`training` or `validation`, for errors."""

    @classmethod
    def checked(
        cls,
        network: Network,
        X: Rows,
        Y: Array,
        prepare: Callable[[Array], Array] | None,
        which: str,
    ) -> _Examples:
        """Return checked examples; raise TrainingError for wrong shapes or values."""
        Y = np.asarray(Y, network.dtype)
        inputs, _, classes = network.sizes
        if len(X.shape) != 2 or X.shape[1] != inputs or not X.shape[0]:
            raise TrainingError(
                f"{which} inputs: one row a picture, (n, {inputs}), are needed; there is {X.shape}"
            )
        if Y.shape != (X.shape[0], classes):
            raise TrainingError(
                f"{which} targets: one row a picture, {(X.shape[0], classes)}, are needed; there "
                f"is {Y.shape}; one_hot() makes them from class indices"
            )
        if not np.isfinite(Y).all():
            raise TrainingError(f"{which} targets: nan or infinity among them")
        if network.output == "softmax" and not np.allclose(Y.sum(axis=1), 1, atol=1e-3):
            raise TrainingError(f"{which} targets: for a softmax each row must sum to 1")
        return cls(X, Y, prepare, which)

    def inputs(self, rows: NDArray[np.int64]) -> Array:
        """Return the inputs of these pictures, as the network is to see them."""
        x = self.X[rows]
        return np.asarray(x if self.prepare is None else self.prepare(x), self.Y.dtype)

    def some(self, most: int, rng: np.random.Generator) -> _Examples:
        """Return at most `most` of them, drawn at random, in memory."""
        rows = np.sort(rng.permutation(len(self.Y))[:most])
        return _Examples(self.inputs(rows), self.Y[rows], None, self.which)

    def evaluate(self, network: Network) -> tuple[float, float]:
        """Return the network's mean loss and accuracy on all of them."""
        n = len(self.Y)
        loss = accuracy = 0.0
        for rows in in_turn(n):
            figures = network.evaluate(self.inputs(rows), self.Y[rows])
            loss += figures[0] * (len(rows) / n)
            accuracy += figures[1] * (len(rows) / n)
        return loss, accuracy

    def check_finite(self) -> None:
        """Raise TrainingError if an input is not a number."""
        for rows in in_turn(len(self.Y)):
            if not np.isfinite(self.inputs(rows)).all():
                raise TrainingError(
                    f"{self.which} inputs: nan or infinity among them; look at the features"
                )


def _batches(
    n: int, batch: int, rng: np.random.Generator, stop: Callable[[], bool] | None
) -> Iterator[NDArray[np.int64]]:
    """Yield every picture's index once, in a new order, unless told to stop."""
    order = rng.permutation(n)
    for start in range(0, n, batch):
        if stop is not None and stop():
            raise KeyboardInterrupt
        yield order[start : start + batch]


def _measure(
    learner: Network, taught: _Examples, sample: _Examples, held_out: _Examples | None
) -> tuple[float, float, float | None, float | None]:
    """Return loss and accuracy on some training pictures, then on the validation pictures."""
    loss, accuracy = sample.evaluate(learner)
    unseen = (None, None) if held_out is None else held_out.evaluate(learner)
    if not all(isfinite(figure) for figure in (loss, *unseen) if figure is not None):
        # Checked only now: bad inputs make the loss non-finite, so good data skip the check.
        taught.check_finite()
        raise TrainingError(
            "training ran away: its loss is no longer a number; lower the learning rate"
        )
    return loss, accuracy, *unseen


def _require(rules: dict[str, bool]) -> None:
    for rule, met in rules.items():
        if not met:
            raise TrainingError(f"a training setting is out of range; {rule}")
