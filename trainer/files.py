"""Writing a file whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.errors import HandwaveError


def write_whole(
    content: bytes,
    path: Path,
    *,
    error: type[HandwaveError],
    check: Callable[[Path], object] | None = None,
) -> None:
    """Write beside the target, and only then put it in its place; else leave what was there.

    Args:
        content: of the file.
        path: of the file; its folder is there.
        error: what to raise.
        check: called with the new file before it takes its place; what it raises stops that.

    Raises:
        HandwaveError: of the kind `error`: it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name[:50]}.", suffix=path.suffix
        )
    except OSError as problem:
        raise error(f"{path}: cannot be written: {problem.strerror}") from None
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(new)
        new.chmod(0o644)  # mkstemp's is for its owner alone; the Pi's service is somebody else
        new.replace(path)
    except OSError as problem:
        raise error(f"{path}: cannot be written: {problem.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
