"""One host over the user's own OpenSSH: their keys, their agent, their ~/.ssh/config.

Commands are lists of words, quoted once for the host's shell by `shlex.join`; nothing else is
ever put into a command line.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from deploy.errors import ConnectionLostError, DeployError, UnknownKeyError
from edge.openssh import GRUMBLE, LOST, OPTIONS, explain, is_unknown, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["BOOT", "GRUMBLE", "LOST", "REMOTE", "TIMEOUT", "Host", "boot", "explain", "lines_of"]

TIMEOUT = 150.0
"""Seconds to wait for one command on the host; the host's own limits are shorter."""

HANG_UP_SECONDS = 5.0
PYTHON = ("python3", "-I", "-S", "-c")
"""A host's Python with only the standard library: installed packages are neither trusted nor waited
for, and a line in a .pth file may take longer than a whole push with nothing to do."""
# Reads remote/push.py from stdin and runs it; what follows on stdin belongs to the step.
BOOT = "import sys;exec(sys.stdin.buffer.read(int(sys.argv[1])))"
REMOTE = (Path(__file__).parent / "remote" / "push.py").read_bytes()


def check_name(name: str) -> None:
    """Refuse an impossible host name, before any connection.

    Raises:
        DeployError: it is empty, has a space in it, or ssh would take it for an option.
    """
    if not name or name.startswith("-") or not name.isprintable() or " " in name:
        raise DeployError(f"{name!r} is not a host name; say a name that `ssh NAME` knows")


PREFIX = "handwave-"
SHORT = 60
"""Longest folder name, bytes, that leaves room for a socket's: macOS allows 104, ssh adds some."""
OLD = 86400.0
"""Seconds after which a connection's empty folder counts as abandoned."""
EVENTS = {"step", "note", "journal", "failed"}
"""The words of `deploy.remote.push.apply`."""


