"""`deploy logs`."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

from deploy.commands.options import host_argument, ssh_config_option, target_options
from deploy.logs import read
from deploy.ssh import Host
from deploy.target import Target
from edge.console import Command
from edge.service import until_stopped

if TYPE_CHECKING:
    from pathlib import Path


@click.command("logs", cls=Command, epilog="Example: deploy logs pi@raspberrypi.local -f")
@host_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    default=100,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many of the last lines.",
)
@target_options
@ssh_config_option
def logs(
    host: str, root: str, unit: str, ssh_config: Path | None, *, follow: bool, lines: int
) -> None:
    """Show the last lines that the service on HOST wrote."""
    target = Target(root, unit)
    anything = False
    with ExitStack() as stack:
        if follow:
            stack.enter_context(until_stopped())
        there = stack.enter_context(Host(host, config=ssh_config))
        found = stack.enter_context(closing(read(there, target, lines=lines, follow=follow)))
        for line in found:
            anything = True
            click.echo(line)
    if not anything and not follow and lines:
        click.echo(f"{host}: the journal there has nothing of {unit}", err=True)
