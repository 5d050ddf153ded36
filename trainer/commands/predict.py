"""`trainer predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.console import Command, complain
from edge.errors import PictureError
from trainer.commands.shared import check_order, json_option
from trainer.errors import DataError

if TYPE_CHECKING:
    from edge.card import Camera


@click.command("predict", cls=Command, epilog="Example: trainer predict model.onnx photo.jpg")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def predict(*, model: Path, pictures: tuple[Path, ...], as_json: bool) -> None:
    """Say what each PICTURE shows."""
    check_order(model, pictures)
    from edge.classifier import Classifier
    from edge.sources.taken import AUTOMATIC, turn_between
    from trainer.evaluate import predict as predict_file

    classifier = Classifier(model)
    rows = []
    unreadable = 0
    for picture in pictures:
        try:
            noted = _noted(picture) or AUTOMATIC
            how = turn_between(noted, classifier.card.camera)
            prediction = predict_file(classifier, picture, how)
        except (PictureError, DataError) as problem:  # the others have their turn all the same
            complain(problem)
            unreadable += 1
            continue
        probabilities = [float(p) for p in prediction.probabilities]
        rows.append(
            {
                "picture": str(picture),
                "label": prediction.label,
                "confidence": prediction.confidence,
                "novelty": prediction.novelty,
                "probabilities": dict(zip(classifier.labels, probabilities, strict=True)),
            }
        )
        if not as_json:
            strange = prediction.novelty > classifier.card.thresholds.novelty
            note = "  (unlike anything taught)" if strange else ""
            click.echo(f"{picture}: {prediction.label} {prediction.confidence:.0%}{note}")
    if as_json:
        click.echo(json.dumps(rows))
    sys.exit(bool(unreadable))


def _noted(picture: Path) -> Camera | None:
    """Return how a picture's session was taken, by a note beside it or one folder above."""
    from edge.sources.taken import read_note

    folders = picture.resolve().parents[:2]
    notes = (read_note(folder, error=DataError) for folder in folders)
    return next((note for note in notes if note is not None), None)
