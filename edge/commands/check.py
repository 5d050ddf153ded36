"""`edge check`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.card import BACKGROUND
from edge.commands.options import config_option
from edge.commands.run import open_project
from edge.config import KINDS, read_config
from edge.console import Command
from edge.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config


@click.command("check", cls=Command, epilog="Example: edge check --config edge.toml")
@config_option
def check(config_path: str) -> None:
    """Check edge.toml, the model and its golden frames; no camera, no pins."""
    project = open_project(read_config(config_path))
    config, card = project.config, project.classifier.card
    busy = {label for label, _, _ in config.outputs()}
    gestures = [label for label in card.labels if label != BACKGROUND]  # that never can
    click.echo(f"{config.path}: {len(busy)} of {count(len(gestures), 'gesture')} do something")
    click.echo(f"{config.model}: {', '.join(card.labels)} ({card.training.features} features)")
    click.echo(f"golden frames: {len(card.golden)} of {len(card.golden)} agree with the trainer's")
    accuracy = card.training.accuracy
    figure = "unknown" if accuracy is None else f"{accuracy:.1%}"
    click.echo(f"accuracy when taught: {figure}, measured on {card.training.measured_on}")
    for lacking in (*_libraries(config), *_programs(config), *_source(config)):
        click.echo(f"edge: {config.path}: {lacking}", err=True)


def _libraries(config: Config) -> Iterator[str]:
    """Yield what needs a library that is not here; on a Pi, it may be."""
    outputs = {name: output.library for _, name, output in config.outputs()}
    sections = {f"[{name}]": section.library for name, section in config.sections.items()}
    wanted = {word: library for word, library in (outputs | sections).items() if library}
    for word, library in wanted.items():
        if not _is_here(library):
            yield (
                f"{word} needs {library.partition('.')[0]}, which is not in this Python: "
                "here `edge run` would stop"
            )


def _programs(config: Config) -> Iterator[str]:
    """Yield what would start a program that is not here."""
    from edge.outputs.sound import PACKAGES  # `edge run`, too, loads this file

    wanted = ((name, one) for _, name, output in config.outputs() for one in output.programs())
    for name, program in dict.fromkeys(wanted):
        if shutil.which(program) is None:
            hint = f" (sudo apt install {PACKAGES[program]})" if program in PACKAGES else ""
            yield f"{name} needs the program '{program}', which is not here{hint}: it does nothing"


def _source(config: Config) -> Iterator[str]:
    """Yield that the folder or film to watch is not here."""
    source = config.source
    if source and source.partition(":")[0] not in KINDS and not Path(source).exists():
        yield f"source: there is no '{source}' here: `edge run` would stop"


def _is_here(library: str) -> bool:
    from importlib.util import find_spec  # slow to load, and hardly ever wanted

    try:
        return find_spec(library) is not None
    except ImportError:  # nor is what it is a part of
        return False
