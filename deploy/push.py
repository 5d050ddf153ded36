"""Put a bundle on a host: look, plan, act; and if it fails, the host runs what it ran.

Data flows one way: bundle -> facts -> plan -> act. The plan is a list that can be printed, and is
empty where there is nothing to do. What the steps do is told where they run, `deploy.remote.push`.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.bundle import LIMIT
from deploy.errors import ConnectionLostError, DeployError
from edge.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deploy.bundle import Bundle
    from deploy.ssh import Host
    from deploy.target import Target


_HAS_ALL = "nothing but the list: it has all the files already"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host said about itself (`deploy.remote.push.look`)."""

    user: str
    python: tuple[int, int]
    root: bool
    writable: bool
    read_only: str | None
    """A folder that a push writes to and whose disk is read-only, if there is one."""
    venv: bool
    current: str | None
    """The release that the service starts next: the last that got ready."""
    history: list[dict[str, str]]
    """The releases that are there, the last pushed last: `release`, `time`, `who`."""
    trial: str | None
    """A release left on trial by a push that was cut off."""
    trial_writable: bool
    busy: str | None
    """Who is pushing to it, if somebody is."""
    intact: bool
    """Whether this whole bundle is there already."""
    missing: list[str]
    """SHA-256 of each file content in the bundle that no release there holds."""
    signers: bool
    """Whether it takes signed bundles only."""
    systemctl: bool
    load: str
    """The unit's LoadState: `loaded`, `not-found`, `masked`."""
    check_load: str
    """That of the unit for `edge check`."""
    active: str
    """The unit's ActiveState: `active`, `inactive`, `failed`, `activating`."""
    exec_start: str
    """What the unit starts, in systemd's words."""
    denied: list[str]
    """Actions on the units that a push needs and this user may not do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a push will do: its name, and what that means this time."""

    name: str
    does: str


@dataclass(frozen=True, slots=True)
class Order:
    """What a host is asked to do (`deploy.remote.push.apply`)."""

    steps: list[Step]
    release: str
    digest: str
    """SHA-256 of the release's manifest, in hex, or the first digits of it."""
    tar: bytes = b""
    """What is uploaded: the files that the host lacks."""
    goes_back: bool = False
    """Whether it rolls back to a release that the host has."""

    @property
    def request(self) -> dict[str, Any]:
        """The order in words that travel; the tar goes beside them."""
        return {
            "steps": [step.name for step in self.steps],
            "release": self.release,
            "digest": self.digest,
            "limit": LIMIT + 1_000_000,  # the manifest and a signature come on top
            "goes_back": self.goes_back,
            "who": f"{getpass.getuser()}@{socket.gethostname()}".replace(" ", "_"),
        }


def order(steps: list[Step], bundle: Bundle, facts: Facts) -> Order:
    """Return the order that carries out a host's plan."""
    sends = any(step.name == "upload" for step in steps)
    tar = bundle.tar(bundle.lacking(facts.missing)) if sends else b""
    return Order(steps, bundle.release, bundle.digest, tar)


def push(
    host: Host,
    bundle: Bundle,
    target: Target,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = print,
) -> list[Step]:
    """Make `host` run `bundle`; return the steps that did it (or would, with `dry_run`).

    Raises:
        DeployError: the host is not set up for it, or a step failed; it then runs what it ran.
    """
    facts = look(host, target, bundle.manifest)
    steps = plan(facts, bundle, target, host.name)
    if not steps:
        tell(f"{host.name}: nothing to do: it runs {bundle.release}")
    elif dry_run:
        say(steps, host.name, tell)
    else:
        act(host, target, order(steps, bundle, facts), tell)
        tell(f"{host.name}: runs {bundle.release}")
    return steps


def roll_back(
    host: Host,
    target: Target,
    release: str | None = None,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = print,
) -> list[Step]:
    """Make `host` run a release it has already: what it ran before, or this.

    Raises:
        DeployError: it has no such release, or a step failed; it then runs what it ran.
    """
    facts = look(host, target, b"")
    refuse(facts, target, host.name, signed=True)
    release = choose(facts, release, host.name)
    steps = plan_back(facts, release, target)
    if not steps:
        tell(f"{host.name}: nothing to do: it runs {release}")
    elif dry_run:
        say(steps, host.name, tell)
    else:
        act(host, target, Order(steps, release, release, goes_back=True), tell)
        tell(f"{host.name}: runs {release}")
    return steps


def look(host: Host, target: Target, manifest: bytes) -> Facts:
    """Ask the host, in one round trip, for all that the plan depends on."""
    return read_facts(host.step("look", manifest, place=target.place))


def read_facts(answer: dict[str, Any]) -> Facts:
    """Return what `deploy.remote.push.look` answered, as facts."""
    return Facts(**{**answer, "python": tuple(answer["python"])})


def plan(facts: Facts, bundle: Bundle, target: Target, host: str) -> list[Step]:
    """Return what must happen for the host to run the bundle; nothing, if it does already.

    Raises:
        DeployError: the host is not set up for it; the message holds everything that is missing.
    """
    refuse(facts, target, host, signed=bundle.signature is not None)
    release, steps = bundle.release, []
    if not facts.intact:
        new = bundle.lacking(facts.missing)
        size = f"{_size(sum(map(len, new.values())))} in {_files(len(new))}"
        steps = [
            Step("upload", f"{size} that it lacks, of {len(bundle.files)}" if new else _HAS_ALL),
            Step("verify", f"SHA-256 of every file, against {release}"),
        ]
    if not facts.intact or facts.current != release:
        steps += switch(facts, release, target)
    elif facts.trial or facts.active != "active":
        steps.append(_restart(target))
    return steps


