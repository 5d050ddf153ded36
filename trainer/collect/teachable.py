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
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.card import BACKGROUND
from edge.errors import PictureError
from edge.pictures import SUFFIXES, natural_key, read_picture
from trainer.collect.archive import Archive, Entry
from trainer.collect.label_lists import MOST_TEXT, parse_labels
from trainer.collect.staging import Staging, fold, safe_name, tidy
from trainer.dataset import NOTHING, OTHER_FORMATS
from trainer.errors import DataError
from trainer.taken import MIRROR, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

MOST_PICTURE = 32_000_000
"""Bytes of one picture file."""
MODELS = {".h5", ".keras", ".tflite", ".pb", ".bin", ".onnx"}
PACKED = {".zip", ".tm", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
LABELS = {"labels.txt", "metadata.json"}
OURS = LABELS | {"manifest.json", "model.json"}
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
    flipped: bool = False,
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
        flipped: whether the pictures are, left for right: noted, so that a device's camera is too.
        progress: called with pictures done, and of how many.

    Raises:
        DataError: not such an archive, or one that is not safe, or data/ cannot be written.
    """
    if archive.suffix.lower() in MODELS:
        raise DataError(f"{archive}: {NO_PICTURES}")
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
            if flipped:
                for folder in staging.folders:
                    note(MIRROR, folder)
            sessions = staging.settle(
                default=safe_name(archive.stem), wanted=session and tidy(session)
            )
    lost = set(names.values()) - set(staging.counts)
    notes += [f"{name}: none of its pictures can be read" for name in sorted(lost)]
    notes += _background_notes(staging.counts)
    return Imported(str(archive), staging.counts, sessions, skipped, notes)


def _find_samples(source: Archive, label: str | None) -> tuple[list[_Sample], list[str]]:
    """Return the pictures, each with its class and session, and what is left out and why."""
    pictures = [e for e in source.entries if _suffix(e) in SUFFIXES]
    others = [e for e in source.entries if _suffix(e) not in SUFFIXES and e.parts[-1] not in OURS]
    _refuse_others(source, pictures)
    skipped = [f"{entry.name}: {_why_not(entry)}" for entry in others]
    pictures.sort(key=lambda entry: natural_key(entry.name))
    marks = [e for e in source.entries if e.parts[-1] == "manifest.json" and len(e.parts) < 3]
    firsts = {e.parts[0] if len(e.parts) > 1 else "" for e in (*pictures, *marks)}
    top = firsts.pop() if len(firsts) == 1 else ""
    paths = [entry.parts[1:] if top else entry.parts for entry in pictures]
    while min(map(len, paths)) > 2 and len({path[0] for path in paths}) == 1:  # gestures/data/
        paths = [path[1:] for path in paths]
    nested = any(len(path) > 1 for path in paths)
    project = [re.fullmatch(r"(.+)-!-\d+\.\w+", "/".join(path)) for path in paths]
    if any(project) and (marks or not nested):
        found = [(match[1] if match else "", "") for match in project]
    elif not nested:
        name = label or (_of_samples(top) if top else _samples_archive(source.path))
        found = [(name, "")] * len(pictures)
    elif label is not None and fold(top) == fold(label):
        found = [(label, "-".join(path[:-1])) for path in paths]
    else:
        times = {path[0] for path in paths if path[1:] and re.match(r"\d{4}-\d\d-\d\d", path[0])}
        if times:
            raise DataError(
                f"{source.path}: '{min(times)}' in it is a session's folder, no class; say what "
                f"the pictures show with --label {top or 'NAME'}"
            )
        found = [
            (_of_samples(path[0]), "-".join(path[1:-1])) if path[1:] else ("", "") for path in paths
        ]
    samples = [_Sample(entry, *names) for entry, names in zip(pictures, found, strict=True)]
    skipped += [f"{s.entry.name}: belongs to no class" for s in samples if not s.label]
    return [sample for sample in samples if sample.label], skipped


def _refuse_others(source: Archive, pictures: list[Entry]) -> None:
    """Say of an archive that is not of pictures what it is.

    Raises:
        DataError: an audio project, archives in an archive, a model, or anything without pictures.
    """
    for entry in source.entries:
        manifest = entry.parts[-1] == "manifest.json" and len(entry.parts) < 3
        if manifest and _manifest_type(source, entry) == "audio":
            raise DataError(f"{source.path}: an audio project; pictures are needed")
    for entry in source.entries:
        if _suffix(entry) in PACKED:
            raise DataError(
                f"{source.path}: holds another archive, '{entry.name}'; unpack it, and import "
                "those in it"
            )
    if not pictures:
        model = any(_suffix(e) in MODELS or e.parts[-1] in LABELS for e in source.entries)
        what = NO_PICTURES if model else "no pictures in it (JPEG, PNG, WebP, BMP, GIF)"
        raise DataError(f"{source.path}: {what}")


def _manifest_type(source: Archive, entry: Entry) -> object:
    try:
        return json.loads(source.read(entry, MOST_TEXT)).get("type")
    except (DataError, ValueError, AttributeError, RecursionError):
        return None  # of some other program's


def _samples_archive(path: Path) -> str:
    """Return the class that `<class>-samples.zip` is of; a browser may have added ` (1)`."""
    stem = re.sub(r" ?\(\d+\)$", "", path.stem)
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
    if suffix is None:
        raise PictureError("not a picture (JPEG, PNG, WebP, BMP, GIF)")
    with staging.picture(content, label, sample.session, suffix) as path:
        try:
            read_picture(path)
        except PictureError as problem:
            raise PictureError(str(problem).removeprefix(f"{path}: ")) from None


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
        else "not a picture"
    )
