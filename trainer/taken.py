"""How pictures were taken: noted beside each session's, read into the model's card.

A session's folder may hold `camera.json`, the card's `camera` (`edge.card.Camera`): the device then
sets its own camera to the same light, and mirrors as the pictures are mirrored.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from edge.card import Camera
from edge.files import read_bounded
from edge.frame import SIZE
from trainer.errors import DataError
from trainer.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAME = "camera.json"
MAX_BYTES = 10_000
AUTOMATIC = Camera(size=SIZE)
SETTINGS = {
    "white_balance": "white balance",
    "exposure": "exposure",
    "horizontal_flip": "mirrored left for right",
    "vertical_flip": "mirrored top for bottom",
}
WORDS = {None: "automatic", True: "yes", False: "no"}


def note(camera: Camera, folder: Path) -> None:
    """Note in a session's folder how its pictures are taken.

    Raises:
        DataError: it cannot be written.
    """
    write_whole(msgspec.json.encode(camera), folder / NAME, error=DataError)


def how_taken(pictures: Iterable[Path]) -> tuple[Camera, list[str]]:
    """Return how most of the pictures were taken, and in words where others were not.

    Sessions without a note count as taken with everything automatic. The size is not looked at.

    Raises:
        DataError: a note that is damaged.
    """
    folders = Counter(picture.parent for picture in pictures)
    notes = {folder: read_note(folder) or AUTOMATIC for folder in folders}
    common, differing = {}, []
    for name, words in SETTINGS.items():
        values: Counter[str | float | bool | None] = Counter()
        for folder, count in folders.items():
            values[getattr(notes[folder], name)] += count
        common[name] = values.most_common(1)[0][0]
        if len(values) > 1:
            value = common[name]
            most = WORDS[value] if value is None or isinstance(value, bool) else value
            differing.append(
                f"{words}: not all pictures were taken alike; the device's camera does as for "
                f"most of them: {most}"
            )
    return msgspec.structs.replace(AUTOMATIC, **common), differing


def read_note(folder: Path) -> Camera | None:
    """Return what a session's note says; None where there is none.

    Raises:
        DataError: it is damaged.
    """
    path = folder / NAME
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
    return camera
