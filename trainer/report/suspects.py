"""Pictures that are probably in the wrong folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.alike import Likeness
    from trainer.evidence import Evidence

NEIGHBOURS, AGREE = 5, 4
"""Neighbours from other sessions compared, and how many must contradict the label."""
FEW = 0.2
"""Share of a label's pictures. If more are taken for the same other label, the two are hard to tell
apart, and the folders are right."""
KNOWN = 0.7
"""Share of both labels' pictures that must be recognised: a guessing network is no evidence."""
GROUP = 4
"""Pictures of a label in a session that may be wrong together."""
ASKED = 500
"""Pictures whose neighbours are looked for, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """All pictures of a label in a session, which look like another label."""

    session: str
    shown: int
    """The folder's label."""
    taken: int
    """What they look like."""
    pictures: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """What was found, the surest first."""

    groups: list[Group]
    pictures: NDArray[np.int64]
    """One by one, without those in groups."""
    mask: NDArray[np.bool_]
    """`[n]`: which pictures are in either."""


def find_suspects(evidence: Evidence, likeness: Likeness, certain: NDArray[np.bool_]) -> Suspects:
    """Return pictures that both the network and their neighbours take for another label.

    The network held the picture out and is as sure of the other label as it usually is where that
    label is right: Northcutt et al. 2021, "Confident Learning: Estimating Uncertainty in Dataset
    Labels", equation 2. Its neighbours are of other sessions, so neither learned from the picture.

    Args:
        evidence: what was said.
        likeness: how alike the pictures are.
        certain: which pictures to look at, `[n]`; their neighbours may be any.
    """
    doubted = _doubted(evidence) & certain
    doubted[evidence.surest(doubted)[ASKED:]] = False
    for picture in np.flatnonzero(doubted):
        around = evidence.targets[likeness.neighbours(int(picture), NEIGHBOURS)]
        doubted[picture] = (around == evidence.said[picture]).sum() >= AGREE
    groups = _groups(evidence, doubted)
    mask = np.zeros_like(doubted)
    for group in groups:
        mask[group.pictures] = True
    single = doubted & ~mask
    for shown in np.unique(evidence.targets[single]):
        of_label = evidence.held_out & (evidence.targets == shown) & ~mask
        for taken in np.unique(evidence.said[single & of_label]):
            mixed = (evidence.said == taken) & of_label
            of_other = evidence.held_out & (evidence.targets == taken)
            rare = mixed.sum() <= FEW * of_label.sum()
            if not (rare and _known(evidence, of_label) and _known(evidence, of_other)):
                single &= ~mixed
    return Suspects(groups, evidence.surest(single), mask | single)


def _doubted(evidence: Evidence) -> NDArray[np.bool_]:
    """Return the pictures that the network confidently takes for another label, `[n]`."""
    usual = np.full(len(evidence.labels), np.inf)
    for label in range(len(evidence.labels)):
        own = evidence.held_out & (evidence.targets == label)
        if own.any():
            usual[label] = evidence.probabilities[own, label].mean()
    sure: NDArray[np.bool_] = evidence.confidence >= np.maximum(usual[evidence.said], 0.5)
    return evidence.held_out & ~evidence.right & sure


def _groups(evidence: Evidence, doubted: NDArray[np.bool_]) -> list[Group]:
    """Return the labels of sessions that are wrong as a whole, while other sessions are right."""
    found = []
    pairs = {(evidence.sessions[i], int(evidence.targets[i])) for i in np.flatnonzero(doubted)}
    for session, shown in sorted(pairs):
        of_label = evidence.held_out & (evidence.targets == shown)
        elsewhere = evidence.sessions != session  # there the two may be swapped
        here = of_label & ~elsewhere
        answers = np.bincount(evidence.said[here], minlength=len(evidence.labels))
        taken = int(answers.argmax())
        together = here & (evidence.said == taken)
        if (
            here.sum() >= GROUP
            and taken != shown
            and together.sum() >= 0.8 * here.sum()
            and (together & doubted).sum() >= 0.5 * together.sum()
            and _known(evidence, of_label & ~here)
            and _known(evidence, evidence.held_out & (evidence.targets == taken) & elsewhere)
        ):
            found.append(Group(session, shown, taken, evidence.surest(together)))
    return found


def _known(evidence: Evidence, some: NDArray[np.bool_]) -> bool:
    """Whether held-out pictures are mostly recognised."""
    return bool(some.any()) and bool(evidence.right[some].mean() >= KNOWN)
