"""New pictures into `data/`, all of them or none: gathered in a hidden folder, moved at the end."""

from __future__ import annotations

import shutil
import tempfile
import unicodedata
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edge.errors import printable
from edge.pictures import find_folders, natural_key
from trainer.cache import digest
from trainer.collect.archive import DEVICES
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST = 200
"""Bytes of a name: file systems take 255, and a number may have to follow."""


def tidy(text: str) -> str:
    """Return a name as it should be written: composed letters, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(name: str) -> str:
    """Return a key that is equal for names that share a file on some computers."""
    return unicodedata.normalize("NFC", name).casefold()


def safe_name(text: str) -> str:
    """Return the nearest folder name visible and valid everywhere; empty if there is none."""
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    # Invisible and direction-changing letters would make different names look the same.
    name = "".join(
        "-" if letter in '<>:"/\\|?*' else letter for letter in printable(tidy(seen), "-")
    )
    name = name.strip(" .")
    name = name.encode()[:LONGEST].decode(errors="ignore").strip(" .")
    return "" if name.partition(".")[0].strip().upper() in DEVICES else name


class Staging:
    """A hidden folder in `data/` that becomes `data/<label>/<session>/` when it is settled.

    Left without being settled, by an error or Ctrl-C, it leaves nothing behind.
    """

    def __init__(self, data: Path) -> None:
        self.counts: dict[str, int] = {}
        """How many pictures of each label."""
        self._data = data
        self._folders: dict[tuple[str, str], Path] = {}
        self._kept: dict[Path, int] = {}
        self._moves: list[tuple[Path, Path]] = []
        self._made: list[Path] = []
        self._settled = False

    def __enter__(self) -> Self:
        try:
            with _writing(self._data):
                self._make(self._data)
                self._place = Path(tempfile.mkdtemp(prefix=".import-", dir=self._data))
        except BaseException:
            self._unmake()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._settled:
            for source, target in self._moves:
                if not source.exists():  # it did move; what is there otherwise is not ours
                    shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(self._place, ignore_errors=True)
        if not self._settled:
            self._unmake()

    @contextmanager
    def picture(self, content: bytes, label: str, session: str, suffix: str) -> Iterator[Path]:
        """Write a picture; an exception in the block removes it again.

        Args:
            content: the file's bytes.
            label: a safe name.
            session: any text; pictures with the same one stay together.
            suffix: with its dot.

        Raises:
            DataError: it cannot be written.
        """
        key = (label, session)
        folder = self._folders.setdefault(key, self._place / str(len(self._folders)))
        with _writing(self._data):
            folder.mkdir(exist_ok=True)
            number = self._kept.get(folder, 0) + 1
            path = folder / f"{number:04d}{suffix}"
            path.write_bytes(content)
        try:
            yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._kept[folder] = number
        self.counts[label] = self.counts.get(label, 0) + 1

    @property
    def folders(self) -> list[Path]:
        """Each session's folder so far, where it lies until `settle`."""
        return list(self._kept)

    def folder(self, label: str, session: str) -> Path | None:
        """Return a session's folder, where it lies until `settle`; None without a picture."""
        folder = self._folders.get((label, session))
        return folder if folder in self._kept else None

    def there_already(self) -> list[Path]:
        """Return the sessions in `data/` that have most of a gathered one's pictures already.

        Training would drop the new ones as copies, with their notes. Ask before those are written.
        """
        found: dict[Path, None] = {}
        with _writing(self._data):
            homes = self._homes()
            for (label, _), place in self._folders.items():
                if place in self._kept:
                    own = Counter(_digests(place))
                    sizes = {path.stat().st_size for path in place.iterdir()}
                    for session in find_folders(homes[label]) if homes[label].is_dir() else []:
                        there = set(_digests(session, sizes))
                        if 2 * sum(own[one] for one in there) > own.total():
                            found[session] = None
        return list(found)

    def settle(self, *, default: str, wanted: str | None) -> list[str]:
        """Move everything into place.

        A label goes into its existing folder, in whatever case. No session is extended: a taken
        name gets a number, the same for all labels. Under the user's own name, `wanted`, other
        labels may already have a session: one recording of several labels.

        Args:
            default: the name of the session of pictures that have none.
            wanted: the name that the user asked for, to replace or precede the others.

        Returns:
            The sessions' names.

        Raises:
            DataError: `data/` cannot be written.
        """
        with _writing(self._data):
            there = [path for path in self._data.iterdir() if path.is_dir()]
            homes = self._homes()
            labels = homes.values() if wanted else there
            taken = {fold(path.name) for home in labels if home.is_dir() for path in home.iterdir()}
            full = {key: place for key, place in self._folders.items() if place in self._kept}
            sessions = _names({session for _, session in full}, taken, default, wanted)
            for (label, session), place in full.items():
                self._make(homes[label])
                target = homes[label] / sessions[session]
                self._moves.append((place, target))
                place.rename(target)
        self.counts = {homes[label].name: count for label, count in self.counts.items()}
        self._settled = True
        return list(sessions.values())

    def _homes(self) -> dict[str, Path]:
        """Return each label's folder: the existing one, in whatever case."""
        there = (path for path in self._data.iterdir() if path.is_dir())
        spelled = {fold(path.name): path.name for path in there}
        return {label: self._data / spelled.get(fold(label), label) for label in self.counts}

    def _make(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        self._made += missing  # before they are: Ctrl-C may come in between
        folder.mkdir(parents=True, exist_ok=True)

    def _unmake(self) -> None:
        for path in sorted(self._made, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # not made yet, or no longer empty
                path.rmdir()


def _names(
    sessions: Iterable[str], taken: set[str], default: str, wanted: str | None
) -> dict[str, str]:
    names: dict[str, str] = {}
    for session in sorted(sessions, key=natural_key):
        own = safe_name(session)
        name = (f"{wanted}-{own}" if own else wanted) if wanted else own or default or "imported"
        free, number = name, 1
        while fold(free) in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(fold(free))
        names[session] = free
    return names


def _digests(folder: Path, sizes: set[int] | None = None) -> Iterator[bytes]:
    """Yield a digest of each file's content; None for `sizes` reads all, not only some sizes."""
    for path in folder.rglob("*"):
        if path.is_file() and (sizes is None or path.stat().st_size in sizes):
            yield digest(path.read_bytes())


@contextmanager
def _writing(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        where = problem.filename or data
        raise DataError(f"{where}: cannot be written: {problem.strerror or problem}") from None
