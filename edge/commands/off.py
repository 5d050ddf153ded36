"""`edge off`: every pin to its off level, when what should have done that was killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.options import config_option, pins_option
from edge.config import read_config, read_outputs_anyway
from edge.console import Command, complain
from edge.errors import HandwaveError, OutputError
from edge.outputs.gpio import all_off
from edge.outputs.header import HEADER_PINS
from edge.status import runtime_file

if TYPE_CHECKING:
    from edge.outputs.gpio import PinKind


@click.command("off", cls=Command, epilog="Example: edge off --config edge.toml --pins mock")
@config_option
@pins_option
@click.option(
    "--before", metavar="PATH", envvar="HANDWAVE_BEFORE",
    help="The edge.toml that `edge run --before` ran, where it did.",
)  # fmt: skip
def off(*, config_path: str, pins: PinKind, before: str | None) -> None:
    """Switch off every pin that edge.toml names, after an `edge run` that was killed.

    Of a broken edge.toml it takes what can be read, and ends with exit code 1.
    """
    well = True
    try:
        outputs = read_config(config_path).outputs()
    except HandwaveError as problem:
        complain(problem)
        well, outputs = False, read_outputs_anyway(Path(config_path))
    if before and _ran_before():
        outputs = [*outputs, *read_outputs_anyway(Path(before))]
    levels = {
        pin: getattr(output, "active_high", True)
        for _, _, output in outputs
        for pin in output.pins()
        if pin in HEADER_PINS
    }
    wrong = all_off(levels, pins)
    for line in wrong:
        complain(OutputError(line))
    if not wrong:
        none = "there are no pins" if well else "no pin can be read out of it"
        mock = " (mock pins)" if levels and pins == "mock" else ""
        click.echo(f"off: {', '.join(f'GPIO{pin}' for pin in levels) or none}{mock}")
    if wrong or not well:
        sys.exit(1)


def _ran_before() -> bool:
    """Return whether the service that was killed had to run what ran before."""
    path = runtime_file()
    try:
        return path is not None and bool(json.loads(path.read_bytes()).get("spoiled"))
    except (OSError, ValueError, AttributeError):
        return False
