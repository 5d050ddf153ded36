"""How good a model is: accuracy, precision, recall, confusion, and how it treats unknown labels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge.card import BACKGROUND
from edge.errors import PictureError
from edge.frame import Frame
from edge.pictures import keeps_points, read_picture
from edge.sources.taken import turn_between
from edge.sources.turning import Turn, turn
from trainer.calibrate import NOT_FOUND_NOVELTY
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.classifier import Classifier, Prediction
    from trainer.dataset import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A model's results on labelled pictures."""

    labels: list[str]
    """The model's, in its order."""
    confusion: NDArray[np.int64]
    """`[classes, classes]`: rows are the truth, columns the likeliest label."""
    sure: int
    """Pictures of taught gestures that are right and sure enough to switch an output."""
    strangers: Counter[str]
    """How many pictures there are of each label that the model was never taught."""
    unknown_accepted: int
    """How many of those it would accept as a gesture: confident, and not strange."""
    skipped: list[str]
    """One line for each picture that could not be read."""
    strange: int = 0
    """Gestures that are right and confident, but held back by their novelty."""
    unsure: int = 0
    """Gestures that are right, but not sure enough to act."""
    limit: float = math.inf
    """The card's novelty, above which a picture is strange."""
    enough: float = math.inf
    """The limit at which 90 % of the strange gestures would act, without those in which nothing was
    found; infinite where there are none."""

    @property
    def n(self) -> int:
        """Pictures of taught labels."""
        return int(self.confusion.sum())

    @property
    def unknown(self) -> int:
        """Pictures of labels that the model was never taught."""
        return self.strangers.total()

    @property
    def accuracy(self) -> float | None:
        """Share of those whose likeliest label is right; None where there were none."""
        return float(np.trace(self.confusion)) / self.n if self.n else None

    def per_class(self) -> dict[str, dict[str, float | int | None]]:
        """Return each label's precision, recall and number of pictures.

        Precision is the share right of its predictions, recall the share found of its pictures;
        None where it was never predicted, or never shown.
        """
        right = np.diag(self.confusion)
        said, shown = self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return {
            label: {
                "precision": float(right[i] / said[i]) if said[i] else None,
                "recall": float(right[i] / shown[i]) if shown[i] else None,
                "n": int(shown[i]),
            }
            for i, label in enumerate(self.labels)
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values for `json.dumps`."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "labels": self.labels,
            "confusion": self.confusion.tolist(),
            "per_class": self.per_class(),
            "sure": self.sure,
            "strange": self.strange,
            "unsure": self.unsure,
            "unknown": {"n": self.unknown, "accepted": self.unknown_accepted},
            "strangers": dict(self.strangers),
            "skipped": self.skipped,
        }


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Show a model every picture of a dataset.

    Raises:
        DataError: not one picture could be read.
    """
    index = {label: number for number, label in enumerate(classifier.labels)}
    confusion = np.zeros((len(index), len(index)), np.int64)
    accepted = 0
    right: Counter[str | None] = Counter()  # right gestures, by the reason why they would not act
    strange: list[float] = []
    strangers: Counter[str] = Counter()
    skipped: list[str] = []
    for number, picture in enumerate(dataset.pictures, start=1):
        try:
            how = turn_between(picture.taken, classifier.card.camera)
            prediction = predict(classifier, picture.path, how)
        except PictureError as problem:
            skipped.append(str(problem))
            continue
        if picture.label in index:
            confusion[index[picture.label], index[prediction.label]] += 1
            if prediction.label == picture.label != BACKGROUND:
                why = held_back(classifier, prediction)
                right[why] += 1
                if why == "strange" and prediction.novelty < NOT_FOUND_NOVELTY:
                    strange.append(prediction.novelty)
        else:
            strangers[picture.label] += 1
            accepted += is_accepted(classifier, prediction)
        if progress is not None:
            progress(number, len(dataset.pictures))
    if not confusion.sum() + strangers.total():
        raise DataError(f"{dataset.root}: not one picture could be read; first: {skipped[0]}")
    return Evaluation(
        list(classifier.labels),
        confusion,
        right[None],
        strangers,
        accepted,
        skipped,
        right["strange"],
        right["unsure"],
        classifier.card.thresholds.novelty,
        float(np.quantile(strange, 0.9)) if strange else math.inf,
    )


def predict(classifier: Classifier, path: Path, how: Turn = Turn()) -> Prediction:  # noqa: B008  (a tuple)
    """Classify a picture file.

    Args:
        classifier: the model.
        path: of the picture.
        how: the turn to apply first, as if the model's camera had taken it.

    Raises:
        PictureError: it cannot be read, or only its points were kept.
    """
    if keeps_points(path):
        raise PictureError(
            f"{path}: only points were kept, and a model file looks at pictures; "
            "`trainer train` measures these, on sessions held out"
        )
    return classifier.predict(Frame(turn(read_picture(path), how), time=0.0))


def is_accepted(classifier: Classifier, prediction: Prediction) -> bool:
    """Return whether a prediction alone would count as a gesture, by the card's thresholds."""
    return prediction.label != BACKGROUND and held_back(classifier, prediction) is None


def held_back(
    classifier: Classifier, prediction: Prediction
) -> Literal["unsure", "strange"] | None:
    """Return why a prediction alone would not act, by the card's thresholds; None: it would.

    If both apply it is `unsure`: a higher novelty limit would not let it act.
    """
    thresholds = classifier.card.thresholds
    if not prediction.confidence >= thresholds.enter:
        return "unsure"
    return None if prediction.novelty <= thresholds.novelty else "strange"
