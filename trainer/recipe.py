"""How a gesture is learned: split by session, find out how long to train, calibrate, train on all.

A first network learns from some sessions and is stopped by the others, which also say how good it
is, how sure to believe it (temperature, thresholds) and what is strange. The network that is
exported then learns from every picture, for as many epochs as the first one needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from trainer.calibrate import Strangeness, fit_temperature, pick_thresholds
from trainer.dataset import check_teachable, split
from trainer.describe import describe
from trainer.errors import TrainingError
from trainer.network import Network, one_hot, softmax
from trainer.training import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.card import Thresholds
    from trainer.dataset import Dataset
    from trainer.describe import Described
    from trainer.features import Features
    from trainer.network import Array
    from trainer.training import Epoch, History

ROWS = 12000
"""Rows of features to aim for: few pictures get up to `COPIES` augmented copies, many get fewer."""
COPIES = 16
EPOCHS = 60
"""At most; and, without a session to stop by, half of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """Brings every feature to mean 0 and a spread of about 1."""

    mean: NDArray[np.float32]
    """float32 `[features]`."""
    scale: NDArray[np.float32]
    """float32 `[features]`: what the difference to the mean is multiplied by."""

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> Scaler:
        """Measure rows of features, float32 `[n, features]`.

        A twentieth of the overall spread is added to each feature's own: one that hardly ever
        moves on the training pictures is not blown up when it moves a little elsewhere.
        """
        spread = rows.std(axis=0) + np.float32(0.05) * rows.std() + np.float32(1e-6)
        return cls(rows.mean(axis=0), np.float32(1) / spread)

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale rows of features, float32 `[n, features]`."""
        return (rows - self.mean) * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """Everything the exporter needs, and everything the user wants to know."""

    described: Described
    features: Features
    scaler: Scaler
    network: Network
    temperature: float
    strangeness: Strangeness
    thresholds: Thresholds
    history: History
    """Of the network that the held-out sessions stopped, or of the only one."""
    held_out: HeldOut | None
    """None where no session could be spared."""
    interrupted: bool
    seed: int

    def probabilities(self, rows: NDArray[np.float32]) -> Array:
        """Return what the exported model should say to raw features `[n, features]`."""
        return softmax(self.network.logits(self.scaler(rows)) / np.float32(self.temperature))

    def novelty(self, rows: NDArray[np.float32]) -> Array:
        """Return how strange the exported model should find raw features `[n, features]`."""
        return self.strangeness(self.network.hidden(self.scaler(rows)))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What the network said to sessions it was not trained on."""

    targets: NDArray[np.int64]
    """`[n]`, indices of labels."""
    probabilities: Array
    """`[n, classes]`."""
    sessions: int

    @property
    def accuracy(self) -> float:
        """Share of pictures whose likeliest label is right."""
        return float((self.probabilities.argmax(axis=1) == self.targets).mean())


