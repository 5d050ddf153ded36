"""Which pictures are alike: for finding copies, repeats, and labels that neighbours contradict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SKETCH = 256
"""Numbers a picture is compared by, at most."""
BLOCK = 512
"""Pictures compared with all others at a time: memory stays at some megabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The picture most like each one, from elsewhere and from the same session."""

    elsewhere: NDArray[np.int64]
    """`[n]`: its index; -1 where there is no other session."""
    elsewhere_likeness: NDArray[np.float32]
    """`[n]`, up to 1 for a copy; -1 where there is none."""
    within: NDArray[np.int64]
    """`[n]`; -1 where it is its session's only picture."""
    within_likeness: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How alike pictures are: the cosine between their features, each scaled by its spread.

    Many features are first projected to `SKETCH` random directions. That keeps a cosine c to about
    (1 - c^2) / sqrt(SKETCH), so it is the better the more alike two pictures are (Johnson and
    Lindenstrauss 1984; Achlioptas 2003, "Database-friendly random projections").
    """

    units: NDArray[np.float32]
    """`[n, directions]`, each row of length 1."""
    sessions: NDArray[np.int64]
    """`[n]`: a number for each session."""

    @classmethod
    def of(cls, rows: NDArray[np.float32], sessions: Sequence[str]) -> Self:
        """Prepare pictures' own features, float32 `[n, features]`, and their sessions' names."""
        spread = rows.std(axis=0) + np.float32(0.05) * rows.std() + np.float32(1e-6)  # as `Scaler`
        mean = rows.mean(axis=0)
        if rows.shape[1] <= SKETCH:
            units = (rows - mean) / spread
        else:
            signs = np.random.default_rng(0).choice([-1.0, 1.0], (rows.shape[1], SKETCH))
            directions = signs.astype(np.float32) / spread[:, None]
            units = rows @ directions - mean @ directions  # no scaled copy of all rows
        units /= np.linalg.norm(units, axis=1, keepdims=True) + np.float32(1e-9)
        return cls(units, np.unique(list(sessions), return_inverse=True)[1].astype(np.int64))

    def cosines(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield pictures' indices, `[b]`, and how alike each of them is to all, `[b, n]`."""
        n = len(self.units)
        for start in range(0, n, BLOCK):
            block = np.arange(start, min(start + BLOCK, n))
            yield block, self.units[block] @ self.units.T

    def nearest(self) -> Nearest:
        """Compare every picture with every other."""
        n = len(self.units)
        where = {name: np.full(n, -1, np.int64) for name in ("elsewhere", "within")}
        likeness = {name: np.full(n, -1, np.float32) for name in where}
        for block, cosines in self.cosines():
            cosines[np.arange(len(block)), block] = -2  # not with itself
            same = self.sessions[block, None] == self.sessions
            for name, other in (("elsewhere", same), ("within", ~same)):
                left = np.where(other, np.float32(-2), cosines)
                best = left.argmax(axis=1)
                found = left[np.arange(len(block)), best]
                where[name][block] = np.where(found > -2, best, -1)
                likeness[name][block] = np.maximum(found, -1)
        return Nearest(
            where["elsewhere"], likeness["elsewhere"], where["within"], likeness["within"]
        )

    def neighbours(self, picture: int, count: int) -> NDArray[np.int64]:
        """Return the pictures of other sessions most like one, nearest first, at most `count`."""
        cosines = self.units @ self.units[picture]
        others = np.flatnonzero(self.sessions != self.sessions[picture])
        return others[np.argsort(-cosines[others], kind="stable")[:count]]
