"""Pictures out of Google's Teachable Machine, or any zip of class folders, into `data/`.

What it saves is documented nowhere. Known, from its maintainers' word (issue 38 of
googlecreativelab/teachablemachine-community), programs that read or write its files, and files
that people have published:

- a project, `*.tm`, is a zip of `manifest.json` (`"type": "image"`) and the pictures of all
  classes, `<class>-!-<number>.jpg`, side by side; an audio project holds `<class>-!-<number>.zip`;
- the samples of one class, `<class>-samples.zip`, are `0.jpg`, `1.jpg` ... without a folder;
- an exported model has no pictures: `keras_model.h5` or `*.tflite` with `labels.txt`, a line
  `0 <class>` for each, or `model.json` with `metadata.json`, whose `labels` is a list.

Assumed: that pose projects hold pictures in the same way; that class folders named by numbers
count from 0, as `labels.txt` does; that what is in one archive was recorded in one go.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from edge.card import BACKGROUND, NOTE
from edge.errors import PictureError
from edge.pictures import SUFFIXES, is_heif, natural_key, read_picture
from edge.sources.taken import MAX_BYTES, parse_note
from trainer.collect.archive import Archive, Entry
from trainer.collect.label_lists import MOST_TEXT, parse_labels
from trainer.collect.staging import Staging, fold, safe_name, tidy
from trainer.dataset import FILMS, NOTHING, OTHER_FORMATS, PARTS
from trainer.errors import DataError
from trainer.taken import MIRROR, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

MOST_PICTURE = 32_000_000
"""Bytes of one picture file."""
MODELS = {".h5", ".keras", ".tflite", ".pb", ".bin", ".onnx"}
PACKED = {".zip", ".tm", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
LABELS = {"labels.txt", "metadata.json"}
OURS = LABELS | {"manifest.json", "model.json", NOTE}
"""Not pictures, and not worth a word."""
MAGIC = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"GIF8": ".gif",
}
NO_PICTURES = (
    "a model without its pictures, and those are needed; in Teachable Machine: download the "
    "samples of each class, or save the project as a file"
)
A_FILM = "a film; unpack it, and: trainer capture LABEL --source FILE"
OF_PROJECT = r"-!-\d+\.\w+"
"""How the names of a project's pictures end, a regular expression."""
NAMED = 8
"""Folders that are named."""
MIRRORED = (
    "Teachable Machine mirrors what a webcam sees; where left and right differ, delete this "
    "session's folders and import it again with --flipped, so that the device's camera is flipped "
    "alike"
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of an archive."""

    archive: str
    labels: dict[str, int]
    """How many pictures of each label."""
    sessions: list[str]
    skipped: list[str]
    """Files left out, and why."""
    notes: list[str]
    """What had to be assumed, in words for the user."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class _Sample(NamedTuple):
    entry: Entry
    label: str
    """As the archive has it."""
    session: str
    """As the archive has it; empty where it has none."""


def import_archive(
    archive: Path,
    data: Path,
    *,
    label: str | None = None,
    labels: Sequence[str] = (),
    session: str | None = None,
    flipped: bool | None = False,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Copy an archive's pictures to `data/<label>/<session>/`, all of them or, on an error, none.

    Every picture is decoded once, to see that it is one, and kept byte for byte.

    Args:
        archive: a project, the samples of a class, or a zip of class folders.
        data: the folder of all labels; made where it is missing.
        label: what the pictures show, where the archive does not say or says otherwise.
        labels: names for class folders that are numbers from 0.
        session: the new session's name; else the archive's. One that is there is never added to.
        flipped: whether the pictures are, left for right: noted, so that a device's camera is too;
            None where nobody has said, which is noted of Teachable Machine's own.
        progress: called with pictures done, and of how many.

    Raises:
        DataError: not such an archive, or one that is not safe, or its pictures are there already,
            or data/ cannot be written.
    """
    _refuse_a_file(archive, data)
    for name in (label, session):
        if name is not None and (not name or tidy(name) != safe_name(name)):
            raise DataError(f"'{name}' cannot be the name of a folder; choose another")
    notes: list[str] = []
    with Archive(archive) as source:
        samples, skipped = _find_samples(source, label)
        names = _label_names(source, {s.label for s in samples}, label, labels, notes)
        with Staging(data) as staging:
            for done, sample in enumerate(samples, start=1):
                try:
                    _copy(source, sample, names[sample.label], staging)
                except PictureError as problem:
                    skipped.append(f"{sample.entry.name}: {problem}")
                if progress is not None:
                    progress(done, len(samples))
            if not staging.counts:
                raise DataError(f"{archive}: none of its pictures can be read; {skipped[0]}")
            if there := staging.there_already():
                raise DataError(
                    f"{archive}: its pictures are there already; to import them again, delete "
                    f"{'this folder' if len(there) == 1 else 'these folders'} first: "
                    + _folders(there)
                )
            _carry_notes(source, samples, names, staging)
            if flipped:
                for folder in staging.folders:
                    note(MIRROR, folder)
            sessions = staging.settle(
                default=safe_name(archive.stem), wanted=session and tidy(session)
            )
    lost = set(names.values()) - set(staging.counts)
    notes += [f"{name}: none of its pictures can be read" for name in sorted(lost)]
    notes += _background_notes(staging.counts)
    notes += [MIRRORED] if flipped is None and _is_of_teachable(archive, samples) else []
    return Imported(str(archive), staging.counts, sessions, skipped, notes)


def _folders(paths: Sequence[Path]) -> str:
    """Return `data/rock/project data/palm/project`, as `rm -r` takes them; the rest as a number."""
    shown = " ".join(shlex.quote(str(path)) for path in paths[:NAMED])
    return shown + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")


def _refuse_a_file(path: Path, data: Path) -> None:
    """Say of a file that is no archive, by its name, what to do with it.

    Raises:
        DataError: a model, a picture or a film.
    """
    kind, label = path.suffix.lower(), data / "LABEL"
    if kind in MODELS:
        raise DataError(f"{path}: {NO_PICTURES}")
    if not path.is_file():
        return  # said where it is opened
    if kind in SUFFIXES:
        raise DataError(f"{path}: a picture, no archive; put it into the folder {label}/")
    if kind in OTHER_FORMATS:
        raise DataError(
            f"{path}: a picture, no archive; convert it to JPEG, and put it into {label}/"
        )
    if kind in FILMS:
        raise DataError(f"{path}: a film, no archive; trainer capture LABEL --source {path}")


class _Layout(NamedTuple):
    """How the pictures of an archive lie in it."""

    archive: Path
    top: str
    """The one folder in which all is; empty where there are several or none."""
    paths: list[tuple[str, ...]]
    """Of each picture, below the folders that hold everything."""
    has_manifest: bool

    @classmethod
    def of(cls, source: Archive, pictures: list[Entry]) -> _Layout:
        """Look at the names of an archive's files."""
        marks = [e for e in source.entries if _is_manifest(e)]
        firsts = {e.parts[0] if len(e.parts) > 1 else "" for e in (*pictures, *marks)}
        top = firsts.pop() if len(firsts) == 1 else ""
        paths = [entry.parts[1:] if top else entry.parts for entry in pictures]
        while min(map(len, paths)) > 2 and len({path[0] for path in paths}) == 1:  # gestures/data/
            paths = [path[1:] for path in paths]
        return cls(source.path, top, paths, bool(marks))

    @property
    def is_nested(self) -> bool:
        """Whether any picture lies in a folder."""
        return any(len(path) > 1 for path in self.paths)


_Named: TypeAlias = list[tuple[str, str]]
"""Of each picture, its class and session; either is empty where the archive does not say."""


def _find_samples(source: Archive, label: str | None) -> tuple[list[_Sample], list[str]]:
    """Return the pictures, each with its class and session, and what is left out and why."""
    pictures = [e for e in source.entries if _suffix(e) in SUFFIXES]
    others = [e for e in source.entries if _suffix(e) not in SUFFIXES and e.parts[-1] not in OURS]
    _refuse_others(source, pictures)
    pictures.sort(key=lambda entry: natural_key(entry.name))
    layout = _Layout.of(source, pictures)
    shapes = (shape(layout, label) for shape in (_project, _samples, _one_class, _class_folders))
    found = next(named for named in shapes if named is not None)
    samples = [_Sample(entry, *named) for entry, named in zip(pictures, found, strict=True)]
    skipped = [f"{entry.name}: {_why_not(entry)}" for entry in others]
    skipped += [f"{s.entry.name}: belongs to no class" for s in samples if not s.label]
    return [sample for sample in samples if sample.label], skipped


def _project(layout: _Layout, _label: str | None) -> _Named | None:
    """Name the pictures of a project, `<class>-!-<number>.jpg`; None where it is none."""
    matches = [re.fullmatch(rf"(.+){OF_PROJECT}", "/".join(path)) for path in layout.paths]
    if not any(matches) or (layout.is_nested and not layout.has_manifest):
        return None
    return [(match[1] if match else "", "") for match in matches]


def _samples(layout: _Layout, label: str | None) -> _Named | None:
    """Name pictures without folders, or in a single one; None where there are more.

    Raises:
        DataError: nothing says what they show.
    """
    if layout.is_nested:
        return None
    told = label or (_of_samples(layout.top) if layout.top else _samples_archive(layout.archive))
    return [(told, "")] * len(layout.paths)


def _one_class(layout: _Layout, label: str | None) -> _Named | None:
    """Name the pictures of a single class in its sessions; None where none is told to be it."""
    if label is None or fold(layout.top) != fold(label):
        return None
    return [(label, "-".join(path[:-1])) for path in layout.paths]


def _class_folders(layout: _Layout, _label: str | None) -> _Named:
    """Name pictures by the folders in which they lie, a class each.

    Parts of a data set above the classes, `train` and `test` say, are sessions of them.

    Raises:
        DataError: the folders are named by times, as sessions are.
    """
    inside = [path for path in layout.paths if path[1:]]
    times = {path[0] for path in inside if re.match(r"\d{4}-\d\d-\d\d", path[0])}
    if times:
        raise DataError(
            f"{layout.archive}: '{min(times)}' in it is a session's folder, no class; say what "
            f"the pictures show with --label {layout.top or 'NAME'}"
        )
    divided = bool(inside) and all(path[0].casefold() in PARTS and path[2:] for path in inside)
    return [
        ("", "") if not path[1:]
        else (_of_samples(path[1]), "-".join((path[0], *path[2:-1]))) if divided
        else (_of_samples(path[0]), "-".join(path[1:-1]))
        for path in layout.paths
    ]  # fmt: skip


def _refuse_others(source: Archive, pictures: list[Entry]) -> None:
    """Say of an archive that is not of pictures what it is.

    Raises:
        DataError: an audio project, archives in an archive, a model, or anything without pictures.
    """
    for entry in source.entries:
        if _is_manifest(entry) and _manifest_type(source, entry) == "audio":
            raise DataError(f"{source.path}: an audio project; pictures are needed")
    for entry in source.entries:
        if _suffix(entry) in PACKED:
            raise DataError(
                f"{source.path}: holds another archive, '{entry.name}'; unpack it, and import "
                "those in it"
            )
    if not pictures:
        model = any(_suffix(e) in MODELS or e.parts[-1] in LABELS for e in source.entries)
        what = NO_PICTURES if model else _instead_of_pictures(source.entries)
        raise DataError(f"{source.path}: {what}")


def _instead_of_pictures(entries: list[Entry]) -> str:
    """Return what an archive without pictures has in their place, and what to do with that."""
    suffixes = {_suffix(entry) for entry in entries}
    if others := sorted(suffixes & OTHER_FORMATS):
        kinds = ", ".join(suffix[1:].upper() for suffix in others)
        return f"its pictures are {kinds}, which is not read here; convert to JPEG, and pack those"
    if suffixes & FILMS:
        return f"no pictures in it but {A_FILM}"
    return "no pictures in it (JPEG, PNG, WebP, BMP, GIF, HEIC)"


def _is_manifest(entry: Entry) -> bool:
    return entry.parts[-1] == "manifest.json" and len(entry.parts) < 3


def _manifest_type(source: Archive, entry: Entry) -> object:
    try:
        return json.loads(source.read(entry, MOST_TEXT)).get("type")
    except (DataError, ValueError, AttributeError, RecursionError):
        return None  # of some other program's


def _is_of_teachable(archive: Path, samples: list[_Sample]) -> bool:
    """Tell by their names what Teachable Machine saved, a project or the samples of a class."""
    folders = {part for sample in samples for part in sample.entry.parts[:-1]}
    return any(name != _of_samples(name) for name in (_stem(archive), *folders)) or any(
        re.search(f"{OF_PROJECT}$", sample.entry.name) for sample in samples
    )


def _stem(path: Path) -> str:
    """Return an archive's name; a browser may have added ` (1)`."""
    return re.sub(r" ?\(\d+\)$", "", path.stem)


def _samples_archive(path: Path) -> str:
    """Return the class that `<class>-samples.zip` is of."""
    stem = _stem(path)
    if _of_samples(stem) == stem:
        raise DataError(f"{path}: does not say what its pictures show; say it with --label NAME")
    return _of_samples(stem)


def _of_samples(name: str) -> str:
    return name.removesuffix("-samples") or name


def _label_names(
    source: Archive, found: set[str], label: str | None, labels: Sequence[str], notes: list[str]
) -> dict[str, str]:
    """Return what each class of the archive is to be called here.

    Raises:
        DataError: no name for a class, or one for two.
    """
    if label is not None and len(found) > 1:
        listed = ", ".join(sorted(found, key=natural_key))
        raise DataError(f"{source.path}: --label is for one class, this has {listed}")
    names = {name: tidy(label or name) for name in found}
    if label is None:
        names.update(_numbered(source, found, labels, notes))
    chosen = {name: safe_name(names[name]) for name in sorted(found)}
    notes += [
        f"'{names[name]}' is called '{chosen[name]}' here: a folder cannot have that name"
        for name in chosen
        if chosen[name] and names[name] != chosen[name]
    ]
    owners: dict[str, str] = {}
    for name, new in chosen.items():
        if not new:
            raise DataError(f"{source.path}: no folder can be called {name!a}; rename the class")
        owner = owners.setdefault(fold(new), name)
        if owner != name:
            raise DataError(
                f"{source.path}: '{owner}' and '{name}' would share one folder on some computers; "
                "rename one of the classes"
            )
    return chosen


def _numbered(
    source: Archive, found: set[str], labels: Sequence[str], notes: list[str]
) -> dict[str, str]:
    """Return names for the classes that are numbers, by a list given or in the archive."""
    files = [e for e in source.entries if e.parts[-1] in LABELS and e.size <= MOST_TEXT]
    own = (parse_labels(source.read(entry, MOST_TEXT)) for entry in files)
    known = list(labels) or next(filter(None, own), [])
    matches = {
        name: re.fullmatch(r"(?:class[_-]?)?(\d{1,4})", name, re.IGNORECASE) for name in found
    }
    numbers = {name: int(m[1]) for name, m in matches.items() if m and tidy(name) not in known}
    if not known or not numbers:
        return {}
    if max(numbers.values()) < len(known):
        return {name: tidy(known[number]) for name, number in numbers.items()}
    problem = f"{len(known)} labels, from 0, do not fit its classes {', '.join(sorted(numbers))}"
    if labels:
        raise DataError(f"{source.path}: {problem}")
    notes.append(f"{problem}: those keep their names")
    return {}


def _copy(source: Archive, sample: _Sample, label: str, staging: Staging) -> None:
    """Bring one picture over.

    Raises:
        PictureError: it is none, in words without its name.
    """
    if sample.entry.size > MOST_PICTURE:
        raise PictureError(f"larger than {MOST_PICTURE // 1_000_000} MB")
    content = source.read(sample.entry, MOST_PICTURE)
    suffix = next((MAGIC[start] for start in MAGIC if content.startswith(start)), None)
    suffix = ".heic" if is_heif(content[:12]) else suffix
    if suffix is None:
        raise PictureError("not a picture (JPEG, PNG, WebP, BMP, GIF, HEIC)")
    with staging.picture(content, label, sample.session, suffix) as path:
        try:
            read_picture(path)
        except PictureError as problem:
            raise PictureError(str(problem).removeprefix(f"{path}: ")) from None


def _carry_notes(
    source: Archive, samples: Sequence[_Sample], names: Mapping[str, str], staging: Staging
) -> None:
    """Bring over how sessions were taken, where the archive is of our own and says so.

    Raises:
        DataError: such a note is damaged.
    """
    noted = {entry.parts[:-1]: entry for entry in source.entries if entry.parts[-1] == NOTE}
    for sample in samples:
        entry = noted.get(sample.entry.parts[:-1])
        folder = staging.folder(names[sample.label], sample.session)
        if entry is not None and folder is not None and not (folder / NOTE).exists():
            where = f"{source.path}: {entry.name}"
            note(parse_note(source.read(entry, MAX_BYTES), where, error=DataError), folder)


def _background_notes(labels: Iterable[str]) -> list[str]:
    """Hint at classes that look like the taught "none of these"."""
    return [
        f"{label}: if it means none of the gestures, call its folder '{BACKGROUND}', which never "
        "triggers anything"
        for label in labels
        if label != BACKGROUND
        and (fold(label) in NOTHING or fold(label).lstrip("_").startswith(BACKGROUND))
    ]


def _suffix(entry: Entry) -> str:
    _, dot, suffix = entry.parts[-1].rpartition(".")
    return f".{suffix.lower()}" if dot else ""


def _why_not(entry: Entry) -> str:
    return (
        "pictures of this kind are not read here; convert them to JPEG"
        if _suffix(entry) in OTHER_FORMATS
        else A_FILM if _suffix(entry) in FILMS
        else "not a picture"
    )  # fmt: skip
