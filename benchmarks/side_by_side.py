"""Two real hands in one picture: pictures of a folder of sets, put side by side.

    python benchmarks/side_by_side.py FOLDER PAIRS
    python benchmarks/recognition.py PAIRS --features hand backbone two-hands two-hands+backbone

FOLDER holds sets, each `<set>/<label>/<session>/<picture>`, and one of nothing but `background`.
PAIRS gets a set for each whose first three gestures have two sessions in common, or more. Its six
labels are pairs of these: two beside each other, the other way round, one of them twice, and one
alone beside an empty room. Both halves are of the same session; the right one is mirrored, as the
other hand would be. What this cannot show are hands that touch or hide each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.pictures import read_picture
from trainer.dataset import read_dataset

if TYPE_CHECKING:
    from edge.frame import Image
    from trainer.dataset import Dataset

PICTURES = 60
"""Of a label, about: some of each session."""
HEIGHT = 240
"""Pixels of a picture, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pairs", type=Path)
    options = parser.parse_args()
    sets = [read_dataset(path) for path in sorted(options.folder.iterdir()) if path.is_dir()]
    empty = [one.path for found in sets if found.labels == ["background"] for one in found.pictures]
    for found in sets:
        gestures = [label for label in found.labels if label != "background"][:3]
        by_session = {label: _by_session(found, label) for label in gestures}
        common = sorted(set.intersection(*map(set, by_session.values()))) if gestures else []
        if len(gestures) == 3 and len(common) > 1:
            write_pairs(by_session, common, empty, options.pairs / found.root.name)


def _by_session(dataset: Dataset, label: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for picture in dataset.pictures:
        if picture.label == label:
            found.setdefault(picture.session, []).append(picture.path)
    return found


def write_pairs(
    by_session: dict[str, dict[str, list[Path]]], sessions: list[str], empty: list[Path], to: Path
) -> None:
    """Write the set of pairs made of three gestures."""
    one, two, three = by_session
    rng = np.random.default_rng(0)
    pairs = [(one, two), (two, one), (one, one), (three, two), (one, None), (two, None)]
    for left, right in pairs:
        for session in sessions:
            lefts = by_session[left][session]
            rights = empty if right is None else by_session[right][session]
            folder = to / f"{left}-{right or 'alone'}" / session.replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(max(1, PICTURES // len(sessions))):
                halves = [
                    read_picture(paths[rng.integers(len(paths))]) for paths in (lefts, rights)
                ]
                if right is None and rng.random() < 0.5:  # alone it may be on either side
                    halves.reverse()
                cv2.imwrite(str(folder / f"{number:04}.jpg"), beside(*halves)[:, :, ::-1])


def beside(left: Image, right: Image) -> Image:
    """Return two pictures beside each other, as high as the lower one, the right one mirrored."""
    height = min(HEIGHT, left.shape[0], right.shape[0])
    sized = [
        cv2.resize(half, (round(half.shape[1] * height / half.shape[0]), height))
        for half in (left, right[:, ::-1])
    ]
    return np.concatenate([np.asarray(half, np.uint8) for half in sized], axis=1)


if __name__ == "__main__":
    main()
