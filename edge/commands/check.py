"""`edge check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge.commands.options import config_option
from edge.commands.run import open_project
from edge.config import read_config
from edge.console import Command

if TYPE_CHECKING:
    from edge.config import Config


@click.command("check", cls=Command, epilog="Example: edge check --config edge.toml")
@config_option
def check(config_path: str) -> None:
    """Check edge.toml, the model and its golden frames; no camera, no pins."""
    project = open_project(read_config(config_path))
    config, card = project.config, project.classifier.card
    busy = {label for label, _, _ in config.outputs()}
    click.echo(f"{config.path}: {len(busy)} of {len(card.labels)} labels do something")
    click.echo(f"{config.model}: {', '.join(card.labels)} ({card.training.features} features)")
    click.echo(f"golden frames: {len(card.golden)} of {len(card.golden)} agree with the trainer's")
    accuracy = card.training.accuracy
    figure = "unknown" if accuracy is None else f"{accuracy:.1%}"
    click.echo(f"accuracy when taught: {figure}, measured on {card.training.measured_on}")
    for word, library in _lacking(config):
        click.echo(
            f"edge: {config.path}: {word} needs {library}, which is not in this Python: "
            "here `edge run` would stop",
            err=True,
        )


def _lacking(config: Config) -> list[tuple[str, str]]:
    """Return what needs a library that is not here, and which; on a Pi, it may be."""
    outputs = {name: output.library for _, name, output in config.outputs()}
    sections = {f"[{name}]": section.library for name, section in config.sections.items()}
    wanted = {word: library for word, library in (outputs | sections).items() if library}
    return [
        (word, library.partition(".")[0])
        for word, library in wanted.items()
        if not _is_here(library)
    ]


def _is_here(library: str) -> bool:
    from importlib.util import find_spec  # `edge run`, too, loads this file

    try:
        return find_spec(library) is not None
    except ImportError:  # nor is what it is a part of
        return False
