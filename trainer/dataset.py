"""Folders of pictures: labels, sessions, and which picture belongs to which."""

from __future__ import annotations

import shlex
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edge.card import BACKGROUND, NOTE
from edge.pictures import (
    POINTS,
    SUFFIXES,
    find_files,
    find_folders,
    find_pictures,
    is_bounded,
    is_of_systems,
    keeps_points,
    natural_key,
)
from edge.sources.taken import AUTOMATIC
from trainer.cache import digest
from trainer.errors import DataError
from trainer.sessions import guess_recordings
from trainer.taken import how_taken, most_usual
from trainer.words import count, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge.card import Camera

OTHER_FORMATS = {".avif", ".tif", ".tiff", ".dng", ".raw", ".cr2", ".nef"}
"""Pictures, too, but not ones that are read here."""
FILMS = {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp"}
NOTHING = {"background", "empty", "idle", "neutral", "none", "nothing", "other"}
"""Usual names of the folder for the scene without a gesture."""
PARTS = {"data", "test", "testing", "train", "training", "val", "valid", "validation"}
"""Usual names of the folders into which a data set is divided."""


LOOSE = ""
"""Session of a picture that lies in none's folder, before one was guessed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file, what it shows, and in which recording it was taken."""

    path: Path
    label: str
    session: str
    taken: Camera = AUTOMATIC
    """How it was taken, but for its size."""


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures in counting order, grouped by session."""

    root: Path
    pictures: list[Picture]
    notes: list[str] = field(default_factory=list)
    """What had to be assumed, in words for the user."""
    taken: Camera = AUTOMATIC
    """How most of the pictures were taken, but for their size."""

    @property
    def labels(self) -> list[str]:
        """The labels, in counting order: the order of the model's probabilities."""
        labels = sorted({picture.label for picture in self.pictures})  # "01" and "1" count alike
        return sorted(labels, key=natural_key)

    def sessions(self) -> dict[str, set[str]]:
        """Return the sessions of each label."""
        found: dict[str, set[str]] = {label: set() for label in self.labels}
        for picture in self.pictures:
            found[picture.label].add(picture.session)
        return found

    def counts(self) -> dict[str, int]:
        """Return how many pictures each label has."""
        return {label: sum(p.label == label for p in self.pictures) for label in self.labels}

    def only(self, indices: Iterable[int]) -> Dataset:
        """Return the dataset with some of its pictures."""
        return replace(self, pictures=[self.pictures[index] for index in indices])

    def without(self, unreadable: Iterable[Picture]) -> Dataset:
        """Return the dataset without some pictures."""
        gone = set(unreadable)
        return replace(self, pictures=[p for p in self.pictures if p not in gone])


def content_of(path: Path) -> bytes:
    """Return a picture file's bytes; empty if unreadable (reading the picture reports that)."""
    try:
        return path.read_bytes() if is_bounded(path) else b""
    except OSError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # said where it is read
        return 0


def without_copies(dataset: Dataset) -> Dataset:
    """Drop byte-identical copies of an earlier session's pictures, per label.

    They come from importing a project twice, say; a held-out session of copies would be known
    already. Pictures under two labels are noted, as nobody knows which is right.
    """
    copies, divided = [], []
    first: dict[tuple[str, bytes], Picture] = {}
    elsewhere: dict[bytes, Picture] = {}
    for picture, key in _alike(dataset.pictures):
        if first.setdefault((picture.label, key), picture).session != picture.session:
            copies.append(picture)
        if elsewhere.setdefault(key, picture).label != picture.label:
            divided.append((elsewhere[key].path, picture.path))
    notes = list(dataset.notes)
    if copies:
        what = count(len(copies), "picture")
        notes.append(f"{what} of another session once more, byte for byte: counted once")
    if divided:
        one, other = divided[0]
        what = count(len(divided), "picture")
        notes.append(f"{what} in two labels, byte for byte, such as {one} and {other}: which?")
    return replace(dataset.without(copies), notes=notes) if copies or divided else dataset


def _alike(pictures: list[Picture]) -> Iterator[tuple[Picture, bytes]]:
    """Yield the pictures that may be copies, with a digest of their content."""
    sizes = [_size(picture.path) for picture in pictures]
    often = Counter(sizes)  # photographs of equal size are rare: few need reading
    found = [
        (picture, digest(content))
        for picture, size in zip(pictures, sizes, strict=True)
        if often[size] > 1 and (content := content_of(picture.path))
    ]
    # Frames in which no hand was found keep the same points, wherever they were taken.
    within = Counter((one.session, key) for one, key in found if keeps_points(one.path))
    nothing = {key for (_, key), number in within.items() if number > 1}
    return (one for one in found if one[1] not in nothing)


def read_dataset(root: Path, *, sessions: bool = True) -> Dataset:
    """Read `root/<label>/<session>/<picture>` and `root/<label>/<picture>`.

    Loose pictures of a label, without a session's folder, are divided into sessions where their
    time stamps or numbers show a pause. Only names are looked at here; no picture is decoded.

    Args:
        root: the folder of all labels.
        sessions: whether they matter; if not, assumptions about them are not noted.

    Raises:
        DataError: no such folder, no classes in it, a class without a picture, or a damaged note of
            how a session was taken.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder; it should hold one folder of pictures a gesture")
    if root.is_file():
        raise DataError(
            f"{root}: no such folder, but a file; pictures come out of a film with trainer "
            "capture, out of an archive with trainer import"
        )
    folders = find_folders(root)
    if not folders and find_pictures(root):
        raise DataError(f"{root}: pictures, but no classes; give the folder above them")
    if not folders:
        raise DataError(f"{root}: no classes; make one folder of pictures a gesture in it")
    if len(folders) > 1 and all(folder.name.casefold() in PARTS for folder in folders):
        which = next((f for f in folders if f.name.casefold().startswith("train")), folders[0])
        raise DataError(f"{root}: holds folders of gestures, each for itself; give one: {which}")
    notes = list(_nearly_one_name(folders))
    pictures_beside = (path for path in root.iterdir() if path.suffix.lower() in SUFFIXES)
    if beside := sum(not is_of_systems(path.name) for path in pictures_beside):
        notes.append(f"{count(beside, 'picture')} beside the classes' folders left out")
    pictures, assumed = _with_sessions(
        [picture for folder in folders for picture in _read_label(folder, notes)]
    )
    notes += assumed if sessions else []
    taken = how_taken([picture.path for picture in pictures], root)
    usual, differing = most_usual(taken)
    pictures = [replace(one, taken=how) for one, how in zip(pictures, taken, strict=True)]
    return Dataset(root, pictures, notes + differing, usual)


def check_teachable(dataset: Dataset) -> None:
    """Refuse what cannot be taught from.

    Raises:
        DataError: fewer than two classes, or a class without a picture that can be read.
    """
    labels = dataset.labels
    if not labels:
        raise DataError(f"{dataset.root}: no picture could be read")
    if len(labels) < 2:
        first = dataset.pictures[0].path.relative_to(dataset.root)
        only = dataset.root / first.parts[0]  # as the disk spells it
        inner = [path.name for path in sorted(only.iterdir()) if path.is_dir()]
        raise DataError(
            f"{dataset.root}: only one class, '{labels[0]}'; a network needs two or more to tell "
            "apart, such as a folder 'background' with pictures of the empty scene"
            + (f"; if {names(inner)} are your gestures, give {only}" if len(inner) > 1 else "")
        )


def _read_label(folder: Path, notes: list[str]) -> list[Picture]:
    """Return the pictures of one label, loose ones without a session; note what is odd."""
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in folder.name):
        # Control characters and bytes that are no text: no card or edge.toml could hold them.
        raise DataError(f"{folder.parent}: the name of {folder.name!a} is unreadable; rename it")
    label = _label(folder)
    files = find_files(folder)
    paths = [path for path in files if path.suffix.lower() in SUFFIXES | {POINTS}]
    others = list(_left_out(set(files) - set(paths), label))
    if not paths:
        lacking = f"no pictures of '{label}'; add some (JPEG, PNG, WebP, BMP, GIF), or remove it"
        raise DataError(f"{folder}: {'; '.join([*others[:1], lacking])}")
    if label != BACKGROUND and label.casefold() in NOTHING:
        notes.append(
            f"{label}: taught like any gesture; if it means none of them, call the folder "
            f"'{BACKGROUND}', which never triggers anything"
        )
    notes += [f"{label}: {what}" for what in others]
    loose = [Picture(path, label, LOOSE) for path in paths if path.parent == folder]
    return loose + [
        Picture(path, label, path.relative_to(folder).parts[0])
        for path in paths
        if path.parent != folder
    ]


def _left_out(paths: set[Path], label: str) -> Iterator[str]:
    """Yield in words what is not read of a label's files, and what to do with it."""
    rest = sorted(path for path in paths if path.name != NOTE and path.is_file())
    kinds = [path.suffix.lower() for path in rest]
    if others := sum(kind in OTHER_FORMATS for kind in kinds):
        yield f"{count(others, 'picture')} of kinds not read here; convert to JPEG"
    if films := [path for path, kind in zip(rest, kinds, strict=True) if kind in FILMS]:
        command = f"trainer capture {shlex.quote(label)} --source {shlex.quote(str(films[0]))}"
        yield f"{count(len(films), 'film')} left out; for pictures of it: {command}"
    known = OTHER_FORMATS | FILMS
    if strange := [path for path, kind in zip(rest, kinds, strict=True) if kind not in known]:
        yield f"{count(len(strange), 'other file')} left out, such as {strange[0].name}"


def _label(folder: Path) -> str:
    """Return what a folder's name says; a Mac may spell an umlaut with two letters."""
    return unicodedata.normalize("NFC", folder.name)


def _nearly_one_name(folders: list[Path]) -> Iterator[str]:
    """Yield classes whose names differ only in case and blanks: most often a slip."""
    seen: dict[str, Path] = {}
    for folder in folders:
        other = seen.setdefault(_label(folder).strip().casefold(), folder)
        if other is not folder:
            yield (
                f"'{other.name}' and '{folder.name}' are taught as two classes; if they mean one, "
                "move the pictures together"
            )


def _with_sessions(pictures: list[Picture]) -> tuple[list[Picture], list[str]]:
    """Give loose pictures their recordings as sessions, and say what was assumed of them."""
    loose: dict[str, list[Path]] = {}
    for picture in pictures:
        if picture.session == LOOSE:
            loose.setdefault(picture.label, []).append(picture.path)
    if not loose:
        return pictures, []
    found, assumed = [], []
    for label, (recordings, how) in guess_recordings(loose).items():
        found += [
            Picture(path, label, name) for name, paths in recordings.items() for path in paths
        ]
        number = "one session" if len(recordings) == 1 else f"{len(recordings)} sessions"
        assumed.append(
            f"{label}: {count(len(loose[label]), 'picture')} without a session's folder; assumed "
            f"{number}, {how}"
        )
    filed = [picture for picture in pictures if picture.session != LOOSE]
    labels = list(dict.fromkeys(picture.label for picture in pictures))
    return sorted([*found, *filed], key=lambda one: labels.index(one.label)), assumed
