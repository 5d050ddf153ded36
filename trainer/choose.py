"""`--features auto`: measure the candidates on held-out sessions, take the cheapest good one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.card import BACKGROUND
from edge.errors import PictureError
from edge.pictures import read_picture
from trainer.calibrate import NOT_FOUND_NOVELTY
from trainer.evidence import mcnemar_p
from trainer.features import looks_for
from trainer.features.two_poses import SECOND
from trainer.validate import cross_validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.dataset import Dataset
    from trainer.describe import Described
    from trainer.features import Features
    from trainer.validate import HeldOut

WORTH = 0.01
"""Accuracy that more expensive features must add."""
USUAL = {"pixels": 0.31, "edges": 0.45, "backbone": 0.54}
"""Prior accuracy of each kind, from sessions held out of real pictures (docs/accuracy.md); other
kinds get the mean."""
FOUND = {"hand": 0.87, "face": 0.5}
"""The same on pictures in which one is found; on the others the kind beside it counts."""
SHOWN = 0.5
"""Share of a label's pictures in which a hand or face must be found for its kind to be tried."""
TWO = "two-hands"
"""The kind for which a second hand must be found as well."""
SAMPLE = 60
"""Pictures to look at for that."""
BELIEF = 30
"""Weight of the prior, in held-out pictures: with twenty, chance moves an accuracy by ten points,
and would decide the choice."""
LUCK = 0.01
"""p-value below which a measured difference overrides the prior."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of features, and what it is worth here."""

    name: str
    accuracy: float | None
    """On held-out sessions; None where there are none."""
    milliseconds: float
    """Processor time a frame, in one thread, on this machine."""
    size: int
    """Bytes of its graph."""
    chosen: bool = False
    remark: str = ""
    """Why it was chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The features taken, and why."""

    features: Features
    described: Described
    held_out: HeldOut | None
    table: list[Candidate]
    why: str


