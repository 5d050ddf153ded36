"""A push to many hosts: the canaries first, then wave by wave, and no further than the budget.

Going back is for emergencies, and has no waves: all hosts at once.

pyinfra connects, asks and acts on all hosts of a wave at once (`deploy.operations`). A host that
fails goes back to what it ran, and holds up nobody; when more have failed than the budget allows,
no further wave begins.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import get_facts
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops

from deploy.crew import Crew, name_of
from deploy.errors import DeployError
from deploy.operations import HostFacts, apply_order, events
from deploy.push import (
    Facts,
    Order,
    choose,
    order,
    pass_on,
    plan,
    plan_back,
    refuse,
    say,
)  # fmt: skip
from deploy.ssh import lines_of
from edge.errors import HandwaveError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pyinfra.api.host import Host as PyinfraHost
    from rich.table import Table

    from deploy.bundle import Bundle
    from deploy.inventory import Fleet
    from deploy.push import Step
    from deploy.target import Target

WELL = {"runs it", "ran it already", "would"}
"""Outcomes that count as success."""
OFF = "unreachable"
"""The outcome that does not count against the budget: in a fleet, some host is always off."""
NOT_TRIED = "not tried"


class StoppedError(Exception):
    """Somebody pressed Ctrl-C in the middle of a wave, or ended this in another way.

    Args:
        outcomes: what its hosts had done by then, or are left to do by themselves.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one host did."""

    host: str
    how: str
    """In a word or two: `runs it`, `ran it already`, `would`, `failed`, `refused`, `unreachable`,
    `lost`, `not tried`."""
    what: str = ""
    """The steps that it took, or would take."""
    problem: Exception | None = None

    @property
    def well(self) -> bool:
        """Whether the host runs the bundle now (or would)."""
        return self.how in WELL


def roll_out(
    fleet: Fleet,
    go: Callable[[Sequence[str]], Iterable[Outcome]],
    tell: Callable[[str], None] = print,
) -> list[Outcome]:
    """Run wave after wave; return what every host did, in the fleet's order.

    Args:
        fleet: the hosts and their order.
        go: runs the hosts of one wave and returns what each did; StoppedError ends it.
        tell: takes each line that a person should see.
    """
    done: dict[str, Outcome] = {}
    waves = list(fleet.waves())
    for number, wave in enumerate(waves, 1):
        canary = number == 1 and bool(fleet.canaries)
        if len(waves) > 1:
            who = "canary" if canary else f"wave {number} of {len(waves)}"
            tell(f"{who}: {', '.join(wave)}")
        try:
            done |= {outcome.host: outcome for outcome in go(wave)}
        except StoppedError as stop:
            tell("stopped here, as it was told to")
            done |= {outcome.host: outcome for outcome in stop.outcomes}
            break
        why = _stop(fleet, list(done.values()), canary=canary)
        if why and number < len(waves):
            tell(f"stopped here: {why}")
            break
    return [done.get(host, Outcome(host, NOT_TRIED)) for host in fleet.hosts]


def _stop(fleet: Fleet, done: list[Outcome], *, canary: bool) -> str:
    """Return why no further wave may begin; nothing if it may."""
    failed = [outcome for outcome in done if not outcome.well and outcome.how != OFF]
    if canary and failed:
        return "a canary failed"
    if canary and not any(outcome.well for outcome in done):
        return "no canary can be reached"
    if fleet.budget is not None and len(failed) > fleet.budget:
        return f"{len(failed)} failed, and the budget is {fleet.budget}"
    return ""


def in_waves(
    fleet: Fleet,
    act: Callable[[Wave], None],
    *,
    ssh_config: Path | None = None,
    tell: Callable[[str], None] = print,
    fail: Callable[[Exception], None] = print,
) -> list[Outcome]:
    """Let the hosts of a fleet do something, wave by wave; return what each did.

    Args:
        fleet: the hosts and their order.
        act: what those of one wave do, such as `Wave.push`.
        ssh_config: an ssh config file to use in place of the user's own.
        tell: takes each line that a person should see.
        fail: takes what went wrong on a host.
    """

    def go(names: Sequence[str]) -> list[Outcome]:
        stopped = False
        with Wave(names, ssh_config, tell) as wave:
            try:
                act(wave)
            except KeyboardInterrupt:
                stopped = True
                wave.stop()
        outcomes = list(wave.outcomes.values())
        for outcome in outcomes:
            if outcome.problem is not None:
                fail(outcome.problem)
        if stopped:
            raise StoppedError(outcomes)
        return outcomes

    return roll_out(fleet, go, tell)


class Wave(Crew):
    """Hosts that get a bundle at the same time; use it in a `with`.

    Nobody is asked about an unknown key: only `deploy setup` does.
    """

    lazy = True

    def __init__(
        self, names: Sequence[str], ssh_config: Path | None, tell: Callable[[str], None]
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        """What each host did."""
        self.begun: set[str] = set()
        """Those that have been asked to do something."""
        super().__init__(names, ssh_config, tell, lambda _: None)

    def fail(self, host: PyinfraHost, why: str, how: str = OFF) -> None:
        """Leave a host out from here on; what ssh said counts more than `why`."""
        name = name_of(host)
        known = host.connector_data.pop("problem", None)
        self._note(name, how, problem=known or DeployError(f"{name}: {why}"))
        with suppress(PyinfraError):  # "no hosts remaining": then there is nothing more to do
            self._state.fail_hosts({host})

    def _note(self, name: str, how: str, what: str = "", problem: Exception | None = None) -> None:
        self.outcomes[name] = Outcome(name, how, what, problem)

    def push(self, bundle: Bundle, target: Target, *, dry_run: bool) -> None:
        """Make all hosts run the bundle; with `dry_run`, say what would be done."""

        def decide(facts: Facts, name: str) -> tuple[list[Step], str, Callable[[], Order]]:
            steps = plan(facts, bundle, target, name)
            return steps, bundle.release, lambda: order(steps, bundle, facts)

        self._act(self.look(bundle.manifest, target), decide, target, dry_run=dry_run)

    def roll_back(self, release: str | None, target: Target, *, dry_run: bool) -> None:
        """Make all hosts run what each ran before, or the release that begins like this."""

        def decide(facts: Facts, name: str) -> tuple[list[Step], str, Callable[[], Order]]:
            refuse(facts, target, name, signed=True)
            chosen = choose(facts, release, name)
            steps = plan_back(facts, chosen, target)
            return steps, chosen, lambda: Order(steps, chosen, chosen, goes_back=True)

        self._act(self.look(b"", target), decide, target, dry_run=dry_run)

    def _act(
        self,
        found: dict[str, Facts],
        decide: Callable[[Facts, str], tuple[list[Step], str, Callable[[], Order]]],
        target: Target,
        *,
        dry_run: bool,
    ) -> None:
        """Plan for each host that answered, and let all of them act."""
        orders: dict[str, Order] = {}
        for name, facts in found.items():
            try:
                steps, release, request = decide(facts, name)
            except HandwaveError as problem:
                self._note(name, "refused", problem=problem)
                continue
            if not steps:
                self.tell(f"{name}: nothing to do: it runs {release}")
                self._note(name, "ran it already")
            elif dry_run:
                say(steps, name, self.tell)
                self._note(name, "would", ", ".join(step.name for step in steps))
            else:
                orders[name] = request()
        if orders:
            self.carry_out(orders, target)

    def look(self, manifest: bytes, target: Target) -> dict[str, Facts]:
        """Ask all hosts at once for what their plans depend on."""
        kwargs = {"manifest": manifest.decode(), "root": target.root, "unit": target.unit}
        found = get_facts(self._state, HostFacts, kwargs=kwargs, apply_failed_hosts=False)
        for host, facts in found.items():
            if facts is None:
                self.fail(host, f"no answer; does `ssh {name_of(host)} python3 --version` work?")
        return {name: found[self.host(name)] for name in self.names}

    def stop(self) -> None:
        """Note that hosts which have begun go on by themselves."""
        for name in self.begun - self.outcomes.keys():
            why = f"{name}: it goes on by itself: `deploy status {name}` tells how it ends"
            self._note(name, "lost", problem=DeployError(why))

    def carry_out(self, orders: dict[str, Order], target: Target) -> None:
        """Have all hosts at once do what is asked of each."""
        for name, request in orders.items():
            add_op(
                self._state, apply_order, host=self.host(name), name="push", request=request,
                target=target,
            )  # fmt: skip
        self.begun = set(orders)
        with suppress(PyinfraError):  # "no hosts remaining": each has its own outcome
            run_ops(self._state)
        for name, request in orders.items():
            self._judge(name, request)

    def _judge(self, name: str, request: Order) -> None:
        """Note what a host did, from its events."""
        host = self.host(name)
        (operation,) = self._state.ops[host].values()
        meta = operation.operation_meta
        told = events(meta.stdout_lines) if meta.is_complete() else []
        for event in told:
            pass_on(event, name, self.tell)
        what = ", ".join(event["step"] for event in told if "step" in event)
        if meta.is_complete() and meta.did_succeed():
            self.tell(f"{name}: runs {request.release}")
            self._note(name, "runs it", what)
            return
        problem = host.connector_data.pop("problem", None)
        if problem is not None:  # the connection: what has begun there goes on
            why = f"{problem}; it may go on by itself: `deploy status {name}` tells how it ended"
            self._note(name, "lost", what, DeployError(why))
            return
        refused = host.connector_data.pop("refused", "")
        failed = next((event for event in told if "failed" in event), None)
        said = lines_of("\n".join(meta.stderr_lines).encode()) if meta.is_complete() else []
        why = (said or [refused or "it did not say why"])[-1]
        if failed:
            why = f"{failed['failed']}: {failed['why']}; {failed['now']}"
        self._note(name, "failed", what, DeployError(f"{name}: {why}"))


def table(outcomes: Sequence[Outcome]) -> None:
    """Print what each host did, a row each; the steps only where there is room for them."""
    from deploy.tables import print_table  # rich loads when used

    print_table(lambda columns: _rows(outcomes, columns), 3)


def _rows(outcomes: Sequence[Outcome], columns: int) -> Table:
    """Return the table's first columns."""
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    rows.add_column("host", overflow="fold")
    for head in ("now", "steps")[: columns - 1]:
        rows.add_column(head, no_wrap=True)
    for outcome in outcomes:
        style = "green" if outcome.well else "yellow" if outcome.how in {OFF, NOT_TRIED} else "red"
        cells = (Text(printable(outcome.host)), Text(outcome.how, style=style), Text(outcome.what))
        rows.add_row(*cells[:columns])
    return rows
