"""The `trainer` command: teach, measure and look, on the laptop."""

from __future__ import annotations

import click

from edge.console import Group
from trainer.commands.capture import capture
from trainer.commands.demo import demo
from trainer.commands.evaluate import evaluate
from trainer.commands.features import features
from trainer.commands.import_ import import_
from trainer.commands.predict import predict
from trainer.commands.train import train


@click.group("trainer", cls=Group)
@click.version_option(package_name="handwave", prog_name="trainer")
def main() -> None:
    """Teach a camera your gestures: from folders of pictures to one model file."""


for command in (capture, import_, train, evaluate, predict, demo, features):
    main.add_command(command)
