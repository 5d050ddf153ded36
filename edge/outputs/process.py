"""Other programs: started and watched in a worker's thread, so that no frame waits for one.

Each leads its own process group, which Ctrl-C does not reach and which is ended as a whole. Its
output is discarded, except the last line when it fails.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from edge.errors import printable

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

GRACE = 0.5
"""Seconds between asking a program to end and killing it."""
TAIL = 2000
"""Bytes kept of what a program said last."""
SLOWEST = 0.05
"""Seconds between two looks at a program, at most."""
OURS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")
"""Environment variables that systemd means for this process alone."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    """Its exit code; below 0 the signal that ended it."""
    words: str
    """The last line that it said; may be empty."""
    cut: bool = False
    """Whether it was ended on request."""
    late: bool = False
    """Whether it was ended by its time limit."""

    @property
    def well(self) -> bool:
        """Whether there is no problem to report."""
        return self.cut or (not self.late and self.code == 0)

    def __str__(self) -> str:
        if self.code < 0:
            with suppress(ValueError):  # a real-time signal has no name
                return f"ended by {signal.Signals(-self.code).name}{self._said()}"
        return f"exit code {self.code}{self._said()}"

    def _said(self) -> str:
        return f": {self.words}" if self.words else ""


class Once:
    """Logs a problem when it begins, and not again until it is over."""

    def __init__(self) -> None:
        self._last: str | None = None

    def trouble(self, text: str) -> None:
        """Say what is wrong, unless that was the last thing said."""
        if text != self._last:
            log.error("%s", text)
        self._last = text

    def over(self) -> None:
        """Note that it went well."""
        self._last = None


def environment() -> dict[str, str]:
    """Return our own environment without what systemd meant for us alone."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def run(
    words: Sequence[str],
    *,
    cut: threading.Event,
    seconds: float = math.inf,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Run a program until it ends; call this in a worker's thread.

    Args:
        words: the program and its arguments; no shell looks at them.
        cut: when set, the program is ended at once, with all of its process group.
        seconds: after which it is ended as well.
        stdin: what it reads, from where that stands; nothing if not given.
        stdout: where its output goes; if not given only the last line counts, as of its errors.
        env: its environment; ours if not given.
        cwd: where it runs.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = os.pipe()
    try:
        os.set_blocking(ours, False)
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            env=environment() if env is None else env,
            cwd=cwd,
            start_new_session=True,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    try:
        return _watch(child, ours, cut, time.monotonic() + seconds)
    finally:
        os.close(ours)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a program and all of its process group: it is asked first, and then made to."""
    _signal(child, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    _signal(child, signal.SIGKILL)  # also for members of the group that ignored SIGTERM
    child.wait()


def _watch(child: subprocess.Popen[bytes], pipe: int, cut: threading.Event, until: float) -> Ended:
    """Wait for the end of a program, keeping its last words, so that a full pipe never stops it."""
    said, pause = b"", 0.001
    wanted = late = False
    try:
        while child.poll() is None and not (wanted or late):
            said = _hear(pipe, said)
            wanted = cut.wait(pause)
            late = time.monotonic() >= until
            pause = min(2 * pause, SLOWEST)
    finally:
        if child.returncode is None:
            end(child)
        else:
            _end_rest(child)
    return Ended(child.returncode, last_line(_hear(pipe, said)), cut=wanted, late=late)


def _end_rest(child: subprocess.Popen[bytes]) -> None:
    """End what a program that has ended by itself left running in its process group."""
    asked = _signal(child, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while asked and time.monotonic() < until and _signal(child, 0):
        time.sleep(0.01)
    if asked:
        _signal(child, signal.SIGKILL)


def _hear(pipe: int, said: bytes) -> bytes:
    """Return the end of what was said, with what can be read now."""
    for _ in range(16):  # 1 MB: an endless talker must not hold us up
        try:
            more = os.read(pipe, 65536)
        except BlockingIOError:
            break
        if not more:
            break
        said = (said + more)[-TAIL:]
    return said


def last_line(said: bytes) -> str:
    """Return the last line that says something, without what a terminal would act on."""
    lines = said.decode(errors="replace").splitlines()
    plain = (printable(line, " ").strip() for line in lines)
    return next((line[-200:] for line in reversed([*plain]) if line), "")


def _signal(child: subprocess.Popen[bytes], what: int) -> bool:
    """Send a signal to a whole process group, which has its first program's number.

    Returns:
        Whether anybody is in it.
    """
    try:
        os.killpg(child.pid, what)
    except (ProcessLookupError, PermissionError):
        return False
    return True
