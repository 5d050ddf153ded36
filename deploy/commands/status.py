"""`deploy status`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from deploy.commands.options import hosts_argument, ssh_config_option, target_options
from deploy.status import ask_all, describe
from deploy.target import Target
from edge.console import Command
from edge.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from deploy.status import Health

COLUMNS: tuple[tuple[str, int | None, Literal["left", "right"]], ...] = (
    ("state", 13, "left"),
    ("release", None, "left"),
    ("shown", 10, "left"),
    ("fps", None, "right"),
    ("ms 50/99%", None, "right"),
    ("°C", None, "right"),
    ("again", None, "right"),
    ("free GB", None, "right"),
)
"""Heading, width and alignment of the columns after the host's name, most important first."""


@click.command("status", cls=Command, epilog="Example: deploy status pi@raspberrypi.local")
@hosts_argument
@target_options
@ssh_config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(
    hosts: tuple[str, ...], root: str, unit: str, ssh_config: Path | None, *, as_json: bool
) -> None:
    """Say how each HOST is; exit code 1 if one is not well.

    Asks all of them at the same time, in one round trip each, and changes nothing.
    """
    found = ask_all(hosts, Target(root, unit), ssh_config)
    well = all(health.well for health in found)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"well": well, "hosts": found}))
        sys.exit(not well)
    if len(found) == 1:
        if found[0].disk_free is not None:  # it answered
            for name, text in describe(found[0]):
                click.echo(f"{name:<9} {text}")
    else:
        _table(found)
        for health in found:
            for note in health.notes:
                click.echo(f"{printable(health.host)}: {note}")
    for health in found:
        if health.problem:
            click.echo(f"deploy: {printable(health.host)}: {health.problem}", err=True)
    sys.exit(not well)


def _table(found: Sequence[Health]) -> None:
    """Print one row per host, in as many columns as fit the terminal, the name first."""
    from deploy.tables import print_table  # rich loads when used

    print_table(lambda columns: _rows(found, columns), 1 + len(COLUMNS))


def _rows(found: Sequence[Health], columns: int) -> Table:
    """Return the table's first columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("host", overflow="fold")
    for head, most, side in COLUMNS[: columns - 1]:
        table.add_column(head, no_wrap=True, max_width=most, justify=side)
    for health in found:
        cells = [Text(printable(text)) for text in _cells(health)[:columns]]
        cells[1].stylize("green" if health.well else "red")
        table.add_row(*cells)
    return table


def _cells(health: Health) -> list[str]:
    latency = health.latency_ms
    return [
        health.host,
        health.state,
        health.release or "",
        health.label or "",
        _number(health.fps, ".1f"),
        f"{latency.p50:.0f}/{latency.p99:.0f}" if latency else "",
        _number(health.temperature, ".0f"),
        _number(health.restarts, "d"),
        _number(health.disk_free and health.disk_free / 1e9, ".1f"),
    ]


def _number(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)
