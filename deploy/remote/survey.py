"""A host's report about itself before it is set up: runs there, changes nothing, asks nothing.

`deploy.setup.survey` sends this file to the host's own python3: standard library only, never
imported there. It prints one line of JSON. Whatever cannot be found out is empty; judging is the
laptop's.
"""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pwd
import re
import shutil
import site
import subprocess
import sys
import time
from importlib import metadata, util
from pathlib import Path

LONGEST = 64_000
"""Bytes of a file that are compared; those of a set-up are far shorter."""
MODULES = ("numpy", "gpiozero", "lgpio", "picamera2", "libcamera")
"""Modules that may come from apt or elsewhere."""
LISTING = """
import json, sys
from importlib import metadata
from pathlib import Path
found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
made = Path(sys.prefix, "pyvenv.cfg").read_text()
# False until all else of it is made.
whole = "include-system-site-packages = true" in made
print(json.dumps({"python": list(sys.version_info[:2]), "packages": found, "whole": whole}))
"""
NOT_CAMERAS = r"csi2|pisp|rp1|unicam|bcm2835|hevc|fe[0-9]?\b"
"""The kernel's names of parts of a Pi's picture path, present even without a camera."""


def output(*words: str) -> str:
    """Return what a program prints; nothing if it is not there or fails."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def text_of(path: str) -> str:
    """Return a small file's text; nothing if it cannot be read."""
    try:
        return Path(path).read_bytes()[:LONGEST].decode(errors="replace")
    except OSError:
        return ""


def system() -> dict[str, object]:
    """Return what it is: processor, system, libraries, clock."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', text_of("/etc/os-release"), re.MULTILINE))
    version = re.match(r"systemd (\d+)", output("systemctl", "--version"))
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    return {
        "architecture": output("dpkg", "--print-architecture").strip(),
        "machine": os.uname().machine,
        "os": release.get("PRETTY_NAME", ""),
        "raspberry": Path("/etc/rpi-issue").exists(),
        "python": list(sys.version_info[:2]),
        "glibc": [int(part) for part in re.findall(r"\d+", libc)[:2]],
        "systemd": int(version[1]) if version and Path("/run/systemd/system").is_dir() else 0,
        "clock": time.time(),
        "watchdog": Path("/dev/watchdog").exists(),
        "memory": "memory" in text_of("/sys/fs/cgroup/cgroup.controllers").split(),
        "cameras": cameras(),
    }


def cameras() -> list[str]:
    """Return what the kernel calls the cameras it has found."""
    found = set()
    for path in Path("/sys/class/video4linux").glob("*"):
        name = text_of(str(path / "name")).strip()
        driver = path / "device" / "driver"
        webcam = driver.exists() and driver.resolve().name == "uvcvideo"
        if webcam or (path.name.startswith("v4l-subdev") and not re.search(NOT_CAMERAS, name)):
            found.add(name)
    return sorted(found)


def people(groups: list[str], service: str) -> dict[str, object]:
    """Return who is logged in, their rights, and which of the groups exist."""
    me = pwd.getpwuid(os.getuid())
    by_sudo = os.environ.get("SUDO_USER") if me.pw_uid == 0 else None
    login = pwd.getpwnam(by_sudo) if by_sudo else me
    if me.pw_uid == 0:
        may = "root"
    elif not shutil.which("sudo"):
        may = "no sudo"
    else:
        may = "password"  # else `sudo -n` would have made us root
    known = {group.gr_name for group in grp.getgrall()}
    return {
        "login": login.pw_name,
        "login_group": grp.getgrgid(login.pw_gid).gr_name,
        "login_groups": groups_of(login.pw_name),
        "may": may,
        "service_groups": groups_of(service),
        "groups": [group for group in groups if group in known],
    }


def groups_of(name: str) -> list[str] | None:
    """Return the groups of a user; None if there is no such user."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return None
    return sorted(grp.getgrgid(number).gr_name for number in os.getgrouplist(name, user.pw_gid))


