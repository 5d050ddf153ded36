"""Requests to the service's socket on a host, through SSH; no port is opened on either side.

A small reader in the host's own python3 carries them. OpenSSH could forward the socket itself, but
some hosts forbid forwarding, and our connections are made without any: what a user's own
~/.ssh/config forwards is not for us.
"""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from deploy.errors import ConnectionLostError, DeployError
from deploy.ssh import BOOT, LOST, PYTHON, Host, explain, lines_of
from deploy.target import USER
from edge.status import SOCKET

if TYPE_CHECKING:
    from deploy.target import Target

READER = (Path(__file__).parents[1] / "remote" / "reader.py").read_bytes()
GREETING = 200
"""Lines that a login shell may print before the reader speaks."""


class NoServiceError(DeployError):
    """The host answers, but its service does not; it may later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered."""

    status: int
    content: bytes
    raw: bytes
    """All of it, with the headers."""

    @property
    def text(self) -> str:
        """The content as one line."""
        return " ".join(lines_of(self.content))


class Tunnel:
    """The way to one host's service. Connects when first asked, and again after a loss.

    Several threads may ask; one waits for the other.

    Args:
        name: of the host, as `ssh` takes it.
        target: where handwave lives there.
        config: an ssh config file in place of the user's own.
    """

    def __init__(self, name: str, target: Target, *, config: Path | None = None) -> None:
        self.name = name
        self._target, self._config = target, config
        self._host: Host | None = None
        self._reader: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, path: str, *, method: str = "GET") -> Answer:
        """Return what the service answers to a path, such as `/live.json`.

        Raises:
            DeployError: the host cannot be reached or used at all.
            ConnectionLostError: the connection ended.
            NoServiceError: the service does not run there, or does not let us look.
        """
        request = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii")
        with self._lock:
            try:
                raw = self._carry(request)
            except NoServiceError:
                raise
            except BaseException:  # Ctrl-C, too: half an answer may be left in the pipe
                self._hang_up()
                raise
        return self._parsed(raw)

    def close(self) -> None:
        """End the connection; twice is fine."""
        self._hang_up()

    def _parsed(self, raw: bytes) -> Answer:
        head, _, content = raw.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        if not words[0].startswith(b"HTTP/") or not words[1:2] or not words[1].isdigit():
            raise NoServiceError(f"{self.name}: what answers there is not handwave's live page")
        return Answer(int(words[1]), content, raw)

    def _carry(self, request: bytes) -> bytes:
        reader = self._connected()
        assert reader.stdin is not None  # noqa: S101  (pipes were asked for)
        assert reader.stdout is not None  # noqa: S101  (as was this)
        try:
            reader.stdin.write(b"%d\n" % len(request) + request)
            reader.stdin.flush()
            for _ in range(GREETING):
                line = reader.stdout.readline()
                if not line or line.startswith(b"handwave "):
                    break
            words = line.split()
            content = reader.stdout.read(int(words[2]))
            if len(content) < int(words[2]):
                raise EOFError  # noqa: TRY301  (as an end before it)
        except (OSError, ValueError, IndexError, EOFError):
            raise self._why_lost(reader) from None
        if words[1] == b"failed":
            raise NoServiceError(self._why_not(content))
        return content

    def _connected(self) -> subprocess.Popen[bytes]:
        if self._reader is not None:
            return self._reader
        self._host = Host(self.name, config=self._config)
        self._host.__enter__()
        path = f"{self._target.runtime}/{SOCKET}"
        command = [*PYTHON, BOOT, str(len(READER)), path]
        self._reader = self._host.start(command, stdin=subprocess.PIPE)
        assert self._reader.stdin is not None  # noqa: S101  (a pipe was asked for)
        with suppress(BrokenPipeError):  # the first request reports why
            self._reader.stdin.write(READER)
        return self._reader

    def _hang_up(self) -> None:
        reader, self._reader = self._reader, None
        host, self._host = self._host, None
        if reader is not None:
            reader.terminate()
            with reader, suppress(OSError):
                pass
        if host is not None:
            host.close()

    def _why_lost(self, reader: subprocess.Popen[bytes]) -> DeployError:
        with suppress(OSError):
            reader.stdin.close()  # type: ignore[union-attr]  # a pipe was asked for
        with suppress(subprocess.TimeoutExpired):
            reader.wait(5)
        errors = b"" if reader.poll() is None else reader.stderr.read()  # type: ignore[union-attr]
        if reader.returncode is None or reader.returncode < 0 or reader.returncode == LOST:
            return ConnectionLostError(explain(self.name, errors))
        why = (lines_of(errors) or [f"exit code {reader.returncode}"])[-1]
        return DeployError(f"{self.name}: cannot read from its service: {why}")

    def _why_not(self, problem: bytes) -> str:
        kind, _, reason = " ".join(lines_of(problem)).partition(" ")
        unit = self._target.unit
        if kind == "PermissionError":
            return (
                f"{self.name}: you may not look at {unit}; `deploy setup {self.name}` puts you "
                f"into its group, or there: sudo usermod -aG {USER} $USER"
            )
        if kind in {"FileNotFoundError", "ConnectionRefusedError"}:
            return (
                f"{self.name}: {unit} does not run there, or is older than this: "
                f"`deploy status {self.name}` says which"
            )
        return f"{self.name}: {unit} does not answer: {reason}"
