"""`deploy push`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

import edge
from deploy.bundle import make_bundle
from deploy.commands.options import (
    config_option,
    dry_run_option,
    fleet_argument,
    ssh_config_option,
    target_options,
    tell,
)
from deploy.push import push as push_to
from deploy.signing import sign as signed
from deploy.ssh import Host
from deploy.target import Target
from edge.console import Command, complain

if TYPE_CHECKING:
    from deploy.bundle import Bundle
    from deploy.inventory import Fleet

PACKAGE = Path(edge.__path__[0])
"""The `edge` package as it is installed here: what a push sends."""


@click.command("push", cls=Command, epilog="Example: deploy push pi@raspberrypi.local")
@fleet_argument
@config_option
@target_options
@ssh_config_option
@click.option(
    "--sign",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Sign with this SSH key, for a host that takes listed signers' bundles only.",
)
@click.option(
    "--wave", type=click.IntRange(min=1), help="Hosts at once; else what the file of hosts says."
)
@click.option(
    "--budget",
    type=click.IntRange(min=0),
    help="Hosts that may fail before no further wave begins; else what the file of hosts says.",
)
@dry_run_option
def push(
    fleet: Fleet,
    *,
    config: Path,
    root: str,
    unit: str,
    ssh_config: Path | None,
    sign: Path | None,
    wave: int | None,
    budget: int | None,
    dry_run: bool,
) -> None:
    """Send edge, the model and edge.toml to each HOST, prove them there, and run them.

    One that fails goes back to what it ran, and does not hold up the others. A second push of the
    same does nothing. `deploy setup` prepares a host. For many: @hosts.toml (docs/fleets.md).
    """
    target = Target(root, unit)
    bundle = make_bundle(config, PACKAGE)
    if sign is not None:
        bundle = signed(bundle, sign)
    if len(fleet.hosts) > 1:
        fleet = replace(fleet, wave=wave or fleet.wave)
        fleet = fleet if budget is None else replace(fleet, budget=budget)
        sys.exit(not _push_to_many(fleet, bundle, target, ssh_config, dry_run=dry_run))
    with Host(fleet.hosts[0], config=ssh_config) as host:
        push_to(host, bundle, target, dry_run=dry_run, tell=tell)


def _push_to_many(
    fleet: Fleet, bundle: Bundle, target: Target, ssh_config: Path | None, *, dry_run: bool
) -> bool:
    """Let pyinfra push to many hosts; return whether all is well."""
    from deploy import fleet as many

    outcomes = many.in_waves(
        fleet, lambda wave: wave.push(bundle, target, dry_run=dry_run),
        ssh_config=ssh_config, tell=tell, fail=complain,
    )  # fmt: skip
    many.table(outcomes)
    return all(outcome.well for outcome in outcomes)
