"""`trainer demo`."""

from __future__ import annotations

from pathlib import Path

import click

from edge.console import Command
from edge.errors import HandwaveError
from trainer.commands.shared import kinds_for


@click.command("demo", cls=Command, epilog="Example: trainer demo gestures/data")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "output", type=click.Path(path_type=Path, file_okay=False), default="demo",
    show_default=True, help="Where everything it makes goes.",
)  # fmt: skip
def demo(*, data: Path | None, output: Path) -> None:
    """Show the whole path without hardware: teach, export, run, light (mock) LEDs.

    With DATA, a folder of your own pictures; without, hands that it draws.
    """
    from trainer.demo import run_demo

    try:
        if data is None:
            run_demo(None, output)
        else:
            run_demo(data, output, kinds=lambda: kinds_for("auto"))
    except KeyboardInterrupt:
        raise HandwaveError(f"stopped; whatever it had made by then is in {output}") from None
