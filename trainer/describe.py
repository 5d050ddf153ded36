"""From picture files to rows of features, with altered copies, on all cores."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.errors import PictureError
from edge.pictures import keeps_points, read_picture
from edge.sources.taken import turn_between
from edge.sources.turning import turn
from trainer.augment import VERSION, augment, scramble
from trainer.cache import FeatureCache, digest
from trainer.dataset import content_of
from trainer.errors import DataError
from trainer.features import VIEWS, looks_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.sources.turning import Turn
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
    scraps: NDArray[np.float32]
    """float32 `[pictures, scraps, features]`: of each picture's scrambled copies."""
    widths: dict[str, int]
    """The number of features of each joined kind, in order."""
    finders: tuple[str, ...]
    """The kinds that look for something, such as a hand: their last feature is the confidence, and
    all are 0 where it was not found."""
    unreadable: list[str]
    """One line for each picture that was skipped."""
    size: tuple[int, int]
    """`(width, height)` that most pictures have, pixels."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """The index of each picture's label, int64 `[pictures]`."""
        index = {label: number for number, label in enumerate(self.dataset.labels)}
        return np.array([index[picture.label] for picture in self.dataset.pictures])

    def only(self, features: Features) -> Described:
        """Return the same with these features alone, which are some of the kinds.

        Where a hand was found the other kinds are zero, as in the graph that
        `trainer.features.kinds.join` makes.
        """
        columns = self._columns()
        names = [part.name for part in features.parts]
        if names == list(self.widths) and (self.blind or not self.finders):
            return self
        chosen = np.concatenate([np.arange(columns[n].start, columns[n].stop) for n in names])
        part = replace(
            self,
            rows=self.rows[..., chosen],
            scraps=self.scraps[..., chosen],
            widths={name: self.widths[name] for name in names},
            finders=tuple(name for name in names if name in self.finders),
        )
        found = part.found(part.rows)
        for name in part.widths.keys() - set(part.finders):
            part.rows[..., part._columns()[name]][found] = 0  # noqa: SLF001  (our own)
        return part

    def found(self, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether each row, `[..., features]`, has found what it looks for."""
        return np.asarray((rows[..., self.confidences] > 0).any(axis=-1))

    def mirrored(self, rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return rows as the other hand would have given them; None where no hand is looked for.

        Args:
            rows: `[..., features]`. Of those in which no hand was found nothing is said.
        """
        from trainer.features.poses import NUMBERS, other_hand

        changed = rows.copy()
        columns = self._columns()
        hands = [
            columns[name]
            for name in self.finders
            if looks_for(name) == "hand" and self.widths[name] == NUMBERS
        ]
        for place in hands:
            changed[..., place] = other_hand(rows[..., place])
        return changed if hands else None

    @property
    def confidences(self) -> NDArray[np.int64]:
        """The indices of the features that are finders' confidences."""
        columns = self._columns()
        return np.array([columns[name].stop - 1 for name in self.finders], np.int64)

    @property
    def blind(self) -> bool:
        """Whether all features are zero where nothing is found."""
        return set(self.finders) == set(self.widths)

    def _columns(self) -> dict[str, slice]:
        ends = np.cumsum(list(self.widths.values())).tolist()
        starts = [0, *ends[:-1]]
        return {
            name: slice(start, end)
            for name, start, end in zip(self.widths, starts, ends, strict=True)
        }


def describe(
    dataset: Dataset,
    features: Features,
    *,
    copies: int = 0,
    scraps: int = 0,
    mirror: bool = False,
    cache: FeatureCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Described:
    """Read every picture and run it, and altered copies of it, through the features' graphs.

    Only one picture a core is held in memory at a time. A picture's copies depend on its own
    content alone, so that they can be kept: what is in the cache is not computed again.

    Args:
        dataset: what to read.
        features: the graph, or several joined.
        copies: augmented copies a picture.
        scraps: scrambled copies a picture, which show nothing any more.
        mirror: whether every other copy is mirrored as well.
        cache: where features are kept; None keeps none.
        progress: called with how many of how many pictures are done.

    Raises:
        DataError: a class of which no picture could be read.
    """
    kept = cache or FeatureCache(None)

    def one(picture: Picture) -> _Read | str:
        try:
            how = turn_between(picture.taken, dataset.taken)
            return _describe(picture.path, features, copies, scraps, kept, mirror=mirror, how=how)
        except PictureError as problem:
            return str(problem)

    read = _on_all_cores(one, dataset.pictures, progress)
    return _gather(dataset, read, 1 + copies, features)


def _describe(
    path: Path,
    features: Features,
    copies: int,
    scraps: int,
    cache: FeatureCache,
    *,
    mirror: bool,
    how: Turn,
) -> _Read:
    """Return a picture's rows, `[1 + copies + scraps, features]`, and its `(width, height)`."""
    content = content_of(path)
    if keeps_points(path):
        rng = np.random.default_rng(list(digest(content)))
        return _describe_points(path, features, rng, copies, scraps, mirror=mirror, how=how)
    about = f"{' mirror' * mirror}{how if any(how) else ''}"
    # Only what each kind computes: with more pictures there may be fewer copies.
    looks = [_looks(part, copies, scraps) for part in features.parts]
    keys = [
        digest(part.digest, content, f"{VERSION} {own - 1} {torn}{about}")
        for part, (own, torn) in zip(features.parts, looks, strict=True)
    ]
    found = [cache.get(key) for key in keys]
    several: list[NDArray[np.uint8]] = []  # the picture, its copies, its scraps
    for number, part in enumerate(features.parts):
        if found[number] is not None:
            continue
        if not several:
            image = turn(read_picture(path), how)
            rng = np.random.default_rng(list(digest(content)))
            several = [image, *(augment(image, rng) for _ in range(copies))]
            if mirror:
                several[1::2] = [copy[:, ::-1] for copy in several[1::2]]
            several += [scramble(image, rng) for _ in range(scraps)]
        own, torn = looks[number]
        rows = np.stack([part(one) for one in several[:own] + several[1 + copies :][:torn]])
        size = (several[0].shape[1], several[0].shape[0])
        cache.put(keys[number], rows, size)
        found[number] = rows, size
    known = [one for one in found if one is not None]
    several_rows = [
        _repeated(rows, own, copies, scraps)
        for (rows, _), (own, _) in zip(known, looks, strict=True)
    ]
    return np.concatenate(several_rows, axis=1), known[0][1]


def _describe_points(
    path: Path,
    features: Features,
    rng: np.random.Generator,
    copies: int,
    scraps: int,
    *,
    mirror: bool,
    how: Turn,
) -> _Read:
    """Return the same for a recording without pictures; its scraps are zero."""
    from trainer.features.points import describe_points, read_points, turned_points

    points = read_points(path)
    if features.name != points.kind:
        raise DataError(
            f"{path}: kept are the points of a {points.kind}, no picture: only --features "
            f"{points.kind} learns from them"
        )
    rows = describe_points(turned_points(points, how), rng, copies, mirror=mirror)
    return np.concatenate([rows, np.zeros((scraps, rows.shape[1]), np.float32)]), points.size


def _looks(part: Features, copies: int, scraps: int) -> tuple[int, int]:
    """Return how many of a picture and its copies a kind computes, and how many scraps.

    Finders compute no scraps: nothing should be found there, though an enlarged corner may show
    the hand itself.
    """
    return 1 + min(copies, VIEWS.get(part.name, copies)), 0 if part.state else scraps


def _repeated(rows: NDArray[np.float32], own: int, copies: int, scraps: int) -> NDArray[np.float32]:
    """Repeat the `own` rows up to `1 + copies`, then append the scraps.

    Scraps that were not computed are zero.
    """
    torn = rows[own:] if len(rows) > own else np.zeros((scraps, rows.shape[1]), np.float32)
    return np.concatenate([rows[np.arange(1 + copies) % own], torn])


def _gather(dataset: Dataset, read: list[_Read | str], own: int, features: Features) -> Described:
    """Stack the rows of readable pictures; describe the unreadable ones."""
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
    return Described(
        dataset.without(skipped),
        rows[:, :own],
        rows[:, own:],
        {part.name: part.size for part in features.parts},
        tuple(part.name for part in features.parts if part.state),
        unreadable,
        size,
    )


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
