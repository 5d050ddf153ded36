"""Files that outputs name, such as sounds and pictures: beside `edge.toml`, and nowhere else.

A push sends that folder's files, so whatever lies elsewhere would be missing on the Pi.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEAD = 16
"""Bytes that tell one format from another."""


def is_beside(name: str) -> bool:
    """Return whether a name is a plain relative path, which does not climb out of its folder."""
    path = PurePosixPath(name)
    plain = bool(path.parts) and name.isprintable() and "\\" not in name
    return plain and not path.is_absolute() and ".." not in path.parts


def find_beside(folder: Path, name: str) -> Path:
    """Return the path of a file in `edge.toml`'s folder, or in a folder below it.

    Raises:
        ValueError: it is not there, or the name or a link leads out of the folder.
    """
    try:
        path = folder / name
        if not is_beside(name) or not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"'{name}' is not inside the folder of edge.toml, which is what a push sends; "
                "copy the file there and write its name"
            )
        there = path.is_file()
    except (OSError, RuntimeError):  # a name without end, links in a circle
        there = False
    if not there:
        raise ValueError(f"there is no file '{name}' beside edge.toml")
    return path


def read_head(path: Path) -> bytes:
    """Return a file's first bytes.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as problem:
        raise ValueError(f"'{path.name}' cannot be read: {problem.strerror}") from None


def suffix(name: str, known: Mapping[str, object]) -> str:
    """Return a name's ending in lower case, such as `.wav`.

    Raises:
        ValueError: it is none of those known.
    """
    ending = PurePosixPath(name).suffix.lower()
    if ending not in known:
        raise ValueError(f"'{name}' is none of {', '.join(known)}; convert it to one of them")
    return ending
