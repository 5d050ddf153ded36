"""Splits that never cut a session in two: into two parts, or into folds for cross-validation."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from edge.card import BACKGROUND
from edge.pictures import natural_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.dataset import Dataset

FOLDS = 5


def split(dataset: Dataset, *, share: float = 0.25, seed: int = 0) -> tuple[list[int], list[int]]:
    """Divide pictures into training and validation, a session wholly on one side.

    A session that several labels share by name is one recording, and stays together. Every label
    keeps a session to train on, so a label with just one has no pictures for validation. Sessions
    come at random, but one that would take a label's share further from what it should be, as a
    very large one may, stays in training as long as there are others.

    Args:
        dataset: the pictures.
        share: of each label's pictures to aim for in validation.
        seed: which sessions.

    Returns:
        Indices into `dataset.pictures`: training, validation (perhaps empty).
    """
    members = _members(dataset)
    aim = {label: share * count for label, count in dataset.counts().items()}
    left = {label: len(sessions) for label, sessions in dataset.sessions().items()}
    held = dict.fromkeys(aim, 0)

    def nearer(labels: Counter[str]) -> bool:
        """Return whether its labels, all in all, would come nearer to their shares."""
        before = sum(abs(held[label] / aim[label] - 1) for label in labels)
        return sum(abs((held[x] + count) / aim[x] - 1) for x, count in labels.items()) < before

    def missing(labels: Counter[str]) -> bool:
        return not all(held[label] for label in labels)

    chosen: set[str] = set()
    sessions = sorted(members, key=natural_key)
    order = [sessions[index] for index in np.random.default_rng(seed).permutation(len(sessions))]
    smallest_first = sorted(order, key=lambda session: members[session].total())
    for wanted, sequence in ((nearer, order), (missing, smallest_first)) if share > 0 else ():
        for session in sequence:
            labels = members[session]
            spare = all(left[label] > 1 for label in labels)
            if session not in chosen and spare and wanted(labels):
                chosen.add(session)
                for label, count in labels.items():
                    left[label] -= 1
                    held[label] += count
    train = [i for i, picture in enumerate(dataset.pictures) if picture.session not in chosen]
    validation = [i for i, picture in enumerate(dataset.pictures) if picture.session in chosen]
    return train, validation


def folds(dataset: Dataset, *, most: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """Divide pictures into folds for cross-validation, a session wholly in one of them.

    Where there are few sessions, each is a fold: leave one session out. Otherwise sessions go, the
    largest first, where their labels are rarest so far. A fold is only of use where the others
    still show every label that it holds; a session whose label would be left without any is never
    held out, nor is a label's only session.

    Args:
        dataset: the pictures.
        most: folds, at most.
        seed: which of several sessions alike come first.

    Returns:
        The fold of each picture, int64 `[pictures]`; -1 for those that are never held out.
    """
    members = _members(dataset)
    left = {label: len(sessions) for label, sessions in dataset.sessions().items()}
    able = [name for name in members if all(left[label] > 1 for label in members[name])]
    order = [
        sorted(able, key=natural_key)[i] for i in np.random.default_rng(seed).permutation(len(able))
    ]
    order.sort(key=lambda name: -members[name].total())
    number = min(most, len(order))
    total = dataset.counts()
    held: list[Counter[str]] = [Counter() for _ in range(number)]
    parts: list[list[str]] = [[] for _ in range(number)]
    for name in order:
        shares = [
            sum(count * held[fold][label] / total[label] for label, count in members[name].items())
            for fold in range(number)
        ]
        fold = min(range(number), key=lambda fold: (shares[fold], held[fold].total()))
        held[fold].update(members[name])
        parts[fold].append(name)
    where = {}
    for fold, names in enumerate(parts):
        shown = Counter(label for name in names for label in members[name])
        for name in names:
            if all(left[label] > shown[label] for label in members[name]):
                where[name] = fold
    measured = {picture.label for picture in dataset.pictures if picture.session in where}
    if measured <= {BACKGROUND} or 2 * len(measured) < len(total):  # that says nothing of gestures
        where = {}
    return np.array([where.get(picture.session, -1) for picture in dataset.pictures])


def _members(dataset: Dataset) -> dict[str, Counter[str]]:
    """Return how many pictures of each label a session has."""
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for picture in dataset.pictures:
        members[picture.session][picture.label] += 1
    return members
