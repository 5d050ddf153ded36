"""`deploy watch`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from deploy.commands.options import host_argument, ssh_config_option, target_options
from deploy.live.tunnel import Tunnel
from deploy.target import Target
from edge.console import Command

if TYPE_CHECKING:
    from pathlib import Path


@click.command("watch", cls=Command, epilog="Example: deploy watch pi@raspberrypi.local")
@host_argument
@target_options
@ssh_config_option
@click.option(
    "--picture/--no-picture", default=True,
    help="A small picture, where the terminal has colours.  [default: picture]",
)  # fmt: skip
@click.option("--browser", is_flag=True, help="The whole page, in your browser.")
def watch(
    host: str, root: str, unit: str, ssh_config: Path | None, *, picture: bool, browser: bool
) -> None:
    """Show what HOST sees and decides, live, until Ctrl-C.

    It comes through SSH from the service's own socket; no port is opened there.
    """
    with Tunnel(host, Target(root, unit), config=ssh_config) as tunnel:
        try:
            if browser:
                _in_browser(tunnel)
            else:
                _in_terminal(tunnel, picture=picture)
        except KeyboardInterrupt:
            pass  # how it is meant to end


def _in_terminal(tunnel: Tunnel, *, picture: bool) -> None:
    from deploy.live.watch import Screen, is_unread, look_on  # rich loads when used

    screen = Screen(tunnel.name, picture=picture)
    looks = look_on(tunnel, picture=screen.wants_picture)
    first = next(looks)  # what is wrong from the start is said as a line
    with screen:
        screen.show(first)
        for seen in looks:
            if is_unread(sys.stdout):  # `| head -1` has seen enough
                break
            screen.show(seen)


def _in_browser(tunnel: Tunnel) -> None:
    from deploy.live.browse import Browse

    tunnel.ask("/healthz")  # what is wrong from the start is said as a line
    with Browse(tunnel) as page:
        click.echo(f"{tunnel.name}: {page.address}")
        click.echo("It is for this computer and whoever knows that address; Ctrl-C ends it.")
        click.launch(page.address)
        page.wait()
