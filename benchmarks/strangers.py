"""Does a gesture that was taught by one person, with one camera, switch something for another?

    python benchmarks/strangers.py FOLDER [--features hand hand+backbone] [--pictures 60]

FOLDER holds sets, as for `recognition.py`. Each set is taught as `trainer train` would, at most so
many pictures a label, and shown those pictures of the other sets that show a gesture of its own:
other people, rooms and cameras. A row tells, of these pictures, how many are told rightly; how many
would switch the right output on, being sure enough and not strange, and how many a wrong one; and
how many of the set's own gestures would switch one on where that gesture is left out of teaching.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from recognition import some

from trainer.cache import FeatureCache, cache_folder
from trainer.dataset import Dataset, read_dataset
from trainer.describe import Described, describe
from trainer.features import Features, make_features
from trainer.recipe import Taught, teach

NAMES = {
    "digits": {"1": "one", "2": "two", "4": "four", "5": "five"},
    "rooms": {"vsign": "two", "palm": "five"},
    "desk": {"vsign": "two", "palm": "five"},
}
"""What a set calls otherwise than the others."""
NOT_ALIKE = {"three", "background", "none"}
"""What does not look alike in all sets: three is shown with the thumb, and without."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", nargs="+", default=["hand", "hand+backbone"])
    parser.add_argument("--pictures", type=int, default=60, help="of a label")
    options = parser.parse_args()
    places = sorted(path for path in options.folder.iterdir() if path.is_dir())
    found = {path.name: read_dataset(path) for path in places}
    sets = {
        name: some(one, [*range(len(one.pictures))], options.pictures, 0)
        for name, one in found.items()
        if len(one.labels) > 1
    }
    for kind in map(make_features, options.features):
        print(f"| {kind.name}, taught by | shown | pictures | right ", end="")
        print("| right output | wrong output |")
        print("| --- | --- | ---: | ---: | ---: | ---: |")
        with FeatureCache(cache_folder() / "benchmark.sqlite") as cache:
            report(kind, sets, cache)


def report(kind: Features, sets: dict[str, Dataset], cache: FeatureCache) -> None:
    """Print a row for every two sets that share a gesture, the means, and gestures left out."""
    rows, unknown = [], []
    for name, own in sets.items():
        taught = teach(own, kind, cache=cache)
        for other in sorted(sets.keys() - {name}):
            known = shared(other, sets[other], name, own.labels)
            if known.pictures:
                figures = acts(taught, describe(known, kind, cache=cache), name, other)
                rows.append(figures)
                print(f"| {name} | {other} | {len(known.pictures)} ", end="")
                print(f"| {cells(figures)} |", flush=True)
        unknown.append(np.mean([left_out(own, label, kind, cache) for label in own.labels]))
    print(f"| mean | | | {cells(np.mean(rows, axis=0))} |")
    print(f"\nOf gestures left out of teaching, {np.mean(unknown):.0%} would switch one on.\n")


def shared(name: str, shown: Dataset, teacher: str, labels: list[str]) -> Dataset:
    """Return those pictures of a set that show a gesture of the teacher's."""
    taught = {meaning(teacher, label) for label in labels} - NOT_ALIKE
    return shown.only(
        [n for n, one in enumerate(shown.pictures) if meaning(name, one.label) in taught]
    )


def meaning(name: str, label: str) -> str:
    """Return what all sets understand by a set's label."""
    own = NAMES.get(name, {}).get(label, label)
    return f"{name} {own}" if own == label and label.isdecimal() else own


def acts(taught: Taught, seen: Described, teacher: str, other: str) -> tuple[float, float, float]:
    """Return the shares that are told rightly, that switch the right output, and a wrong one on."""
    labels = [meaning(teacher, label) for label in taught.described.dataset.labels]
    want = [labels.index(meaning(other, one.label)) for one in seen.dataset.pictures]
    said, acting = answers(taught, seen)
    right = said == want
    return float(right.mean()), float((right & acting).mean()), float((~right & acting).mean())


def answers(taught: Taught, seen: Described) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest label's index, and whether it would act, of each picture."""
    rows = seen.only(taught.features).rows[:, 0]
    probabilities, limits = taught.probabilities(rows), taught.thresholds
    sure = probabilities.max(axis=1) >= limits.enter
    return probabilities.argmax(axis=1), sure & (taught.novelty(rows) <= limits.novelty)


def left_out(dataset: Dataset, label: str, kind: Features, cache: FeatureCache) -> float:
    """Teach all labels but one; return the share of that one's pictures that would act."""
    known = [n for n, one in enumerate(dataset.pictures) if one.label != label]
    strange = [n for n, one in enumerate(dataset.pictures) if one.label == label]
    taught = teach(dataset.only(known), kind, cache=cache)
    return float(answers(taught, describe(dataset.only(strange), kind, cache=cache))[1].mean())


def cells(figures: np.ndarray | tuple[float, ...]) -> str:
    """Format the figures of one row."""
    return " | ".join(f"{figure:.2f}" for figure in figures)


if __name__ == "__main__":
    main()
