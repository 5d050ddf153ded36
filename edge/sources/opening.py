"""The words that name each source on a command line, and what they open."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.config import FORMS, NAMED, CameraSettings
from edge.errors import SourceError
from edge.files import is_file, is_folder
from edge.frame import SIZE, Source
from edge.platform import is_raspberry_pi
from edge.sources.recordings import Folder
from edge.sources.video import Video
from edge.sources.webcam import Webcam

if TYPE_CHECKING:
    from edge import card


def default_source() -> str:
    """Return the source of this machine: its camera, or drawn hands where there is none."""
    if is_raspberry_pi():
        return "pi"
    if sys.platform == "darwin":
        return "webcam:0"  # a Mac tells of its camera only when it is opened
    cameras = sorted(int(path.name[5:]) for path in Path("/dev").glob("video[0-9]*"))
    return f"webcam:{cameras[0]}" if cameras else "virtual"


def open_source(
    name: str | None = None,
    *,
    size: tuple[int, int] = SIZE,
    paced: bool = True,
    camera: CameraSettings = CameraSettings(),  # noqa: B008  (it is frozen)
    taken: card.Camera | None = None,
) -> Source:
    """Open the source that a command line names.

    Args:
        name: `pi`, `webcam:N`, a folder, a video file, `virtual` or `virtual:SEED`, or
            `ssh://user@host` for that Pi's camera; None takes this machine's own.
        size: `(width, height)` to ask a camera for, pixels.
        paced: whether drawn frames come in real time, or as fast as they are taken.
        camera: how a camera is mounted and set, `[camera]` of `edge.toml`.
        taken: how the model's pictures were taken, its card's `camera`; `camera` goes before it.

    Raises:
        SourceError: no such source, or it cannot be opened.
    """
    name = default_source() if name is None else name
    kind, _, rest = name.partition(":")
    if name == "pi":
        from edge.sources.camera import Camera  # each source's libraries only when used

        return Camera(size, settings=camera, taken=taken)
    if kind == "webcam" and NAMED.fullmatch(name):
        return Webcam(int(rest or 0), size, settings=camera, taken=taken)
    if kind == "virtual" and NAMED.fullmatch(name):
        from edge.sources.virtual import Virtual

        return Virtual(size, seed=int(rest or 0), paced=paced)
    if name.startswith("ssh://"):
        from edge.sources.remote import RemoteCamera

        return RemoteCamera(name)  # it is opened as the Pi's own service does
    if name and is_folder(name):
        return Folder(name, taken=taken)
    if is_file(name):
        return Video(name)
    raise SourceError(f"{name}: no such source; a source is {FORMS}")
