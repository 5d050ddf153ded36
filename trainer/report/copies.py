"""Copies of pictures in another session, or under another label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.alike import Nearest
    from trainer.evidence import Evidence

COPY = 0.95
"""Likeness of a copy. Measured: a picture saved again, smaller and at another quality, keeps 0.96
to 1.00; the same gesture in another session has 0.3 to 0.7."""
FEW = 0.01
"""Share of all pictures below which copies under the same label are not mentioned."""
NONE = np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Pictures and their copies, `[n, 2]` each, the likest first."""

    within: NDArray[np.int64] = field(default_factory=NONE.copy)
    """Under the same label: each picture that has a copy, and that; none where they are few."""
    across: NDArray[np.int64] = field(default_factory=NONE.copy)
    """Under two labels: each two once."""


def find_copies(evidence: Evidence, nearest: Nearest) -> Copies:
    """Return the copies of pictures in another session, or under another label."""
    pairs = np.concatenate([_beside(evidence, nearest), _elsewhere(evidence, nearest)])
    same = evidence.targets[pairs[:, 0]] == evidence.targets[pairs[:, 1]]
    within = pairs[same] if same.sum() >= max(2, FEW * len(evidence.targets)) else NONE
    once = list(dict.fromkeys((min(pair), max(pair)) for pair in pairs[~same].tolist()))
    return Copies(within, np.array(once, np.int64).reshape(-1, 2))


def _elsewhere(evidence: Evidence, nearest: Nearest) -> NDArray[np.int64]:
    """Return each picture with its copy in another session, `[n, 2]`."""
    likest = np.argsort(-nearest.elsewhere_likeness, kind="stable")
    found = likest[nearest.elsewhere_likeness[likest] >= COPY]
    pairs = np.stack([found, nearest.elsewhere[found]], axis=1)
    # Hands held alike are as like as copies, but never to the last digit.
    return pairs if evidence.whole else pairs[_are_equal(evidence, pairs)]


def _beside(evidence: Evidence, nearest: Nearest) -> NDArray[np.int64]:
    """Return each picture with its copy in its own session under another label, `[n, 2]`.

    Only exact copies: a session's pictures are alike anyway.
    """
    found = np.flatnonzero(nearest.within_likeness >= COPY)
    pairs = np.stack([found, nearest.within[found]], axis=1)
    pairs = pairs[evidence.targets[pairs[:, 0]] != evidence.targets[pairs[:, 1]]]
    equal: NDArray[np.int64] = pairs[_are_equal(evidence, pairs)]
    return equal


def _are_equal(evidence: Evidence, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pairs have equal features that are not all zero, `[n]`."""
    ones, others = evidence.rows[pairs[:, 0]], evidence.rows[pairs[:, 1]]
    equal: NDArray[np.bool_] = (ones == others).all(axis=1) & ones.any(axis=1)
    return equal
