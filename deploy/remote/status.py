"""How a host is, looked up in the host's own python3: standard library only, changes nothing.

Sent and run as `deploy.remote.push` is. It gathers and does not judge: what the answer means is for
`deploy.status` to say, so that a host with an older release is judged like all others.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "MainPID",
    "ExecMainStatus",
    "StateChangeTimestampMonotonic",
    "ExecStart",
)
"""What systemd is asked about the service."""
RESTARTED = "5eb03494b6584870a536b337290809b3"
"""What systemd says when it starts a service again: UNIT_RESTART_SCHEDULED of sd-messages.h."""
MAX_BYTES = 64_000
SECONDS = 10.0
"""How long one program may take; a hung one must not hang the look."""


def look(root: str, unit: str, runtime: str, trial: str) -> dict[str, object]:
    """Return all there is to know: what systemd says, what the service says, and the machine.

    Args:
        root: handwave's folder.
        unit: the service.
        runtime: the service's folder, with its status file.
        trial: the folder where a push under way names its release.
    """
    base = Path(root)
    found = _unit(unit)
    status, status_problem = _read(Path(runtime) / "status.json")
    running = found is not None and found.get("ActiveState") == "active"
    return {
        "user": _user(),
        "root": base.is_dir(),
        "venv": (base / "venv" / "bin" / "python").exists(),
        "current": _release(base / "current"),
        "current_for": _age(base / "current"),
        "kept": _kept(base),
        "trial": _trial(Path(trial) / "service.env"),
        "trial_for": _age(Path(trial) / "service.env"),
        "cut": _cut(Path(trial) / "service.env", base / "lock"),
        "unit": found,
        "status": status,
        "status_problem": status_problem,
        "last_words": None if running or found is None else _last_words(unit),
        "lately": _lately(unit) if found and found.get("NRestarts") not in {"0", "1"} else None,
        "uptime": _number("/proc/uptime"),
        "temperature": _number("/sys/class/thermal/thermal_zone0/temp", thousandths=True),
        "throttled": _throttled(),
        "disk_free": shutil.disk_usage(base if base.is_dir() else "/").free,
        "monotonic": time.monotonic(),
        "clock": time.time(),
    }


def _kept(base: Path) -> list[str]:
    """Return the releases that are there, the last pushed first."""
    text, _ = _read(base / "history")
    rows = [line.split(" ") for line in (text or "").splitlines()]
    names = [row[1] for row in rows if len(row) > 1 and (base / "releases" / row[1]).is_dir()]
    return names[::-1]


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # such as in a container
        return str(os.getuid())


def _run(*command: str) -> str | None:
    """Return what a program prints; None where there is none, or it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _unit(unit: str) -> dict[str, str] | None:
    """Return what systemd says of the service; None where there is no systemd."""
    said = _run("systemctl", "show", "--property=" + ",".join(PROPERTIES), unit)
    if said is None:
        return None
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _last_words(unit: str) -> str | None:
    """Return the last line that says why the service does not run, if this user may read it.

    `edge` begins its errors with its name; after them comes `edge off`, which says it is done.
    """
    what = ("--unit=" + unit, "--lines=20", "--no-pager", "--output=cat")
    lines = (_run("journalctl", *what) or "").splitlines()
    errors = [line for line in lines if re.match("edge: (?!watching |ended)", line)]
    return errors[-1] if errors else None


def _lately(unit: str) -> int | None:
    """Return how often systemd has started it again in the last ten minutes; None: unknown.

    Its own count goes on for as long as the machine runs.
    """
    what = (f"UNIT={unit}", f"MESSAGE_ID={RESTARTED}", "--since=-10min", "--output=cat", "--quiet")
    said = _run("journalctl", *what, "--no-pager")
    return len(said.splitlines()) if said else None  # nothing: we may not read it


def _read(path: Path) -> tuple[str | None, str | None]:
    """Return a small plain file's text, or why there is none.

    The service writes into that folder and we are somebody else, so nothing there is trusted: no
    link is followed, and no pipe is waited for.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return None, error.strerror
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None, "not a plain file"
        content = os.read(file, MAX_BYTES + 1)
    except OSError as error:
        return None, error.strerror
    finally:
        os.close(file)
    if len(content) > MAX_BYTES:
        return None, "too large"
    return content.decode(errors="replace"), None


def _release(link: Path) -> str | None:
    """Return the name of the release a link points to, if that release is there."""
    try:
        return link.resolve().name if link.is_symlink() and link.is_dir() else None
    except OSError:
        return None


def _age(path: Path) -> float | None:
    """Return how long ago a file or link was made, seconds, by this host's clock."""
    try:
        age = time.time() - path.lstat().st_mtime
    except OSError:
        return None
    return age if age >= 0 else None  # else the clock was set back since: nobody knows


def _trial(settings: Path) -> str | None:
    """Return the release that a push has put on trial and not yet decided about."""
    text, problem = _read(settings)
    found = re.search(r'^RELEASE="?([^"\n]+)"?$', text or "", re.MULTILINE)
    if found:
        return Path(found.group(1)).name
    return None if problem else "?"


def _cut(settings: Path, lock: Path) -> bool:
    """Return whether a release is on trial, and no push is left that would decide about it.

    The lock is tested as `deploy.remote.push.look` does, and only if a release is on trial, so that
    a push that just begins is not refused because of it. A push that has just ended has also ended
    its trial: hence the second look.
    """
    if _trial(settings) is None:
        return False
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except OSError:  # somebody holds it, or we may not look
        return False
    return _trial(settings) is not None


def _number(path: str, *, thousandths: bool = False) -> float | None:
    """Return the first number of a file of the kernel's."""
    text, _ = _read(Path(path))
    try:
        return float((text or "").split()[0]) / (1000 if thousandths else 1)
    except (IndexError, ValueError):
        return None


def _throttled() -> int | None:
    """Return the firmware's report on power and heat, the bits of `vcgencmd get_throttled`."""
    said = _run("vcgencmd", "get_throttled")  # needs the group `video`
    if said is None:
        said, _ = _read(Path("/sys/devices/platform/soc/soc:firmware/get_throttled"))
    found = re.search(r"(?:^|=)(?:0x)?([0-9a-fA-F]+)\s*$", said or "")
    return int(found.group(1), 16) if found else None


def main(step: str, arguments: str) -> int:
    """Do the step `look`, which is the only one; print its answer as JSON."""
    try:
        print(json.dumps({"look": look}[step](**json.loads(arguments))))
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[2:]))
