"""`edge wiggle`: each output in turn, for the person with the soldering iron."""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Self

import click
import msgspec

from edge.commands.options import config_option, pins_option, say_if_mock
from edge.config import Config, read_config
from edge.console import Command, complain
from edge.decider import Decision
from edge.errors import ConfigError, HandwaveError, OutputError, did_you_mean
from edge.outputs.apply import Outputs
from edge.outputs.header import describe, draw
from edge.outputs.kind import Section
from edge.outputs.wiring import Wiring
from edge.service import stop_if_asked, until_stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.outputs.gpio import PinKind
    from edge.outputs.kind import Kind


HEARD = 0.5
"""Seconds that threads and programs get to report a failure."""


@click.command("wiggle", cls=Command, epilog="Example: edge wiggle --pins mock rock buzzer")
@config_option
@pins_option
@click.option(
    "--seconds", type=click.FloatRange(0.0, 60.0), default=1.0, show_default=True,
    help="How long each is on.",
)  # fmt: skip
@click.argument("words", metavar="[LABEL or KIND]...", nargs=-1)
def wiggle(*, config_path: str, pins: PinKind, seconds: float, words: tuple[str, ...]) -> None:
    """Try each output in turn, or those of a LABEL or KIND; needs no model and no camera.

    Ctrl-C ends it, with everything off.
    """
    if math.isnan(seconds):  # it is in any range
        raise click.UsageError("--seconds: nan is no number of seconds")
    config = read_config(config_path)
    outputs = _choose(config, words)
    told = _choose_told(config, words)
    attempts = len(outputs) + len(told)
    notes = {
        pin: f"[when.{label}] {name}" for label, name, output in outputs for pin in output.pins()
    }
    if notes:
        say_if_mock(pins)
        click.echo(draw(notes))
    done: list[bool] = []
    with until_stopped():
        for one in outputs:
            done.append(_try(config, one, pins, seconds))  # noqa: PERF401  (Ctrl-C keeps those done)
        for name in told:
            done.append(_tell(config, name, pins, seconds))  # noqa: PERF401  (as above)
    if len(done) < attempts:
        click.echo(f"stopped after {len(done)} of {attempts} outputs; all are off")
    else:
        click.echo(f"{sum(done)} of {attempts} outputs did as they were told; all are off")
    if not all(done):
        sys.exit(1)


def _choose(config: Config, words: Sequence[str]) -> list[tuple[str, str, Kind]]:
    """Return the outputs of these labels or kinds; all of them for no words."""
    known = {word: None for label, name, _ in config.outputs() for word in (label, name)}
    known |= dict.fromkeys(_told(config))
    if not known:
        raise ConfigError(f"{config.path}: no label does anything yet; docs/wiring.md shows how")
    for word in words:
        if word not in known:
            hint = did_you_mean(word, known)
            raise ConfigError(f"{config.path}: nothing to try for '{word}'{hint}")
    return [one for one in config.outputs() if not words or one[0] in words or one[1] in words]


def _try(config: Config, one: tuple[str, str, Kind], pins: PinKind, seconds: float) -> bool:
    """Act as at a gesture, for this one output; return whether it went well."""
    label, name, output = one
    where = f"[when.{label}] {name}"
    click.echo(f"{where}: {describe(output.pins()) or 'no pins'}")
    alone = msgspec.structs.replace(
        config,
        when={label: {name: [output]}},
        sections={
            key: it
            for key, it in config.sections.items()
            if key == name or type(it).open is Section.open  # settings, such as `say`'s of `sound`
        },
    )
    return _run(alone, pins, where, label, seconds if output.pins() else max(seconds, HEARD))


def _choose_told(config: Config, words: Sequence[str]) -> list[str]:
    """Return the sections of `_told` by these words; all of them for no words."""
    return [name for name in _told(config) if not words or name in words]


def _told(config: Config) -> list[str]:
    """Return the sections, such as `mqtt`, that observe decisions and are tried by themselves."""
    kinds = {name for _, name, _ in config.outputs()}
    return [
        name
        for name, section in config.sections.items()
        if name not in kinds and type(section).open is not Section.open
    ]


def _tell(config: Config, name: str, pins: PinKind, seconds: float) -> bool:
    """Open a section that observes decisions, without any decision; return whether it went well."""
    click.echo(f"[{name}]: no pins")
    alone = msgspec.structs.replace(config, when={}, sections={name: config.sections[name]})
    return _run(alone, pins, f"[{name}]", None, max(seconds, HEARD))


def _run(config: Config, pins: PinKind, where: str, label: str | None, seconds: float) -> bool:
    """Open what is wired up, decide for a label for a while; return whether that went well."""
    errors = Errors()
    try:
        with errors, Wiring(config, pins) as wired, Outputs(wired.when, wired.observers) as outputs:
            outputs.apply(_decision(label))
            time.sleep(seconds)
            outputs.apply(_decision(None))
    except HandwaveError as problem:  # the others still want trying
        stop_if_asked()  # unless a signal came while this one was let go of
        placed = str(problem).startswith(f"{config.path}: ")  # a file that it names, not a pin
        complain(problem if placed else OutputError(f"{where}: {problem}", picture=problem.picture))
        return False
    return not errors.count


class Errors(logging.Handler):
    """Counts the errors that outputs log, in any thread, within the block."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, _record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def _decision(label: str | None) -> Decision:
    return Decision(label=label, confidence=1.0, since=0.0, time=0.0, changed=True)