class Host:
    """A host, and the one connection that every command to it shares; use it in a `with`.

    The first command opens it. It stays in the background until `close`, and ends by itself a
    minute after the last command, should this program be killed.

    Args:
        name: as `ssh` takes it: `raspberrypi.local`, `pi@10.0.0.7`, or a name from ~/.ssh/config.
        config: an ssh config file to use in place of the user's own.
        run_process: what runs `ssh`; gevent's own where many hosts wait at once.

    Raises:
        DeployError: the name is none, or no ssh is here. By the first command: the host cannot be
            reached, its key is unknown or has changed, or it does not accept the user's keys.
    """

    def __init__(
        self,
        name: str,
        *,
        config: Path | None = None,
        run_process: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run,
    ) -> None:
        check_name(name)
        if shutil.which("ssh") is None:
            raise DeployError("there is no `ssh` here; install the OpenSSH client")
        self.name = name
        self._run_process = run_process
        self._folder = _new_folder(name)
        share = {"ControlMaster": "auto", "ControlPersist": "60"}
        options = OPTIONS | share | {"ControlPath": str(self._folder / "ssh")}
        self._ssh = ["ssh", "-T", *(word for o in options.items() for word in ("-o", "=".join(o)))]
        if config is not None:
            self._ssh += ["-F", str(config)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one; twice is fine."""
        hang_up(self._folder / "ssh")
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self, command: Sequence[str], stdin: bytes = b"", *, timeout: float = TIMEOUT
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the host and return what it printed and its exit code.

        Raises:
            DeployError: the connection was lost, or the command takes longer than `timeout`.
        """
        words = [*self._ssh, "--", self.name, shlex.join(command)]
        try:
            done = self._run_process(
                words, input=stdin, capture_output=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise DeployError(
                f"{self.name}: no answer in {timeout:.0f} s from: {shlex.join(command[:6])}"
            ) from error
        if done.returncode == LOST or done.returncode < 0:
            raise self._lost(done.returncode, done.stderr)
        return done

    def start(
        self, command: Sequence[str], *, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a command on the host that goes on, such as following a journal; nothing waits.

        End it by closing what it prints and terminating it.
        """
        words = [*self._ssh, "--", self.name, shlex.join(command)]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=stdin, stdout=pipe, stderr=pipe)

    def converse(self, name: str, stdin: bytes, **arguments: object) -> Iterator[dict[str, Any]]:
        """Run a step of `deploy.remote.push` that reports progress; yield each event.

        The last is its answer. The input lies in a file, so neither side ever waits for the other
        to read.

        Raises:
            DeployError: the step could not begin, or the connection was lost.
        """
        with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as errors:
            sent.write(REMOTE + stdin)
            sent.seek(0)
            words = [*self._ssh, "--", self.name, shlex.join(boot(REMOTE, name, arguments))]
            with subprocess.Popen(
                words, stdin=sent, stdout=subprocess.PIPE, stderr=errors
            ) as process:
                assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
                try:
                    for line in process.stdout:
                        if (event := event_of(line)) is not None:
                            yield event
                except BaseException:
                    process.terminate()
                    raise
            errors.seek(0)
            self._judge(name, process.returncode, errors.read())

    def _lost(self, code: int, stderr: bytes) -> DeployError:
        """Return the connection's error, from how its ssh ended."""
        if code < 0:
            return ConnectionLostError(f"{self.name}: ssh was killed here: try again")
        problem = UnknownKeyError if is_unknown(stderr) else ConnectionLostError
        return problem(explain(self.name, stderr))

    def _judge(self, name: str, code: int, stderr: bytes) -> None:
        """Raise if a step did not end well."""
        if code == LOST or code < 0:
            raise self._lost(code, stderr)
        if code != 0:
            why = lines_of(stderr) or [f"exit code {code}"]
            raise DeployError(f"{self.name}: {name}: {why[-1]}")

    def step(
        self, name: str, stdin: bytes = b"", *, script: bytes | None = None, **arguments: object
    ) -> dict[str, Any]:
        """Run a step of a script in the host's python3; return its answer.

        Args:
            name: the step.
            stdin: what the step reads.
            script: a file like `deploy/remote/push.py`, the default; Python's own library only.
            **arguments: the step's own.

        Raises:
            DeployError: the step failed there (the message is the host's), or gave no answer.
        """
        script = REMOTE if script is None else script
        done = self.run(boot(script, name, arguments), script + stdin)
        self._judge(name, done.returncode, done.stderr)
        try:  # only the last line is ours: some login shells greet
            answer: dict[str, Any] = json.loads(lines_of(done.stdout)[-1]) or {}
        except (IndexError, ValueError) as error:
            raise DeployError(
                f"{self.name}: {name}: no answer; does `ssh {self.name} python3 --version` work?"
            ) from error
        return answer


def event_of(line: bytes | str) -> dict[str, Any] | None:
    """Return the event in a step's line of output; None for others, such as a shell's greeting.

    An event has one of `EVENTS`, or is the empty answer of a step that went well.
    """
    try:
        event = json.loads(line)
    except ValueError:
        return None
    ours = isinstance(event, dict) and (event.keys() & EVENTS or not event)
    return event if ours else None


def _new_folder(host: str) -> Path:
    """Return a new folder for a connection's socket.

    Raises:
        DeployError: none can be made.
    """
    place = "/tmp"  # noqa: S108  (mkdtemp makes a folder that is ours alone)
    try:
        usual = tempfile.gettempdir()  # $TMPDIR, or the first place that can be written to
        place = usual if len(os.fsencode(usual)) <= SHORT else place
        _sweep(place)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        raise DeployError(
            f"{host}: no folder here for ssh's connection: {where}{problem.strerror}; "
            f"set TMPDIR to one that you may write to, of {SHORT} letters at most"
        ) from problem


@cache
def _sweep(place: str) -> None:
    """Remove the empty folders that killed processes of ours left.

    One younger than a day may belong to a process that has not connected yet.
    """
    for folder in Path(place).glob(f"{PREFIX}*"):
        with suppress(OSError):  # not empty, or not ours
            if time.time() - folder.lstat().st_mtime > OLD:
                folder.rmdir()


def hang_up(control: Path) -> None:
    """End a connection in the background, as `ssh -O exit` does; there may be none.

    It does not start that program, once for each of many hosts.

    Source: PROTOCOL.mux of OpenSSH: MUX_MSG_HELLO of version 4, MUX_C_TERMINATE.
    """
    hello, terminate = struct.pack(">III", 8, 0x1, 4), struct.pack(">III", 8, 0x10000005, 0)
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(HANG_UP_SECONDS)
        connection.connect(str(control))
        connection.sendall(hello + terminate)
        while connection.recv(1024):  # its own hello, its answer; then it is gone
            pass


def boot(script: bytes, step: str, arguments: dict[str, object]) -> list[str]:
    """Return the command with which a host's python3 reads a script from stdin and runs a step."""
    return [*PYTHON, BOOT, str(len(script)), step, json.dumps(arguments)]
