"""What runs on the host, in the host's own python3: standard library only, never imported there.

`deploy.ssh` sends this file over stdin and has it carry out one step, whose arguments come as
JSON and whose answer goes back as one line of JSON. The steps are plain functions on folders, so
they are tested without any SSH.

What lies in the root folder on the host (`/opt/handwave`):

    venv/                       Python with numpy and onnxruntime, made once
    releases/<id>/              one folder a release, never changed once it has its name
    releases/.incoming-<...>/   an upload under way; whoever finds an old one may remove it
    current -> releases/<id>    what the service runs
    healthy -> releases/<id>    the last release that got ready: where to go back to
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = "MANIFEST"
"""In each release: the SHA-256 of every other file, as `sha256sum --check` reads it."""
STALE = 3600.0
"""Seconds after which an upload that never finished counts as abandoned."""


class RemoteError(Exception):
    """A step that cannot be done; the message travels back to the laptop."""


def is_safe(name: str) -> bool:
    """Return whether `name` is a plain relative path that stays inside its folder."""
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and str(path) == name
    return plain and name != "." and not path.is_absolute() and ".." not in path.parts


def read_manifest(text: str) -> dict[str, str]:
    """Return name -> SHA-256 in hex.

    Raises:
        RemoteError: a line is not a digest, two spaces and a safe name.
    """
    digests: dict[str, str] = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not is_safe(name):
            raise RemoteError(f"{MANIFEST}: cannot read the line {line!r}")
        digests[name] = digest
    return digests


def verify(folder: str, digest: str) -> None:
    """Check that `folder` holds exactly the files of the manifest with this SHA-256.

    Raises:
        RemoteError: a file is missing, damaged, or too many.
    """
    base = Path(folder)
    if not (base / MANIFEST).is_file():
        raise RemoteError(f"{base}: {MANIFEST} did not arrive")
    manifest = (base / MANIFEST).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != digest:
        raise RemoteError(f"{base / MANIFEST}: damaged on the way")
    digests = read_manifest(manifest.decode())
    files = [path for path in base.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = {path.relative_to(base).as_posix() for path in files}
    for name in sorted(found ^ {*digests, MANIFEST}):
        raise RemoteError(f"{base / name}: {'nobody sent it' if name in found else 'missing'}")
    for name, wanted in digests.items():
        path = base / name
        if path.is_symlink() or hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise RemoteError(f"{path}: damaged on the way")


def facts(root: str, unit: str, digest: str) -> dict[str, object]:
    """Look at the host; change nothing. `digest` is that of the bundle that may go there."""
    base = Path(root)
    releases = base / "releases"
    intact = True
    try:
        verify(str(releases / digest[:12]), digest)
    except (RemoteError, OSError):
        intact = False
    names = [p.name for p in releases.iterdir()] if releases.is_dir() else []
    return {
        "user": _user(),
        "python": list(sys.version_info[:2]),
        "root": base.is_dir(),
        "writable": os.access(base, os.W_OK | os.X_OK),
        "venv": os.access(base / "venv" / "bin" / "python", os.X_OK),
        "releases": sorted(name for name in names if not name.startswith(".")),
        "current": _target(base / "current"),
        "healthy": _target(base / "healthy"),
        "intact": intact,
        **_unit(unit),
    }


def _user() -> str:
    """Return who is logged in; a number where the account has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _target(link: Path) -> str | None:
    """Return the release that `current` or `healthy` points to, if it is there."""
    return link.readlink().name if link.is_symlink() and link.is_dir() else None


def _unit(unit: str) -> dict[str, object]:
    """Return what systemd knows of the unit, and the words to put before `systemctl`, if any."""
    if not shutil.which("systemctl"):
        return {"systemctl": False, "load": "", "active": "", "sudo": [], "may_restart": False}
    show = ["systemctl", "show", "--property=LoadState,ActiveState", unit]
    lines = _output(show).splitlines()
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    root = os.getuid() == 0
    listing = ["sudo", "-n", "-l", "systemctl", "restart", unit]
    return {
        "systemctl": True,
        "load": known.get("LoadState", ""),
        "active": known.get("ActiveState", ""),
        "sudo": [] if root else ["sudo", "-n"],
        "may_restart": root or bool(shutil.which("sudo") and _output(listing)),
    }


def _output(command: list[str]) -> str:
    """Return what a command prints, or nothing if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout if done.returncode == 0 else ""


def upload(root: str, incoming: str, limit: int, stream: IO[bytes] | None = None) -> None:
    """Unpack the tar on stdin into a new folder `releases/<incoming>`; on any error leave none.

    Raises:
        RemoteError: a member is no plain file, leaves the folder, or all are more than `limit`
            bytes.
    """
    releases = Path(root) / "releases"
    releases.mkdir(exist_ok=True)
    _sweep(releases)
    folder = releases / incoming
    folder.mkdir()
    try:
        _unpack(stream or sys.stdin.buffer, folder, limit)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _sweep(releases: Path) -> None:
    """Remove what uploads that were cut long ago left behind."""
    for path in releases.glob(".incoming-*"):
        if time.time() - path.stat().st_mtime > STALE:
            shutil.rmtree(path, ignore_errors=True)


def _unpack(stream: IO[bytes], folder: Path, limit: int) -> None:
    """Write each member as a new plain file; `tarfile.extractall` trusts more than we need to."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            limit -= member.size
            if content is None or not is_safe(member.name) or limit < 0:
                raise RemoteError(f"refused in the upload: {member.name!r}, {member.size} bytes")
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)


def discard(root: str, incoming: str) -> None:
    """Remove an upload that will not become a release."""
    shutil.rmtree(Path(root) / "releases" / incoming, ignore_errors=True)


def activate(root: str, release: str, incoming: str | None) -> None:
    """Give the upload its name, if there is one, and let `current` point to the release."""
    if incoming:
        os.sync()  # the files are on the disk before a name promises that they are
        place = Path(root) / "releases" / release
        if place.exists():  # a damaged copy: out of the way, for a later push to sweep up
            place.rename(place.with_name(f".incoming-damaged-{incoming[-8:]}"))
        place.with_name(incoming).rename(place)
    point(root, "current", release)


def point(root: str, link: str, release: str | None) -> None:
    """Let `current` or `healthy` point to a release, atomically; None: to nothing."""
    path = Path(root) / link
    if release is None:
        path.unlink(missing_ok=True)
    else:
        fresh = path.with_name(f".{link}-{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"releases/{release}")
        fresh.replace(path)
    os.sync()


STEPS: dict[str, Callable[..., dict[str, object] | None]] = {
    step.__name__: step for step in (facts, upload, verify, discard, activate, point)
}


def main(step: str, arguments: str) -> int:
    """Do one step; print its answer as JSON, or on stderr the one line why it failed."""
    os.umask(0o022)  # the service's user must be able to read what this user writes
    try:
        answer = STEPS[step](**json.loads(arguments))
    except (RemoteError, OSError, tarfile.TarError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[2:]))
