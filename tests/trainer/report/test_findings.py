"""What was taught, on a page: every held-out picture is accounted for, slow parts only when new."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.classifier import Classifier
from trainer.report.findings import find, report


def test_what_is_told_is_what_was_said_to_held_out_pictures(taught):
    evidence = find(taught)
    assert evidence.held_out.all()
    np.testing.assert_array_equal(evidence.said, taught.held_out.logits.argmax(axis=1))
    assert evidence.accuracy == taught.held_out.accuracy
    np.testing.assert_array_equal(evidence.novelty, taught.held_out.novelty)


def test_pictures_never_held_out_are_told_nothing_about(taught):
    evidence = find(replace(taught, held_out=None))
    assert not evidence.held_out.any()
    assert evidence.curve == []


def test_the_curve_ends_with_all_the_other_sessions(taught):
    curve = find(taught).curve
    assert [point.sessions for point in curve] == [1, 1, 2]
    assert [point.pictures for point in curve] == [12, 12, 24]
    assert all(0 <= point.accuracy <= 1 for point in curve)


def test_the_page_names_the_labels_and_needs_nothing_from_elsewhere(taught, model, tmp_path):
    path = tmp_path / "report.html"
    page = report(taught, Classifier(model).card, model, path, 1.5)
    text = path.read_text()
    assert all(label in text for label in ("background", "fist", "palm"))
    assert "http" not in text.replace("http-equiv", "")
    assert page.occlusions


def test_the_slow_parts_are_left_out_where_the_features_were_recalled(taught, model, tmp_path):
    page = report(
        replace(taught, recalled=True), Classifier(model).card, model, tmp_path / "report.html", 0.5
    )
    assert page.occlusions == []
    assert page.evidence.curve == []
