"""Which loose pictures belong to one recording: told by their times, or else by their numbers."""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edge.pictures import natural_key, taken_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

Member = TypeVar("Member", bound=Hashable)

STAMP = "%Y-%m-%d-%H%M%S"
"""What `trainer capture` calls a session, in `strftime`'s words."""
PAUSE = 60.0
"""Seconds without a picture after which a new session began."""
SKIP = 10
"""Numbers missing between two file names after which a new session began, at the least; more
where the usual step is larger, such as every fifth frame of a film."""
GONE = 2
"""A session does not begin where fewer pictures are missing than one in so many of those that are
there: bad ones of one recording were deleted."""

BASES = (60, 100, 1000)
"""Where a number in a name wraps within a recording: seconds, hundredths, thousandths."""
FEW = 8
"""Fewest pictures of a recording that only restarting numbers suggest."""

_COPY = re.compile(
    r"(.+?)(?:[\s_-]*(?:\(\d+\)|#\d+|copy[\s_-]*\d*)|(?<!\d)[\s_-]*(?<!\d)\d+)", re.IGNORECASE
)
"""A name that was taken already, and so got a number: `photo (1)`, `Photo at 10.12 #2`."""
_DATE_TIME = re.compile(
    r"(20\d\d)[-_.]?(\d\d)[-_.]?(\d\d)\D{0,4}(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?!\d{4})"
)
_UNIX_TIME = re.compile(r"(?<!\d)(1\d{9})(?:\d{3})?(?!\d)")


def guess_recordings(
    loose: Mapping[str, list[Path]],
) -> dict[str, tuple[dict[str, list[Path]], str]]:
    """Divide several labels' loose pictures into recordings.

    Gestures are often taken in turn. So where the labels' names count on from one to the other, as
    a phone's do, a label's pictures before and after another one's are one recording.

    Args:
        loose: each label's pictures, in counting order.

    Returns:
        Each label's recordings by name, those of several labels by the same, and in words how they
        were told apart.
    """
    guessed = {label: guess_sessions(paths) for label, paths in loose.items()}
    whole = _in_turn([session for sessions, _ in guessed.values() for session in sessions])
    found: dict[str, tuple[dict[str, list[Path]], str]] = {}
    for label, (sessions, how) in guessed.items():
        parts = [
            (one, [path for session in sessions for path in session if path in one])
            for one in whole
        ]
        named, alone = {}, False
        for number, (one, paths) in enumerate((part for part in parts if part[1]), start=1):
            shared = len(paths) < len(one)
            alone = shared and len(sessions) == 1
            named[f"loose-run{whole.index(one) + 1}" if shared else f"{label}-run{number}"] = paths
        in_turn = len(named) < len(sessions) or alone
        found[label] = named, "as the labels count on from one to the other" if in_turn else how
    return found


def _in_turn(sessions: list[list[Path]]) -> list[set[Path]]:
    """Join sessions of several labels that follow each other without a pause."""
    together = sorted((path for one in sessions for path in one), key=_counting)
    each_for_itself = len({path.name for path in together}) < len(together)
    runs = None if each_for_itself else _runs(together)
    if runs is None:
        return [set(one) for one in sessions]
    joined = connected(map(set, [*sessions, *runs[0]]))
    return sorted(joined, key=lambda one: min(map(_counting, one)))


def _counting(path: Path) -> list[tuple[int, str]]:
    return natural_key(path.name)


def connected(sets: Iterable[set[Member]]) -> list[set[Member]]:
    """Join sets that share a member, directly or through others."""
    apart: list[set[Member]] = []
    for one in sets:
        touched = [other for other in apart if not one.isdisjoint(other)]
        apart = [other for other in apart if one.isdisjoint(other)]
        apart.append(one.union(*touched))
    return apart


def guess_sessions(paths: list[Path]) -> tuple[list[list[Path]], str]:
    """Divide loose pictures into recordings.

    A wrong guess must not cut a burst in two: its halves are near copies, and a network tested on
    one after learning the other looks better than it is. In doubt it is one session.

    Args:
        paths: in counting order.

    Returns:
        The recordings, and in words how they were told apart.
    """
    runs, how = _runs(paths) or ([paths], "")
    return runs, how if len(runs) > 1 else "nothing in their names or times says more"


def _runs(paths: list[Path]) -> tuple[list[list[Path]], str] | None:
    """Return the runs between pauses, and how these were told; None if names have no order."""
    times = [taken_at(path) or _named_time(path) for path in paths]
    known = [time for time in times if time is not None]
    if len(known) == len(paths):
        order = np.argsort(known, kind="stable")
        paths = [paths[index] for index in order]
        breaks = np.diff(np.array(known)[order]) > PAUSE
        how = f"by their time stamps (over {PAUSE:g} s without a picture begin a session)"
    else:
        breaks = _breaks_in_numbers(paths)
        how = "by their names' numbers (where many are missing a session begins)"
        if 2 * (1 + breaks.sum()) > len(paths):  # names with nothing in common, as hashes
            return None
    found = np.split(np.arange(len(paths)), np.flatnonzero(breaks) + 1)
    return [[paths[index] for index in run] for run in found], how


def _breaks_in_numbers(paths: list[Path]) -> NDArray[np.bool_]:
    """Return, for each picture but the first, whether a new recording begins with it."""
    stems = _as_first_named([path.stem for path in paths])
    texts = [re.sub(r"\d+", "#", stem) for stem in stems]
    numbers = [tuple(map(int, re.findall(r"\d+", stem) or ["0"])) for stem in stems]
    steps = [after[-1] - before[-1] for before, after in pairwise(numbers)]
    usual = float(np.median([step for step in steps if step > 0] or [1]))
    enough = max(SKIP, 5 * usual, usual * len(stems) / GONE)
    anew = np.array([step < 0 for step in steps], bool)
    carried = np.array([_is_carry(*pair, usual) for pair in pairwise(numbers)], bool)
    others = np.array(
        [a != b or step > enough for (a, b), step in zip(pairwise(texts), steps, strict=True)],
        dtype=bool,
    )
    if FEW * (1 + anew.sum()) > len(paths) and not others.any():
        carried = anew  # recordings are longer
    breaks: NDArray[np.bool_] = others | (anew & ~carried)
    return breaks


def _as_first_named(stems: list[str]) -> list[str]:
    """Return names without the number that avoids a clash with an existing file."""
    plain = set(stems)
    found = [_COPY.fullmatch(stem) for stem in stems]
    return [
        copy[1] if copy and copy[1] in plain else stem
        for copy, stem in zip(found, stems, strict=True)
    ]


def _is_carry(before: tuple[int, ...], after: tuple[int, ...], usual: float) -> bool:
    """Return whether a last number is smaller because the one before it is larger, as in clocks."""
    if len(before) != len(after) or not before[:-1] < after[:-1]:
        return False
    return any(
        before[-1] < base <= before[-1] + 2 * usual
        and abs(before[-1] + usual - base - after[-1]) <= max(1, usual)
        for base in BASES
    )


def _named_time(path: Path) -> float | None:
    """Return the time in a file's name, seconds since 1970: `IMG_20240131_120058`, `1706702458`."""
    if date_time := _DATE_TIME.search(path.stem):
        try:
            year, month, day, hour, minute, second = map(int, date_time.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
        except ValueError:
            return None  # month 13 and the like: some other number
    unix_time = _UNIX_TIME.search(path.stem)
    return float(unix_time[1]) if unix_time else None
