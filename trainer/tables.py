"""An evaluation as a person reads it in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape  # a label may look like [bold]
from rich.table import Table

from edge.card import BACKGROUND

if TYPE_CHECKING:
    from trainer.evaluate import Evaluation

WORST = 10
"""Confusions to name where the whole table does not fit."""


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print accuracy, each label's precision and recall, and what was taken for what.

    Args:
        evaluation: what was measured.
        console: where to; None: stdout.
    """
    console = console or Console(highlight=False)
    if evaluation.accuracy is not None:
        console.print(f"accuracy {evaluation.accuracy:.1%} on {evaluation.n} pictures")
        gestures = sum(
            figures["n"] or 0
            for label, figures in evaluation.per_class().items()
            if label != BACKGROUND
        )
        console.print(f"right and sure enough to act: {evaluation.sure} of {gestures} gestures")
        console.print(_per_class(evaluation))
        table = _confusion(evaluation)
        if console.measure(table).maximum <= console.width or not console.is_terminal:
            console.print("rows: what was shown; columns: what it was taken for")
            console.print(table, width=max(console.width, console.measure(table).maximum))
        else:
            _print_worst(evaluation, console)
    if evaluation.unknown:
        console.print(
            f"{evaluation.unknown} pictures of labels that were never taught; "
            f"called a gesture: {evaluation.unknown_accepted}"
        )


def _per_class(evaluation: Evaluation) -> Table:
    table = Table("label", box=box.SIMPLE_HEAD)
    for column in ("pictures", "precision", "recall"):
        table.add_column(column, justify="right")
    for label, figures in evaluation.per_class().items():
        shares = (_percent(figures[name]) for name in ("precision", "recall"))
        table.add_row(escape(label), str(figures["n"]), *shares)
    return table


def _confusion(evaluation: Evaluation) -> Table:
    table = Table("", box=box.SIMPLE_HEAD)
    for label in evaluation.labels:
        table.add_column(escape(label), justify="right", no_wrap=True)
    for row, label in enumerate(evaluation.labels):
        cells = [str(count) if count else "·" for count in evaluation.confusion[row].tolist()]
        cells[row] = f"[bold]{cells[row]}[/]"
        table.add_row(escape(label), *cells)
    return table


def _print_worst(evaluation: Evaluation, console: Console) -> None:
    wrong = [
        (count, shown, taken)
        for shown, row in zip(evaluation.labels, evaluation.confusion.tolist(), strict=True)
        for taken, count in zip(evaluation.labels, row, strict=True)
        if count and taken != shown
    ]
    for count, shown, taken in sorted(wrong, reverse=True)[:WORST]:
        console.print(f"{count:6}  {escape(shown)} taken for {escape(taken)}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
