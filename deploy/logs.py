"""The service's journal, made harmless to a terminal, whoever wrote into it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from deploy.ssh import LOST, explain, lines_of
from edge.errors import printable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Iterator

    from deploy.ssh import Host
    from deploy.target import Target

LONGEST = 8192
"""Bytes of one line; a longer one goes on in the next."""
SECRETIVE = (b"insufficient permissions", b"not seeing messages from other users")
"""journalctl's warnings that this user may not read the journal; it then shows nothing, or only the
user's own messages, not the service's."""


def read(host: Host, target: Target, *, lines: int, follow: bool) -> Generator[str]:
    """Yield the last lines of the service's journal, and with `follow` those to come.

    Raises:
        DeployError: there is no journalctl, the user may not read the journal, or the connection
            was lost.
    """
    # --all: else a line with a colour in it is only `[64B blob data]`
    show = ["--no-pager", "--all", "--output=short-iso", "--no-hostname"]
    what = [f"--unit={target.unit}", f"--lines={lines}", *(["--follow"] if follow else [])]
    with _ended(host.start(["journalctl", *what, *show])) as process:
        complaints = _Complaints(process, host)
        assert process.stdout is not None  # noqa: S101  (it is a pipe: `Host.start`)
        while line := process.stdout.readline(LONGEST):
            text = line.decode(errors="replace").rstrip("\r\n").expandtabs()
            if not text.startswith("-- No entries"):
                yield printable(text)
        code = process.wait()
        said = complaints.all()
    _check(host, code, said)


def _check(host: Host, code: int, said: bytes) -> None:
    """Raise, with the reason, if there was nothing to read."""
    if _refused(said):
        raise DeployError(
            f"{host.name}: your user may not read the journal there; on it: "
            'sudo usermod --append --groups systemd-journal "$USER", then log in anew'
        )
    if code == LOST:
        raise DeployError(explain(host.name, said))
    if code == 127:
        raise DeployError(f"{host.name}: it has no journalctl, so no systemd; is it the right one?")
    if code != 0:
        why = (lines_of(said) or [f"exit code {code}"])[-1]
        raise DeployError(f"{host.name}: journalctl: {why}")


def _refused(said: bytes) -> bool:
    return any(words in said for words in SECRETIVE)


class _Complaints:
    """What a process writes to stderr, kept by a thread so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[bytes], host: Host) -> None:
        self._said = b""
        self._process, self._host = process, host
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while self._process.stderr and (line := self._process.stderr.readline(LONGEST)):
            self._said = (self._said + line)[-LONGEST:]
            if _refused(line):
                self._host.close()  # --follow would wait for ever; the pipes are the master's

    def all(self) -> bytes:
        self._thread.join()
        return self._said


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a process with the block; journalctl leaves when nobody reads it any more."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
