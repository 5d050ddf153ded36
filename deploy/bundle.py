"""What is sent: the `edge` package, the model and edge.toml, named by what is in them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from deploy.remote import MANIFEST, is_safe
from edge.config import read_config

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 100_000_000
"""Bytes: a bundle is a few megabytes; far more is a mistake, and would fill an SD card."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of one release, by their path inside it; the same content has the same name."""

    files: dict[str, bytes]

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

    @property
    def size(self) -> int:
        """Bytes in all files together."""
        return sum(len(content) for content in self.files.values())

    def tar(self) -> bytes:
        """Return all files and the manifest as one uncompressed tar (weights do not compress)."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in {MANIFEST: self.manifest, **self.files}.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return stream.getvalue()


def make_bundle(config: Path, package: Path) -> Bundle:
    """Gather edge.toml, the model it names, and the .py files of the `edge` package's folder.

    Everything keeps its place: edge.toml names the model relative to itself, on the laptop and in
    the release alike.

    Raises:
        ConfigError: edge.toml has a mistake.
        DeployError: a file is missing or unreadable, the model is outside edge.toml's folder, or
            all files together are larger than `LIMIT`.
    """
    sources = [path for path in sorted(package.rglob("*.py")) if "__pycache__" not in path.parts]
    wanted = {f"edge/{path.relative_to(package).as_posix()}": path for path in sources}
    model = read_config(config).model
    wanted |= {"edge.toml": config, _place(model, config): model}
    files: dict[str, bytes] = {}
    room = LIMIT
    for name, path in wanted.items():
        files[name] = _read(path, room)
        room -= len(files[name])
    return Bundle(files)


def _place(model: Path, config: Path) -> str:
    """Return the model's path inside the bundle: the one inside edge.toml's folder."""
    folder = config.parent
    name = model.relative_to(folder).as_posix() if model.is_relative_to(folder) else ".."
    if not is_safe(name) or not model.resolve().is_relative_to(folder.resolve()):
        raise DeployError(
            f"{config}: the model {model} is not inside the folder of edge.toml, which is what "
            "is sent; copy it there and write its name"
        )
    if name.split("/")[0] in {"edge", "edge.toml", MANIFEST}:
        raise DeployError(f"{config}: handwave itself needs the name '{name}'; rename the model")
    return name


def _read(path: Path, room: int) -> bytes:
    """Return a file's content, if it fits into `room` bytes."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= room else b""
    except OSError as error:
        raise DeployError(f"{path}: {error.strerror}; nothing was sent") from error
    if size > room:
        raise DeployError(f"{path}: {size} bytes is too large; a bundle has {LIMIT} at most")
    return content
