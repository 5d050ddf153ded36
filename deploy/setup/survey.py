"""Look at a host before it is set up: one round trip, and everything that is wrong said at once.

`command` returns what the host runs; `Survey` is what it answered; `problems` and `warnings` judge
it, and are pure: they know no host.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.errors import DeployError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCRIPT = Path(__file__).parents[1] / "remote" / "survey.py"

PYTHON = (3, 11)
GLIBC = (2, 28)
"""What onnxruntime's wheels are built for: manylinux_2_28."""
ARCHITECTURES = {"arm64": "aarch64", "amd64": "x86_64"}
"""Debian's names of the processors that onnxruntime has wheels for, and the wheels' own."""
ROOM, ROOM_AGAIN = 600_000_000, 100_000_000
"""Bytes that must be free: for everything, and where the venv is there already."""
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a host said about itself (`deploy.remote.survey`)."""

    architecture: str = ""
    """Debian's name of what its programs are built for; a kernel may well be another."""
    machine: str = ""
    os: str = ""
    raspberry: bool = False
    python: tuple[int, int] = (0, 0)
    glibc: tuple[int, ...] = ()
    systemd: int = 0
    """Its version; 0 where it does not run."""
    clock: float = 0.0
    watchdog: bool = False
    memory: bool = False
    """Whether the kernel can limit a service's memory."""
    cameras: list[str] = field(default_factory=list)
    login: str = ""
    login_group: str = ""
    login_groups: list[str] | None = None
    may: str = ""
    """`root`: it can change things there; `password`, `no sudo`: it cannot."""
    service_groups: list[str] | None = None
    """The groups of the service's user; None: there is no such user."""
    groups: list[str] = field(default_factory=list)
    """Of the groups that are needed, those there are."""
    packages: dict[str, str] = field(default_factory=dict)
    """Of the packages that may be needed, those installed."""
    candidates: dict[str, str] = field(default_factory=dict)
    """Of those, what apt could install."""
    lists_age: float | None = None
    """Seconds since apt last fetched its lists; None: it has none."""
    dpkg_broken: bool = False
    apt_locked: bool = False
    modules: dict[str, str] = field(default_factory=dict)
    """What the system's Python can import, with versions."""
    venv: dict[str, Any] | None = None
    wheels: list[str] = field(default_factory=list)
    active: str = ""
    enabled: bool = False
    need_reload: bool = False
    free: int = 0
    volatile: bool = False
    """Whether its journal stays in memory."""
    places: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """Each path that was asked for: text, mode, owner; None: not there."""

    def text(self, path: str) -> str | None:
        """Return the text of a file that was asked for; None if it is not there."""
        found = self.places.get(path)
        return found["text"] if found else None


def command(arguments: dict[str, Any]) -> str:
    """Return the shell command that prints what a host says of itself, as root where it may be."""
    packed = base64.b64encode(zlib.compress(SCRIPT.read_bytes(), 9)).decode()
    code = f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{packed}')))"
    words = shlex.join(["python3", "-IB", "-c", code, json.dumps(arguments)])
    look = "command -v python3 >/dev/null || { echo '{}'; exit 0; }; "
    look += '[ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null || set -- sudo -n; '
    return f'set --; {look}"$@" {words}'


def read(lines: Iterable[str]) -> Survey:
    """Make a Survey of what the command printed; login shells may greet before.

    Raises:
        DeployError: it is no answer.
    """
    answer = next((line for line in reversed(list(lines)) if line.startswith("{")), "")
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise DeployError("the host did not say what it is; does python3 work there?") from error
    for key in ("python", "glibc"):
        found[key] = tuple(found.get(key, ()))
    return Survey(**found)


def problems(survey: Survey, *, now: float, offline: bool = False) -> Iterator[str]:
    """Yield everything that keeps a host from being set up, each with what to do about it."""
    if not survey.python:
        yield "it has no python3: sudo apt install python3"
        return  # nothing else is known
    yield from _wrong_system(survey)
    yield from _wrong_state(survey, now, offline=offline)


def _wrong_system(survey: Survey) -> Iterator[str]:
    if not survey.architecture:
        yield f"it is no Debian or Raspberry Pi OS ({survey.os or 'unknown'}): there is no dpkg"
    elif survey.architecture not in ARCHITECTURES:
        kernel = "" if survey.machine == "armv7l" else f", on a kernel for {survey.machine}"
        yield (
            f"its system is built for {survey.architecture}{kernel}, and onnxruntime is not: "
            "install the 64-bit Raspberry Pi OS"
        )
    if survey.python < PYTHON:
        yield f"its python3 is {dotted(survey.python)}: it takes {dotted(PYTHON)} (Bookworm)"
    if survey.glibc and survey.glibc < GLIBC:
        yield f"its C library is glibc {dotted(survey.glibc)}: onnxruntime takes {dotted(GLIBC)}"
    if not survey.systemd:
        yield "systemd does not run there"


def _wrong_state(survey: Survey, now: float, *, offline: bool) -> Iterator[str]:
    room = ROOM_AGAIN if survey.venv else ROOM
    if survey.free < room:
        yield f"{survey.free / 1e6:.0f} MB of disk are free: it takes {room / 1e6:.0f}"
    if abs(survey.clock - now) > DAY and not offline:
        yield (
            f"its clock is {days(survey.clock - now)}, so no download is trusted there: "
            "sudo timedatectl set-ntp true (or --offline)"
        )
    if survey.may == "password":
        yield (
            f"sudo asks {survey.login} for a password, which deploy never handles: set up as root, "
            f"or allow it meanwhile: `sudo visudo -f /etc/sudoers.d/setup` there, "
            f"`{survey.login} ALL=(ALL) NOPASSWD: ALL`; delete that file afterwards"
        )
    elif survey.may != "root":
        yield f"{survey.login} is not root there, and there is no sudo: set up as root"


def warnings(survey: Survey, *, now: float, camera: bool = True) -> Iterator[str]:
    """Yield what is worth knowing, and keeps nothing from being done."""
    if not survey.cameras and camera:
        yield "it sees no camera yet: look at the cable, and try `edge doctor` there"
    off = survey.clock - now
    if abs(off) > 60:
        yield f"its clock is {days(off)}"
    if survey.apt_locked:
        yield "apt is busy there (unattended upgrades?): waiting for it, five minutes at most"
    if not survey.watchdog:
        yield "there is no /dev/watchdog: a kernel that hangs stays so"
    if not survey.memory:
        yield (
            "its kernel does not limit memory: add cgroup_enable=memory to the line in "
            "/boot/firmware/cmdline.txt and restart it"
        )


def days(seconds: float) -> str:
    """Return how far a clock is off, in words: `3 days behind`."""
    size = abs(seconds)
    units = ((DAY, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
    unit, name = next((u for u in units if size >= 2 * u[0]), units[-1])
    return f"{size / unit:.0f} {name} {'ahead' if seconds > 0 else 'behind'}"


def dotted(version: tuple[int, ...]) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def upstream(version: str) -> tuple[int, ...]:
    """Return the numbers a Debian version begins with, without its epoch: `2:1.6.2-1` is 1.6.2."""
    found = re.match(r"(?:\d+:)?([\d.]*)", version)
    return tuple(int(number) for number in found[1].split(".") if number) if found else ()
