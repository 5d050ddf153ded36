"""`edge check`."""

from __future__ import annotations

import click

from edge.commands.options import config_option
from edge.commands.run import open_project
from edge.config import read_config
from edge.console import Command


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
