"""From picture files to rows of features, with augmented copies, on all cores."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.errors import PictureError
from edge.pictures import read_picture
from trainer.augment import augment
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.dataset import Dataset, Picture
    from trainer.features import Features

_Read: TypeAlias = tuple[NDArray[np.float32], tuple[int, int]]
"""One picture's rows of features, and its `(width, height)`."""


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A dataset's pictures as features."""

    dataset: Dataset
    """Only the pictures that could be read."""
    rows: NDArray[np.float32]
    """float32 `[pictures, 1 + copies, features]`; the first of each picture is its own."""
    unreadable: list[str]
    """One line for each picture that was skipped."""
    size: tuple[int, int]
    """`(width, height)` that most pictures have, pixels."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """The index of each picture's label, int64 `[pictures]`."""
        index = {label: number for number, label in enumerate(self.dataset.labels)}
        return np.array([index[picture.label] for picture in self.dataset.pictures])


def describe(
    dataset: Dataset,
    features: Features,
    *,
    copies: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Described:
    """Read every picture and run it, and augmented copies of it, through the features' graph.

    Only one picture a core is held in memory at a time. A picture's copies depend on the seed and
    on its own content, not on its neighbours.

    Args:
        dataset: what to read.
        features: the graph.
        copies: augmented copies a picture.
        seed: of the augmentation.
        progress: called with how many of how many pictures are done.

    Raises:
        DataError: a class of which no picture could be read.
    """

    def one(picture: Picture) -> _Read | str:
        try:
            image = read_picture(picture.path)
        except PictureError as problem:
            return str(problem)
        rng = np.random.default_rng([seed, zlib.crc32(image.tobytes())])
        several = [image, *(augment(image, rng) for _ in range(copies))]
        return np.stack([features(each) for each in several]), (image.shape[1], image.shape[0])

    return _gather(dataset, _on_all_cores(one, dataset.pictures, progress))


def _gather(dataset: Dataset, read: list[_Read | str]) -> Described:
    """Put what could be read side by side, and what could not into words."""
    unreadable = [line for line in read if isinstance(line, str)]
    good = [one for one in read if not isinstance(one, str)]
    skipped = [p for p, one in zip(dataset.pictures, read, strict=True) if isinstance(one, str)]
    if not good:
        raise DataError(f"{dataset.root}: not one picture could be read; first: {unreadable[0]}")
    gone = set(dataset.labels) - set(dataset.without(skipped).labels)
    if gone:
        raise DataError(f"{dataset.root}: no picture of '{min(gone)}' could be read; add some")
    rows = np.stack([rows for rows, _ in good])
    size = Counter(size for _, size in good).most_common(1)[0][0]
    return Described(dataset.without(skipped), rows, unreadable, size)


def _on_all_cores(
    one: Callable[[Picture], _Read | str],
    pictures: list[Picture],
    progress: Callable[[int, int], None] | None,
) -> list[_Read | str]:
    """Do one thing for every picture. OpenCV and onnxruntime let threads run side by side."""
    results: list[_Read | str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for result in pool.map(one, pictures):
                results.append(result)
                if progress is not None:
                    progress(len(results), len(pictures))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C should not wait for a thousand pictures
            raise
    return results
