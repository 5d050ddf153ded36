"""What kind of machine this is, and what can be read about it."""

from __future__ import annotations

import os
import platform
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEVICE_TREE_MODEL = Path("/proc/device-tree/model")
PATIENCE = 10.0
"""Seconds for a command to answer."""


def is_raspberry_pi() -> bool:
    """Return whether this machine calls itself a Raspberry Pi."""
    try:
        return "Raspberry Pi" in DEVICE_TREE_MODEL.read_text(errors="replace")
    except OSError:
        return False


def ask(command: Sequence[str]) -> str | None:
    """Return what a command prints, its errors too; None where there is no such command."""
    import subprocess  # slow to load; few ask

    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout + done.stderr


def _groups() -> frozenset[str]:
    try:
        import grp
    except ImportError:  # Windows
        return frozenset()
    names = set()
    for number in (*os.getgroups(), os.getegid()):
        with suppress(KeyError):
            names.add(grp.getgrgid(number).gr_name)
    return frozenset(names)


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USER", "this user")


def _installed(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # slow to load; few want it

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _importable(module: str) -> bool:
    return PathFinder.find_spec(module) is not None


def _usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def _space(path: Path) -> tuple[int, int]:
    told = os.statvfs(path)
    return told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What checks may ask of the machine, so that tests can describe another one."""

    root: Path = Path("/")
    """Where /proc, /sys, /dev and /etc are."""
    ask: Callable[[Sequence[str]], str | None] = ask
    architecture: str = field(default_factory=platform.machine)
    bits: int = struct.calcsize("P") * 8
    """Of this Python; a 64-bit kernel may well run a 32-bit system."""
    python: tuple[int, int] = sys.version_info[:2]
    separate: bool = sys.prefix != sys.base_prefix
    """Whether this Python is a venv's."""
    user: str = field(default_factory=_user)
    groups: frozenset[str] = field(default_factory=_groups)
    """The groups of this login."""
    now: float = field(default_factory=time.time)
    """Seconds since 1970, if the clock is right."""
    installed: Callable[[str], str | None] = _installed
    """The version of a package."""
    importable: Callable[[str], bool] = _importable
    usable: Callable[[Path], bool] = _usable
    """Whether this user may read and write a file."""
    space: Callable[[Path], tuple[int, int]] = _space
    """Bytes that are free where a path is, and all."""

    def read(self, path: str) -> str | None:
        """Return a file's text; None where there is none, or it is not ours to read."""
        try:
            return (self.root / path).read_text(errors="replace").strip("\0\n ")
        except OSError:
            return None

    def find(self, pattern: str) -> list[Path]:
        """Return the paths that a pattern, such as `dev/video*`, fits."""
        return sorted(self.root.glob(pattern))

    def show(self, path: Path) -> str:
        """Return a path as users write it."""
        return f"/{path.relative_to(self.root)}"

    @property
    def pi(self) -> str | None:
        """The Raspberry Pi that it is, such as `Raspberry Pi 5 Model B Rev 1.0`; None: none."""
        model = self.read("proc/device-tree/model") or ""
        return model if "Raspberry Pi" in model else None
