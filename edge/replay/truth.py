"""What a recording really shows, to hold decisions against: a small file beside it."""

from __future__ import annotations

import csv
import math
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.card import BACKGROUND
from edge.errors import SourceError
from edge.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge.frame import Frame

MAX_BYTES = 10_000_000
EXAMPLE = "a line start,end,label and below it one a gesture, such as 1.5,3.0,rock"


@dataclass(frozen=True, slots=True)
class Span:
    """What is shown from when to when; seconds, and the end is not in it."""

    start: float
    end: float
    label: str


def read_truth(path: Path) -> list[Span]:
    """Read a truth file: CSV with the header `start,end,label`, or labels that Audacity exported.

    Where Excel writes a comma into numbers, as in German or French, its CSV has semicolons.

    Raises:
        SourceError: it cannot be read, or one of its lines, which is named.
    """
    content = read_bounded(
        path, MAX_BYTES, what="truth", missing=f"no such file; it has {EXAMPLE}", error=SourceError
    )
    try:
        lines = content.decode("utf-8-sig").splitlines()  # Windows' Notepad writes a mark first
    except UnicodeDecodeError as problem:
        raise SourceError(f"{path}: not UTF-8 text at byte {problem.start}") from None
    first = lines[0] if lines else ""
    separator = next((mark for mark in "\t;" if mark in first), ",")
    titles = [word.lower() for word in _fields(first, separator)]
    if titles == ["start", "end", "label"]:
        lines[0] = ""
    elif separator != "\t":
        raise SourceError(f"{path}: line 1: not start,end,label; a truth file has {EXAMPLE}")
    spans: list[Span] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("\\"):  # Audacity's second line: pitches
            continue
        try:
            spans.append(_read_span(_fields(line, separator), spans[-1].end if spans else 0.0))
        except (ValueError, csv.Error) as problem:
            raise SourceError(f"{path}: line {number}: {problem}") from None
    return spans


def _fields(line: str, separator: str) -> list[str]:
    """Return the fields between separators; a separator in quotes does not count."""
    fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return [field.strip() for field in fields]


def _read_span(fields: list[str], earliest: float) -> Span:
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields; a start, an end and a label are needed")
    try:
        start, end = (float(field.replace(",", ".")) for field in fields[:2])
    except ValueError:
        raise ValueError("start and end must be seconds, such as 1.5") from None
    label = unicodedata.normalize("NFC", fields[2])
    if not earliest <= start < math.inf:
        raise ValueError(f"starts at {start:g}, before {earliest:g}; lines go in order of time")
    if not start < end < math.inf:
        raise ValueError(f"ends at {end:g}, which is not after its start, {start:g}")
    if not label:
        raise ValueError("the label is missing")
    return Span(start, end, label)


class Truth:
    """What each frame of a recording shows.

    Args:
        labels: the model's; any other counts as none of them.
        spans: from a truth file; None: the frames say it themselves.
    """

    def __init__(self, labels: Sequence[str], spans: list[Span] | None = None) -> None:
        self._labels = {*labels, BACKGROUND}
        self._spans = spans
        self._next = 0
        self.known = spans is not None
        """Whether any truth is known so far."""
        self.unknown: Counter[str] = Counter()
        """Frames by their label, where the model does not have it."""
        self.met: set[float] = set()
        """The starts of the spans in which there was a frame."""

    def of(self, frame: Frame) -> tuple[str | None, float | None]:
        """Return the label that the next frame shows, and since when if the file says so."""
        label, since = (frame.truth, None) if self._spans is None else self._find(frame.time)
        if label is not None and label not in self._labels:
            self.unknown[label] += 1
            return None, None
        self.known |= label is not None
        return label, since

    @property
    def unmet(self) -> int:
        """How many spans had no frame in them: too short, or after the recording's end."""
        return len(self._spans or []) - len(self.met)

    def _find(self, time: float) -> tuple[str | None, float | None]:
        spans = self._spans or []
        while self._next < len(spans) and spans[self._next].end <= time:
            self._next += 1
        if self._next == len(spans) or time < spans[self._next].start:
            return None, None
        self.met.add(spans[self._next].start)
        return spans[self._next].label, spans[self._next].start