def apt(packages: list[str]) -> dict[str, object]:
    """Return which packages are installed, which are to be had, and what state apt is in."""
    form = "${Package} ${db:Status-Status} ${Version}\n"
    try:  # it fails if one of them is unknown, and tells of the others all the same
        told = subprocess.run(
            ["dpkg-query", "--show", f"--showformat={form}", *packages],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
    except OSError:
        told = ""
    rows = [row.split() for row in told.splitlines()]
    have = {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"}
    pattern = r"^(\S+):\n  Installed: .*\n  Candidate: (\S+)$"
    offered = re.findall(pattern, output("apt-cache", "policy", *packages), re.MULTILINE)
    lists = Path("/var/lib/apt/lists")
    marks = [lists, lists / "partial", Path("/var/cache/apt/pkgcache.bin")]
    fetched = any("_Packages" in path.name for path in lists.glob("*"))
    newest = max((path.stat().st_mtime for path in marks if path.exists()), default=0)
    return {
        "packages": have,
        "candidates": {name: version for name, version in offered if version != "(none)"},
        "lists_age": time.time() - newest if fetched else None,
        "dpkg_broken": bool(output("dpkg", "--audit").strip()),
        "apt_locked": locked("/var/lib/dpkg/lock-frontend"),
    }


def locked(path: str) -> bool:
    """Return whether another program holds a lock; taken for a moment to find out."""
    try:
        with Path(path).open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def python(root: str) -> dict[str, object]:
    """Return what the system's Python and the venv's can import."""
    site.main()  # until here there is Python's own library alone
    modules = {}
    for name in MODULES:
        if util.find_spec(name) is not None:
            try:
                modules[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                modules[name] = ""
    told = output(f"{root}/venv/bin/python", "-IB", "-c", LISTING)
    wheels = Path(root, ".wheels").glob("*.whl")
    return {
        "modules": modules,
        "venv": json.loads(told) if told else None,
        "wheels": sorted(path.name for path in wheels),
    }


def place(path: str) -> dict[str, object] | None:
    """Return what a path is: its text, where it is a file, and whose it is; None: not there."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    text = text_of(path) if Path(path).is_file() else None
    return {"text": text, "mode": status.st_mode & 0o7777, "owner": owner}


def journal() -> bool:
    """Return whether the journal is told to stay in memory."""
    folders = [Path(start, "systemd/journald.conf.d") for start in ("/etc", "/run", "/usr/lib")]
    files = [Path("/etc/systemd/journald.conf"), *(p for f in folders for p in f.glob("*.conf"))]
    return any(re.search("^Storage=volatile", text_of(str(p)), re.MULTILINE) for p in files)


def units(names: list[str]) -> dict[str, object]:
    """Return what systemd knows of our services; the first is the one that runs."""
    show = ("systemctl", "show", "--property=ActiveState,UnitFileState,NeedDaemonReload")
    known: list[dict[str, str]] = [
        dict(re.findall(r"^(\w+)=(.*)$", output(*show, name), re.MULTILINE)) for name in names
    ]
    return {
        "active": known[0].get("ActiveState", ""),
        "enabled": known[0].get("UnitFileState", "") == "enabled",
        "need_reload": any(one.get("NeedDaemonReload") == "yes" for one in known),
    }


def survey(
    *,
    root: str,
    services: list[str],
    service: str,
    groups: list[str],
    packages: list[str],
    paths: list[str],
) -> dict[str, object]:
    """Return all of it; `service` is the user that the service runs as."""
    there = Path(root)
    while not there.exists():
        there = there.parent
    return {
        **system(),
        **people(groups, service),
        **apt(packages),
        **python(root),
        **units(services),
        "free": shutil.disk_usage(there).free,
        "volatile": journal(),
        "places": {path: place(path) for path in paths},
    }


if __name__ == "__main__":
    print(json.dumps(survey(**json.loads(sys.argv[-1]))))
