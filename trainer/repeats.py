"""Sessions that are one recording, as their pictures nearly repeat each other.

A set that was saved again, at another size or quality, or a film whose frames were dealt out to
several folders: a network tested on one such session after learning another looks far better than
it is, and the features that know pictures by heart look best of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge.pictures import keeps_points, natural_key
from trainer.alike import Likeness
from trainer.dataset import NOTHING
from trainer.describe import describe
from trainer.features import make_features
from trainer.sessions import connected
from trainer.words import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from trainer.cache import FeatureCache
    from trainer.dataset import Dataset, Picture

REPEATED = 0.98
"""Likeness of `pixels` beyond which one picture nearly repeats another. Measured: a picture saved
again has 0.98 to 1.00, those of true other sessions at most 0.977 (benchmarks/repeats.py)."""
SHARE = 0.05
"""Share of the smaller of two sessions from which both are one recording. Of recordings cut in the
middle, 0.06 to 0.15 nearly repeat a picture beyond the cut; of others, none."""
FEWEST = 2
"""And how many pictures, at least, if it has as many: one may be chance."""
CONTRAST = 0.25
"""Of the usual one: pictures with less, as of a covered lens, are all alike and do not count."""


def join_repeating(
    dataset: Dataset,
    cache: FeatureCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Make one session of those whose pictures nearly repeat each other, and note it.

    Pictures of nothing do not count: a camera that stays where it is sees the same empty scene
    every day. Nor do recordings that kept no pictures.

    Args:
        dataset: the pictures.
        cache: where features are kept.
        progress: called with how many of how many pictures were read.

    Raises:
        DataError: a class of which no picture could be read.
    """
    of_gestures = dataset.only(
        number
        for number, one in enumerate(dataset.pictures)
        if one.label.casefold() not in NOTHING and not keeps_points(one.path)
    )
    if len({one.session for one in of_gestures.pictures}) < 2:
        return dataset
    seen = describe(of_gestures, make_features("pixels"), cache=cache, progress=progress)
    pairs = _repeating(seen.rows[:, 0], seen.dataset.pictures)
    recordings = [sorted(one, key=natural_key) for one in connected(map(set, pairs))]
    if not recordings:
        return dataset
    joined = {session: _name(one) for one in recordings for session in one}
    pictures = [replace(one, session=joined.get(one.session, one.session))
                for one in dataset.pictures]  # fmt: skip
    more = f" (and {len(recordings) - 1} more times)" if len(recordings) > 1 else ""
    note = (
        f"the pictures of sessions {names(recordings[0])} nearly repeat each other{more}: taken "
        "as one recording, as a network that learned one knows the other"
    )
    return replace(dataset, pictures=pictures, notes=[*dataset.notes, note])


def _repeating(rows: NDArray[np.float32], pictures: Sequence[Picture]) -> Iterator[tuple[str, str]]:
    """Yield pairs of sessions whose pictures, rows `[n, features]`, repeat under the same label."""
    sessions = np.array([one.session for one in pictures], dtype=object)
    labels = np.array([one.label for one in pictures], dtype=object)
    contrast = rows.std(axis=1)
    shows = contrast >= CONTRAST * np.median(contrast)
    repeats: set[tuple[int, str]] = set()  # a picture, and a session with one that it repeats
    for block, cosines in Likeness.of(rows, sessions.tolist()).cosines():
        alike = cosines >= REPEATED
        alike &= shows[block, None] & shows & (labels[block, None] == labels)
        alike &= sessions[block, None] != sessions
        ones, others = alike.nonzero()
        repeats |= set(zip(block[ones].tolist(), sessions[others].tolist(), strict=True))
    sizes = Counter(sessions.tolist())
    found = Counter((sessions[number], other) for number, other in repeats)
    for (one, other), number in found.items():
        smaller = min(sizes[one], sizes[other])
        if number >= max(min(FEWEST, smaller), SHARE * smaller):
            yield one, other


def _name(sessions: Sequence[str]) -> str:
    """Name the recording that sessions, in counting order, are part of."""
    return "+".join(sessions) if len(sessions) == 2 else f"{sessions[0]}+{len(sessions) - 1}"
