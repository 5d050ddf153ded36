"""The pictures on the report's page: which of them, how many, and what is said beside them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from trainer.report.thumbnails import thumbnails
from trainer.words import clean, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from trainer.evidence import Evidence
    from trainer.report.advice import Advice

LABELS = 40
"""Rows of the confusion matrix, at most."""
WRONG, RIGHT = 8, 4
"""Pictures that a cell opens, off the diagonal and on it."""
ADVICE = 6
"""Pictures beside a piece of advice."""
MOST = 160
"""Different pictures on the page: half a megabyte."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on the page."""

    address: str | None
    """None where it cannot be read, or there are too many."""
    label: str
    session: str
    name: str
    """Its file's."""
    caption: str
    """What it was taken for, and how surely; empty where it was never held out."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of the confusion matrix, and the pictures that it opens."""

    shown: int
    taken: int
    count: int
    share: float
    """Of the row."""
    pictures: list[Shown]

    @property
    def id(self) -> str:
        """The name of what it opens."""
        return f"cell-{self.shown}-{self.taken}"

    @property
    def right(self) -> bool:
        """Whether it is on the diagonal."""
        return self.shown == self.taken


class Gallery:
    """Chooses the pictures, and reads each of them once.

    Args:
        evidence: what was said to which picture.
        advice: what names pictures, too.
    """

    def __init__(self, evidence: Evidence, advice: list[Advice]) -> None:
        self._evidence = evidence
        self._index = {p.path: i for i, p in enumerate(evidence.dataset.pictures)}
        self._matrix = evidence.confusion()
        self._inside = self._cells()
        first = [path for each in advice for path in each.pictures[:ADVICE]]
        wanted = [evidence.dataset.pictures[i].path for i in self._in_order()]
        self._addresses = thumbnails(islice(dict.fromkeys([*first, *wanted]), MOST))
        self.labels = self._worst_labels()
        """Indices of the labels in the matrix."""
        longest = max(len(evidence.labels[label]) for label in self.labels)
        self.turned = len(self.labels) * min(longest, 20) > 60
        """Whether the columns' labels have to be turned to find room."""

    def rows(self) -> list[tuple[int, list[Cell | None]]]:
        """Return the matrix, row by row: a label's index, and its fields; None for a 0."""
        return [(row, [self._cell(row, column) for column in self.labels]) for row in self.labels]

    def cells(self) -> list[Cell]:
        """Return the fields that open something."""
        return [cell for _, row in self.rows() for cell in row if cell is not None]

    def beside(self, advice: Advice) -> list[Shown]:
        """Return the pictures beside a piece of advice."""
        known = [self._index[path] for path in advice.pictures if path in self._index]
        return [self._show(index) for index in known[:ADVICE]]

    def _cells(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        """Return the pictures in each field: surely wrong ones first, hardly right ones first."""
        evidence = self._evidence
        order = evidence.surest(evidence.held_out)
        found: dict[tuple[int, int], list[int]] = {}
        for picture in order.tolist():
            field = int(evidence.targets[picture]), int(evidence.said[picture])
            found.setdefault(field, []).append(picture)
        return {
            (shown, taken): np.array(some[::-1][:RIGHT] if shown == taken else some[:WRONG])
            for (shown, taken), some in found.items()
        }

    def _in_order(self) -> Iterator[int]:
        """Yield the pictures in the fields: wrong before right, fuller fields before others."""
        fields = sorted(self._inside, key=lambda f: (f[0] == f[1], -self._matrix[f], f))
        for field in fields:
            yield from self._inside[field].tolist()

    def _worst_labels(self) -> list[int]:
        """Return the labels with the most mistakes, in the model's order."""
        off = self._matrix - np.diag(np.diag(self._matrix))
        mistakes = off.sum(axis=0) + off.sum(axis=1)
        return sorted(np.argsort(-mistakes, kind="stable")[:LABELS].tolist())

    def _cell(self, shown: int, taken: int) -> Cell | None:
        number = int(self._matrix[shown, taken])
        if not number:
            return None
        share = number / int(self._matrix[shown].sum())
        inside = self._inside[shown, taken].tolist()
        return Cell(shown, taken, number, share, [self._show(i) for i in inside])

    def _show(self, index: int) -> Shown:
        evidence, picture = self._evidence, self._evidence.dataset.pictures[index]
        caption = ""
        if evidence.held_out[index]:
            said = clean(evidence.labels[evidence.said[index]])
            caption = f"{said}, {percent(float(evidence.confidence[index]))}"
        return Shown(
            self._addresses.get(picture.path), clean(picture.label), clean(picture.session),
            clean(picture.path.name), caption,
        )  # fmt: skip