def choose(
    described: Described,
    kinds: Sequence[Features],
    folds: NDArray[np.int64],
    *,
    hidden: int,
    seed: int,
    timed: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Choice:
    """Measure each kind by cross-validation; take the cheapest within one point of the best.

    The reported accuracy is not the winner's, which selection biases upwards: each fold is judged
    by the kind that the other folds alone would have chosen.

    Args:
        described: all pictures, by all kinds.
        kinds: to choose among; one is taken as it is.
        folds: of the pictures, `[pictures]`.
        hidden: hidden units.
        seed: of the networks.
        timed: whether to measure speeds too; of a single kind nothing depends on it.
        progress: called with how many of how many networks have learned.
    """
    total = len(kinds) * len(np.unique(folds[folds >= 0]))
    learned = 0

    def done() -> None:
        nonlocal learned
        learned += 1
        if progress is not None:
            progress(learned, total)

    parts = [described.only(kind) for kind in kinds]
    measured = [cross_validate(part, folds, hidden=hidden, seed=seed, done=done) for part in parts]
    found = [held for held in measured if held is not None]
    if not found:
        best, held = int(np.argmax(_usual(parts, kinds))), None
        why = "the best of these elsewhere; no session could be held out to measure on"
    else:
        costs = [kind.milliseconds for kind in kinds] if len(kinds) > 1 else [0.0]
        right = np.stack([one.right for one in found])  # (kinds, held-out pictures)
        of_use = right & np.stack([_may_act(described.dataset.labels, one) for one in found])
        usual = _usual(parts, kinds)
        best = _chosen(of_use, found[0].folds, usual, costs)
        held = replace(found[best], honest=_honest(right, of_use, found[0].folds, costs, usual))
        why = f"the cheapest within {100 * WORTH:g} point of the best on held-out sessions"
        if best != _cheapest_good(of_use.mean(axis=1), costs):
            why = (
                f"{right.shape[1]} held-out pictures say little; on other people's pictures these "
                "are better"
            )
        elif best != _cheapest_good(right.mean(axis=1), costs):
            why = "the cheapest good one of those that can switch something where nothing is found"
    table = [
        Candidate(
            kind.name,
            None if one is None else float(one.right.mean()),
            kind.milliseconds if timed else 0.0,
            kind.file_size,
            chosen=number == best,
            remark=why if number == best and len(kinds) > 1 else "",
        )
        for number, (kind, one) in enumerate(zip(kinds, measured, strict=True))
    ]
    return Choice(kinds[best], parts[best], held, table, why)


def _may_act(labels: Sequence[str], held: HeldOut) -> NDArray[np.bool_]:
    """Return which held-out pictures could act as they should: trigger, or not.

    Features that see only hands make everything else strange, which never triggers.
    """
    empty = np.array(labels, dtype=object)[held.targets] == BACKGROUND
    acting: NDArray[np.bool_] = empty | (held.novelty < NOT_FOUND_NOVELTY)
    return acting


def worth_trying(dataset: Dataset, kinds: Sequence[Features]) -> list[Features]:
    """Return the kinds without those that look for something rarely present.

    A hand must be found in half of a sample of at least one gesture's pictures, and for kinds that
    see two a second one as well; otherwise a face. Trying all would double the training time.
    """
    finders: dict[str, Features] = {}  # the first of those that look for the same
    for part in (part for kind in kinds for part in kind.parts if part.state):
        finders.setdefault(looks_for(part.name), part)
    gestures = [label for label in dataset.labels if label != BACKGROUND]
    paths = [
        [picture.path for picture in dataset.pictures if picture.label == label]
        for label in gestures
    ]
    each = max(3, SAMPLE // max(1, len(gestures)))
    samples = [one[:: -(-len(one) // each)] for one in paths]
    idle = set(finders)
    for name, finder in finders.items():
        if _shown(finder, samples) >= SHOWN:
            idle.remove(name)
            break
    tried = [kind for kind in kinds if not idle & {looks_for(part.name) for part in kind.parts}]
    pairs = [part for kind in tried for part in kind.parts if part.name == TWO]
    if pairs and _shown(pairs[0], samples, SECOND) < SHOWN:
        tried = [kind for kind in tried if TWO not in {part.name for part in kind.parts}]
    return tried


def _shown(finder: Features, samples: Sequence[Sequence[Path]], confidence: int = -1) -> float:
    """Return the largest share of some gesture's pictures in which something is found.

    Args:
        finder: what looks for it.
        samples: pictures of each gesture.
        confidence: which of the features says how sure it is.
    """

    def finds(path: Path) -> bool:
        try:
            return bool(finder(read_picture(path))[confidence])
        except PictureError:
            return False

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        shares = [np.mean(list(pool.map(finds, one))) for one in samples]
    return float(max(shares, default=0.0))


def _usual(parts: Sequence[Described], kinds: Sequence[Features]) -> NDArray[np.float64]:
    """Return each kind's prior accuracy, `[kinds]`, for these pictures."""
    middle, guess = sum(USUAL.values()) / len(USUAL), 1 / len(parts[0].dataset.labels)
    expected = []
    for part, kind in zip(parts, kinds, strict=True):
        others = [USUAL.get(one.name, middle) for one in kind.parts if not one.state]
        found = float(part.found(part.rows[:, 0]).mean()) if part.finders else 0.0
        there = max((FOUND.get(looks_for(name), middle) for name in part.finders), default=0.0)
        expected.append(found * there + (1 - found) * max(others, default=guess))
    return np.array(expected)


def _believed(right: NDArray[np.bool_], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each kind's accuracy, `[kinds]`: the measured one, shrunk towards the prior.

    Args:
        right: whether each held-out picture was told right, `[kinds, pictures]`.
        usual: each kind's prior accuracy, `[kinds]`.
    """
    total = right.sum(axis=1) + BELIEF * usual
    return np.asarray(total / (right.shape[1] + BELIEF), np.float64)


def _chosen(
    right: NDArray[np.bool_],
    folds: NDArray[np.int64],
    usual: NDArray[np.float64],
    costs: Sequence[float],
) -> int:
    """Return the kind to take: the best by prior and data, unless another is clearly better here.

    Clearly: by McNemar's exact test on the pictures that only one of the two gets right, and in at
    least two folds, as pictures of one burst are near copies and err together.
    """
    believed = _cheapest_good(_believed(right, usual), costs)
    measured = _cheapest_good(right.mean(axis=1), costs)
    more = [right[measured, folds == one].sum() > right[believed, folds == one].sum()
            for one in np.unique(folds)]  # fmt: skip
    clearly = mcnemar_p(right[measured], right[believed]) < LUCK and sum(more) > 1
    return measured if clearly else believed


def _cheapest_good(accuracies: NDArray[np.floating], costs: Sequence[float]) -> int:
    good = np.flatnonzero(accuracies >= accuracies.max() - WORTH - 1e-9)
    return min(good.tolist(), key=lambda number: costs[number])


def _honest(
    right: NDArray[np.bool_],
    of_use: NDArray[np.bool_],
    folds: NDArray[np.int64],
    costs: Sequence[float],
    usual: NDArray[np.float64],
) -> float:
    """Return the accuracy with each fold judged by the kind that the other folds would choose."""
    numbers = np.unique(folds)
    if len(right) == 1 or len(numbers) == 1:
        return float(right[_chosen(of_use, folds, usual, costs)].mean())
    correct = 0
    for number in numbers:
        others = folds != number
        taken = _chosen(of_use[:, others], folds[others], usual, costs)
        correct += int(right[taken, folds == number].sum())
    return correct / len(folds)
