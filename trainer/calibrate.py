"""How far to believe the network: its temperature, its thresholds, and what is strange to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.card import Thresholds
from trainer.network import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.network import Array

WRONG = 0.05
"""Share of the held-out pictures that may be wrong with a confidence above `enter`."""
LEAST, MOST = 0.65, 0.7
"""Bounds of `enter`. At 0.5, gestures were seen a frame sooner, but resting hands and other things
triggered something tens of times an hour."""
REACHED = 0.9
"""Share of the taught pictures whose confidence must reach `enter`."""
STRANGE = 0.99
"""Share of the taught pictures that must not be strange, with room to spare."""
KEPT = 0.96
"""Share of the held-out pictures that must not be strange; docs/decisions/0025-noise.md."""
FARTHEST, NEAREST = 3.0, 6.0
"""The limit of novelty, at most: so many times what 99 % of the taught pictures stay below, or 6
where that is less, as for very uniform pictures. With ten a label, held-out ones may look stranger
than any other thing does."""
OF_TWO = 1.5
"""The limit of novelty where there are two labels, at the least: between them one direction
is all that differs, in which a few people's pictures lie so close that others' were strange. Of
other people's pictures of twelve pairs of hand signs 77 % switched the right output; so 88 %."""
USUAL_TEMPERATURE = 0.8
"""Temperature of a network that learned with noise, and so is underconfident, where no held-out
pictures can fit one. Where they could, it was 0.35 to 0.62."""
SHRINKAGE = 1 / 3
"""Of the hidden values' covariance towards a round one (Ledoit & Wolf 2004, "A well-conditioned
estimator for large-dimensional covariance matrices"). With a twentieth, a tenth fewer of other
people's gestures came through at the same share of unknown ones: docs/decisions/0025-noise.md."""
NOT_FOUND_NOVELTY = 1000.0
"""Added to the novelty where features that look for a hand, and for nothing else, find none."""


@dataclass(frozen=True, slots=True, eq=False)
class Strangeness:
    """How far a picture's hidden values are from every class's, in units of their usual spread.

    The squared Mahalanobis distance to the nearest class, with one covariance for all classes, a
    hidden unit's share: about 1 for pictures like the taught ones.

    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks", NeurIPS 2018, equation 2. docs/decisions/0003-novelty.md says what else
    was tried.
    """

    whiten: NDArray[np.float32]
    """float32 `[hidden, hidden]`: after it the spread within classes is 1 in every direction."""
    centres: NDArray[np.float32]
    """float32 `[groups, hidden]`: the classes' means, whitened."""

    @classmethod
    def of(cls, H: Array, groups: NDArray[np.int64]) -> Strangeness:
        """Measure hidden values `[n, hidden]` of pictures.

        Args:
            H: the hidden values.
            groups: `[n]`, which pictures are alike: those of one class, and of these apart those in
                which something was found and those in which nothing was.
        """
        H = H.astype(np.float64)
        names, places = np.unique(groups, return_inverse=True)
        means = np.stack([H[groups == name].mean(axis=0) for name in names])
        apart = H - means[places]
        covariance = apart.T @ apart / len(H)
        size = len(covariance)
        # Dead units have no spread of their own, and a direction in which one person's hands hardly
        # differ is one in which another's may.
        round_one = (np.trace(covariance) / size + 1e-9) * np.eye(size)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * round_one
        whiten = np.linalg.cholesky(np.linalg.inv(covariance))
        return cls(whiten.astype(np.float32), (means @ whiten).astype(np.float32))

    def __call__(self, H: Array) -> Array:
        """Return the novelty, `[n]`, of hidden values `[n, hidden]`."""
        apart = (H @ self.whiten)[:, None, :] - self.centres  # (n, groups, hidden)
        nearest: Array = np.square(apart).mean(axis=2).min(axis=1)
        return nearest


