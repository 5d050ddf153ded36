"""The gestures, and how people hold them: never twice the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import SourceError, did_you_mean
from edge.sources.virtual.hands import Pose, extent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.sources.virtual.scenes import Scene

MARGIN = 0.04  # frame heights kept free about a hand


def _shape(
    fingers: Sequence[Sequence[float]],
    thumb: Sequence[Sequence[float]],
    roll: float = 0.0,
    wrist: float = 0.0,
) -> Pose:
    """Return a gesture's typical pose, from degrees and thumb directions, placed nowhere yet."""
    return Pose(
        fingers=np.radians(np.array(fingers, float)),
        thumb=np.array(thumb),
        turn=np.radians([roll, 0.0, 0.0]),
        wrist=np.radians([wrist]),
        place=np.zeros(2),
        scale=np.ones(1),
    )


SHAPES = {
    "palm": _shape(
        [[9, 4, 6, 4], [1, 2, 5, 4], [-8, 4, 6, 4], [-19, 6, 8, 5]],
        [[30, 31, 6], [20, 27, 4], [10, 27, 2], [-0.6, 0.2, 0.75]],
    ),
    "fist": _shape(
        [[3, 82, 102, 60], [0, 84, 104, 60], [-3, 84, 104, 60], [-6, 82, 104, 60]],
        [[14, 32, 16], [-14, 15, 27], [-25, 5, 4], [0.1, -0.5, -0.85]],
    ),
    "thumb": _shape(
        [[3, 80, 104, 62], [0, 82, 105, 62], [-3, 82, 105, 62], [-6, 80, 105, 62]],
        [[34, 30, 10], [33, 7, 4], [32, -6, 2], [-0.1, 0.75, 0.6]],
        roll=72,
        wrist=-30,
    ),
    "vsign": _shape(
        [[15, 3, 5, 3], [-9, 2, 5, 3], [-2, 80, 104, 60], [-6, 80, 104, 60]],
        [[12, 34, 16], [-22, 16, 24], [-25, 6, 3], [0.1, -0.5, -0.85]],
    ),
    "point": _shape(
        [[4, 2, 5, 3], [0, 82, 104, 60], [-3, 84, 104, 60], [-6, 82, 104, 60]],
        [[13, 33, 16], [-18, 15, 25], [-25, 5, 4], [0.1, -0.5, -0.85]],
    ),
}
GESTURES = tuple(SHAPES)
LABELS = ("background", *GESTURES)
CLOSER = {"fist": 1.3, "thumb": 1.1, "point": 1.05}  # small shapes come near


def check_labels(labels: Sequence[str]) -> None:
    """Refuse a label that nothing is drawn for."""
    for label in labels:
        if label not in LABELS:
            raise SourceError(f"virtual: cannot draw '{label}'{did_you_mean(label, LABELS)}")


def random_pose(label: str, scene: Scene, rng: np.random.Generator) -> Pose | None:
    """Hold a gesture as people do, big and inside the frame; None, no hand, for background."""
    if label == "background":
        return None
    shape = SHAPES[label]
    turn = np.radians([rng.uniform(-15, 15), rng.normal(0, 7), rng.normal(0, 9)])
    if label != "thumb" and rng.random() < 0.12:
        turn[2] += np.pi  # the back of the hand
    pose = replace(
        shape,
        fingers=shape.fingers + rng.normal(0, 1, (4, 4)) * np.radians([1.5, 4, 4, 3]),
        thumb=shape.thumb * (1 + rng.normal(0, 0.08, (4, 3))),
        turn=shape.turn + turn,
        wrist=shape.wrist - turn[0] * 0.5 + np.radians(rng.normal(0, 5)),
    )
    low, high = extent(pose, scene.look)  # mm
    width, height = high - low
    frame = np.array([scene.size[0] / scene.size[1], 1.0])  # in its own heights
    tallest = min(0.80, (frame[0] - 4 * MARGIN) * height / width)
    wanted = scene.reach * CLOSER.get(label, 1.0) * rng.uniform(0.8, 1.2) * height
    scale = np.clip(wanted, min(0.45, tallest), tallest) / height
    first, last = MARGIN - low * scale, frame - MARGIN - high * scale
    place = first + (last - first) * (0.5 + 0.5 * rng.uniform(-0.9, 0.9, 2) * np.array([0.8, 1.0]))
    return replace(pose, place=place, scale=np.array([scale]))
