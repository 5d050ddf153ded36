"""How well it does in sessions it has not seen: cross-validation, a session wholly held out."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from trainer.calibrate import fit_temperature
from trainer.evidence import CurvePoint
from trainer.learn import learn
from trainer.network import softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trainer.dataset import Dataset
    from trainer.describe import Described
    from trainer.network import Array
    from trainer.training import History


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What networks said to pictures of sessions that they were not trained on."""

    indices: NDArray[np.int64]
    """`[n]`: which pictures of the dataset."""
    folds: NDArray[np.int64]
    """`[n]`: with which others each was held out."""
    targets: NDArray[np.int64]
    """`[n]`, indices of labels."""
    logits: Array
    """`[n, classes]`."""
    novelty: Array
    """`[n]`."""
    sessions: int
    history: History
    """Of the first fold's network."""
    mirrored: NDArray[np.int64] | None = None
    """`[n]`: the label said of the same gesture with the other hand, -1 where no hand was found.
    None where features look for none, or for two."""
    honest: float | None = None
    """The accuracy where the features, too, were chosen without the pictures that they are measured
    on; None where nothing was chosen."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """`[n]`: whether the likeliest label is right."""
        correct: NDArray[np.bool_] = self.logits.argmax(axis=1) == self.targets
        return correct

    @property
    def accuracy(self) -> float:
        """Share of pictures whose likeliest label is right."""
        return float(self.right.mean()) if self.honest is None else self.honest

    @property
    def temperature(self) -> float:
        """The temperature at which the probabilities are as sure as they are right."""
        return fit_temperature(self.logits, self.targets)

    @property
    def probabilities(self) -> Array:
        """`[n, classes]`, at that temperature."""
        return softmax(self.logits / np.float32(self.temperature))


def learning_curve(
    described: Described, held_out: HeldOut, *, hidden: int, seed: int
) -> list[CurvePoint]:
    """Return how well one fold goes after learning from a third, two thirds, and all of the others.

    Whole sessions are left out, in the order of the seed; every label keeps one. Empty if Ctrl-C
    stopped it.
    """
    here = held_out.folds == held_out.folds[0]
    tested = held_out.indices[here]
    pictures = described.dataset.pictures
    rest = np.setdiff1d(np.arange(len(pictures)), tested)
    points = []
    for share in (1 / 3, 2 / 3, 1.0):
        kept = _some_sessions(described.dataset, rest, share, seed)
        right = held_out.right[here]
        if len(kept) < len(rest):  # all of them is what was cross-validated
            learned = learn(described, kept, hidden=hidden, seed=seed)
            if learned.history.interrupted:
                return []
            said = learned.logits(described.rows[tested, 0]).argmax(axis=1)
            right = said == described.targets[tested]
        shown = {(pictures[index].label, pictures[index].session) for index in kept}
        labels = len({label for label, _ in shown})
        points.append(CurvePoint(len(shown) / labels, float(len(kept)), right))
    return points


def _some_sessions(
    dataset: Dataset, among: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.int64]:
    """Return those of some pictures that belong to a share of each label's sessions."""
    rng = np.random.default_rng(seed)
    kept: list[int] = []
    for label in dataset.labels:
        mine = [int(index) for index in among if dataset.pictures[index].label == label]
        names = sorted({dataset.pictures[index].session for index in mine})
        chosen = set(rng.permutation(names)[: max(1, round(share * len(names)))].tolist())
        kept += [index for index in mine if dataset.pictures[index].session in chosen]
    return np.array(sorted(kept))


def cross_validate(
    described: Described,
    folds: NDArray[np.int64],
    *,
    hidden: int,
    seed: int,
    done: Callable[[], None] | None = None,
) -> HeldOut | None:
    """Hold out one fold after the other, learn the rest, and look at what was held out.

    Folds are learned side by side, one a core.

    Args:
        described: all pictures.
        folds: the fold of each, `[pictures]`, as from `trainer.splits.folds`.
        hidden: hidden units.
        seed: of the networks.
        done: called after each fold.

    Returns:
        What was said to the pictures in a fold; None where there is none.
    """
    numbers = [int(number) for number in np.unique(folds) if number >= 0]
    if not numbers:
        return None

    def one(number: int) -> tuple[Array, Array, History, NDArray[np.int64] | None]:
        held, rest = np.flatnonzero(folds == number), np.flatnonzero(folds != number)
        watched = held if number == numbers[0] else None
        learned = learn(described, rest, hidden=hidden, seed=seed, watched=watched)
        rows = described.rows[held, 0]
        if done is not None:
            done()
        other = described.mirrored(rows)
        told = None if other is None else learned.logits(other).argmax(axis=1)
        mirrored = None if told is None else np.where(described.found(rows), told, -1)
        return learned.logits(rows), learned.novelty(rows), learned.history, mirrored

    pool = ThreadPoolExecutor(os.cpu_count())
    # The limit is the process's: set here as well, or the first fold to end would lift it for all.
    with threadpool_limits(1, user_api="blas"):
        try:
            said = list(pool.map(one, numbers))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for all folds
    order = np.concatenate([np.flatnonzero(folds == number) for number in numbers])
    found = HeldOut(
        order,
        folds[order],
        described.targets[order],
        np.concatenate([logits for logits, *_ in said]),
        np.concatenate([novelty for _, novelty, *_ in said]),
        len({described.dataset.pictures[index].session for index in order}),
        said[0][2],
        _joined([mirrored for *_, mirrored in said]),
    )
    back = np.argsort(order)  # the dataset's order
    names = ["indices", "folds", "targets", "logits", "novelty"]
    names += [] if found.mirrored is None else ["mirrored"]
    return replace(found, **{name: getattr(found, name)[back] for name in names})


def _joined(parts: list[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None