def teach(
    dataset: Dataset,
    features: Features,
    *,
    hidden: int = 64,
    seed: int = 0,
    reading: Callable[[int, int], None] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Taught:
    """Teach a network to tell a dataset's labels apart.

    Args:
        dataset: the pictures.
        features: what to make of each.
        hidden: hidden units.
        seed: of the split, the augmentation, the weights and the order of pictures.
        reading: called with how many of how many pictures were read.
        progress: called after every epoch of the network that the held-out sessions stop, or of
            the only one.

    Raises:
        DataError: nothing that can be taught from.
        TrainingError: a setting out of range.
    """
    check_teachable(dataset)
    copies = int(np.clip(ROWS // len(dataset.pictures), 1, COPIES))
    described = describe(dataset, features, copies=copies, seed=seed, progress=reading)
    check_teachable(described.dataset)
    lesson = _Lesson(described, features, hidden, seed)
    train, held_out = split(described.dataset, seed=seed)
    if not held_out:
        return lesson.all_at_once(progress)
    first = lesson.stopped_by(train, held_out, progress)
    if first.interrupted:
        return first
    try:
        return lesson.again_on_all(first)
    except KeyboardInterrupt:  # before or after the learning, which itself ends in good order
        return replace(first, interrupted=True)


class _Lesson:
    """The pictures and settings that every network of one `teach` shares."""

    def __init__(self, described: Described, features: Features, hidden: int, seed: int) -> None:
        self.described, self.features = described, features
        self.hidden, self.seed = hidden, seed
        self.classes = len(described.dataset.labels)

    def stopped_by(
        self, train: list[int], held_out: list[int], progress: Callable[[Epoch], None] | None
    ) -> Taught:
        """Learn some pictures until others get no better, and calibrate on those others."""
        described = self.described
        targets = described.targets[held_out]
        own = described.rows[held_out, 0]
        taught = self._learn(train, EPOCHS, (own, targets), progress)
        _best(taught)
        logits = taught.network.logits(taught.scaler(own))
        temperature = fit_temperature(logits, targets)
        taught = replace(taught, temperature=temperature)
        probabilities = taught.probabilities(own)
        sessions = {described.dataset.pictures[index].session for index in held_out}
        return replace(
            taught,
            thresholds=pick_thresholds(probabilities, targets, taught.novelty(own)),
            held_out=HeldOut(targets, probabilities, len(sessions)),
        )

    def again_on_all(self, first: Taught) -> Taught:
        """Learn every picture, for as long as was best; Ctrl-C keeps the first network."""
        everything = list(range(len(self.described.rows)))
        last = self._learn(everything, _best(first).number)
        if last.interrupted:
            return replace(first, interrupted=True)
        return replace(
            last,
            temperature=first.temperature,
            thresholds=first.thresholds,
            history=first.history,
            held_out=first.held_out,
        )

    def all_at_once(self, progress: Callable[[Epoch], None] | None) -> Taught:
        """Learn every picture where no session can be spared: how well, nobody knows."""
        everything = list(range(len(self.described.rows)))
        taught = self._learn(everything, EPOCHS // 2, progress=progress)
        _best(taught)
        return taught

    def _learn(
        self,
        chosen: list[int],
        epochs: int,
        validation: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
        progress: Callable[[Epoch], None] | None = None,
    ) -> Taught:
        rows = self.described.rows[chosen]  # (n, 1 + copies, features)
        targets = np.repeat(self.described.targets[chosen], rows.shape[1])
        flat = rows.reshape(-1, rows.shape[-1])
        scaler = Scaler.of(flat)
        X = scaler(flat)
        network = Network(X.shape[1], self.hidden, self.classes, seed=self.seed)
        # The products are small: two cores are no quicker than one when idle, and ten times slower
        # when busy, because BLAS's threads wait for each other.
        with threadpool_limits(1, user_api="blas"):
            history = fit(
                network,
                X,
                one_hot(targets, self.classes),
                validation=validation
                and (scaler(validation[0]), one_hot(validation[1], self.classes)),
                epochs=epochs,
                weight_decay=0.01,
                label_smoothing=0.1,
                dropout=0.3,
                patience=12 if validation else None,
                seed=self.seed,
                progress=progress,
            )
        strangeness = Strangeness.of(network.hidden(X), targets, self.classes)
        return Taught(
            self.described, self.features, scaler, network,
            temperature=1.0,
            strangeness=strangeness,
            thresholds=pick_thresholds(None, None, strangeness(network.hidden(X))),
            history=history, held_out=None, interrupted=history.interrupted, seed=self.seed,
        )  # fmt: skip


def _best(taught: Taught) -> Epoch:
    """Return the epoch whose weights were kept.

    Raises:
        TrainingError: stopped before there was one.
    """
    if taught.history.best is None:
        raise TrainingError("stopped before the first epoch ended; nothing was learned or written")
    return taught.history.best
