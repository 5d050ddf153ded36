"""Which hosts are meant: names as ssh takes them, or `@hosts.toml` and `@inventory.py` for many.

A fleet is a list of hosts in the order in which they get their turn: the canaries first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from deploy.errors import DeployError
from deploy.ssh import check_name
from edge.errors import did_you_mean
from edge.toml import convert, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MAX_BYTES = 1_000_000
WAVE = 10
"""Hosts at once, where nobody says otherwise."""
FORWARD = {"ssh_hostname", "ssh_user", "ssh_port"}
"""Data that a pyinfra inventory may give for a host; the rest belongs in ~/.ssh/config."""

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Wave = Annotated[int, msgspec.Meta(ge=1)]


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One host of hosts.toml that is more than a name."""

    name: str
    """As ssh takes it."""
    user: str | None = None
    port: Port | None = None


class HostsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole hosts.toml."""

    hosts: list[str | Listed]
    groups: dict[str, list[str]] = {}
    canary: str | list[str] = []
    """Hosts or groups that go first."""
    wave: Wave = WAVE
    budget: Count = 1
    user: str | None = None
    port: Port | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Hosts, and how they take their turns."""

    hosts: tuple[str, ...]
    """What ssh calls them: `pi@hall.local`, or `ssh://pi@hall.local:2222`."""
    canaries: tuple[str, ...] = ()
    """Those of them that go first."""
    wave: int = WAVE
    """How many go at once after that."""
    budget: int | None = None
    """How many may fail before no further wave begins; None: as many as there are."""

    def waves(self) -> Iterator[tuple[str, ...]]:
        """Yield who goes together: the canaries, then everybody else."""
        if self.canaries:
            yield self.canaries
        rest = [host for host in self.hosts if host not in self.canaries]
        for first in range(0, len(rest), self.wave):
            yield tuple(rest[first : first + self.wave])


def read_fleet(words: Sequence[str]) -> Fleet:
    """Return the hosts named on a command line: names, and files with `@` before them.

    Raises:
        DeployError: a file has a mistake, or two files are given that go about it differently.
    """
    files = [word for word in words if word.startswith("@")]
    if len(files) > 1:
        raise DeployError(f"{', '.join(files)}: one file of hosts at a time")
    fleet = read_file(files[0]) if files else Fleet(())
    hosts = dict.fromkeys(host for word in words for host in (
        fleet.hosts if word.startswith("@") else [word]
    ))  # fmt: skip
    return replace(fleet, hosts=tuple(hosts))


def read_file(word: str) -> Fleet:
    """Return the fleet of `@hosts.toml`, `@inventory.py`, or a group: `@hosts.toml:upstairs`.

    Raises:
        DeployError: there is no such file or group, or a mistake in it.
    """
    name, _, group = word.removeprefix("@").partition(":")
    path = Path(name)
    if path.suffix == ".py":
        groups, fleet = _read_inventory(path)
    elif path.suffix == ".toml":
        groups, fleet = _read_toml(path)
    else:
        raise DeployError(f"{word}: say a hosts.toml, or an inventory.py of pyinfra's")
    if not group:
        return fleet
    if group not in groups:
        raise DeployError(f"{path}: there is no group '{group}'{did_you_mean(group, groups)}")
    chosen = groups[group]
    canaries = tuple(host for host in fleet.canaries if host in chosen)
    return replace(fleet, hosts=chosen, canaries=canaries)


def address(name: str, user: str | None = None, port: int | None = None) -> str:
    """Return one word for ssh; a user within the name overrides `user`.

    So does everything in an `ssh://` address.
    """
    if name.startswith("ssh://"):
        return name  # it is complete
    if user and "@" not in name:
        name = f"{user}@{name}"
    if port is None:
        return name
    at, _, host = name.rpartition("@")
    host = f"[{host}]" if ":" in host else host  # an IPv6 address
    return f"ssh://{at}{'@' if at else ''}{host}:{port}"


