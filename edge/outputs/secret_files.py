"""Secrets in files of their own, of which `edge.toml` has only the names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.errors import OutputError, named
from edge.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def read_secret(path: Path, most: int, *, owner: str, what: str) -> bytes:
    """Return a secret file's bytes; warn where everybody on this machine may read it.

    Only warn: the lamp on the wall should light all the same.

    Args:
        path: the file.
        most: bytes; a larger file is refused.
        owner: whose it is, such as `mqtt`.
        what: it is, such as `password`, which `password_file` names.

    Raises:
        OutputError: missing, unreadable or too large.
    """
    missing = f"no such file; write the {what} into it, and nothing else"
    with named(f"{what}_file: "):
        content = read_bounded(path, most, what=what, missing=missing, error=OutputError)
    if path.stat().st_mode & 0o007:
        log.warning("%s: everybody on this machine may read %s; chmod o= %s", owner, path, path)
    return content
