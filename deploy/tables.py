"""A table of hosts that fits: whose row it is comes first, how it is in detail last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

UNBOUNDED = 1000
"""Columns of what is no terminal."""


def print_table(make: Callable[[int], Table], columns: int) -> None:
    """Print a table in as many columns as the terminal has; elsewhere nothing is cut.

    Args:
        make: makes the table, of its first so many columns.
        columns: how many there are; two always stay.
    """
    console = Console()
    if not console.is_terminal:
        console.width = UNBOUNDED
    unbounded = console.options.update_width(UNBOUNDED)
    table = make(columns)
    # Rich would cut every column a little, and names that differ in their ends first.
    while columns > 2 and console.measure(table, options=unbounded).maximum > console.width:
        columns -= 1
        table = make(columns)
    console.print(table)