def fit_temperature(logits: Array, targets: NDArray[np.int64]) -> float:
    """Return the temperature that calibrates the probabilities.

    It minimises the cross-entropy on held-out pictures, within 0.25 to 2: for a network that fails
    on all of them it would grow without bound, and leave nothing to decide by.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

    Args:
        logits: `[n, classes]`, of pictures that were not trained on.
        targets: `[n]`, indices of labels.
    """
    candidates = np.geomspace(0.25, 2.0, 49)
    rows = np.arange(len(targets))
    losses = [-np.log(softmax(logits / t)[rows, targets] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def pick_thresholds(
    familiar: Array,
    novelty: Array,
    held_out: tuple[Array, NDArray[np.int64], Array] | None = None,
    *,
    background: int | None = None,
) -> Thresholds:
    """Choose the thresholds of confidence and novelty.

    96 % of the held-out pictures stay below `novelty`, unless that is over 6 and over 3 times what
    99 % of the taught ones stay below. Where no session could be held out, it is 1.5 times what
    those stay below. Of two labels it is 1.5 at the least. Pictures in which nothing was found do
    not count.

    `enter` is where at most 5 % of all the held-out pictures are wrong, surer, and not strange:
    between 0.65 and 0.7 (docs/decisions/0020-deciding.md; the decider's window and hold do the
    rest). But nine in ten of the taught pictures must reach it: a device that is never sure
    enough is no device, and how often it errs elsewhere the card says. `leave` is two thirds of it.

    Args:
        familiar: `[n, classes]`, the exported network's probabilities for the taught pictures.
        novelty: `[n]`, their novelty.
        held_out: probabilities `[k, classes]` for pictures not trained on, the indices `[k]` of
            their labels, and how strange they were found, `[k]`; None where there are none.
        background: index of the label that never triggers anything, if there is one.
    """
    usual = novelty_limit(novelty, STRANGE)
    enter, strange = LEAST, 1.5 * usual
    if held_out is not None:
        strange = min(novelty_limit(held_out[2], KEPT), max(FARTHEST * usual, NEAREST))
    if familiar.shape[1] == 2:
        strange = max(strange, OF_TWO)
    if held_out is not None:
        wrong = np.sort(_acting(held_out, strange, background)[0])[::-1]
        allowed = int(WRONG * len(held_out[1]))
        # Just above the first wrong answer beyond the allowed; a card has thousandths.
        too_many = wrong[allowed] if len(wrong) > allowed else 0.0
        enter = float(np.clip((np.floor(1000 * too_many) + 1) / 1000, LEAST, MOST))
    enter = min(enter, float(np.quantile(familiar.max(axis=1), 1 - REACHED)))
    false_triggers = kept = None
    if held_out is not None:
        false, true = _acting(held_out, strange, background)
        false_triggers = float((false >= enter).sum() / len(held_out[1]))
        nothing = -1 if background is None else background
        gestures = int((held_out[1] != nothing).sum())
        kept = float((true >= enter).sum() / gestures) if gestures else None
    return Thresholds(
        enter=round(enter, 3),
        leave=round(enter * 2 / 3, 3),
        novelty=round(strange, 4),
        false_triggers=false_triggers,
        kept=kept,
    )


def novelty_limit(novelty: Array, share: float = KEPT) -> float:
    """Return the `share` quantile of novelty, among pictures in which something was found."""
    found = novelty[novelty < NOT_FOUND_NOVELTY]
    return float(np.quantile(found, share)) if len(found) else 1.0


def _acting(
    held_out: tuple[Array, NDArray[np.int64], Array], strange: float, background: int | None
) -> tuple[Array, Array]:
    """Return the confidences of pictures that would trigger: wrong outputs, then right ones."""
    probabilities, targets, novelty = held_out
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    acts = novelty <= strange
    if background is not None:
        acts &= said != background
    return sure[acts & (said != targets)], sure[acts & (said == targets)]
