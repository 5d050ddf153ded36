"""Bring back the pictures that a device was unsure about, as a new session to label.

They are stored here, whole, before they are removed there; if removing fails, the next pull
recognises them.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.errors import DeployError
from edge.card import NOTE
from edge.unsure import Lot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.live.tunnel import Tunnel
    from edge.card import Camera

PATH = "/unsure"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came from one host."""

    labels: Counter[str]
    """Number of pictures by the label that the device guessed."""
    session: str
    """The folder's name below each label."""
    problem: str | None
    """Why they could not be removed there; None if they were."""


def pull(tunnel: Tunnel, folder: Path) -> Pulled:
    """Bring a host's pictures to `folder/<guess>/<host>-<time>/0001.jpg`, and take them away there.

    Raises:
        DeployError: the host cannot be asked, keeps none, or a picture cannot be written; then
            nothing is here that was not, and all is still there.
    """
    lot = _ask(tunnel)
    host = re.sub(r"[^\w.-]", "-", tunnel.name.rpartition("@")[2]).strip(".-") or "host"
    session = f"{host}-{time.strftime('%Y-%m-%d-%H%M%S')}"
    wanted: dict[str, list[bytes]] = {}
    with _writing(folder):
        known = {_digest(path.read_bytes()) for path in folder.glob(f"*/{host}-*/*.jpg")}
    for kept in lot.pictures:
        _check(kept.jpeg, tunnel.name)
        if _digest(kept.jpeg) not in known:
            wanted.setdefault(_folder_name(kept.label), []).append(kept.jpeg)
    if wanted:
        with _writing(folder):
            session = _write(wanted, folder, session, lot.taken)
    problem = _forget(tunnel, lot) if lot.pictures else None
    return Pulled(Counter({name: len(them) for name, them in wanted.items()}), session, problem)


def _ask(tunnel: Tunnel) -> Lot:
    answer = tunnel.ask(PATH)
    if answer.status == 404 and answer.text.startswith("not here"):
        raise DeployError(f"{tunnel.name}: its release keeps no pictures yet: push a newer one")
    if answer.status != 200:
        raise DeployError(f"{tunnel.name}: {answer.text}")
    try:
        return msgspec.msgpack.decode(answer.content, type=Lot)
    except msgspec.MsgspecError as problem:
        raise DeployError(
            f"{tunnel.name}: its pictures cannot be read ({problem}): push this handwave"
        ) from None


def _check(jpeg: bytes, host: str) -> None:
    """Check that it is a picture, whole."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as file:
            file.load()
    except Exception as problem:  # a decoder's own
        raise DeployError(
            f"{host}: sent something that is no whole picture; pull again"
        ) from problem


def _write(wanted: dict[str, list[bytes]], folder: Path, session: str, taken: Camera | None) -> str:
    """Write all in a hidden folder, then move each label's whole session into place."""
    folder.mkdir(parents=True, exist_ok=True)
    number, name = 1, session
    while any((folder / label / name).exists() for label in wanted):
        number += 1
        name = f"{session}-{number}"
    place = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    moved: list[Path] = []
    try:
        for label, pictures in wanted.items():
            (place / label).mkdir()
            for at, content in enumerate(pictures, 1):
                _write_file(place / label / f"{at:04d}.jpg", content)
            if taken is not None and taken.is_set:
                _write_file(place / label / NOTE, msgspec.json.encode(taken))
        for label in wanted:
            target = folder / label / name
            target.parent.mkdir(exist_ok=True)
            (place / label).rename(target)
            moved.append(target)
            _sync(target.parent)
    except BaseException:
        for target in moved:
            shutil.rmtree(target, ignore_errors=True)
            with suppress(OSError):  # the label has other sessions
                target.parent.rmdir()
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return name


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Flush a folder's entries to disk: they are about to be the only copies."""
    with suppress(OSError):  # some file systems cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _forget(tunnel: Tunnel, lot: Lot) -> str | None:
    """Remove there what is stored here; return why not, or None."""
    until = max(kept.number for kept in lot.pictures)
    try:
        answer = tunnel.ask(f"{PATH}?ring={lot.ring}&until={until}", method="DELETE")
    except DeployError as problem:
        return str(problem)
    return None if answer.status == 200 else answer.text


def _folder_name(label: str) -> str:
    """Return a label as a safe folder name."""
    return re.sub(r"[^\w .+-]", "-", label).strip(" .")[:64] or "unknown"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        where = problem.filename or folder
        raise DeployError(f"{where}: cannot be written: {problem.strerror or problem}") from None
