"""Bounds for work on a file that somebody else wrote."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()  # the limit is the whole process's


@contextmanager
def more_memory(most: int) -> Iterator[None]:
    """Let this process grow by `most` bytes in the block; larger allocations fail.

    In the block an allocation beyond that raises MemoryError, or what a library makes of it, where
    otherwise the system would end some process. Elsewhere than on Linux nothing is limited.
    """
    if sys.platform != "linux":
        yield
        return
    import resource  # not on every system

    with _lock:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([_data() + most, *limits]), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data() -> int:
    """Return how much writable memory this process has asked for, bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmData:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
