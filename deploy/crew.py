"""Hosts that are set up or cleared together: pyinfra does the work, this module reports it.

pyinfra's own log stays quiet; what a person reads is one line a step, and one for an error.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from gevent.hub import Hub
from pyinfra.api.config import Config
from pyinfra.api.connect import disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import get_facts
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, State

from deploy.connector import OpensshConnector
from deploy.errors import DeployError, UnknownKeyError
from deploy.setup import HostSurvey, carry_out
from deploy.setup.keys import ask
from deploy.ssh import GRUMBLE, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from deploy.setup.plan import Step
    from deploy.setup.survey import Survey
    from deploy.target import Target

REASON = ("E: ", "ERROR: ", "error: ")
"""How the line in which apt or pip give the reason begins; others may follow it."""
NO_NETWORK = r"(?i)failure resolving|could not resolve|new connection|unreachable|could not connect"
"""What apt and pip say without the internet."""


Hub.NOT_ERROR = (*Hub.NOT_ERROR, KeyboardInterrupt)  # else gevent prints a traceback of Ctrl-C


class Crew:
    """Hosts with a connection each; use it in a `with`.

    Args:
        names: as `ssh` takes them.
        ssh_config: a file to use in place of the user's own.
        tell: takes each line that a person should see.
        fail: takes what went wrong on a host; the others go on.
    """

    lazy = False
    """Whether the first command opens the connection: faster, but nobody is asked about keys."""

    def __init__(
        self,
        names: Sequence[str],
        ssh_config: Path | None,
        tell: Callable[[str], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.tell, self._fail, self._ssh_config = tell, fail, ssh_config
        self.failed: set[str] = set()
        self._steps: dict[tuple[str, str], Step] = {}
        self._told: set[tuple[str, str]] = set()
        logging.getLogger("pyinfra").setLevel(logging.CRITICAL + 1)
        data = {"openssh_lazy": self.lazy, "openssh_config": str(ssh_config) if ssh_config else ""}
        hosts = [(f"@openssh/{name}", data) for name in dict.fromkeys(names)]
        inventory = _OurInventory((hosts, {}))  # type: ignore[no-untyped-call]  # pyinfra's own
        self._state = State(inventory, Config())
        self._state.add_callback_handler(Teller(self))

    def __enter__(self) -> Self:
        try:
            self._connect(list(self._state.inventory))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._state.pool.kill()  # Ctrl-C leaves some of it at work
        disconnect_all(self._state)
        for host in self._state.inventory:  # those that were just about to connect
            if host.connector is not None:
                host.connector.disconnect()

    def _connect(self, hosts: list[PyinfraHost]) -> None:
        """Connect to all at once; ask about unknown keys one after the other."""
        self._open(hosts)
        for host in hosts:
            if isinstance(host.connector_data.get("problem"), UnknownKeyError):
                host.connector_data.pop("problem")
                try:
                    ask(name_of(host), self._ssh_config)
                except DeployError as problem:
                    host.connector_data["problem"] = problem
                    continue
                self._open([host])
        for host in hosts:
            if host.connected:
                self._state.activate_host(host)
            else:
                self.fail(host, "no connection")

    def _open(self, hosts: list[PyinfraHost]) -> None:
        for one in [self._state.pool.spawn(host.connect, show_errors=False) for host in hosts]:
            one.get()

    @property
    def names(self) -> list[str]:
        """The hosts that have not failed, in the order they were given."""
        active = self._state.active_hosts
        return [name_of(host) for host in self._state.inventory if host in active]

    def host(self, name: str) -> PyinfraHost:
        """Return pyinfra's host of a name."""
        return self._state.inventory.get_host(f"@openssh/{name}")

    def fail(self, host: PyinfraHost, why: str) -> None:
        """Leave a host out from here on, and report ssh's error, or else `why`."""
        known = host.connector_data.pop("problem", None)
        name = name_of(host)
        self._fail(known or DeployError(f"{name}: {why}"))
        self.failed.add(name)
        with suppress(PyinfraError):  # "no hosts remaining": then there is nothing more to do
            self._state.fail_hosts({host})

    def survey(self, target: Target) -> dict[str, Survey]:
        """Survey all hosts at once."""
        kwargs = {"root": target.root, "unit": target.unit}
        found = get_facts(self._state, HostSurvey, kwargs=kwargs, apply_failed_hosts=False)
        for host, survey in found.items():
            if survey is None:
                self.fail(host, "it did not say what it is: does `python3 --version` work there?")
        return {name: found[self.host(name)] for name in self.names}

    def run(self, name: str, command: str, *, sudo: bool) -> tuple[bool, list[str]]:
        """Run one command on a host now; return whether it went well, and what it said."""
        done, told = self.host(name).run_shell_command(command, _sudo=sudo)
        lines = told.stdout_lines if done else told.output_lines
        return done, list(lines)

    def add(self, name: str, steps: Sequence[Step], *, sudo: bool) -> None:
        """Queue steps for a host."""
        host = self.host(name)
        for step in steps:
            add_op(
                self._state, carry_out, host=host, name=step.name, commands=step.commands,
                _sudo=sudo,
            )  # fmt: skip
            self._steps[host.name, host.op_hash_order[-1]] = step

    def act(self) -> None:
        """Run the queued steps on all hosts at once; a host where one fails stops."""
        if not self._steps:
            return
        failing = set(self._state.inventory) - self._state.active_hosts
        with suppress(PyinfraError):
            run_ops(self._state)
        for host in set(self._state.inventory) - self._state.active_hosts - failing:
            self.fail(host, self._why(host))

    def _why(self, host: PyinfraHost) -> str:
        """Return which step failed, and the last line that says why."""
        for key, operation in self._state.ops[host].items():
            meta = operation.operation_meta
            if meta.is_complete() and meta.did_error():
                step = self._steps[host.name, key]
                told = lines_of("\n".join([*meta.stdout_lines, *meta.stderr_lines]).encode())
                told = [line for line in told if not line.startswith(GRUMBLE)]
                reasons = [line for line in told if line.startswith(REASON)]
                why = (reasons or told or ["it failed, and did not say why"])[-1]
                alone = any(re.search(NO_NETWORK, line) for line in told)
                hint = "; has it no internet? then --offline (and --carry-debs)" if alone else ""
                return f"{step.name}: {why}{hint}"
        return "it failed"

    def begin(self, host: PyinfraHost, key: str) -> None:
        """Report the step that a host begins."""
        step = self._steps.get((host.name, key))
        if step and host in self._state.active_hosts:
            self.tell(f"{name_of(host)}: {step.name}: {step.does}")


class _OurInventory(Inventory):
    """Hosts that all have our own connector.

    pyinfra's own searches all installed packages for the connector, again for each host: a tenth of
    the time of a push to 50 hosts that run the release already.
    """

    def make_hosts_and_groups(self, names: Sequence[tuple[str, dict[str, Any]]], _: object) -> None:
        """Make the hosts, each with its data; there are no groups."""
        self.host_data.update(names)
        self.hosts = {
            name: PyinfraHost(name, self, groups=[], connector_cls=OpensshConnector)
            for name, _ in names
        }


class Teller(BaseStateCallback):
    """Passes on what pyinfra begins."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    # pyinfra's own is typed as a function without self, and has these arguments.
    def operation_host_start(self, state: Any, host: PyinfraHost, op_hash: str) -> None:  # type: ignore[override]  # noqa: ARG002
        """A host begins a step."""
        self._crew.begin(host, op_hash)


def name_of(host: PyinfraHost) -> str:
    """Return what the user calls a host."""
    return host.name.removeprefix("@openssh/")
