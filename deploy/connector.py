"""pyinfra over the user's own OpenSSH, as everything else here: `@openssh/HOST` in an inventory.

One connection a host carries all commands and files. The user's ~/.ssh/config, agent and jump hosts
count, and an unknown or changed host key is refused. pyinfra's greenlets run many hosts at once:
whatever waits here waits in gevent's way.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gevent import monkey
from gevent import subprocess as cooperative
from gevent.threadpool import ThreadPool
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import ConnectError, InventoryError
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import BaseConnector, ConnectorData, DataMeta
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command_for_host

from deploy.errors import DeployError
from deploy.ssh import Host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import IOBase

PATIENCE = 3600.0
"""Time limit of one command, seconds: a Pi Zero installs packages for minutes."""
AT_ONCE = 64
"""Connections that wait in threads."""
CONTROL = ("_get_pty", "_timeout", "_stdin", "_success_exit_codes")
"""Arguments of pyinfra's for the connector, not for building a command."""


class OpensshData(ConnectorData):
    """What an inventory may say of a host."""

    openssh_host: str
    openssh_config: str
    openssh_lazy: bool


class OpensshConnector(BaseConnector):
    """`@openssh/HOST`: HOST is what `ssh HOST` takes."""

    handles_execution = True
    data_cls = OpensshData
    data_meta = {  # noqa: RUF012  (as pyinfra's own)
        "openssh_host": DataMeta("what ssh calls it, if not as in @openssh/..."),
        "openssh_config": DataMeta("an ssh config file, in place of the user's own"),
        "openssh_lazy": DataMeta("connect by the first command, which then tells what is wrong"),
    }
    _ssh: Host | None = None

    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Yield the one host of a name in an inventory."""
        if not name:
            raise InventoryError("@openssh needs a host: @openssh/pi@raspberrypi.local")
        yield f"@openssh/{name}", {"openssh_host": name}, ["@openssh"]

    def connect(self) -> None:
        """Open the connection, unless the first command may open it."""
        config = self.data["openssh_config"]
        try:
            self._ssh = Host(
                self.data["openssh_host"] or self.host.name.removeprefix("@openssh/"),
                config=Path(config) if config else None,
                run_process=_run_process,
            )
            if not self.data["openssh_lazy"]:
                self._ssh.run(["true"])
        except DeployError as problem:
            self.disconnect()
            self.host.connector_data["problem"] = problem
            raise ConnectError(str(problem)) from problem

    def disconnect(self) -> None:
        """Close it."""
        if self._ssh is not None:
            self._ssh.close()
            self._ssh = None

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,  # noqa: FBT001, FBT002, ARG002  (pyinfra's)
        print_input: bool = False,  # noqa: FBT001, FBT002, ARG002  (pyinfra's)
        **arguments: Any,
    ) -> tuple[bool, CommandOutput]:
        """Run a command; return whether it went well, and what it said."""
        stdin = arguments.get("_stdin")
        lines = [stdin] if isinstance(stdin, str) else list(stdin or ())
        code, stdout, stderr = self._run(command, "".join(f"{x}\n" for x in lines), arguments)
        told = [
            OutputLine(name, line)
            for name, text in (("stdout", stdout), ("stderr", stderr))
            for line in text.decode(errors="replace").splitlines()
        ]
        return code in (arguments.get("_success_exit_codes") or (0,)), CommandOutput(told)

    def put_file(
        self,
        filename_or_io: str | IOBase,
        remote_filename: str,
        remote_temp_filename: str | None = None,  # noqa: ARG002  (pyinfra's)
        print_output: bool = False,  # noqa: FBT001, FBT002, ARG002  (pyinfra's)
        print_input: bool = False,  # noqa: FBT001, FBT002, ARG002  (pyinfra's)
        **arguments: Any,
    ) -> bool:
        """Write a file there, straight to where it belongs."""
        with get_file_io(filename_or_io) as file:  # type: ignore[arg-type]  # theirs, not ours
            content = file.read()
        data = content.encode() if isinstance(content, str) else content
        there = QuoteString(remote_filename)
        # What is half written, as the disk is full or the laptop went, does not stay.
        whole = StringCommand('[ "$(wc', "-c", "<", there, ')"', "-eq", str(len(data)), "]")
        write = StringCommand("cat", ">", there, "&&", whole, "|| { rm -f", there, "; exit 1; }")
        code, _, stderr = self._run(write, data, arguments)
        if code != 0:
            why = stderr.decode(errors="replace").strip() or "only a part of it arrived"
            self.host.connector_data["refused"] = f"upload to {remote_filename}: {why}"
            raise OSError(why)
        return True

    def get_file(
        self,
        remote_filename: str,
        filename_or_io: str | IOBase,
        remote_temp_filename: str | None = None,  # noqa: ARG002  (pyinfra's)
        print_output: bool = False,  # noqa: FBT001, FBT002, ARG002  (pyinfra's)
        print_input: bool = False,  # noqa: FBT001, FBT002, ARG002  (pyinfra's)
        **arguments: Any,
    ) -> bool:
        """Bring a file from there."""
        code, stdout, stderr = self._run(
            StringCommand("cat", QuoteString(remote_filename)), b"", arguments
        )
        if code != 0:
            raise OSError(stderr.decode(errors="replace").strip())
        with get_file_io(filename_or_io, "wb") as file:  # type: ignore[arg-type]  # as above
            file.write(stdout)
        return True

    def _run(
        self, command: StringCommand, stdin: str | bytes, arguments: dict[str, Any]
    ) -> tuple[int, bytes, bytes]:
        """Run a command, built in pyinfra's way: with sudo, and so on."""
        build = {key: value for key, value in arguments.items() if key not in CONTROL}
        whole = make_unix_command_for_host(self.state, self.host, command, **build)
        if self._ssh is None:
            raise OSError("not connected")
        try:
            done = self._ssh.run(
                ["sh", "-c", whole.get_raw_value()],
                stdin.encode() if isinstance(stdin, str) else stdin,
                timeout=arguments.get("_timeout") or PATIENCE,
            )
        except DeployError as problem:
            self.host.connector_data["problem"] = problem
            raise OSError(str(problem)) from problem
        return done.returncode, done.stdout, done.stderr


def _run_process(words: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a process; meanwhile other greenlets run.

    gevent's subprocess forks this whole process each time, a third of a push to 50 hosts; Python's,
    in a thread, does not. Where `pyinfra` has patched it already, gevent's is used: a process can
    use only one of them, as gevent's collects the exit codes of all children.
    """
    if monkey.is_module_patched("subprocess"):
        done: subprocess.CompletedProcess[bytes] = cooperative.run(words, **how)
    else:
        done = _threads().apply(subprocess.run, (words,), how)
    return done


@cache
def _threads() -> ThreadPool:
    return ThreadPool(AT_ONCE)
