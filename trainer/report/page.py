"""The report: one page that says how good a model is, what it mixes up, and what to do next.

It is one HTML file without scripts or anything from elsewhere, so that it can be kept, sent and
printed. docs/report.md says how to read it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edge.card import BACKGROUND
from trainer.calibrate import NOT_FOUND_NOVELTY
from trainer.errors import ExportError
from trainer.evidence import reliability
from trainer.files import write_whole
from trainer.report import charts
from trainer.report.charts import Axis, Series
from trainer.report.gallery import Gallery
from trainer.report.thumbnails import as_address, heated
from trainer.words import clean, count, percent, shorten

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.card import Card
    from trainer.choose import Candidate
    from trainer.evidence import CurvePoint, Evidence
    from trainer.report.advice import Advice
    from trainer.report.explain import UnitPicture
    from trainer.training import History

OPENED, SESSIONS = 12, 60
"""Sessions shown at first, and at most: the worst ones."""
NAMED = 50
"""Unreadable pictures that are named."""
EXPLAINED = 12
"""Pictures with an occlusion map, and pictures of hidden units."""


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """Which part of a picture the model needs to see; see `trainer.report.explain.occlusion`."""

    path: Path
    label: str
    heat: NDArray[np.float64]
    """`[grid, grid]`."""


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page says."""

    model: Path
    card: Card
    evidence: Evidence
    advice: list[Advice]
    history: History
    """Of a network that was tested on held-out sessions, or of the only one."""
    made: datetime
    seconds: float
    """From the first picture read to the model written."""
    candidates: list[Candidate] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """One line for each picture that was skipped."""
    units: list[UnitPicture] = field(default_factory=list)
    occlusions: list[Occlusion] = field(default_factory=list)


def write_report(report: Report, path: Path) -> None:
    """Write the page, whole, or leave what was there as it was.

    Raises:
        ExportError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("trainer.report", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        percent=percent, shorten=shorten, clean=clean, count=count, limit=_limit
    )
    template = environment.get_template("page.html.jinja")
    page = template.render(_values(report)).encode("utf-8", "replace")
    write_whole(page, path, error=ExportError)


def _values(report: Report) -> dict[str, Any]:
    """Return what the template needs."""
    evidence = report.evidence
    gallery = Gallery(evidence, report.advice)
    bins, error = reliability(evidence)
    sessions = _session_rows(evidence)
    told, counted = report.card.training.accuracy, evidence.accuracy
    return {
        "report": report,
        "card": report.card,
        "training": report.card.training,
        "labels": evidence.labels,
        "chosen_helped": _other_figure(told, counted),
        "tested": int(evidence.held_out.sum()),
        "missed_number": int((~evidence.held_out).sum()),
        "evidence_size": len(evidence.targets),
        "gallery": gallery,
        "curves": _curves(report.history),
        "growth": _growth(evidence.curve),
        "reliability": charts.reliability(bins, f"Confidence is off by {error:.1%} on average."),
        "calibration_error": error,
        "acting": _acting(report),
        "novelty": _novelty(report),
        "label_rows": _label_rows(report),
        "session_rows": sessions,
        "most_of_label": max(map(len, evidence.dataset.sessions().values())),
        "span": _span(sessions),
        "units": [
            (as_address(unit.image, exact=True), unit.unit,
             evidence.labels[unit.towards], evidence.labels[unit.away])
            for unit in report.units[:EXPLAINED]
        ],
        "occlusions": [
            (heated(each.path, each.heat), each.path.name, each.label, _less_sure(each.heat))
            for each in report.occlusions[:EXPLAINED]
        ],
        "unreadable": report.unreadable[:NAMED],
        "named": NAMED,
        "opened": OPENED,
        "most_sessions": SESSIONS,
    }  # fmt: skip


def _other_figure(told: float | None, counted: float | None) -> float | None:
    """Return the accuracy of the table below, where it differs from the one stated above."""
    if told is None or counted is None or abs(told - counted) <= 0.005:
        return None
    return counted


def _limit(share: float) -> str:
    """Return a threshold as `60 %`; in a sentence "below under 1 %" would be none."""
    whole = percent(share)
    return f"{100 * share:.3g} %" if whole.startswith(("under", "over")) else whole


def _curves(history: History) -> list[tuple[str, str]]:
    """Draw loss and accuracy, epoch by epoch."""
    epochs = history.epochs
    if not epochs:
        return []
    x = Axis("epoch", 1, len(epochs), whole=True)
    losses = [Series("taught", [(e.number, e.loss) for e in epochs], "taught")]
    shares = [Series("taught", [(e.number, e.accuracy) for e in epochs], "taught")]
    if epochs[0].validation_loss is not None:
        held = [(e.number, e.validation_loss or 0.0) for e in epochs]
        losses.append(Series("held out", held, "held"))
        held = [(e.number, e.validation_accuracy or 0.0) for e in epochs]
        shares.append(Series("held out", held, "held"))
    finite = [y for series in losses for _, y in series.points if np.isfinite(y)]
    top = 1.15 * max(finite, default=1.0)
    return [
        ("Loss", charts.lines(losses, x, Axis("loss", 0, top), "Loss by epoch")),
        (
            "Recognised",
            charts.lines(shares, x, Axis("right", 0, 1, percent=True), "Share right by epoch"),
        ),
    ]


def _growth(curve: list[CurvePoint]) -> str:
    """Draw how accuracy grows with sessions; nothing where it was not measured."""
    if len({point.sessions for point in curve}) < 2:  # one point has no slope
        return ""
    points = sorted((point.sessions, point.accuracy) for point in curve)
    alt = "; ".join(f"{x:.3g} sessions: {y:.0%} right" for x, y in points)
    x = Axis("sessions a label that were learned from", 0, points[-1][0], whole=True)
    y = Axis("right", 0, 1, percent=True)
    return charts.lines([Series("held out", points, "held", dots=True)], x, y, alt)


def _acting(report: Report) -> dict[str, Any] | None:
    """Count what single pictures would have done, by the card's thresholds."""
    evidence, limits = report.evidence, report.card.thresholds
    names = np.array(evidence.labels, dtype=object)
    gesture = names[evidence.targets] != BACKGROUND
    acts = evidence.held_out & (evidence.confidence >= limits.enter)
    acts &= ~(np.nan_to_num(evidence.novelty) > limits.novelty) & (
        names[evidence.said] != BACKGROUND
    )
    of, empty = evidence.held_out & gesture, evidence.held_out & ~gesture
    if not of.any():
        return None
    return {
        "right": float((acts & evidence.right)[of].mean()),
        "wrong": float((acts & ~evidence.right)[of].mean()),
        "silent": float((~acts)[of].mean()),
        "empty": float(acts[empty].mean()) if empty.any() else None,
    }


