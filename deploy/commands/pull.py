"""`deploy pull`."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path

import click

from deploy.commands.options import (
    hosts_argument,
    side_by_side,
    ssh_config_option,
    target_options,
)
from deploy.target import Target
from edge.console import Command
from edge.errors import printable


@click.command("pull", cls=Command, epilog="Example: deploy pull pi@raspberrypi.local")
@hosts_argument
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), default="pulled",
    show_default=True, help="Where to.",
)  # fmt: skip
@target_options
@ssh_config_option
def pull(
    hosts: tuple[str, ...], folder: Path, root: str, unit: str, ssh_config: Path | None
) -> None:
    """Bring back the pictures each HOST was unsure about, as a session to label.

    A host keeps some, in memory, if its edge.toml says so: [keep] and below it unsure = 50. They
    come as FOLDER/<its guess>/<host and time>/, and are taken away there once they are safe here.
    """
    from deploy.live.pull import pull as pull_from
    from deploy.live.tunnel import Tunnel

    came: Counter[str] = Counter()

    def bring(name: str) -> None:
        with Tunnel(name, Target(root, unit), config=ssh_config) as tunnel:
            pulled = pull_from(tunnel, folder)
        came.update(pulled.labels)
        if pulled.labels:
            counts = ", ".join(f"{n} {printable(label)}" for label, n in pulled.labels.items())
            click.echo(f"{name}: {counts}; session {pulled.session} in {folder}")
        else:
            click.echo(f"{name}: nothing new that it was unsure about")
        if pulled.problem is not None:
            click.echo(f"{name}: they are still there as well: {pulled.problem}", err=True)

    well = side_by_side(hosts, bring)
    if came:
        click.echo(
            f"The labels are its guesses. Move what is wrong in {folder} to the label that it "
            f"shows, or delete it; then: cp -r {shlex.quote(str(folder))}/. data/"
        )
    sys.exit(not well)
