"""How pictures were taken: noted beside each session's, read into the model's card.

A session's folder may hold `handwave.json`, an `edge.card.Camera`: the device then sets its own
camera to the same light, and mirrors as the pictures are mirrored.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from edge.card import NOTE, Camera
from edge.files import read_bounded
from edge.frame import SIZE
from edge.turning import Turn
from trainer.errors import DataError
from trainer.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 10_000
"""Of a note."""
AUTOMATIC = Camera(size=SIZE)
"""How a camera takes pictures by itself."""
MIRROR = Camera(size=SIZE, horizontal_flip=True)
"""The same, but left for right."""
SETTINGS = {
    "white_balance": "white balance",
    "exposure": "exposure",
    "horizontal_flip": "flipped left for right",
    "vertical_flip": "flipped top for bottom",
}


def note(camera: Camera, folder: Path) -> None:
    """Note in a session's folder how its pictures are taken.

    Raises:
        DataError: it cannot be written.
    """
    write_whole(msgspec.json.encode(camera), folder / NOTE, error=DataError)


def how_taken(pictures: Sequence[Path], root: Path) -> list[Camera]:
    """Return how each picture was taken, but for the size.

    Sessions without a note count as taken with everything automatic.

    Args:
        pictures: `root/<label>/<session>/...`, or `root/<label>/...`.
        root: of the dataset.

    Raises:
        DataError: a note that is damaged.
    """
    folders = [_session(picture, root) for picture in pictures]
    ways = {folder: read_note(folder) or AUTOMATIC for folder in set(folders)}
    return [ways[folder] for folder in folders]


def most_usual(taken: Sequence[Camera]) -> tuple[Camera, list[str]]:
    """Return how more of the pictures were taken than any other way; and in words, how others were.

    Args:
        taken: how each was; one at the least.
    """
    ways = Counter(taken)
    ((chosen, count),) = ways.most_common(1)
    names = [name for name in SETTINGS if len({getattr(way, name) for way in ways}) > 1]
    if not names:
        return chosen, []
    how = ", ".join(f"{SETTINGS[name]} {_word(getattr(chosen, name))}" for name in names)
    said = (
        "not all pictures were taken alike; the device's camera does as for the most of them, "
        f"{count} of {ways.total()}: {how}"
    )
    return chosen, [said]


def turn_to(camera: Camera, taken: Camera) -> Turn:
    """Return what turns a picture that was taken so into one that this camera would have taken."""
    return Turn(
        horizontal=taken.horizontal_flip != camera.horizontal_flip,
        vertical=taken.vertical_flip != camera.vertical_flip,
    )


def _session(picture: Path, root: Path) -> Path:
    """Return the folder of a picture's session; of a loose picture, its label's."""
    within = picture.relative_to(root).parts[:-1]
    return root.joinpath(*within[:2])


def _word(value: object) -> str:
    words = {"None": "automatic", "True": "yes", "False": "no"}
    return words.get(str(value), str(value))


def read_note(folder: Path) -> Camera | None:
    """Return what a session's note says, but for the size; None where there is none.

    Raises:
        DataError: it is damaged.
    """
    path = folder / NOTE
    if not path.is_file():
        return None
    content = read_bounded(path, MAX_BYTES, what="note", missing="it is gone", error=DataError)
    try:
        camera = msgspec.json.decode(content, type=Camera)
        fault = camera.fault
    except msgspec.DecodeError as problem:
        fault = str(problem)
    if fault:
        raise DataError(
            f"{path}: damaged: {fault}; remove it, and these pictures count as taken with "
            "everything automatic"
        )
    balance = None if camera.white_balance == "auto" else camera.white_balance
    return msgspec.structs.replace(camera, size=SIZE, white_balance=balance)