def _novelty(report: Report) -> str | None:
    evidence, limit = report.evidence, report.card.thresholds.novelty
    found = evidence.novelty < NOT_FOUND_NOVELTY  # False for NaN, too
    known = evidence.novelty[evidence.held_out & found]
    if not len(known):
        return None
    strange = percent(float((known > limit).mean()))
    alt = f"{strange} of the held-out pictures count as strange."
    return charts.histogram([("taught labels, held out", known, "taught")], limit, alt)


def _less_sure(heat: NDArray[np.float64]) -> str:
    """Say briefly how hiding the most important part changes the label's probability."""
    most = float(heat.max())
    if most < 0.01:
        return "hardly less sure anywhere"
    return f"{'' if most >= 0.995 else 'up to '}{percent(most)} less sure"


def _label_rows(report: Report) -> list[dict[str, Any]]:
    """Return each label's precision (right when it is said) and recall (said when it is shown)."""
    matrix, training = report.evidence.confusion(), report.card.training
    right, said, shown = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return [
        {
            "label": label,
            "pictures": training.pictures.get(label, 0),
            "sessions": training.sessions.get(label, 0),
            "tested": int(shown[i]),
            "precision": float(right[i] / said[i]) if said[i] else None,
            "recall": float(right[i] / shown[i]) if shown[i] else None,
        }
        for i, label in enumerate(report.evidence.labels)
    ]


def _session_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for session, pictures in Counter(evidence.sessions.tolist()).items():
        here = evidence.held_out & (evidence.sessions == session)
        wrong = np.flatnonzero(here & ~evidence.right)
        pairs = Counter(zip(evidence.targets[wrong].tolist(), evidence.said[wrong].tolist(),
                            strict=True))  # fmt: skip
        rows.append(
            {
                "session": session,
                "pictures": pictures,
                "tested": int(here.sum()),
                "right": float(evidence.right[here].mean()) if here.any() else None,
                "mistake": [
                    (evidence.labels[shown], evidence.labels[taken], number)
                    for (shown, taken), number in pairs.most_common(1)
                ],
            }
        )
    return sorted(rows, key=lambda row: (row["right"] is None, row["right"]))


def _span(rows: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Return the worst and the best session's accuracy, of those with five pictures or more."""
    shares = [row["right"] for row in rows if row["tested"] >= 5]
    return (min(shares), max(shares)) if len(shares) > 1 else None
