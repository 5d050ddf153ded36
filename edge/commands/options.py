"""Options that several parts of the `edge` command share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge.platform import is_raspberry_pi

if TYPE_CHECKING:
    from edge.outputs.gpio import PinKind

config_option = click.option(
    "--config", "config_path", default="edge.toml", show_default=True, help="What each label does."
)


def _these_pins(_ctx: click.Context, _param: click.Parameter, given: PinKind | None) -> PinKind:
    return given or ("real" if is_raspberry_pi() else "mock")


def say_if_mock(pins: PinKind) -> None:
    """Tell whoever waits for a lamp that none is meant."""
    if pins == "mock":
        click.echo("edge: mock pins: nothing is switched for real; --pins real does", err=True)


pins_option = click.option(
    "--pins",
    type=click.Choice(["real", "mock"]),
    callback=_these_pins,
    help="The header's pins, or gpiozero's mock ones.  [default: real on a Pi]",
)
