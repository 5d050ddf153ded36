"""How pictures were taken, noted beside them: a session's folder may hold `handwave.json`.

Who shows them to a model turns them as the model's own camera would have taken them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.card import NOTE, Camera
from edge.files import read_bounded
from edge.frame import SIZE
from edge.sources.turning import Turn

if TYPE_CHECKING:
    from edge.errors import HandwaveError

MAX_BYTES = 10_000
"""Of a note."""
AUTOMATIC = Camera(size=SIZE)
"""How a camera takes pictures by itself."""


def turn_between(taken: Camera, camera: Camera) -> Turn:
    """Return the turn that makes a picture look as if `camera` had taken it."""
    return Turn(
        horizontal=taken.horizontal_flip != camera.horizontal_flip,
        vertical=taken.vertical_flip != camera.vertical_flip,
    )


def session_of(name: Path) -> Path:
    """Return the folder of a picture's session, `label/session`; of a loose one its label's.

    Args:
        name: the picture's path within its data set, or within a folder like one.
    """
    return Path(*name.parts[:-1][:2])


def read_note(folder: Path, *, error: type[HandwaveError]) -> Camera | None:
    """Return what a session's note says, but for the size; None where there is none.

    Args:
        folder: the session's.
        error: what to raise.

    Raises:
        HandwaveError: of the kind `error`: it is damaged.
    """
    path = folder / NOTE
    if not path.is_file():
        return None
    content = read_bounded(path, MAX_BYTES, what="note", missing="it is gone", error=error)
    return parse_note(content, str(path), error=error)


def parse_note(content: bytes, where: str, *, error: type[HandwaveError]) -> Camera:
    """Return what a note says, but for the size.

    Args:
        content: JSON.
        where: its place, for error messages.
        error: what to raise.

    Raises:
        HandwaveError: of the kind `error`: it is damaged.
    """
    try:
        camera = msgspec.json.decode(content, type=Camera)
        fault = camera.fault
    except msgspec.DecodeError as problem:
        fault = str(problem)
    if fault:
        raise error(
            f"{where}: damaged: {fault}; remove it, and these pictures count as taken with "
            "everything automatic"
        )
    balance = None if camera.white_balance == "auto" else camera.white_balance
    return msgspec.structs.replace(camera, size=SIZE, white_balance=balance)