def _read_toml(path: Path) -> tuple[dict[str, tuple[str, ...]], Fleet]:
    """Return the groups and the fleet of a hosts.toml."""
    file = _parse(path)
    addresses: dict[str, str] = {}
    for one in file.hosts:
        listed = one if isinstance(one, Listed) else Listed(one)
        _check_name(path, listed.name)
        if listed.name in addresses:
            raise DeployError(f"{path}: hosts: '{listed.name}' is there twice")
        addresses[listed.name] = address(
            listed.name, listed.user or file.user, listed.port or file.port
        )
        _check_name(path, addresses[listed.name])  # the user is a part of it
    if not addresses:
        raise DeployError(f'{path}: hosts: name at least one: hosts = ["pi@raspberrypi.local"]')

    def find(where: str, names: Iterable[str]) -> tuple[str, ...]:
        found = []
        for name in names:
            if name not in addresses:
                hint = did_you_mean(name, addresses)
                raise DeployError(f"{path}: {where}: there is no host '{name}'{hint}")
            found.append(addresses[name])
        return tuple(dict.fromkeys(found))

    groups = {group: find(f"[groups] {group}", names) for group, names in file.groups.items()}
    words = [file.canary] if isinstance(file.canary, str) else file.canary
    canaries: list[str] = []
    for word in words:
        canaries += groups[word] if word in groups else find("canary", [word])
    fleet = Fleet(tuple(addresses.values()), tuple(dict.fromkeys(canaries)), file.wave, file.budget)
    return groups, fleet


def _check_name(path: Path, name: str) -> None:
    """Refuse an invalid host name before connecting to any host: half a fleet is no fleet."""
    try:
        check_name(name)
    except DeployError as problem:
        raise DeployError(f"{path}: {problem}") from problem


def _parse(path: Path) -> HostsFile:
    """Read a hosts.toml; whatever is not understood is an error."""
    missing = "no such file; docs/fleets.md has one to start from"
    table = load(path, MAX_BYTES, what="hosts.toml", missing=missing, error=DeployError)

    def hint(key: str, where: str) -> str:
        kind = Listed if where.startswith("hosts") else HostsFile
        return did_you_mean(key, kind.__struct_encode_fields__)

    return convert(table, HostsFile, f"{path}:", error=DeployError, unknown=hint)


def _read_inventory(path: Path) -> tuple[dict[str, tuple[str, ...]], Fleet]:
    """Return the groups and the fleet of an inventory.py; its group `canary` goes first."""
    if not path.is_file():
        raise DeployError(f"{path}: no such file")
    from pyinfra.api.state import State
    from pyinfra.context import ctx_state

    make_inventory_from_files = _pyinfras_own_reader()
    try:
        with ctx_state.use(State()):  # where pyinfra notes which file it is reading
            found = make_inventory_from_files(str(path))
    except (Exception, SystemExit) as problem:  # it is somebody's program
        problem = getattr(problem, "exception", problem)  # theirs has no words of its own
        why = f"{type(problem).__name__}: {problem}"
        raise DeployError(f"{path}: pyinfra cannot read it: {why}") from problem
    addresses = {host.name: _forward(path, host) for host in found}
    for name in addresses.values():
        _check_name(path, name)
    if not addresses:
        raise DeployError(f"{path}: there is no host in it")
    groups = {
        name: tuple(addresses[host.name] for host in hosts) for name, hosts in found.groups.items()
    }
    return groups, Fleet(tuple(addresses.values()), groups.get("canary", ()), WAVE, 1)


def _pyinfras_own_reader() -> Callable[[str], Any]:
    """Return pyinfra's own reader of inventories, without letting gevent patch this process.

    Importing pyinfra_cli makes gevent replace threads, sockets and locks in the whole process,
    which is too late once threads run: one started before never wakes up again. Our own fleets
    use gevent explicitly (connector.py).
    """
    from gevent import monkey

    patch_all = monkey.patch_all
    monkey.patch_all = lambda **_: True
    try:
        from pyinfra_cli.inventory import (  # type: ignore[import-untyped]
            make_inventory_from_files,
        )
    finally:
        monkey.patch_all = patch_all
    reader: Callable[[str], Any] = make_inventory_from_files
    return reader


def _forward(path: Path, host: Any) -> str:
    """Return what ssh calls a host of a pyinfra inventory."""
    at = host.name.startswith("@")
    connector, _, name = host.name.partition("/") if at else ("", "", host.name)
    if connector not in {"", "@ssh", "@openssh"}:
        raise DeployError(f"{path}: {host.name}: a Pi is reached by ssh, not by {connector}")
    data = host.data.dict()
    strange = sorted(key for key in data if key.startswith("ssh_") and key not in FORWARD)
    if strange:
        raise DeployError(
            f"{path}: {host.name}: {', '.join(strange)}: it is OpenSSH that connects here; "
            "say that in ~/.ssh/config"
        )
    hostname = data.get("ssh_hostname") or data.get("openssh_host") or name
    return address(hostname, data.get("ssh_user"), data.get("ssh_port"))
