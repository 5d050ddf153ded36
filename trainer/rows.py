"""Rows of features that need not fit in memory: kept in a file, a few of them read at a time.

For who teaches with `trainer.training.fit` itself; `trainer train` keeps its own in memory.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from trainer.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.network import Array

CHUNK = 512
"""Rows in memory at a time when all are read in order."""


class Rows(Protocol):
    """What can be learned from: an array, a `RowFile`, or whatever else hands out rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, features)`."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> Array:
        """Return these rows, `[len(rows), features]`; a copy, which the caller may change."""


class RowFile:
    """Rows of features in an unnamed file, which vanishes when it is closed or this process ends.

    It is written from its end and read anywhere, and none of it stays in our memory: the system
    keeps in its cache what it has room for. A mapped file (`np.memmap`) is read faster, but what
    was touched counts as ours, and after one epoch that is everything.

    Numbers are kept as float16: half the file, and three digits of a feature are enough.

        with RowFile(1500) as rows:
            rows.append(features)
            fit(network, rows, targets)

    Args:
        features: numbers in a row.
        folder: where the file is; None: where temporary files go.
    """

    dtype = np.dtype(np.float32)
    """Of the rows that come out."""

    def __init__(self, features: int, folder: Path | None = None) -> None:
        self._features = features
        self._length = 0
        self._folder = folder or tempfile.gettempdir()
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  (`close` does)

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, features)`."""
        return self._length, self._features

    def __len__(self) -> int:
        return self._length

    def append(self, rows: Array) -> None:
        """Add rows, `[n, features]`, at the end: all of them or none.

        Raises:
            TrainingError: a number that float16 does not hold, or no room for the file.
        """
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(rows, np.float16)
        if half.ndim != 2 or half.shape[1] != self._features:
            raise ValueError(f"rows of {self._features} features are kept here, not {half.shape}")
        if not np.isfinite(half).all():
            raise TrainingError("features: nan, infinity or beyond 65504; look at the features")
        data = half.reshape(-1).view(np.uint8).data
        at = self._offset(self._length)
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written
        except OSError as error:
            raise TrainingError(
                f"{self._folder}: no place for the features of all pictures ({error.strerror}); "
                "make room there, or set TMPDIR to a folder elsewhere"
            ) from error
        self._length += len(half)

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Read these rows, float32 `[len(rows), features]`.

        Raises:
            IndexError: a row that is not there.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < self._length:
            raise IndexError(f"rows 0 to {self._length - 1} are here; asked for {rows}")
        descriptor, size = self._file.fileno(), self._offset(1)
        data = b"".join([os.pread(descriptor, size, row * size) for row in rows.tolist()])
        return widen(np.frombuffer(data, np.float16).reshape(len(rows), self._features))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offset(self, row: int) -> int:
        return row * self._features * np.dtype(np.float16).itemsize


def widen(half: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return finite float16 numbers as float32, some seven times as fast as `astype`.

    The bits are moved to where float32 has them: sign, exponent, mantissa. What is then amiss is
    the exponent's offset, 15 rather than 127, which a product with 2^112 puts right, also for
    numbers too small for a full mantissa.
    """
    bits = half.view(np.int16).astype(np.int32)  # the sign is repeated in all upper bits
    bits <<= 13
    bits &= np.int32(~0x7000_0000)  # once is enough
    numbers = bits.view(np.float32)
    numbers *= np.float32(2.0**112)
    return numbers


def in_turn(n: int, size: int = CHUNK) -> Iterator[NDArray[np.int64]]:
    """Yield the indices 0 to n - 1 in order, `size` at a time."""
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))


def mean_and_spread(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each feature's mean and standard deviation, `[features]`, in one walk.

    Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance": each chunk's own
    mean and squares are joined to those so far, so that a large mean does not swallow the spread.
    """
    n, features = rows.shape
    mean, squares = np.zeros(features), np.zeros(features)
    for done in in_turn(n):
        chunk = np.asarray(rows[done], np.float64)
        before, share = done[0], len(done) / (done[-1] + 1)  # of all rows so far
        theirs = chunk.mean(axis=0)
        chunk -= theirs
        apart = theirs - mean
        squares += np.einsum("ij,ij->j", chunk, chunk) + apart * apart * before * share
        mean += apart * share
    return mean, np.sqrt(squares / max(n, 1))
