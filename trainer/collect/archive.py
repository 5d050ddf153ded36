"""Zip archives from elsewhere: checked before anything is read, and read within bounds.

An archive can attack whoever unpacks it: by names that leave the folder, by links, or by expanding
a thousandfold. So no name in it becomes a name on this disk, and an archive with anything of the
kind is refused whole; no camera made it.
"""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from edge.pictures import is_of_systems
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_FILES = 20_000
MOST_BYTES = 2_000_000_000
"""Unpacked, of all files together."""
MOST_DIRECTORY = 16_000_000
"""Bytes of the list of files at the archive's end, which is read at once."""
MOST_RATIO, SMALL = 200, 1_000_000
"""Largest expansion of a file, unless it stays small (bytes). Pictures hardly shrink; plain
drawings as BMP do some tens of times."""
DEVICES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{name}{n}" for name in ("COM", "LPT") for n in range(10)
}
"""No file on Windows can be called so."""
UTF8, ENCRYPTED = 0x800, 0x1  # flags of an entry


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive."""

    parts: tuple[str, ...]
    """Its folders, and its name."""
    size: int
    """Bytes, as the archive says."""
    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        """The path inside the archive."""
        return "/".join(self.parts)


class Archive:
    """A zip archive whose names and sizes can be trusted.

        with Archive(path) as archive:
            archive.read(archive.entries[0], most=1_000_000)

    Raises:
        DataError: not an archive, damaged, encrypted, a bomb, or with names that leave the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            raise DataError(f"{path}: no archive but a folder; teach from it: trainer train {path}")
        try:
            file = _Bounded(path)
        except OSError as problem:
            raise DataError(f"{path}: cannot be read: {problem.strerror}") from None
        try:
            with _damage(path):
                self._zip = zipfile.ZipFile(file)
                file.most = MOST_BYTES
                infos = self._zip.infolist()
                self._check_sizes(infos, path.stat().st_size)
                entries = [_entry(info) for info in infos]
        except BaseException:
            file.close()
            raise
        self._file = file
        self.entries = [
            entry for entry in entries if entry and not any(map(is_of_systems, entry.parts))
        ]
        """Its files without hidden ones and what systems add, in the archive's order."""

    def read(self, entry: Entry, most: int) -> bytes:
        """Return a file's bytes, checked against their checksum.

        No more are unpacked than the archive declares, and their sum has been checked.

        Raises:
            DataError: damaged, or more than `most` bytes.
        """
        if entry.size > most:
            raise DataError(f"{self.path}: {entry.name}: larger than {most // 1000} kB")
        with _damage(self.path, entry.name), self._zip.open(entry.info) as file:
            content = file.read(entry.size + 1)  # zlib unpacks as much as it is asked for
            if len(content) != entry.size:
                raise zipfile.BadZipFile("cut short")
        return content

    def _check_sizes(self, infos: list[zipfile.ZipInfo], packed: int) -> None:
        total = sum(info.file_size for info in infos)
        # By the archive's own size as well: files in a zip can share their packed bytes.
        crowded = total > SMALL and total > MOST_RATIO * packed
        if len(infos) > MOST_FILES:
            raise _RefusedError(f"holds {len(infos)} files; {MOST_FILES} is the most")
        if total > MOST_BYTES:
            raise _RefusedError(
                f"unpacks to {total / 1e9:.1f} GB; {MOST_BYTES / 1e9:.0f} GB is the most"
            )
        if crowded or any(
            info.file_size > SMALL and info.file_size > MOST_RATIO * info.compress_size
            for info in infos
        ):
            raise _RefusedError(f"unpacks to over {MOST_RATIO} times its size: no pictures do that")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()


class _RefusedError(Exception):
    """What is wrong with an archive, in words."""


class _Bounded(io.FileIO):
    """A file whose single reads are bounded, whatever the archive declares."""

    most = MOST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise _RefusedError(f"holds more files than {MOST_FILES}, or lies about itself")
        return super().read(size) or b""


@contextmanager
def _damage(path: Path, name: str = "") -> Iterator[None]:
    """Say in one line what is wrong with an archive."""
    where = f"{path}: {name}" if name else f"{path}"
    try:
        yield
    except _RefusedError as problem:
        raise DataError(f"{where}: {problem}; nothing of it was imported") from None
    except zipfile.BadZipFile as problem:
        what = "not a zip archive" if "not a zip" in str(problem) else f"damaged ({problem})"
        raise DataError(f"{where}: {what}, or cut short; download it again") from None
    except Exception as problem:  # zipfile and zlib raise nearly anything on damaged archives
        reason = str(problem) or type(problem).__name__
        raise DataError(f"{where}: damaged ({reason}); download it again") from problem


def _entry(info: zipfile.ZipInfo) -> Entry | None:
    """Return a file that is safe to read, or None for a folder."""
    name = info.orig_filename  # `filename` ends at a null byte already
    if not info.flag_bits & UTF8:  # a Mac's own archives hold UTF-8 without saying so
        raw = name.encode("cp437")
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("cp437")
    name = name.replace("\\", "/")  # old packers on Windows
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if reason := _unsafe(name, parts):
        raise _RefusedError(f"holds {name[:80]!a}, {reason}")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise _RefusedError(f"holds {name[:80]!a}, a link or device")
    if name.endswith("/") or kind == stat.S_IFDIR:
        return None
    if info.flag_bits & ENCRYPTED:
        raise _RefusedError("is encrypted; unpack it and pack it again without a password")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _RefusedError(
            "is packed in a way that is not read here; pack it again as a plain zip"
        )
    return Entry(parts, info.file_size, info)


def _unsafe(name: str, parts: tuple[str, ...]) -> str | None:
    """Return why a name is unacceptable in an archive of pictures, or None."""
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
        return "a name with control characters"
    if ".." in parts or name.startswith("/") or re.match("[A-Za-z]:", name):
        return "a path that leaves the folder"
    if any(part.partition(".")[0].strip().upper() in DEVICES for part in parts):
        return "a device's name"
    if not parts or max(map(len, parts)) > 255:
        return "a name too long or empty"
    return None
