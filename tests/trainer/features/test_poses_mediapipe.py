"""MediaPipe's own hands beside ours, on real pictures; where both are.

HANDWAVE_MEDIAPIPE_PYTHON names a Python that has it, in an environment of its own:

    python3.11 -m venv /tmp/mediapipe && /tmp/mediapipe/bin/pip install mediapipe==0.10.21
    HANDWAVE_MEDIAPIPE_PYTHON=/tmp/mediapipe/bin/python \\
        pytest tests/trainer/features/test_poses_mediapipe.py
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from edge.classifier import open_session
from trainer.features import poses
from trainer.features.subjects import HAND, HAND_FULL, Search

PYTHON = os.environ.get("HANDWAVE_MEDIAPIPE_PYTHON")
DATA = Path(__file__).parents[4] / "shared" / "data"
SETS = ("rooms", "fingers", "desk", "digits", "people")
PICTURES = 8
"""Of each set."""
THEIRS = """
import sys
import mediapipe, numpy
pictures, out = numpy.load(sys.argv[1]), {}
for complexity in (0, 1):
    options = dict(static_image_mode=True, max_num_hands=1, model_complexity=complexity)
    with mediapipe.solutions.hands.Hands(**options) as hands:
        for name in pictures.files:
            found = hands.process(pictures[name]).multi_hand_landmarks or []
            points = [[(p.x, p.y) for p in hand.landmark] for hand in found]
            out[f"{name} {complexity}"] = numpy.reshape(points, (-1, 21, 2))
numpy.savez(sys.argv[2], **out)
"""
FULL = replace(HAND_FULL, searches=(Search(192, 0.15, 0.5),), farthest=192)


@pytest.fixture(scope="module")
def pictures():
    if not DATA.is_dir():
        pytest.skip(f"no real pictures in {DATA}")
    found = {}
    for name in SETS:
        paths = sorted((DATA / name).rglob("*.jpg"))
        for number in np.linspace(0, len(paths) - 1, PICTURES).astype(int):
            with PIL.Image.open(paths[number]) as picture:
                found[f"{name} {number}"] = np.asarray(picture.convert("RGB"))
    return found


@pytest.fixture(scope="module")
def theirs(pictures, tmp_path_factory):
    """By complexity, pictures and where MediaPipe sees points, `[hands, 21, 2]` in pixels."""
    if PYTHON is None:
        pytest.skip("HANDWAVE_MEDIAPIPE_PYTHON names no Python that has MediaPipe")
    folder = tmp_path_factory.mktemp("theirs")
    np.savez(folder / "pictures.npz", **pictures)
    command = [PYTHON, "-c", THEIRS, folder / "pictures.npz", folder / "points.npz"]
    subprocess.run(command, check=True, capture_output=True)
    points = np.load(folder / "points.npz")
    return [
        [
            (image, points[f"{name} {complexity}"] * image.shape[1::-1])
            for name, image in pictures.items()
        ]
        for complexity in (0, 1)
    ]


def points_in_picture(found, image):
    """Read `found`, as `features.landmarks` describes it: `[21, 2]` in pixels; None: no hand."""
    height, width, _ = image.shape
    points, (_, _, up, place, certain) = found[:63], np.split(found[63:], [1, 64, 66, 69])
    if not certain:
        return None
    right = np.array([-up[1], up[0]])
    *centre, side = place * max(width, height)
    inside = points.reshape(-1, 3)[:, :2] @ np.stack([right, -up])
    return np.array([width, height]) / 2 + centre + side * inside


@pytest.mark.usefixtures("hands")
@pytest.mark.parametrize(
    ("subject", "complexity", "near"),
    [
        pytest.param(HAND, 0, 0.03, id="ours"),
        pytest.param(FULL, 1, 0.015, id="with their larger networks"),
    ],
)
def test_points_are_where_mediapipe_sees_them(monkeypatch, theirs, subject, complexity, near):
    monkeypatch.setitem(poses.SUBJECTS, "hand", subject)
    session = open_session(poses.finder("hand").SerializeToString(), "finder")
    ways, missed = [], 0
    for image, several in theirs[complexity]:
        ours = points_in_picture(session.run(["found"], {"image": image})[0], image)
        for hand in several:
            missed += ours is None
            if ours is not None:  # in shares of the hand's size
                ways.append((ours - hand) / np.linalg.norm(np.ptp(hand, axis=0)))
    assert len(ways) > 25  # of 40 pictures; MediaPipe finds no hand in some
    assert missed <= 4  # small ones, mostly: it interpolates pixels
    distances = [np.linalg.norm(way, axis=1).mean() for way in ways]
    assert np.median(distances) < near
    # Nor all to one side; a little, as MediaPipe cuts its square out half a pixel off.
    assert np.abs(np.median(ways, axis=(0, 1))).max() < 0.01
