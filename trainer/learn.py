"""One network, taught from rows of features: what is done to them before it, and after."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from trainer.calibrate import NOT_FOUND_NOVELTY, Strangeness
from trainer.errors import TrainingError
from trainer.features import looks_for
from trainer.network import Network, one_hot, softmax
from trainer.training import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from trainer.describe import Described
    from trainer.network import Array
    from trainer.training import Epoch, History

EPOCHS = 20
"""Fixed: stopping by the held-out sessions would tune on what is reported."""
BATCH = 64
NOISE = 1.0
"""What is added to each feature while a network learns of hands, in units of the feature's own
spread: one recording's hands are more alike than another's. docs/decisions/0025-noise.md."""
STEPS = 300
"""Fewest steps with noise, in more epochs if need be: twenty epochs of twenty pictures are sixty
steps, in which the noise hides more than is learned."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """Brings every feature to mean 0 and a spread of about 1, or less beside others."""

    mean: NDArray[np.float32]
    """float32 `[features]`."""
    scale: NDArray[np.float32]
    """float32 `[features]`: what the difference to the mean is multiplied by."""

    @classmethod
    def of(cls, rows: NDArray[np.float32], widths: Iterable[int] = ()) -> Scaler:
        """Measure rows of features, float32 `[n, features]`.

        A twentieth of the overall spread is added to each feature's own: one that hardly ever
        moves on the training pictures is not blown up when it moves a little elsewhere. Where kinds
        are joined, all are made as loud as the one with the fewest numbers: 47 about a hand are not
        to drown in 1728 about the rest of the picture.

        Args:
            rows: to measure.
            widths: of the kinds that the features are joined from; each has its own overall spread.
        """
        own = rows.std(axis=0)
        sizes = np.array(list(widths) or [rows.shape[1]])
        parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
        floor = np.repeat([part.std() for part in parts], sizes).astype(np.float32)
        loudness = np.repeat(np.sqrt(sizes.min() / sizes), sizes).astype(np.float32)
        spread = own + np.float32(0.05) * floor + np.float32(1e-6)
        return cls(rows.mean(axis=0), loudness / spread)

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
    sight: NDArray[np.int64]
    """Indices of finders' confidences; if all are 0, nothing was seen, and `NOT_FOUND_NOVELTY` is
    added. Empty where other features see something as well."""

    def logits(self, rows: NDArray[np.float32]) -> Array:
        """Return logits, `[n, classes]`, of raw features `[n, features]`."""
        return self.network.logits(self.scaler(rows))

    def probabilities(self, rows: NDArray[np.float32], temperature: float) -> Array:
        """Return probabilities, `[n, classes]`, of raw features `[n, features]`."""
        return softmax(self.logits(rows) / np.float32(temperature))

    def novelty(self, rows: NDArray[np.float32]) -> Array:
        """Return novelty, `[n]`, of raw features `[n, features]`."""
        strange = self.strangeness(self.network.hidden(self.scaler(rows)))
        unseen = ~(rows[:, self.sight] > 0).any(axis=1) if len(self.sight) else False
        return strange + np.float32(NOT_FOUND_NOVELTY) * unseen


def learn(
    described: Described,
    chosen: NDArray[np.int64],
    *,
    hidden: int,
    seed: int,
    watched: NDArray[np.int64] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Learned:
    """Teach a network the chosen pictures and their copies.

    While learning it has one more class, for scrambled pictures: telling them from the gestures
    teaches its hidden layer what unknown things look like, which the novelty measures there.
    Afterwards that class is removed.

    Args:
        described: all pictures.
        chosen: indices of the pictures to learn.
        hidden: hidden units.
        seed: of the weights, and of the order of the pictures.
        watched: indices of pictures whose loss the history tells too; None: of none.
        progress: called after every epoch.

    Raises:
        TrainingError: stopped before the first epoch ended.
    """
    rows, classes = described.rows[chosen], len(described.dataset.labels)
    size = rows.shape[-1]
    flat, scraps = rows.reshape(-1, size), described.scraps[chosen].reshape(-1, size)
    targets = np.repeat(described.targets[chosen], rows.shape[1])
    scaler = Scaler.of(flat, list(described.widths.values()))
    X = scaler(np.concatenate([flat, scraps]))
    Y = one_hot(np.concatenate([targets, np.full(len(scraps), classes)]), classes + 1)
    network = Network(size, hidden, classes + 1, seed=seed)
    validation = watched is not None and (
        scaler(described.rows[watched, 0]),
        one_hot(described.targets[watched], classes + 1),
    )
    noisy = learns_with_noise(described)
    # The products are small: two cores are no quicker than one when idle, and ten times slower
    # when busy, because BLAS's threads wait for each other.
    with threadpool_limits(1, user_api="blas"):
        history = fit(
            network,
            X,
            Y,
            validation=validation or None,
            learning_rate=5e-3,
            batch=BATCH,
            epochs=max(EPOCHS, ceil(STEPS / ceil(len(X) / BATCH))) if noisy else EPOCHS,
            weight_decay=1.0,
            label_smoothing=0.1,
            dropout=0.3,
            noise=NOISE * X.std(axis=0) if noisy else 0.0,
            keep="last",
            seed=seed,
            progress=progress,
        )
    if history.best is None:
        raise TrainingError("stopped before the first epoch ended; nothing was learned or written")
    known = _without_last_class(network)
    H = known.hidden(X[: len(flat)])
    strangeness = Strangeness.of(H, 2 * targets + described.found(flat))
    sight = described.confidences if described.blind else np.array([], np.int64)
    return Learned(scaler, known, strangeness, history, sight)


def learns_with_noise(described: Described) -> bool:
    """Return whether to learn with noise: for hands, and kinds joined with them.

    Other kinds have many features that each say little, and faces differ in few.
    """
    return any(looks_for(name) == "hand" for name in described.finders)


def _without_last_class(network: Network) -> Network:
    inputs, hidden, classes = network.sizes
    smaller = Network(inputs, hidden, classes - 1)
    parameters = network.parameters
    smaller.load(
        {
            "W1": parameters["W1"],
            "b1": parameters["b1"],
            "W2": parameters["W2"][:, :-1],
            "b2": parameters["b2"][:-1],
        }
    )
    return smaller
