"""Figures about a model, checked by hand on answers that are made up."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import trainer.evaluate
from edge.classifier import Classifier, Prediction
from edge.errors import PictureError
from edge.sources.taken import AUTOMATIC
from trainer.dataset import read_dataset
from trainer.errors import DataError
from trainer.evaluate import Evaluation, evaluate, is_accepted, predict
from trainer.taken import MIRROR, note
from trainer.tell import print_evaluation

LABELS = ("background", "fist", "palm")


class Fake:
    """A classifier that reads its answer off the picture: red is the label, green how sure."""

    labels = LABELS
    card = SimpleNamespace(
        thresholds=SimpleNamespace(enter=0.6, leave=0.4, novelty=3.0), camera=AUTOMATIC
    )

    def predict(self, frame):
        label, percent, novelty = (int(v) for v in frame.image[0, 0])
        P = np.full(3, (1 - percent / 100) / 2, np.float32)
        P[label] = percent / 100
        return Prediction(LABELS, P, float(novelty), frame.time)


@pytest.fixture
def answers(tmp_path, save_picture):
    """Make a folder: `answers(palm=[(2, 90, 0), ...])`, a picture for each answer."""

    def make(**shown):
        for label, pictures in shown.items():
            for number, colour in enumerate(pictures):
                image = np.full((2, 2, 3), colour, np.uint8)
                save_picture(tmp_path / label / "s" / f"{number}.png", image)
        return read_dataset(tmp_path)

    return make


@pytest.mark.parametrize(("terminal", "whole"), [(True, False), (False, True)])
def test_what_was_taken_for_what_is_told_of_many_labels_too(terminal, whole):
    labels = [f"label {number}" for number in range(60)]
    confusion = 5 * np.eye(60, dtype=int)
    confusion[3, 7] = 9
    console = Console(width=80, force_terminal=terminal, record=True, file=io.StringIO())
    print_evaluation(Evaluation(labels, confusion, 0, Counter(), 0, []), console)
    text = console.export_text()
    assert ("label 3 taken for label 7" in text) != whole
    assert ("rows: what was shown" in text) == whole
    if whole:  # a row and a column of it
        assert text.split("rows: what was shown")[1].count("label 59") == 2


def test_a_picture_is_flipped_as_the_models_camera_would_have_taken_it(tmp_path, save_picture):
    image = np.array([[[1, 90, 0], [2, 90, 0]]], np.uint8)  # a fist, seen in a mirror a palm
    for session in ("plain", "mirrored"):
        save_picture(tmp_path / "palm" / session / "1.png", image)
    note(MIRROR, tmp_path / "palm" / "mirrored")
    assert evaluate(Fake(), read_dataset(tmp_path)).confusion[2].tolist() == [0, 1, 1]


def test_confusion_precision_and_recall_by_hand(answers):
    evaluation = evaluate(
        Fake(),
        answers(
            background=[(0, 90, 0)] * 3 + [(2, 50, 0)],
            palm=[(2, 90, 0), (0, 80, 0), (1, 80, 0)],
        ),
    )
    # Rows are what was shown.
    assert evaluation.confusion.tolist() == [[3, 0, 1], [0, 0, 0], [1, 1, 1]]
    assert evaluation.n == 7
    assert evaluation.accuracy == pytest.approx(4 / 7)
    assert evaluation.per_class() == {
        "background": {"precision": 3 / 4, "recall": 3 / 4, "n": 4},
        "fist": {"precision": 0, "recall": None, "n": 0},  # never shown
        "palm": {"precision": 1 / 2, "recall": 1 / 3, "n": 3},
    }


def test_precision_and_recall_are_not_each_other():
    evaluation = Evaluation(["a", "b"], np.array([[8, 2], [0, 5]]), 0, Counter(), 0, [])
    assert evaluation.per_class()["a"] == {"precision": 1.0, "recall": 0.8, "n": 10}
    assert evaluation.per_class()["b"]["precision"] == pytest.approx(5 / 7)


def test_right_gestures_that_would_not_act_are_counted_by_what_holds_them_back(answers):
    evaluation = evaluate(
        Fake(),
        answers(
            background=[(0, 90, 9), (0, 50, 0)],  # never acts anyway
            palm=[(2, 90, 0), (2, 90, 9), (2, 90, 9), (2, 50, 0), (2, 50, 9), (1, 90, 9)],
        ),
    )
    assert (evaluation.sure, evaluation.strange, evaluation.unsure) == (1, 2, 2)
    assert (evaluation.limit, evaluation.enough) == (3, 9)
    assert {"sure": 1, "strange": 2, "unsure": 2}.items() <= evaluation.as_json().items()


def test_no_limit_lets_pictures_act_in_which_nothing_is_found(monkeypatch, answers):
    monkeypatch.setattr(trainer.evaluate, "NOT_FOUND_NOVELTY", 8)
    evaluation = evaluate(Fake(), answers(palm=[(2, 90, 9)]))
    assert (evaluation.strange, evaluation.enough) == (1, math.inf)


@pytest.mark.parametrize(
    ("strange", "unsure", "told"),
    [
        (
            84, 3,
            (
                "right, but held back: 84 as unlike anything taught and 3 as unsure; record a "
                "session of that person or place, or raise novelty in [decide] of edge.toml from "
                "the model's 3.42 to 5.2"
            ),
        ),
        (0, 3, "right, but held back: 3 as unsure; record a session of that person or place"),
        (0, 0, None),
    ],
)  # fmt: skip
def test_what_held_right_gestures_back_is_told_and_what_to_do(strange, unsure, told):
    console = Console(width=400, record=True, file=io.StringIO())
    confusion = np.array([[130, 20], [0, 5]])
    evaluation = Evaluation(
        ["fist", "palm"],
        confusion,
        43,
        Counter(),
        0,
        [],
        strange,
        unsure,
        3.4217,
        5.13 if strange else math.inf,
    )
    print_evaluation(evaluation, console)
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert [line for line in lines if "held back" in line] == ([told] if told else [])


def test_labels_never_taught_are_counted_apart(answers):
    evaluation = evaluate(
        Fake(),
        answers(
            palm=[(2, 90, 0)],
            rock=[(2, 90, 0), (2, 50, 0), (2, 90, 9), (0, 99, 0), (1, 60, 3)],
        ),
    )
    assert evaluation.n == 1
    assert evaluation.accuracy == 1
    assert evaluation.unknown == 5
    assert evaluation.unknown_accepted == 2  # not: unsure, strange, background


def test_labels_that_were_never_taught_are_named_with_what_they_may_mean():
    console = Console(width=80, record=True, file=io.StringIO())
    strangers = Counter({"Fist": 20, "elsewhere": 40})
    confusion = np.array([[8, 2], [0, 5]])
    print_evaluation(Evaluation(["fist", "palm"], confusion, 9, strangers, 3, []), console)
    told = console.export_text()
    assert "accuracy 86.7% on 15 of 75 pictures" in told
    assert "60 pictures of labels that were never taught; called a gesture: 3" in told
    assert "    40  elsewhere\n    20  Fist; did you mean fist?" in told


def test_nothing_but_unknown_labels_has_no_accuracy(answers):
    evaluation = evaluate(Fake(), answers(rock=[(0, 90, 0)]))
    assert (evaluation.n, evaluation.accuracy, evaluation.unknown) == (0, None, 1)
    for row in evaluation.per_class().values():
        assert row == {"precision": None, "recall": None, "n": 0}


@pytest.mark.parametrize(
    ("colour", "accepted"),
    [
        ((2, 60, 3), True), ((2, 59, 3), False), ((2, 60, 4), False), ((0, 99, 0), False),
    ],
)  # fmt: skip
def test_accepted_is_sure_enough_not_strange_and_not_background(colour, accepted):
    frame = SimpleNamespace(image=np.full((1, 1, 3), colour), time=0.0)
    prediction = Fake().predict(frame)
    assert is_accepted(Fake(), prediction) is accepted


def test_as_json_is_plain_and_complete(answers):
    values = evaluate(Fake(), answers(palm=[(2, 90, 0)], rock=[(2, 90, 0)])).as_json()
    assert json.loads(json.dumps(values)) == values
    assert {"n", "accuracy", "labels", "confusion", "per_class", "unknown"} <= set(values)
    assert values["unknown"] == {"n": 1, "accepted": 1}


def test_unreadable_pictures_are_skipped_named_and_not_counted(answers):
    dataset = answers(palm=[(2, 90, 0)] * 3)
    dataset.pictures[1].path.write_bytes(b"?")
    calls = []
    evaluation = evaluate(Fake(), dataset, progress=lambda *call: calls.append(call))
    assert evaluation.n == 2
    assert len(evaluation.skipped) == 1
    assert str(dataset.pictures[1].path) in evaluation.skipped[0]
    assert calls[-1] == (3, 3)


def test_where_nothing_can_be_read_there_are_no_figures(answers):
    dataset = answers(palm=[(2, 90, 0)])
    dataset.pictures[0].path.write_bytes(b"?")
    with pytest.raises(DataError, match="not one picture could be read"):
        evaluate(Fake(), dataset)


def test_a_real_model_on_the_pictures_it_was_taught(model, data):
    evaluation = evaluate(Classifier(model), read_dataset(data))
    assert evaluation.n == 36
    assert evaluation.accuracy > 0.9
    assert evaluation.skipped == []


def test_predicting_a_missing_picture_says_so(model, tmp_path):
    with pytest.raises(PictureError, match=r"x\.jpg: no such picture"):
        predict(Classifier(model), tmp_path / "x.jpg")
