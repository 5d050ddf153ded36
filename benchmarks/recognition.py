"""How often is the right label the likeliest, on sessions, rooms or people never seen?

    python benchmarks/recognition.py FOLDER [--features pixels edges] [--pictures 30] [--seeds 3]

FOLDER holds sets, each `<set>/<label>/<session>/<picture>`. Of each set, half of the sessions are
learned from, at most so many pictures a label, and the other half is tested on; another half for
each seed. A Markdown table comes out. A set in which a label has one session only is left out:
there is nothing else to test on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

import numpy as np

from trainer.dataset import Dataset, read_dataset
from trainer.describe import describe
from trainer.errors import DataError
from trainer.features import Features, make_features
from trainer.recipe import teach
from trainer.splits import split

TESTED = 60
"""Pictures of a label to test on, at most: more change a figure little and take long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", nargs="+", default=["pixels", "edges"])
    parser.add_argument("--pictures", type=int, default=30, help="of a label to learn from")
    parser.add_argument("--seeds", type=int, default=3, help="how many halves to try")
    options = parser.parse_args()
    kinds = [make_features(name) for name in options.features]
    print("| set | labels | " + " | ".join(kind.name for kind in kinds) + " |")
    print("| --- | ---: |" + " ---: |" * len(kinds))
    rows = []
    for folder in sorted(path for path in options.folder.iterdir() if path.is_dir()):
        dataset = read_dataset(folder)
        if min(len(found) for found in dataset.sessions().values()) < 2 or len(dataset.labels) < 2:
            continue
        row = [
            mean(accuracy(dataset, kind, options.pictures, seed) for seed in range(options.seeds))
            for kind in kinds
        ]
        rows.append(row)
        print(f"| {folder.name} | {len(dataset.labels)} | {cells(row)} |", flush=True)
    if not rows:
        raise SystemExit(f"{options.folder}: no set whose labels have two sessions or more")
    print(f"| mean | | {cells(np.mean(rows, axis=0))} |")


def accuracy(dataset: Dataset, features: Features, pictures: int, seed: int) -> float:
    """Return the share of right answers on the half of the sessions that was not learned from."""
    learn, test = split(dataset, share=0.5, seed=seed)
    taught = teach(some(dataset, learn, pictures, seed), features, seed=seed)
    unseen = describe(some(dataset, test, TESTED, seed), features)
    labels = taught.described.dataset.labels
    if unseen.dataset.labels != labels:
        raise DataError(f"{dataset.root}: a label has no pictures to test on")
    said = taught.probabilities(unseen.rows[:, 0]).argmax(axis=1)
    return float((said == unseen.targets).mean())


def some(dataset: Dataset, indices: list[int], most: int, seed: int) -> Dataset:
    """Return at most so many pictures of each label, drawn evenly from these."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in dataset.labels:
        mine = [index for index in indices if dataset.pictures[index].label == label]
        chosen.extend(rng.permutation(mine)[:most].tolist())
    return Dataset(dataset.root, [dataset.pictures[index] for index in sorted(chosen)])


def cells(row: list[float]) -> str:
    """Format the figures of one row."""
    return " | ".join(f"{figure:.2f}" for figure in row)


if __name__ == "__main__":
    main()
