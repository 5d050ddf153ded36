"""A table of hosts that fits: the name first, details last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

UNBOUNDED = 1000
"""Columns where the output is no terminal."""


def print_table(make: Callable[[int], Table], columns: int) -> None:
    """Print as many of a table's columns as fit the terminal; elsewhere all of them.

    Args:
        make: makes the table with only its first columns, as many as given.
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
