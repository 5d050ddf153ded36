"""A folder of labelled pictures as a stream of gestures, each shown and taken away again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edge.decider import GAP
from edge.errors import SourceError
from edge.frame import Frame, Source
from edge.pictures import find_pictures, natural_key, read_those_that_can_be
from edge.sources import RATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REST = 2 * GAP
"""Seconds between two recordings of a folder: a hand is lowered, and raised again."""


class Recordings(Source):
    """A folder of labelled pictures as recordings, `1 / rate` seconds from picture to picture.

    Below `label/session/` or `label/` each label's session is a recording of its own, with a `REST`
    before the next: one session after the other, and in each the labels. Sessions with one picture
    of a label, say one a person, count as one recording: a single picture decides nothing.

    Args:
        path: the folder.
        rate: pictures a second, Hz.
        labelled: whether its folders are labels; else all is one recording, which shows who knows.

    Raises:
        SourceError: no picture in it.
    """

    live = False

    def __init__(self, path: Path, *, rate: float = RATE, labelled: bool = True) -> None:
        self._root, self._rate = path, rate
        found = [picture.relative_to(path) for picture in find_pictures(path)]
        if not found:
            raise SourceError(f"{path}: no pictures in there (JPEG, PNG, WebP, BMP, GIF)")
        self._recordings = _by_session(found) if labelled else [(None, found)]

    def __iter__(self) -> Iterator[Frame]:
        now = 0.0
        last: Frame | None = None
        for label, names in self._recordings:
            now += REST if last is not None else 0
            for name, image in read_those_that_can_be(self._root, names):
                last = Frame(image, now, label, str(name))
                yield last
                now += 1 / self._rate
        if last is None:
            raise SourceError(f"{self._root}: not one picture in there can be read")


def _by_session(names: list[Path]) -> list[tuple[str | None, list[Path]]]:
    """Return the `(label, pictures)` of each recording, from paths in counting order."""
    sizes = Counter(name.parts[:2] for name in names)
    found: dict[tuple[str, str], list[Path]] = {}
    for name in names:
        label = name.parts[0] if len(name.parts) > 1 else ""
        session = name.parts[1] if len(name.parts) > 2 and sizes[name.parts[:2]] > 1 else ""
        found.setdefault((session, label), []).append(name)
    order = sorted(found, key=lambda key: natural_key(key[0]))  # in each, labels keep their order
    return [(label or None, found[session, label]) for session, label in order]
