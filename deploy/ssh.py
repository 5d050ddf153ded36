"""One host over the user's own OpenSSH: their keys, their agent, their ~/.ssh/config.

Commands are lists of words, quoted once for the host's shell by `shlex.join`; nothing else is
ever put into a command line.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from deploy.errors import DeployError

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 150.0
"""Seconds to wait for one command on the host; the host's own limits are shorter."""

OPTIONS = {
    "ControlMaster": "no",  # but for the one `-M` that opens the connection
    "BatchMode": "yes",  # never asks: a question nobody sees is a hang
    "StrictHostKeyChecking": "yes",  # also where the user's config is laxer
    "LogLevel": "ERROR",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",  # with the next: a dead connection is noticed in 15 s
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",  # what the user forwards for themselves is not for us
    "RemoteCommand": "none",
    "RequestTTY": "no",
}

# Reads remote.py from stdin and runs it; what follows on stdin belongs to the step.
BOOT = "import sys;exec(sys.stdin.buffer.read(int(sys.argv[1])))"
REMOTE = Path(__file__).with_name("remote.py").read_bytes()


class Host:
    """A host, and the one connection that every command to it shares; use it in a `with`.

    Args:
        name: as `ssh` takes it: `raspberrypi.local`, `pi@10.0.0.7`, or a name from ~/.ssh/config.
        config: an ssh config file to use in place of the user's own.

    Raises:
        DeployError: the name is none, the host cannot be reached, its key is unknown or has
            changed, or it does not accept the user's keys.
    """

    def __init__(self, name: str, *, config: Path | None = None) -> None:
        if not name or name.startswith("-") or not name.isprintable() or " " in name:
            raise DeployError(f"{name!r} is not a host name; say a name that `ssh NAME` knows")
        self.name = name
        # Short: a socket's path holds 104 bytes at most, which macOS's own folder nearly fills.
        self._folder = Path(tempfile.mkdtemp(prefix="handwave-", dir="/tmp"))
        options = OPTIONS | {"ControlPath": str(self._folder / "ssh")}
        self._ssh = ["ssh", "-T", *(word for o in options.items() for word in ("-o", "=".join(o)))]
        if config is not None:
            self._ssh += ["-F", str(config)]

    def __enter__(self) -> Self:
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> None:
        """Open the shared connection; it stays in the background until `close`."""
        # ControlPersist: should this program be killed, ssh leaves by itself after a minute.
        open_it = ["-M", "-N", "-f", "-o", "ControlPersist=60", "--", self.name]
        errors = self._folder / "errors"  # a file: the background ssh might keep a pipe open
        with errors.open("wb") as stderr:
            try:
                done = subprocess.run(
                    [*self._ssh, *open_it],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    check=False,
                    timeout=TIMEOUT,
                )
            except FileNotFoundError as error:
                raise DeployError("there is no `ssh` here; install the OpenSSH client") from error
            except subprocess.TimeoutExpired as error:
                raise DeployError(f"{self.name}: no connection in {TIMEOUT:.0f} s") from error
        if done.returncode != 0:
            raise DeployError(explain(self.name, errors.read_bytes()))

    def close(self) -> None:
        """Close the connection, if there is one; twice is fine."""
        if (self._folder / "ssh").exists():
            leave = [*self._ssh, "-O", "exit", "--", self.name]
            subprocess.run(leave, capture_output=True, check=False, timeout=TIMEOUT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the host and return what it printed and its exit code.

        Raises:
            DeployError: the connection was lost, or the command takes longer than `TIMEOUT`.
        """
        words = [*self._ssh, "--", self.name, shlex.join(command)]
        try:
            done = subprocess.run(
                words, input=stdin, capture_output=True, check=False, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired as error:
            raise DeployError(
                f"{self.name}: no answer in {TIMEOUT:.0f} s from: {shlex.join(command[:6])}"
            ) from error
        if done.returncode == 255:
            raise DeployError(explain(self.name, done.stderr))
        return done

    def step(self, name: str, stdin: bytes = b"", **arguments: object) -> dict[str, Any]:
        """Have the host's python3 do a step of `deploy.remote`; return its answer.

        Raises:
            DeployError: the step failed there (the message is the host's), or gave no answer.
        """
        boot = ["python3", "-I", "-c", BOOT, str(len(REMOTE)), name, json.dumps(arguments)]
        done = self.run(boot, REMOTE + stdin)
        if done.returncode != 0:
            why = lines_of(done.stderr) or [f"exit code {done.returncode}"]
            raise DeployError(f"{self.name}: {name}: {why[-1]}")
        try:  # only the last line is ours: some login shells greet
            answer: dict[str, Any] = json.loads(lines_of(done.stdout)[-1]) or {}
        except (IndexError, ValueError) as error:
            raise DeployError(
                f"{self.name}: {name}: no answer; does `ssh {self.name} python3 --version` work?"
            ) from error
        return answer


def lines_of(output: bytes) -> list[str]:
    """Return the lines of what a command printed: none empty, no colours, all printable."""
    lines = re.sub("\x1b\\[[0-9;]*m", "", output.decode(errors="replace")).splitlines()
    plain = ("".join(filter(str.isprintable, line)).strip() for line in lines)
    return [line for line in plain if line]


def explain(host: str, stderr: bytes) -> str:
    """Turn what ssh says when it gives up into one line with the next step."""
    why = (lines_of(stderr) or ["ssh did not say why"])[-1]
    if b"IDENTIFICATION HAS CHANGED" in stderr:
        return (
            f"{host}: its host key is not the one you know: it was installed anew, or something "
            f"else answers in its place; run `ssh {host}`, which names the old line in known_hosts"
        )
    if b"Host key verification failed" in stderr or b"host key is known" in stderr:
        return (
            f"{host}: its host key is unknown to you; "
            f"run `ssh {host}` once and compare the fingerprint"
        )
    if b"Permission denied" in stderr:
        return (
            f"{host}: it does not accept your key ({why}); "
            f"unlock it with `ssh-add`, or bring it there with `ssh-copy-id {host}`"
        )
    return f"{host}: no connection: {why}; is it on, and does `ssh {host}` work?"
