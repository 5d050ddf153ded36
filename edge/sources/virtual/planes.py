"""Arithmetic on planes of numbers, `[rows, columns]` or more; beyond the rim is the rim again."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Plane: TypeAlias = NDArray[np.float32]


def blur(plane: Plane, radius: float, *, times: int = 2) -> Plane:
    """Average the square of side 2 * radius + 1 about each pixel; twice is smoother than once."""
    reach = round(radius)
    if reach < 1:
        return plane
    window = 2 * reach + 1
    pad = [(reach + 1, reach), *[(0, 0)] * (plane.ndim - 1)]
    for _ in range(2 * times):  # down, then across
        total = np.cumsum(np.pad(plane, pad, mode="edge"), axis=0)
        plane = ((total[window:] - total[:-window]) * np.float32(1 / window)).swapaxes(0, 1)
    return plane


def shifted(plane: Plane, dx: int, dy: int) -> Plane:
    """Return what lies dx right and dy below each pixel."""
    height, width = plane.shape
    rows = np.clip(np.arange(height) + dy, 0, height - 1)
    columns = np.clip(np.arange(width) + dx, 0, width - 1)
    return plane[np.ix_(rows, columns)]


def stretched(grid: Plane, rows: int, columns: int) -> Plane:
    """Stretch a coarse grid over so many pixels, straight lines between its points."""
    for axis, length in enumerate((rows, columns)):
        at = np.linspace(0, grid.shape[axis] - 1, length, dtype=np.float32)
        before = np.minimum(at.astype(int), grid.shape[axis] - 2)
        share = (at - before).reshape((-1, 1) if axis == 0 else (1, -1))
        grid = grid.take(before, axis) * (1 - share) + grid.take(before + 1, axis) * share
    return grid
