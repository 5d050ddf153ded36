"""The `deploy` command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import edge
from deploy.bundle import make_bundle
from deploy.push import Target
from deploy.push import push as push_to
from deploy.ssh import Host
from edge.console import Group, complain
from edge.errors import HandwaveError

PACKAGE = Path(edge.__path__[0])
"""The `edge` package as it is installed here: what a push sends."""


@click.group("deploy", cls=Group)
@click.version_option(package_name="handwave", prog_name="deploy")
def main() -> None:
    """From the laptop to the Pi over SSH, with your own keys and ~/.ssh/config."""


@main.command(epilog="Example: deploy push pi@raspberrypi.local")
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True)
@click.option(
    "--config",
    default="edge.toml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="What each label does; names the model, relative to itself.",
)
@click.option("--root", default=Target().root, show_default=True, help="handwave's folder there.")
@click.option("--unit", default=Target().unit, show_default=True, help="The systemd service there.")
@click.option(
    "-F",
    "--ssh-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An ssh config file, in place of your own.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
def push(
    hosts: tuple[str, ...],
    config: Path,
    root: str,
    unit: str,
    ssh_config: Path | None,
    *,
    dry_run: bool,
) -> None:
    """Send edge, the model and edge.toml to each HOST, prove them there, and run them.

    Goes host by host; one that fails goes back to what it ran, and does not stop the others.
    A second push of the same does nothing. What a host needs first: docs/deploying.md.
    """
    target = Target(root, unit)
    bundle = make_bundle(config, PACKAGE)
    failed = False
    for name in hosts:
        try:
            with Host(name, config=ssh_config) as host:
                push_to(host, bundle, target, dry_run=dry_run, tell=click.echo)
        except HandwaveError as problem:  # the other hosts have their turn all the same
            complain(problem)
            failed = True
    sys.exit(failed)
