"""From how far is a hand found, and known?

    python benchmarks/distance.py FOLDER [--seeds 2] [--pictures 30]

FOLDER holds sets, as for `recognition.py`, and half of each set's sessions are learned from as
there. The other half is shown smaller and smaller, as if the camera stood farther away: each
picture shrunk in the middle of one of its own size, of its own colours, blurred. A Markdown table
tells, for each share of its size, in how many pictures a hand is found, in one size of the search
and in all of them, and how many are known rightly.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from onnx import helper
from recognition import in_halves

from edge.pictures import read_picture
from trainer.cache import FeatureCache, cache_folder
from trainer.describe import describe
from trainer.features import Features, make_features
from trainer.features.landmarks import landmarks
from trainer.features.subjects import HAND, Subject
from trainer.learn import learn
from trainer.recipe import COPIES, SCRAPS

if TYPE_CHECKING:
    from edge.frame import Image

SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)
"""Of a picture's sides."""


def farther(image: Image, share: float) -> Image:
    """Return a picture as from farther away: so much of its sides, in the middle of a blur."""
    if share == 1:
        return image
    height, width = image.shape[:2]
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    around = cv2.GaussianBlur(image, (0, 0), width / 6)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    around[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.asarray(around)


def finder(name: str, subject: Subject) -> Features:
    """Return features that are only what is found of a subject."""
    model = landmarks(subject)
    model.graph.node.append(helper.make_node("Identity", ["found"], ["features"]))
    model.graph.output[0].name = "features"
    return Features(name, model)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=2, help="how many halves to try")
    parser.add_argument("--pictures", type=int, default=30, help="of a label, to learn from")
    options = parser.parse_args()
    hand = make_features("hand")
    finders = [
        finder(f"{search.side} pixels", replace(HAND, searches=(search,)))
        for search in HAND.searches
    ]
    rows: dict[tuple[str, float], list[list[float]]] = {}
    for seed, shown, tests in in_halves(options.folder, options.seeds, options.pictures):
        with FeatureCache(cache_folder() / "benchmark.sqlite") as cache:
            taught = describe(shown, hand, copies=COPIES, scraps=SCRAPS, cache=cache)
        learned = learn(taught, np.arange(len(taught.rows)), hidden=64, seed=seed)
        images = [read_picture(picture.path) for picture in tests.pictures]
        truth = np.array([shown.labels.index(picture.label) for picture in tests.pictures])
        for share in SHARES:
            smaller = [farther(image, share) for image in images]
            row = [np.mean([one(image)[-1] > 0 for image in smaller]) for one in finders]
            features = np.stack([hand(image) for image in smaller])
            seen, right = features[:, -1] > 0, learned.logits(features).argmax(axis=1) == truth
            row += [seen.mean(), (seen & right).mean()]
            rows.setdefault((shown.root.name, share), []).append([float(x) for x in row])
    titles = [*(one.name for one in finders), "all of them", "known rightly"]
    print(f"| set | size | {' | '.join(titles)} |\n| --- | ---: |{' ---: |' * len(titles)}")
    for (name, share), found in rows.items():
        cells = " | ".join(f"{x:.2f}" for x in np.mean(found, axis=0))
        print(f"| {name} | {share:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
