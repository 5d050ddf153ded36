"""`trainer evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge.console import Command
from trainer.commands.shared import check_order, json_option, measure
from trainer.tell import accuracy_line, print_evaluation, say
from trainer.words import names


@click.command(
    "evaluate", cls=Command, epilog="Example: trainer evaluate model.onnx other-room/data"
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@json_option
def evaluate(*, model: Path, data: Path, as_json: bool) -> None:
    """Measure a model on DATA/<label>/...: accuracy, precision, recall, confusion."""
    check_order(model, [data])
    from edge.classifier import Classifier
    from trainer.dataset import read_dataset

    dataset = read_dataset(data, sessions=False)
    for note in dataset.notes:
        say(f"note: {note}")
    classifier = Classifier(model)
    evaluation = measure(classifier, dataset)
    if as_json:
        click.echo(json.dumps({"model": str(model), "data": str(data), **evaluation.as_json()}))
        return
    print_evaluation(evaluation)
    if evaluation.n == 0:
        say(f"warning: {data} has none of the labels taught: {names(classifier.labels)}")
    taught = classifier.card.training
    click.echo(
        "when it was taught: "
        + accuracy_line(taught.accuracy, taught.measured_on)
        + "; pictures it has learned from prove nothing"
    )
