"""Files of other people's: whether they are there, and reading one whole, within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.errors import HandwaveError


def is_folder(path: str | Path) -> bool:
    """Return whether there is such a folder; False for names that no file system accepts."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # too long, below a folder that is not ours, a null byte
        return False


def is_file(path: str | Path) -> bool:
    """Return whether there is such a file; False for names that no file system accepts."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def read_bounded(
    path: Path, most: int, *, what: str, missing: str, error: type[HandwaveError]
) -> bytes:
    """Return a file's bytes.

    Args:
        path: the file.
        most: bytes; a larger file is refused without reading it all.
        what: what the file should be, such as "model".
        missing: what to say where there is none, and what to do.
        error: what to raise.

    Raises:
        HandwaveError: of the kind `error`: missing, unreadable or too large.
    """
    try:
        if path.is_fifo():  # would wait for ever for somebody to write to it
            raise error(f"{path}: a named pipe, this is no {what}")
        with path.open("rb") as file:
            content = file.read(most + 1)  # no stat: /dev/zero has size 0 and no end
    except FileNotFoundError:
        raise error(f"{path}: {missing}") from None
    except (OSError, ValueError) as problem:  # a ValueError is a null byte in the name
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{path}: cannot be read: {reason}") from None
    if len(content) > most:
        raise error(f"{path}: larger than {most // 1000} kB, this is no {what}")
    return content
