"""From a training to its report: the evidence, and what the model looks at."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier import Classifier
from edge.errors import PictureError
from edge.pictures import keeps_points, read_picture
from edge.sources.taken import turn_between
from edge.sources.turning import turn
from trainer.evidence import Evidence
from trainer.report.advice import advise
from trainer.report.explain import hidden_pictures, occlusion, pick_examples
from trainer.report.page import Occlusion, Report, write_report
from trainer.validate import learning_curve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge.card import Card
    from trainer.recipe import Taught
    from trainer.report.explain import UnitPicture

GRID = 6
"""Cells along a side of an occlusion map."""
MAPS = {"pixels": (32, 32)}
"""Kinds whose first features form a picture, and its shape."""
MOST = 2000
"""Pictures up to which the learning curve is measured: it takes three trainings more."""


def find(taught: Taught) -> Evidence:
    """Gather the predictions on each picture from when its session was held out."""
    described = taught.described
    n, classes = len(described.rows), len(described.dataset.labels)
    probabilities, novelty = np.full((n, classes), np.nan), np.full(n, np.nan)
    curve = []
    mirrored = None
    held = taught.held_out
    if held is not None:
        if held.mirrored is not None:
            mirrored = np.full(n, -1)
            mirrored[held.indices] = held.mirrored
        probabilities[held.indices], novelty[held.indices] = held.probabilities, held.novelty
        if not taught.recalled and n <= MOST:
            hidden = taught.learned.network.sizes[1]
            curve = learning_curve(described, held, hidden=hidden, seed=taught.seed)
    return Evidence(
        described.dataset,
        described.targets,
        probabilities,
        novelty,
        described.rows[:, 0],
        curve,
        mirrored=mirrored,
        finders=described.finders,
    )


def report(
    taught: Taught,
    card: Card,
    model: Path,
    path: Path,
    seconds: float,
    *,
    lacking: Sequence[str] = (),
) -> Report:
    """Write the page about a model.

    The two slow parts, the learning curve and what the model needs to see, are left out where the
    features were recalled: when only a picture or two are new, a training takes a second.

    Args:
        taught: what the model was made from.
        card: the model's.
        model: its path.
        path: of the page.
        seconds: that the training took.
        lacking: kinds of features that could not be tried, as their weights are not here.

    Raises:
        ExportError: the page cannot be written.
    """
    evidence = find(taught)
    page = Report(
        model,
        card,
        evidence,
        advise(evidence, lacking),
        taught.history,
        datetime.now().astimezone(),
        seconds,
        taught.candidates,
        taught.described.unreadable,
        units=_units(taught),
        occlusions=[] if taught.recalled else _occlusions(Classifier(model), evidence),
    )
    write_report(page, path)
    return page


def _units(taught: Taught) -> list[UnitPicture]:
    shape = MAPS.get(next(iter(taught.described.widths)))
    if shape is None:
        return []
    weights = taught.learned.network.parameters
    scale, rows = taught.learned.scaler.scale, taught.described.rows[:, 0]
    return hidden_pictures(weights["W1"], weights["W2"], scale, rows, shape)


def _occlusions(classifier: Classifier, evidence: Evidence) -> list[Occlusion]:
    def one(index: int) -> Occlusion | None:
        picture = evidence.dataset.pictures[index]
        if keeps_points(picture.path):
            return None
        try:
            image, label = read_picture(picture.path), int(evidence.targets[index])
        except PictureError:  # gone since it was learned
            return None
        how = turn_between(picture.taken, evidence.dataset.taken)  # as it was learned
        heat = occlusion(lambda seen: classifier.run(seen)[0], turn(image, how), label, grid=GRID)
        back = heat[:: -1 if how.vertical else 1, :: -1 if how.horizontal else 1]
        return Occlusion(picture.path, picture.label, back)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [found for found in pool.map(one, pick_examples(evidence)) if found is not None]
