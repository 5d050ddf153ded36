"""How pictures were taken: noted beside each session's, read into the model's card.

A session's folder may hold `handwave.json`, an `edge.card.Camera`: the device then sets its own
camera to the same light, and mirrors as the pictures are mirrored.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from edge.card import NOTE, Camera
from edge.frame import SIZE
from edge.sources.taken import AUTOMATIC, read_note, session_of
from trainer.errors import DataError
from trainer.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    folders = [root / session_of(picture.relative_to(root)) for picture in pictures]
    ways = {folder: read_note(folder, error=DataError) or AUTOMATIC for folder in set(folders)}
    return [ways[folder] for folder in folders]


def most_usual(taken: Sequence[Camera]) -> tuple[Camera, list[str]]:
    """Return the commonest way the pictures were taken, and notes on other ways.

    Args:
        taken: how each was; at least one.
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


def _word(value: object) -> str:
    words = {"None": "automatic", "True": "yes", "False": "no"}
    return words.get(str(value), str(value))
