"""Recording a session: a countdown, then about eight pictures a second until there are enough."""

from __future__ import annotations

import shutil
import time
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import PIL.Image

from edge.card import BACKGROUND
from edge.config import KINDS
from edge.errors import SourceError
from edge.files import is_folder
from edge.pictures import POINTS, find_pictures
from edge.sources.opening import default_source, open_source
from edge.sources.recordings import RATE
from edge.sources.taken import AUTOMATIC
from trainer.errors import DataError
from trainer.sessions import STAMP
from trainer.taken import note
from trainer.words import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import edge.card
    from edge.frame import Image, Source
    from trainer.features.poses import Kind

DARK, BRIGHT = 0.12, 0.88
"""Mean brightness, of 1, outside of which a hand is hard to see."""
BLURRED = 40.0
"""Variance of the Laplacian at 160 pixels' width below which a picture is blurred: all but 1 % of
sharp pictures of five cameras lie above 55, 95 % of the same ones smeared by 9 pixels below 45."""


LONGEST = 64
"""Letters of a label."""
JOINING = " .+-_\u200c\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""Allowed between letters: joiners of some scripts and of emoji, and skin tones."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame on its way: what it looks like, and whether it was kept."""

    image: Image
    kept: int
    """Pictures kept so far."""
    brightness: float
    """Mean, from 0 to 1."""
    warning: str
    """What is wrong with it, in words; empty where nothing is."""
    countdown: float
    """Seconds until the first picture is kept; 0 once recording."""


def session_folder(data: Path, label: str) -> Path:
    """Return a folder for a new session of a label, named by the time; it does not exist yet.

    Raises:
        DataError: the label cannot be a folder's name.
    """
    if wrong := _wrong_with(label):
        raise DataError(f"'{shorten(label)}' cannot be a label: {wrong}")
    name = time.strftime(STAMP)
    folder, number = data / label / name, 1
    while folder.exists():
        number += 1
        folder = data / label / f"{name}-{number}"
    return folder


def _wrong_with(label: str) -> str:
    """Return why a label is neither a word of some script nor an emoji; empty if it is one."""
    kinds = [unicodedata.category(letter) for letter in label]
    strange = [
        letter
        for kind, letter in zip(kinds, label, strict=True)
        if not (kind[0] in "LMN" or kind == "So" or letter in JOINING)
    ]
    if not label:
        return "it is empty; say what you show, such as rock"
    if len(label) > LONGEST:
        return f"it has {len(label)} letters, and {LONGEST} are the most"
    if strange:
        return f"it has {strange[0]!a} in it; use letters, digits, spaces, '.', '-', '_' or '+'"
    if label != label.rstrip(" ."):
        return f"it ends with a {'blank' if label[-1] == ' ' else 'dot'}; leave that out"
    if not (kinds[0][0] in "LN" or kinds[0] == "So"):
        return f"it begins with {label[0]!a}; a letter or digit comes first"
    return ""


def open_for_capture(
    name: str | None, label: str, data: Path, taken: edge.card.Camera = AUTOMATIC
) -> Source:
    """Open a source to record a label from; drawn hands show that label, each session anew.

    Args:
        name: as for `edge.open_source`.
        label: what will be shown.
        data: the folder of all labels.
        taken: how a camera of this machine is to be set.

    Raises:
        SourceError: it cannot be opened, or not be set like that.
    """
    if name is None:
        name = default_source()
        if name == "virtual":  # drawn hands are nobody's own
            raise SourceError(
                "no camera is found here; plug one in, or say which: --source webcam:0, a Pi's "
                "with ssh://pi@raspberrypi.local, or drawn hands, to try it out, with virtual"
            )
    kind, _, seed = name.partition(":")
    if taken.is_set:
        return _set_camera(name, kind, taken)
    if kind == "virtual" and (seed.isdecimal() or not seed):
        from edge.sources.virtual import LABELS, Virtual

        if label not in LABELS:
            raise SourceError(
                f"virtual: draws {', '.join(LABELS)}, not '{label}'; for your own gestures take a "
                "camera: --source webcam:0"
            )
        folder = data / label
        sessions = sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
        # Without a seed another person and room each time.
        return Virtual(seed=int(seed or 1 + sessions), labels=[label])
    return open_source(name)


def folders_in(name: str | None) -> list[str]:
    """Return the folders of a folder to record from, if it has several with pictures in them."""
    if name is None or name.partition(":")[0] in KINDS or not is_folder(name):
        return []
    found = {path.relative_to(name).parts for path in find_pictures(Path(name))}
    inner = sorted({parts[0] for parts in found if len(parts) > 1})
    return inner if len(inner) > 1 else []


def _set_camera(name: str, kind: str, taken: edge.card.Camera) -> Source:
    if name.startswith("ssh://"):
        raise SourceError(
            f"{name}: how a Pi's camera is set, its own edge.toml and its model say; leave "
            "--white-balance, --exposure and --flip out"
        )
    if name != "pi" and kind != "webcam":
        raise SourceError(
            f"{name}: no camera, and so nothing to set; leave --white-balance, --exposure and "
            "--flip out"
        )
    return open_source(name, size=taken.size, taken=taken)


def keep_picture(image: Image, path: Path) -> str:
    """Write a JPEG under a name without a suffix; return "", as no picture is refused.

    Raises:
        DataError: it cannot be written.
    """
    _save(image, path.with_suffix(".jpg"))
    return ""


def keep_points(kind: Kind, label: str) -> Callable[[Image, Path], str]:
    """Return a function that keeps no picture, only the points of a hand or a face.

    Raises:
        DataError: their weights are not here.
    """
    from trainer.features.points import find, write_points

    find(kind, np.zeros((8, 8, 3), np.uint8))  # now, rather than at the first picture

    def keep(image: Image, path: Path) -> str:
        points = find(kind, image)
        if not points.found[-1] and label != BACKGROUND:
            return f"no {kind} is seen: nearer, or more light"
        write_points(points, path.with_suffix(POINTS))
        return ""

    return keep


def capture(
    source: Source,
    folder: Path,
    *,
    number: int | None = None,
    countdown: float = 3.0,
    keep: Callable[[Image, Path], str] = keep_picture,
) -> Generator[Shot]:
    """Keep pictures from a source in a new folder, yielding every frame on the way.

    A note beside them says how they are taken, if the source knows and any setting differs.

    Stop iterating whenever you like: what was kept is whole. A folder with nothing in it is
    removed again.

    Args:
        source: where frames come from; closed at the end.
        folder: made by this, where the pictures go.
        number: how many to keep; None goes on until the source ends.
        countdown: seconds before the first is kept, if the source is a camera.
        keep: writes a picture under a name without suffix, or returns why there is nothing to keep.

    Raises:
        DataError: the folder or a picture cannot be written.
    """
    new_label = not folder.parent.exists()
    try:
        folder.mkdir(parents=True)
    except OSError as problem:
        source.close()
        raise DataError(f"{folder}: cannot be made: {problem.strerror}") from None
    kept, due, start, lacking = 0, 0.0, None, ""
    try:
        with source:
            if source.taken is not None and source.taken.is_set:
                note(source.taken, folder)
            for frame in source:
                if start is None:
                    start = frame.time + (countdown if source.live else 0.0)
                left = max(0.0, start - frame.time)
                if left == 0 and frame.time >= due:
                    lacking = keep(frame.image, folder / f"{kept + 1:04d}")
                    kept += not lacking
                    due = max(due, start, frame.time - 0.5 / RATE) + 1 / RATE
                yield _shot(frame.image, kept, left, lacking)
                if kept == number:
                    return
    finally:
        if kept == 0:
            shutil.rmtree(folder)
            if new_label:  # a label without pictures would stop the next training
                with suppress(OSError):  # another camera records it
                    folder.parent.rmdir()


def _save(image: Image, path: Path) -> None:
    """Write a JPEG under another name first: a file that is there is whole."""
    part = path.with_suffix(".part")
    try:
        PIL.Image.fromarray(image).save(part, format="JPEG", quality=95, subsampling=0)
        part.replace(path)
    except OSError as problem:
        raise DataError(f"{path}: cannot be written: {problem.strerror or problem}") from None
    finally:
        part.unlink(missing_ok=True)


def _shot(image: Image, kept: int, left: float, lacking: str) -> Shot:
    width = 160
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    grey = cv2.cvtColor(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )
    brightness = float(grey.mean()) / 255
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    warning = (
        "too dark: more light, from the front" if brightness < DARK
        else "too bright: less light, or turn away from the window" if brightness > BRIGHT
        else "blurred, or a bare wall: hold still, or clean the lens" if sharpness < BLURRED
        else ""
    )  # fmt: skip
    return Shot(image, kept, brightness, lacking or warning, left)
