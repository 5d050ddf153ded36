"""What is sent: the `edge` package, edge.toml and the files it names; called by what is in it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from deploy.remote.push import BYTECODE, MANIFEST, SIGNATURE, is_safe
from edge.config import read_config

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from edge.config import Config
    from edge.outputs import Kind, Section

PACKAGE_SUFFIXES = {".py", ".html"}
"""What the `edge` package is made of: code, and its live page."""
LIMIT = 100_000_000
"""Bytes: a bundle is a few megabytes; far more is a mistake, and would fill an SD card."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of one release, by their path inside it; the same content has the same name."""

    files: dict[str, bytes]
    signature: bytes | None = None
    """Of the manifest, as `ssh-keygen -Y sign` makes it (`deploy.signing`)."""

    @property
    def manifest(self) -> bytes:
        """One line a file, sorted: SHA-256, two spaces, path (as `sha256sum --check` reads it)."""
        lines = [f"{hashlib.sha256(self.files[n]).hexdigest()}  {n}\n" for n in sorted(self.files)]
        return "".join(lines).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, in hex: stands for every byte of the bundle."""
        return hashlib.sha256(self.manifest).hexdigest()

    @property
    def release(self) -> str:
        """What the release is called: the first 12 digits of the digest."""
        return self.digest[:12]

    def lacking(self, digests: Collection[str]) -> dict[str, bytes]:
        """Return one file for each of these contents (SHA-256)."""
        by_content = {hashlib.sha256(content).hexdigest(): n for n, content in self.files.items()}
        return {by_content[d]: self.files[by_content[d]] for d in digests if d in by_content}

    def tar(self, files: dict[str, bytes] | None = None) -> bytes:
        """Return files (all, unless told) and the manifest as one tar, uncompressed.

        Weights do not compress, and code is small.
        """
        first = {MANIFEST: self.manifest}
        if self.signature is not None:
            first[SIGNATURE] = self.signature
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in {**first, **(self.files if files is None else files)}.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return stream.getvalue()


def make_bundle(config: Path, package: Path) -> Bundle:
    """Gather edge.toml, the files it names, and the files of the `edge` package's folder.

    Everything keeps its place: edge.toml names the model, and outputs their sounds and pictures,
    relative to itself, on the laptop and in the release alike.

    Raises:
        ConfigError: edge.toml has a mistake.
        DeployError: a file is missing or unreadable, or outside edge.toml's folder, or all files
            together are larger than `LIMIT`.
    """
    sources = [path for path in sorted(package.rglob("*")) if path.suffix in PACKAGE_SUFFIXES]
    wanted = {f"edge/{path.relative_to(package).as_posix()}": path for path in sources}
    found = read_config(config)
    wanted |= {"edge.toml": config, _place("the model", found.model, config): found.model}
    for what, path in _named(found):
        wanted.setdefault(_place(what, path, config), path)
    files: dict[str, bytes] = {}
    room = LIMIT
    for name, path in wanted.items():
        files[name] = _read(path, room)
        room -= len(files[name])
    return Bundle(files)


def _named(config: Config) -> list[tuple[str, Path]]:
    """Return each file that an output names, such as a sound, with what names it."""
    folder = config.path.parent
    named: list[tuple[str, Kind | Section]] = [
        (f"[when.{label}] {name}", output) for label, name, output in config.outputs()
    ]
    named += [(f"[{name}]", section) for name, section in config.sections.items()]
    return [(where, folder / name) for where, one in named for name in one.files(folder)]


def _place(what: str, path: Path, config: Path) -> str:
    """Return a file's path inside the bundle: the one inside edge.toml's folder."""
    folder = config.parent
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ".."
    inside = ".." not in name.split("/") and name != "."
    if inside and not is_safe(name):
        raise DeployError(
            f"{config}: {what} {name!r}: a name with a backslash or an unprintable letter in it "
            "does not travel; rename it"
        )
    if inside and not path.resolve().is_relative_to(folder.resolve()):
        raise DeployError(
            f"{config}: {what} {path} is a link to {path.resolve()}, which is not inside the "
            "folder of edge.toml; put the file itself in the link's place"
        )
    if not inside:
        raise DeployError(
            f"{config}: {what} {path} is not inside the folder of edge.toml, which is what "
            "is sent; copy it there and write its name"
        )
    parts = name.split("/")
    if parts[0] in {"edge", "edge.toml", MANIFEST, SIGNATURE} or BYTECODE in parts:
        raise DeployError(f"{config}: {what}: handwave itself needs the name '{name}'; rename it")
    return name


def _read(path: Path, room: int) -> bytes:
    """Return a file's content, if it fits into `room` bytes."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= room else b""
    except OSError as error:
        hint = "; make one with: trainer train DATA" if path.suffix == ".onnx" else ""
        raise DeployError(f"{path}: {error.strerror}; nothing was sent{hint}") from error
    if size > room:
        raise DeployError(f"{path}: {size} bytes is too large; a bundle has {LIMIT} at most")
    return content
