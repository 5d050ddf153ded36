"""What was found out about a network: what it said to pictures that it had not learned from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from math import comb, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.dataset import Dataset
    from trainer.network import Array


WORTH = 0.02
"""Gain in accuracy above which more sessions are worth asking for."""
LUCK = 0.05
"""p-value below which a gain is not chance."""


@dataclass(frozen=True, slots=True, eq=False)
class CurvePoint:
    """How well held-out sessions went after learning from only some of the other pictures."""

    sessions: float
    """Sessions a label that were learned from, on average."""
    pictures: float
    """Pictures that were learned from, all labels together, on average."""
    right: NDArray[np.bool_]
    """Whether each held-out picture was right; the same pictures at every point."""

    @property
    def accuracy(self) -> float:
        """The share that was right."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured, picture by picture, in the dataset's order."""

    dataset: Dataset
    """Only the pictures that could be read."""
    targets: NDArray[np.int64]
    """`[n]`, indices of labels."""
    probabilities: Array
    """`[n, classes]`, computed while the picture's session was held out; NaN where it never was."""
    novelty: Array
    """`[n]`; NaN where it never was."""
    rows: NDArray[np.float32]
    """float32 `[n, features]`, of the pictures themselves."""
    curve: list[CurvePoint] = field(default_factory=list)
    """From more and more sessions, up to all but the held-out ones."""
    mirrored: NDArray[np.int64] | None = None
    """`[n]`: the label said of the same gesture with the other hand, held out as well; -1 where it
    never was, or no hand was found. None where features look for none, or for two."""
    finders: tuple[str, ...] = ()
    """The kinds of features among these that look for something, such as a hand."""

    @property
    def whole(self) -> bool:
        """Whether the rows describe whole pictures.

        If only a hand's pose, equal rows show the same gesture, not copies.
        """
        return not self.finders

    @cached_property
    def labels(self) -> list[str]:
        """The labels, in the order of `probabilities`."""
        return self.dataset.labels

    @cached_property
    def sessions(self) -> NDArray[np.object_]:
        """The name of each picture's session, `[n]`."""
        return np.array([picture.session for picture in self.dataset.pictures], dtype=object)

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """Which pictures the network was tested on, `[n]`."""
        known: NDArray[np.bool_] = np.isfinite(self.probabilities[:, 0])
        return known

    @cached_property
    def said(self) -> NDArray[np.int64]:
        """The likeliest label of each picture, `[n]`; -1 where it was never held out."""
        return np.where(self.held_out, self._known.argmax(axis=1), -1)

    @cached_property
    def confidence(self) -> Array:
        """The probability of that label, `[n]`; -1 where it was never held out."""
        return np.where(self.held_out, self._known.max(axis=1), -1)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which pictures were held out and recognised, `[n]`."""
        right: NDArray[np.bool_] = self.said == self.targets
        return right

    @property
    def accuracy(self) -> float | None:
        """Share of the held-out pictures that were recognised; None where there are none."""
        return float(self.right[self.held_out].mean()) if self.held_out.any() else None

    def confusion(self, counted: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return how often each label (row) was taken for each (column), `[classes, classes]`.

        Args:
            counted: which pictures to look at, `[n]`; None: all that were held out.
        """
        counted = self.held_out if counted is None else self.held_out & counted
        matrix = np.zeros((len(self.labels), len(self.labels)), np.int64)
        np.add.at(matrix, (self.targets[counted], self.said[counted]), 1)
        return matrix

    def surest(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the indices of some pictures `[n]`, those with the most confident answer first."""
        found = np.flatnonzero(chosen)
        return found[np.argsort(-self.confidence[found], kind="stable")]

    def paths(self, chosen: NDArray[np.int64]) -> list[Path]:
        """Return the files of some pictures."""
        return [self.dataset.pictures[index].path for index in chosen]

    @property
    def _known(self) -> Array:
        return np.nan_to_num(self.probabilities, nan=-1.0)


class Gain(NamedTuple):
    """What the second half of the sessions added."""

    half: CurvePoint
    all: CurvePoint
    climbs: bool
    """Gain above 2 points and p < 0.05."""
    is_flat: bool
    """Gain below 1 point or half the standard error, whichever is larger."""


def mcnemar_p(better: NDArray[np.bool_], worse: NDArray[np.bool_]) -> float:
    """Return the one-sided p-value of McNemar's exact test that one network is better than another.

    By chance each wins half of the pictures that only one gets right (McNemar 1947, "Note on the
    sampling error of the difference between correlated proportions or percentages").

    Args:
        better: whether the first network got each picture right, `[n]`.
        worse: the same, for the other.
    """
    differ, won = int((better != worse).sum()), int((better & ~worse).sum())
    return sum(comb(differ, count) for count in range(won, differ + 1)) / (1 << differ)


def gain(curve: list[CurvePoint]) -> Gain | None:
    """Compare learning from everything with learning from about half; None if there is no half."""
    if len(curve) < 2:
        return None
    last = max(curve, key=lambda point: (point.sessions, point.pictures))
    half = min(curve, key=lambda point: abs(point.pictures / last.pictures - 0.5))
    if half.pictures > 0.75 * last.pictures:
        return None
    more = last.accuracy - half.accuracy
    error = sqrt(last.accuracy * (1 - last.accuracy) / len(last.right))
    climbs = more > WORTH and mcnemar_p(last.right, half.right) < LUCK
    return Gain(half, last, climbs, more < max(0.01, error / 2))


class Mixed(NamedTuple):
    """Pictures of one label that are taken for another."""

    shown: int
    taken: int
    pictures: NDArray[np.int64]
    of: int
    """Pictures of the label that were held out."""


def mixed_up(evidence: Evidence, counted: NDArray[np.bool_]) -> list[list[Mixed]]:
    """Return the pairs of labels that are mixed up, one way or both, the worst pair first.

    Only pairs in which significantly more than 5 % of a label's pictures are taken for the other.

    Args:
        evidence: what was said.
        counted: which pictures to look at, `[n]`.
    """
    matrix = evidence.confusion(counted)
    found: dict[frozenset[int], list[Mixed]] = defaultdict(list)
    for shown, taken in np.argwhere(matrix > 2).tolist():
        of = int(matrix[shown].sum())
        if shown != taken and wilson_lower(int(matrix[shown, taken]), of, len(matrix)) > 0.05:
            wrong = counted & (evidence.targets == shown) & (evidence.said == taken)
            mixed = Mixed(shown, taken, np.flatnonzero(wrong), of)
            found[frozenset((shown, taken))].append(mixed)
    pairs = [sorted(ways, key=lambda way: -len(way.pictures)) for ways in found.values()]
    return sorted(pairs, key=lambda ways: -sum(len(way.pictures) for way in ways))


class Bin(NamedTuple):
    """Held-out pictures whose confidence lies in one interval."""

    low: float
    high: float
    number: int
    confidence: float
    """Their mean; 0 where there are none, as is `accuracy`."""
    accuracy: float


def reliability(evidence: Evidence, bins: int = 10) -> tuple[list[Bin], float]:
    """Return the accuracy in each bin of confidence, and the expected calibration error.

    The error is the mean distance between confidence and accuracy, weighed by pictures: Guo et al.
    2017, "On Calibration of Modern Neural Networks", equation 3; 0 where nothing was held out.
    """
    confidence, right = evidence.confidence[evidence.held_out], evidence.right[evidence.held_out]
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    found, error = [], 0.0
    for number in range(bins):
        here = place == number
        means = (
            (float(confidence[here].mean()), float(right[here].mean())) if here.any() else (0, 0)
        )
        found.append(Bin(number / bins, (number + 1) / bins, int(here.sum()), *means))
        error += float(here.sum()) / max(1, len(place)) * abs(means[0] - means[1])
    return found, error


def wilson_lower(part: int, whole: int, among: int = 1) -> float:
    """Return the lower Wilson confidence bound of a share (one-sided, 95 %).

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Args:
        part: how many.
        whole: of how many; at least 1.
        among: how many such shares are compared (Bonferroni's correction).
    """
    return _wilson(part, whole, -NormalDist().inv_cdf(1 - 0.05 / among))


def wilson_upper(part: int, whole: int, among: int = 1) -> float:
    """Return the upper Wilson confidence bound of a share; see `wilson_lower`."""
    return _wilson(part, whole, NormalDist().inv_cdf(1 - 0.05 / among))


def _wilson(part: int, whole: int, z: float) -> float:
    share = part / whole
    middle = share + z * z / (2 * whole)
    reach = z * sqrt(share * (1 - share) / whole + (z / (2 * whole)) ** 2)
    return (middle + reach) / (1 + z * z / whole)