def plan_back(facts: Facts, release: str, target: Target) -> list[Step]:
    """Return what must happen for the host to run a release that it has already."""
    if facts.current != release:
        verify = Step("verify", f"SHA-256 of every file, against {release}")
        return [verify, *switch(facts, release, target)]
    return [_restart(target)] if facts.trial or facts.active != "active" else []


def switch(facts: Facts, release: str, target: Target) -> list[Step]:
    """Return the steps from a release's files to that release running."""
    was = f", now {facts.current}" if facts.current else ""
    return [
        Step("check", f"edge check, as {target.unit} would run it"),
        _restart(target),
        Step("activate", f"{target.root}/current -> releases/{release}{was}"),
    ]


def _restart(target: Target) -> Step:
    return Step("restart", f"{target.unit}, and wait until it has decided a frame")


def choose(facts: Facts, release: str | None, host: str) -> str:
    """Return the release to go back to.

    Args:
        facts: what the host said.
        release: its first characters; None is what ran before the current one, or before one that a
            cut push left on trial.
        host: for messages.

    Raises:
        DeployError: there is none; the message says which there are.
    """
    names = [row["release"] for row in facts.history]
    if not names:
        raise DeployError(f"{host}: it has no release yet: deploy push {host}")
    there = ", ".join(reversed(names))
    if release is not None:
        found = [name for name in names if name.startswith(release)]
        if len(found) > 1:
            raise DeployError(f"{host}: {release} is short for several; it has {there}")
        if not found:
            raise DeployError(f"{host}: it has no release {release}; it has {there}")
        return found[0]
    if facts.trial and facts.current:  # a push was cut: what ran before its release is current
        return facts.current
    at = names.index(facts.current) if facts.current in names else len(names)
    if at == 0:
        raise DeployError(f"{host}: there is no release before {facts.current}; it has {there}")
    return names[at - 1]


def refuse(facts: Facts, target: Target, host: str, *, signed: bool) -> None:
    """Raise, before anything is changed, if the host is not ready for a push.

    Raises:
        DeployError: it is not; the message says everything that is in the way.
    """
    if mixed_up := target.mixed_up(facts.exec_start):
        raise DeployError(f"{host}: {mixed_up}")
    if facts.read_only:
        raise DeployError(
            f"{host}: {facts.read_only} is read-only there: a disk that fails is made so; look at "
            "`dmesg` on it, and have another SD card at hand"
        )
    lacks = "; ".join([*missing(facts, target), *denied(facts, target)])
    if lacks:
        raise DeployError(f"{host}: {lacks}; `deploy setup {host}{target.options}` puts that right")
    if facts.busy:
        raise DeployError(f"{host}: {facts.busy} is pushing to it; try again when that is done")
    if facts.signers and not signed:
        raise DeployError(f"{host}: it takes signed bundles only: add --sign KEY")


def missing(facts: Facts, target: Target) -> Iterable[str]:
    """Yield what the host lacks."""
    if facts.python < (3, 11):
        yield f"its python3 is {facts.python[0]}.{facts.python[1]}, and handwave needs 3.11"
    if not facts.root:
        yield f"there is no folder {target.root}"
    elif not facts.venv:
        yield f"there is no {target.root}/venv/bin/python"
    if not facts.systemctl:
        yield "it has no systemctl"
        return
    for unit, load in ((target.unit, facts.load), (target.check_unit, facts.check_load)):
        if load != "loaded":
            yield f"systemd knows no {unit} there"


def denied(facts: Facts, target: Target) -> Iterable[str]:
    """Yield what this user may not do with what is there."""
    if facts.root and not facts.writable:
        yield f"{facts.user} may not write to {target.root}"
    elif facts.root and not facts.trial_writable:
        yield f"{facts.user} may not write to {target.trial}"
    if facts.load == facts.check_load == "loaded" and facts.denied:
        yield f"{facts.user} may not run `sudo -n {facts.denied[0]}`"


def say(steps: list[Step], host: str, tell: Callable[[str], None]) -> None:
    """Tell what would be done."""
    tell(f"{host}: would do this, and changed nothing:")
    for step in steps:
        tell(f"  {step.name:9} {step.does}")


def act(host: Host, target: Target, order: Order, tell: Callable[[str], None]) -> None:
    """Have the host do the steps, and tell each as it begins.

    Raises:
        DeployError: a step failed; the message says what the host runs now.
    """
    does = {step.name: step.does for step in order.steps}
    at = ""
    try:
        for event in host.converse("apply", order.tar, place=target.place, **order.request):
            if "step" in event:
                at = event["step"]
                tell(f"{host.name}: {at}: {does[at]}")
            elif "failed" in event:
                why = f"{event['failed']}: {event['why']}; {event['now']}"
                raise DeployError(f"{host.name}: {why}")
            else:
                pass_on(event, host.name, tell)
    except (KeyboardInterrupt, ConnectionLostError):
        # Events lag behind: even before the first one, everything may be there.
        if_all = "if all of it had arrived, " if at in {"", "upload"} else ""
        tell(
            f"{host.name}: {if_all}it goes on by itself; `deploy status {host.name}` tells how "
            "it ends"
        )
        raise


def pass_on(event: dict[str, Any], host: str, tell: Callable[[str], None]) -> None:
    """Tell what a host has to say beside the steps: a note, a line of its journal."""
    for kind in ("note", "journal"):
        if kind in event:
            tell(f"{host}: {kind}: {printable(event[kind])}")


def _size(count: int) -> str:
    """Return bytes in words."""
    if count < 100:
        return f"{count} bytes"
    return f"{count / 1e6:.1f} MB" if count > 50_000 else f"{count / 1e3:.1f} kB"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
