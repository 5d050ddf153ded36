"""Features that were computed before, kept by content: retraining costs only what is new.

One SQLite file in the user's cache folder. A row is found by a digest of everything that it depends
on (the features' graph, the picture's bytes, how its copies are made), so nothing in it can be out
of date; it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

import numpy as np
import platformdirs

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

MAX_BYTES = 2_000_000_000
"""What the file may grow to before the oldest half goes."""
_TABLE = """
    CREATE TABLE IF NOT EXISTS features (
        key BLOB PRIMARY KEY, rows INTEGER, width INTEGER, height INTEGER, data BLOB, made REAL
    )
"""


def cache_folder() -> Path:
    """Return where handwave keeps what it can make or fetch again; `HANDWAVE_CACHE` moves it."""
    place = os.environ.get("HANDWAVE_CACHE")
    return Path(place) if place else platformdirs.user_cache_path("handwave")


def digest(*parts: bytes | str) -> bytes:
    """Return one digest of several parts, each told from its neighbours by its length."""
    total = hashlib.blake2b(digest_size=20)
    for part in parts:
        # A file's name need not be UTF-8.
        content = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "little") + content)
    return total.digest()


_NOTES = "CREATE TABLE IF NOT EXISTS notes (key BLOB PRIMARY KEY, text TEXT)"


class FeatureCache:
    """Rows of features by key. A cache that cannot be opened or written to keeps nothing.

    Args:
        path: the file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = Lock()  # the trainer's threads share one connection
        self._file: sqlite3.Connection | None = None
        if path is not None:
            with suppress(OSError, sqlite3.Error):
                path.parent.mkdir(parents=True, exist_ok=True)
                # No transaction: each row is kept at once, whatever ends the training, and
                # another training need not wait.
                self._file = sqlite3.connect(
                    path, timeout=10, check_same_thread=False, isolation_level=None
                )
                self._file.execute("PRAGMA journal_mode = WAL")
                self._file.execute("PRAGMA synchronous = OFF")  # lost is lost: it is a cache
                self._file.execute(_TABLE)
                self._file.execute(_NOTES)

    def get(self, key: bytes) -> tuple[NDArray[np.float32], tuple[int, int]] | None:
        """Return kept rows, float32 `[rows, n]`, and the picture's `(width, height)`."""
        found = None
        with self._lock, suppress(sqlite3.Error):
            if self._file is not None:
                found = self._file.execute(
                    "SELECT rows, width, height, data FROM features WHERE key = ?", (key,)
                ).fetchone()
        if found is None:
            return None
        rows, width, height, data = found
        return np.frombuffer(data, np.float32).reshape(rows, -1), (width, height)

    def put(self, key: bytes, rows: NDArray[np.float32], size: tuple[int, int]) -> None:
        """Keep rows, float32 `[rows, n]`, of a picture of `(width, height)`."""
        with self._lock, suppress(sqlite3.Error):
            if self._file is not None:
                self._file.execute(
                    "INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?, ?)",
                    (key, len(rows), *size, rows.tobytes(), time.time()),
                )

    def note(self, key: bytes, text: str) -> None:
        """Keep a few words, in place of what was kept under this key."""
        with self._lock, suppress(sqlite3.Error):
            if self._file is not None:
                self._file.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, text))

    def noted(self, key: bytes) -> str | None:
        """Return the words kept under a key, if there are any."""
        with self._lock, suppress(sqlite3.Error):
            if self._file is not None:
                found = self._file.execute("SELECT text FROM notes WHERE key = ?", (key,))
                return next((str(text) for (text,) in found), None)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._shrink(self._file)
            self._file.close()
            self._file = None

    def _shrink(self, file: sqlite3.Connection) -> None:
        pages, size = (
            file.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size")
        )
        if pages * size > MAX_BYTES:
            file.execute(
                "DELETE FROM features WHERE made <= (SELECT made FROM features ORDER BY made "
                "LIMIT 1 OFFSET (SELECT count(*) / 2 FROM features))"
            )
            file.execute("VACUUM")
