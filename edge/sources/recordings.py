"""Folders of pictures as streams: one by one, or as gestures shown and taken away again."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from edge.config import FORMS
from edge.errors import SourceError
from edge.files import is_folder
from edge.frame import GAP, Frame, Source
from edge.pictures import (
    find_files,
    find_pictures,
    keeps_points,
    natural_key,
    read_those_that_can_be,
)
from edge.sources.taken import AUTOMATIC, read_note, session_of, turn_between
from edge.sources.turning import Turn, turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge import card

_Shown: TypeAlias = tuple[str | None, list[Path]]
"""What pictures show, where their folders say so, and their paths within the whole folder."""

RATE = 8.0
"""Pictures of a folder a second, Hz: `trainer capture` keeps so many, as more are near copies of
each other."""


class Folder(Source):
    """A folder of pictures as a camera: every picture below it, in counting order, once.

    Frames are `1 / rate` seconds apart, and half a second more where the label changes, so that a
    decider's window never mixes two gestures. Below `label/` the label is the frame's `truth`. A
    picture that cannot be read is named in the log and skipped.

    Args:
        path: the folder.
        rate: pictures a second, Hz.
        taken: how a model's pictures were taken, its card's `camera`: those that were flipped
            otherwise, by the note of their session, are turned alike. None leaves all as they are.

    Raises:
        SourceError: no such folder, or no picture in it.
    """

    live = False
    rest: ClassVar[float] = 0.5
    """Extra seconds between groups: longer than a decider's window, shorter than its gap."""

    def __init__(
        self, path: str | Path, *, rate: float = RATE, taken: card.Camera | None = None
    ) -> None:
        self._root, self._rate, self._taken = Path(path), rate, taken
        self._open = True
        if not is_folder(path):
            raise SourceError(f"{path}: no such folder; a source is {FORMS}")
        found = [picture.relative_to(self._root) for picture in find_pictures(self._root)]
        if not found:
            if any(map(keeps_points, find_files(self._root))):
                raise SourceError(
                    f"{path}: only points were kept there, and a model file looks at pictures; "
                    "record some without --keep"
                )
            raise SourceError(f"{path}: no pictures in there (JPEG, PNG, WebP, BMP, GIF)")
        self._parts = self._divided(found)

    def __iter__(self) -> Iterator[Frame]:
        now = 0.0
        last: Frame | None = None
        turned = self._turned()
        for label, names in self._parts:
            now += self.rest if last is not None else 0
            for name, image in read_those_that_can_be(self._root, names):
                if not self._open:
                    return
                last = Frame(turn(image, turned(name)), now, label, str(name))
                yield last
                now += 1 / self._rate
        if last is None:
            raise SourceError(f"{self._root}: not one picture in there can be read")

    def close(self) -> None:
        """End the iteration."""
        self._open = False

    def _divided(self, names: list[Path]) -> list[_Shown]:
        """Return the pictures in groups, played with a rest between groups."""
        return [(label, list(some)) for label, some in groupby(names, _label)]

    def _turned(self) -> Callable[[Path], Turn]:
        """Return what tells how to turn a picture, from its path within the folder."""
        taken = self._taken
        if taken is None:
            return lambda _: Turn()

        @cache
        def noted(folder: Path) -> Turn:
            return turn_between(read_note(folder, error=SourceError) or AUTOMATIC, taken)

        return lambda name: noted(self._root / session_of(name))


class Recordings(Folder):
    """A folder of labelled pictures as recordings, `1 / rate` seconds from picture to picture.

    Below `label/session/` or `label/` each label's session is a recording of its own, with a rest
    before the next, in which the hand is lowered: one session after the other, and in each the
    labels. Sessions with one picture of a label, say one a person, count as one recording: a single
    picture decides nothing.

    Args:
        path: the folder.
        rate: pictures a second, Hz.
        labelled: whether its folders are labels; otherwise it is one recording of unknown content.
        taken: as `Folder`'s.

    Raises:
        SourceError: no such folder, or no picture in it.
    """

    rest = 2 * GAP

    def __init__(
        self,
        path: str | Path,
        *,
        rate: float = RATE,
        labelled: bool = True,
        taken: card.Camera | None = None,
    ) -> None:
        self._labelled = labelled
        super().__init__(path, rate=rate, taken=taken)

    def _divided(self, names: list[Path]) -> list[_Shown]:
        if not self._labelled:
            return [(None, names)]
        sizes = Counter(name.parts[:2] for name in names)
        found: dict[tuple[str, str], list[Path]] = {}
        for name in names:
            alone = len(name.parts) < 3 or sizes[name.parts[:2]] == 1
            session = "" if alone else name.parts[1]
            found.setdefault((session, _label(name) or ""), []).append(name)
        order = sorted(found, key=lambda key: natural_key(key[0]))  # labels keep their order
        return [(label or None, found[session, label]) for session, label in order]


def _label(name: Path) -> str | None:
    """Return what a picture shows, by its folder; a Mac may spell an umlaut with two letters."""
    return unicodedata.normalize("NFC", name.parts[0]) if len(name.parts) > 1 else None
