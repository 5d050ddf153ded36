"""What a network looks at: its hidden units as pictures, and which part of a picture it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.frame import Image
    from trainer.evidence import Evidence
    from trainer.network import Array

COLOURS = np.array(
    [[33, 82, 145], [120, 163, 209], [246, 246, 244], [231, 157, 97], [176, 75, 10]], np.float64
)
"""From -1 (blue) over 0 (near white) to 1 (orange): told apart by colour-blind eyes, too."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitPicture:
    """What a hidden unit responds to, and which labels it speaks for and against."""

    unit: int
    image: NDArray[np.uint8]
    """uint8 `[height, width, 3]`: orange excites the unit, blue silences it."""
    towards: int
    """Index of the label whose logit it raises the most."""
    away: int
    """Index of the label whose logit it raises the least, or lowers the most."""


def hidden_pictures(
    W1: Array, W2: Array, scale: Array, rows: Array, shape: tuple[int, int], *, most: int = 12
) -> list[UnitPicture]:
    """Draw what the hidden units that matter most respond to.

    A unit matters by the length of its incoming weights times the spread of its outgoing ones: the
    product stays the same where a ReLU unit's input is doubled and its output halved.

    The bare weights would look like noise, and mislead: what a weight does depends on all others,
    and much of it is left from its random beginning. Drawn is how each feature goes along with the
    unit's weighted sum over real pictures, their covariance: Haufe et al. 2014, "On the
    interpretation of weight vectors of linear models in multivariate neuroimaging", equation 6.

    Args:
        W1: `[features, hidden]`, over scaled features.
        W2: `[hidden, classes]`.
        scale: `[features]`, what each feature was multiplied by.
        rows: `[n, features]` of pictures, not scaled.
        shape: `(rows, columns)` of the picture that the first features are, as in `pixels`.
        most: units to draw.

    Raises:
        ValueError: fewer features than the shape has.
    """
    size = int(np.prod(shape))
    if size > len(W1):
        raise ValueError(f"{len(W1)} features hold no map of shape {shape}")
    matters = np.linalg.norm(W1, axis=0) * np.ptp(W2, axis=1)
    units = np.argsort(-matters, kind="stable")[:most]
    apart = rows - rows.mean(axis=0)
    sums = apart @ (W1[:, units] * scale[:, None])  # (n, units): centred, as `apart` is
    patterns = (sums.T @ apart[:, :size] / len(rows)).reshape(-1, *shape).astype(np.float64)
    patterns /= np.array([_large(pattern) for pattern in patterns])[:, None, None] + 1e-12
    return [
        UnitPicture(unit, colour(pattern), int(W2[unit].argmax()), int(W2[unit].argmin()))
        for unit, pattern in zip(units.tolist(), patterns, strict=True)
    ]


def colour(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return values `[height, width]` from -1 to 1 as uint8 `[height, width, 3]`."""
    place = (np.clip(values, -1, 1) + 1) / 2 * (len(COLOURS) - 1)
    steps = np.arange(len(COLOURS))
    mixed = [np.interp(place, steps, channel) for channel in COLOURS.T]
    return np.stack(mixed, axis=-1).round().astype(np.uint8)


def occlusion(
    run: Callable[[Image], Array], image: Image, label: int, *, grid: int = 8
) -> NDArray[np.float64]:
    """Return how much a label's probability drops where a grey patch hides part of a picture.

    The patch is two cells wide and steps a cell at a time: Zeiler and Fergus 2014, "Visualizing and
    Understanding Convolutional Networks", section 4.2. It takes `grid * grid + 1` runs, and asks
    nothing of what is run.

    Args:
        run: returns the probabilities, `[classes]`, of a uint8 `[height, width, 3]` picture.
        image: the picture.
        label: index of the label.
        grid: cells along a side.

    Returns:
        `[grid, grid]`, from -1 to 1: positive where the picture needs to be seen.

    Raises:
        ValueError: a grid that is not 1 to 32.
    """
    if not 1 <= grid <= 32:
        raise ValueError(f"a grid of {grid} cells; 1 to 32 can be asked for")
    height, width = image.shape[:2]
    grey = np.uint8(round(float(image.mean())))  # no brighter than the picture: no new object
    before = float(run(image)[label])
    heat = np.zeros((grid, grid))
    for row, column in np.ndindex(grid, grid):
        hidden = image.copy()
        hidden[_around(row, grid, height), _around(column, grid, width)] = grey
        heat[row, column] = before - float(run(hidden)[label])
    return heat


def pick_examples(evidence: Evidence, *, most: int = 6) -> list[int]:
    """Return a picture of each label for `occlusion`: one recognised, neither barely nor easily.

    Where a probability is nearly 1, hiding a part hardly changes it; the one in the middle of those
    that were recognised is shown. Labels without one are left out.
    """
    found = []
    for label in range(len(evidence.labels)):
        order = evidence.surest(evidence.right & (evidence.targets == label))
        if len(order):
            found.append(int(order[len(order) // 2]))
    return found[:most]


def _around(cell: int, grid: int, side: int) -> slice:
    """Return the pixels of a cell and half of each neighbour, at least one."""
    start = max(0, int((cell - 0.5) * side / grid))
    return slice(min(start, side - 1), max(start + 1, round((cell + 1.5) * side / grid)))


def _large(values: NDArray[np.float64]) -> float:
    """Return a size that few values exceed: one odd weight should not pale all others."""
    return float(np.quantile(np.abs(values), 0.99))
