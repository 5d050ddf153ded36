"""`deploy setup`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploy.bundle import make_bundle
from deploy.commands.options import (
    dry_run_option,
    fleet_argument,
    ssh_config_option,
    target_options,
    tell,
)
from deploy.commands.push import PACKAGE
from deploy.errors import DeployError
from deploy.push import push as push_to
from deploy.signing import read_signers
from deploy.ssh import Host
from deploy.target import Target
from edge.config import read_config
from edge.console import Command, complain

if TYPE_CHECKING:
    from deploy.bundle import Bundle
    from deploy.crew import Crew
    from deploy.inventory import Fleet
    from deploy.setup.needs import Needs
    from deploy.setup.plan import Carried
    from deploy.setup.survey import Survey
    from edge.config import Config

USUAL = Path("edge.toml")


@click.command("setup", cls=Command, epilog="Example: deploy setup pi@raspberrypi.local")
@fleet_argument
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="What each label does: says what is needed; is pushed.  [default: edge.toml, if there]",
)
@target_options
@ssh_config_option
@click.option(
    "--signers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An allowed_signers file: take only bundles that one of these has signed.",
)
@click.option("--no-push", is_flag=True, help="Only prepare; push nothing yet.")
@click.option("--offline", is_flag=True, help="They have no internet: bring along what they need.")
@click.option("--carry-debs", is_flag=True, help="With --offline: bring apt's packages as well.")
@dry_run_option
def setup(
    fleet: Fleet,
    *,
    config: Path | None,
    root: str,
    unit: str,
    ssh_config: Path | None,
    signers: Path | None,
    no_push: bool,
    offline: bool,
    carry_debs: bool,
    dry_run: bool,
) -> None:
    """Make each HOST ready, from a fresh Raspberry Pi OS to a lit LED.

    Looks first, and says everything that is wrong before anything is changed. A second set-up does
    nothing. What it changes, and how it is undone: docs/setup.md.
    """
    if carry_debs and not offline:
        raise click.UsageError("--carry-debs goes with --offline")
    target = Target(root, unit)
    if config is None and USUAL.exists():
        config = USUAL
    found = read_config(config) if config else None
    listed = read_signers(signers) if signers else None
    # Made first, so that an edge.toml that cannot be pushed fails before minutes of set-up.
    bundle = make_bundle(config, PACKAGE) if config and not no_push else None
    if listed and bundle:
        tell("note: from now on they take signed bundles only: deploy push --sign KEY comes next")
        bundle = None
    from deploy.crew import Crew

    with Crew(fleet.hosts, ssh_config, tell, complain) as crew:
        prepare(
            crew, found, target, listed, offline=offline, carry_debs=carry_debs, dry_run=dry_run
        )
        ready = crew.names
    failed = bool(crew.failed)
    if config is None and ready and not no_push:
        tell("note: nothing is pushed, as there is no edge.toml here: deploy push comes next")
    elif bundle is not None and dry_run and ready:
        tell(f"and then: push {bundle.release} to {', '.join(ready)}")
    elif bundle is not None and not dry_run:
        canaries = tuple(name for name in fleet.canaries if name in ready)
        fleet = replace(fleet, hosts=tuple(ready), canaries=canaries)
        failed |= not push_all(fleet, bundle, target, ssh_config)
    sys.exit(failed)


def prepare(
    crew: Crew,
    config: Config | None,
    target: Target,
    signers: str | None,
    *,
    offline: bool,
    carry_debs: bool,
    dry_run: bool,
) -> None:
    """Survey all hosts, plan for each, and act where nothing is in the way."""
    from deploy.setup.needs import needs
    from deploy.setup.plan import plan
    from deploy.setup.survey import problems, warnings

    done = []
    for name, survey in crew.survey(target).items():
        host, now = crew.host(name), time.time()
        wrong = list(problems(survey, now=now, offline=offline))
        if wrong:
            crew.fail(host, f"{'; '.join(wrong)}; nothing was changed")
            continue
        what = replace(needs(config, survey), signers=signers)
        try:
            carried = bring(crew, name, survey, what, debs=carry_debs) if offline else None
        except DeployError as problem:
            crew.fail(host, f"{problem}; nothing was changed")
            continue
        steps = plan(survey, what, target, carried)
        for line in (*what.notes, *warnings(survey, now=now, camera=what.camera)):
            crew.tell(f"{name}: note: {line}")
        if not steps:
            crew.tell(f"{name}: nothing to do: it is set up")
        elif dry_run:
            crew.tell(f"{name}: would do this, and changed nothing:")
            for step in steps:
                crew.tell(f"  {step.name:9} {step.does}")
        else:
            crew.add(name, steps, sudo=survey.login != "root")
            done.append(name)
    crew.act()
    for name in done:
        if name not in crew.failed:
            crew.tell(f"{name}: set up")


def bring(crew: Crew, name: str, survey: Survey, what: Needs, *, debs: bool) -> Carried:
    """Fetch what a host without the internet needs."""
    from deploy.setup.offline import gather

    def ask(command: str) -> tuple[bool, list[str]]:
        return crew.run(name, command, sudo=survey.login != "root")

    return gather(survey, what, ask, debs=debs, tell=lambda line: crew.tell(f"{name}: {line}"))


def push_all(fleet: Fleet, bundle: Bundle, target: Target, ssh_config: Path | None) -> bool:
    """Push to each host; return whether all went well.

    Over new connections: new group memberships hold from the next login.
    """
    if len(fleet.hosts) > 1:
        from deploy.fleet import in_waves

        outcomes = in_waves(
            fleet, lambda wave: wave.push(bundle, target, dry_run=False),
            ssh_config=ssh_config, tell=tell, fail=complain,
        )  # fmt: skip
        return all(outcome.well for outcome in outcomes)
    for name in fleet.hosts:
        with Host(name, config=ssh_config) as host:
            push_to(host, bundle, target, tell=tell)
    return True
