"""How a gesture is learned: split by session, find out how long to train, calibrate, train on all.

A first network learns from some sessions and is stopped by the others, which also say how good it
is, how sure to believe it (temperature, thresholds) and what is strange. The network that is
exported then learns from every picture, for as many epochs as the first one needed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
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
class Learned:
    """A network that has learned, with what must be done to features before it."""

    scaler: Scaler
    network: Network
    strangeness: Strangeness
    history: History

    def logits(self, rows: NDArray[np.float32]) -> Array:
        """Return logits, `[n, classes]`, of raw features `[n, features]`."""
        return self.network.logits(self.scaler(rows))

    def probabilities(self, rows: NDArray[np.float32], temperature: float) -> Array:
        """Return probabilities, `[n, classes]`, of raw features `[n, features]`."""
        return softmax(self.logits(rows) / np.float32(temperature))

    def novelty(self, rows: NDArray[np.float32]) -> Array:
        """Return novelty, `[n]`, of raw features `[n, features]`."""
        return self.strangeness(self.network.hidden(self.scaler(rows)))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What the network said to sessions it was not trained on."""

    targets: NDArray[np.int64]
    """`[n]`, indices of labels."""
    probabilities: Array
    """`[n, classes]`."""
    novelty: Array
    """`[n]`."""
    sessions: int

    @property
    def accuracy(self) -> float:
        """Share of pictures whose likeliest label is right."""
        return float((self.probabilities.argmax(axis=1) == self.targets).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """Everything the exporter needs, and everything the user wants to know."""

    described: Described
    features: Features
    learned: Learned
    """What is exported."""
    temperature: float
    thresholds: Thresholds
    history: History
    """Of the network that the held-out sessions stopped, or of the only one."""
    held_out: HeldOut | None
    """None where no session could be spared."""
    interrupted: bool
    seed: int

    def probabilities(self, rows: NDArray[np.float32]) -> Array:
        """Return what the exported model should say to raw features `[n, features]`."""
        return self.learned.probabilities(rows, self.temperature)

    def novelty(self, rows: NDArray[np.float32]) -> Array:
        """Return how strange the exported model should find raw features `[n, features]`."""
        return self.learned.novelty(rows)

    @property
    def measured_on(self) -> str:
        """What the accuracy is the accuracy of, in words."""
        if self.held_out is None:
            return "nothing: no session could be spared"
        sessions = "session" if self.held_out.sessions == 1 else "sessions"
        words = f"{len(self.held_out.targets)} pictures of {self.held_out.sessions} {sessions}"
        labels = enumerate(self.described.dataset.labels)
        absent = [label for number, label in labels if number not in self.held_out.targets]
        missing = f", with no {', '.join(absent)} among them" if absent else ""
        return f"{words} not trained on{missing}"


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
        progress: called after every epoch: of the network that the held-out sessions stop, and
            then, counting from 1 again, of the one that learns everything.

    Raises:
        DataError: nothing that can be taught from.
        TrainingError: a setting out of range, or stopped before the first epoch ended.
    """
    check_teachable(dataset)
    copies = int(np.clip(ROWS // len(dataset.pictures), 1, COPIES))
    described = describe(dataset, features, copies=copies, seed=seed, progress=reading)
    check_teachable(described.dataset)
    learn = partial(_learn, described, hidden=hidden, seed=seed, progress=progress)
    together = partial(_taught, described=described, features=features, seed=seed)
    everything = list(range(len(described.rows)))
    train, spared = split(described.dataset, seed=seed)

    if not spared:  # how well it does elsewhere, nobody knows
        only = learn(everything, epochs=EPOCHS // 2)
        stopped = only.history.interrupted
        return together(only, only, None, temperature=1.0, interrupted=stopped)

    first = learn(train, epochs=EPOCHS, spared=spared)
    temperature, held_out = _calibrate(first, described, spared)
    last = None
    if not first.history.interrupted and first.history.best is not None:
        with suppress(KeyboardInterrupt, TrainingError):  # Ctrl-C now means: the first will do
            last = learn(everything, epochs=first.history.best.number)
            last = None if last.history.interrupted else last
    return together(
        first, last or first, held_out, temperature=temperature, interrupted=last is None
    )


def _learn(
    described: Described,
    chosen: list[int],
    *,
    hidden: int,
    seed: int,
    epochs: int,
    spared: list[int] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Learned:
    """Learn the chosen pictures and their copies, until the spared ones get no better."""
    rows = described.rows[chosen]  # (n, 1 + copies, features)
    classes = len(described.dataset.labels)
    targets = np.repeat(described.targets[chosen], rows.shape[1])
    flat = rows.reshape(-1, rows.shape[-1])
    scaler = Scaler.of(flat)
    X = scaler(flat)
    network = Network(X.shape[1], hidden, classes, seed=seed)
    validation = spared and (
        scaler(described.rows[spared, 0]),
        one_hot(described.targets[spared], classes),
    )
    # The products are small: two cores are no quicker than one when idle, and ten times slower
    # when busy, because BLAS's threads wait for each other.
    with threadpool_limits(1, user_api="blas"):
        history = fit(
            network,
            X,
            one_hot(targets, classes),
            validation=validation or None,
            epochs=epochs,
            weight_decay=0.01,
            label_smoothing=0.1,
            dropout=0.3,
            patience=12,
            seed=seed,
            progress=progress,
        )
    if history.best is None:
        raise TrainingError("stopped before the first epoch ended; nothing was learned or written")
    return Learned(scaler, network, Strangeness.of(network.hidden(X), targets, classes), history)


def _calibrate(first: Learned, described: Described, spared: list[int]) -> tuple[float, HeldOut]:
    """Find out on the spared pictures how far to believe the network, and how good it is."""
    rows, targets = described.rows[spared, 0], described.targets[spared]
    temperature = fit_temperature(first.logits(rows), targets)
    probabilities = first.probabilities(rows, temperature)
    sessions = {described.dataset.pictures[index].session for index in spared}
    return temperature, HeldOut(targets, probabilities, first.novelty(rows), len(sessions))


def _taught(
    first: Learned,
    exported: Learned,
    held_out: HeldOut | None,
    *,
    described: Described,
    features: Features,
    temperature: float,
    interrupted: bool,
    seed: int,
) -> Taught:
    """Choose the thresholds, and put everything together."""
    own = described.rows[:, 0]
    familiar = exported.probabilities(own, temperature)
    novelty = exported.novelty(own)
    if held_out is None:
        thresholds = pick_thresholds(familiar, novelty)
    else:
        novelty = np.concatenate([novelty, held_out.novelty])
        thresholds = pick_thresholds(familiar, novelty, (held_out.probabilities, held_out.targets))
    return Taught(
        described, features, exported, temperature, thresholds, first.history, held_out,
        interrupted, seed,
    )  # fmt: skip
