"""How often is the right label the likeliest, on sessions, rooms or people never seen?

    python benchmarks/recognition.py FOLDER [--features edges backbone] [--pictures 5 10 30 100]
                                            [--seeds 2] [--no-auto]

FOLDER holds sets, each `<set>/<label>/<session>/<picture>`. Of each set, half of the sessions are
learned from, at most so many pictures a label, and the other half is tested on; the other way round
for the next seed, then other halves. A set in which a label has one session only is left out: there
is nothing else to test on. Three Markdown tables come out: accuracy by set, accuracy by number of
pictures, and how many unknown things are called a gesture, each label in turn being left out of
what is learned.

`recipe` is the usual one: a frozen pretrained network at 224 x 224, its 1280 numbers, 100 hidden
units, Adam, 50 epochs, batches of 16, no augmentation. Its MobileNetV2's weights are in no package
registry, so EfficientNet-Lite0, the better and dearer network, stands in for it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from edge.pictures import read_picture
from trainer.cache import FeatureCache, cache_folder
from trainer.calibrate import novelty_limit
from trainer.choose import choose
from trainer.dataset import Dataset, read_dataset
from trainer.describe import Described, describe
from trainer.errors import DataError
from trainer.features import Features, candidates, join, make_features
from trainer.features.backbone import backbone
from trainer.learn import learn
from trainer.network import Network, one_hot
from trainer.recipe import COPIES, SCRAPS
from trainer.splits import folds, split
from trainer.training import fit

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = 0.95
"""Share of the true pictures that are not to be strange, where unknown ones are counted."""
TESTED = 60
"""Pictures of a label to test on, at most: more change a figure little and take long."""


@dataclass
class Half:
    """One set, divided: what is learned from, and what is tested on."""

    name: str
    seed: int
    taught: Described
    unseen: Described
    usual: tuple[Described, Described]
    """The same, as the usual recipe sees them, without copies."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", nargs="+", help="all that auto chooses among")
    parser.add_argument("--pictures", type=int, nargs="+", default=[30], help="of a label")
    parser.add_argument("--seeds", type=int, default=2, help="how many halves to try")
    parser.add_argument("--no-auto", action="store_true", help="leave out choosing, which is slow")
    options = parser.parse_args()
    kinds = [make_features(n) for n in options.features] if options.features else candidates()[0]
    recipe = Features("recipe", backbone(side=224, blocks=None))
    with FeatureCache(cache_folder() / "benchmark.sqlite") as cache:
        halves = list(divide(options, kinds, recipe, cache))
    if not halves:
        raise SystemExit(f"{options.folder}: no set whose labels have two sessions or more")
    columns = ["recipe", *(kind.name for kind in kinds), *([] if options.no_auto else ["auto"])]
    results: dict[tuple[str, int], list[list[float]]] = {}
    for half in halves:
        for pictures in options.pictures:
            row = [accuracy(half, column, kinds, pictures) for column in columns]
            results.setdefault((half.name, pictures), []).append(row)
    show(results, columns, options.pictures)
    unknown(halves, kinds, max(options.pictures), empty_rooms(options.folder, kinds))


def divide(
    options: argparse.Namespace, kinds: list[Features], recipe: Features, cache: FeatureCache
) -> Iterator[Half]:
    """Read and describe each set's halves."""
    everything = join(list({part.name: part for kind in kinds for part in kind.parts}.values()))
    for seed, shown, tests in in_halves(options.folder, options.seeds, max(options.pictures)):
        taught = describe(shown, everything, copies=COPIES, scraps=SCRAPS, cache=cache)
        unseen = describe(tests, everything, cache=cache)
        usual = describe(shown, recipe, cache=cache), describe(tests, recipe, cache=cache)
        yield Half(shown.root.name, seed, taught, unseen, usual)


def in_halves(folder: Path, seeds: int, pictures: int) -> Iterator[tuple[int, Dataset, Dataset]]:
    """Yield, of each set, a seed, at most so many pictures a label to learn from, and the tests."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        dataset = read_dataset(place)
        if min(len(found) for found in dataset.sessions().values()) < 2 or len(dataset.labels) < 2:
            continue
        for seed in range(seeds):
            learn_from, test_on = split(dataset, share=0.5, seed=seed // 2)
            if seed % 2:
                learn_from, test_on = test_on, learn_from
            shown = some(dataset, learn_from, pictures, seed)
            tests = some(dataset, test_on, TESTED, seed)
            if shown.labels != tests.labels:
                raise DataError(f"{place}: a label has pictures in one half only")
            yield seed, shown, tests


def accuracy(half: Half, column: str, kinds: list[Features], pictures: int) -> float:
    """Return the share of right answers on the half of the sessions that was not learned from."""
    chosen = some_rows(half.taught.dataset, pictures, half.seed)
    taught = take(half.taught, chosen)
    if column == "recipe":
        logits = usual(take(half.usual[0], chosen), half.usual[1], half.seed)
    else:
        if column == "auto":
            where = folds(taught.dataset, seed=half.seed)
            kind = choose(taught, kinds, where, hidden=64, seed=half.seed).features
        else:
            kind = next(kind for kind in kinds if kind.name == column)
        own = taught.only(kind)
        learned = learn(own, np.arange(len(own.rows)), hidden=64, seed=half.seed)
        logits = learned.logits(half.unseen.only(kind).rows[:, 0])
    return float((logits.argmax(axis=1) == half.unseen.targets).mean())


def usual(taught: Described, unseen: Described, seed: int) -> np.ndarray:
    """Learn as the usual recipe does; return the logits `[n, classes]` of unseen pictures."""
    rows, classes = taught.rows[:, 0], len(taught.dataset.labels)
    network = Network(rows.shape[1], 100, classes, seed=seed)
    with threadpool_limits(1, user_api="blas"):
        fit(network, rows, one_hot(taught.targets, classes), epochs=50, batch=16, seed=seed)
    return network.logits(unseen.rows[:, 0])


def empty_rooms(folder: Path, kinds: list[Features]) -> list[np.ndarray]:
    """Return the features of all pictures in sets of nothing but `background`, for each kind."""
    sets = [read_dataset(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    pictures = [one for found in sets if found.labels == ["background"] for one in found.pictures]
    images = [read_picture(one.path) for one in pictures]
    return [np.array([kind(image) for image in images]).reshape(-1, kind.size) for kind in kinds]


def unknown(
    halves: list[Half], kinds: list[Features], pictures: int, empty: list[np.ndarray]
) -> None:
    """Count what is called a gesture of empty rooms, of other sets, and of each label left out.

    The limit of novelty is set on the tested known pictures: features are compared, not thresholds.
    """
    print(f"\n| unknown called a gesture, {KEPT:.0%} of true ones kept ", end="")
    print("| empty rooms | other sets | gesture left out |\n| --- | ---: | ---: | ---: |")
    for kind, rooms in zip(kinds, empty, strict=True):
        sets = []
        for half in (half for half in halves if half.seed == 0):
            others = [one.unseen.only(kind) for one in halves if one.seed == 0 and one is not half]
            elsewhere = np.concatenate([other.rows[:, 0] for other in others] or [rooms[:0]])
            names = half.taught.dataset.labels
            every = [left_out(half, name, kind, pictures, (rooms, elsewhere)) for name in names]
            sets.append(np.mean(every, axis=0))
        row = ["-" if np.isnan(share) else f"{share:.2f}" for share in np.mean(sets, axis=0)]
        print(f"| {kind.name} | {' | '.join(row)} |", flush=True)


def left_out(
    half: Half, left: str, kind: Features, pictures: int, strange: tuple[np.ndarray, ...]
) -> list[float]:
    """Learn all labels but one; return the shares called a gesture: of `strange`, of that label."""
    keep = some_rows(half.taught.dataset, pictures, 0)
    shown = [half.taught.dataset.pictures[index].label for index in keep]
    own = take(half.taught, keep[[label != left for label in shown]]).only(kind)
    learned = learn(own, np.arange(len(own.rows)), hidden=64, seed=0)
    rows = half.unseen.only(kind).rows[:, 0]
    stranger = half.unseen.targets == half.taught.dataset.labels.index(left)
    limit = novelty_limit(learned.novelty(rows[~stranger]), KEPT)
    every = (*strange, rows[stranger])
    return [float((learned.novelty(x) <= limit).mean()) if len(x) else np.nan for x in every]


def show(
    results: dict[tuple[str, int], list[list[float]]], columns: list[str], pictures: list[int]
) -> None:
    """Print the table of sets, and, where there are several numbers of pictures, theirs."""
    most = 30 if 30 in pictures else max(pictures)
    means = {key: np.mean(rows, axis=0) for key, rows in results.items()}
    heading = "| --- |" + " ---: |" * len(columns)
    print(f"| set, {most} pictures a label | {' | '.join(columns)} |\n{heading}")
    for (name, number), row in means.items():
        if number == most:
            print(f"| {name} | {cells(row)} |")
    for number in pictures if len(pictures) > 1 else [most]:
        of = [row for (_, count), row in means.items() if count == number]
        label = f"mean, {number} pictures" if len(pictures) > 1 else "mean"
        print(f"| {label} | {cells(np.mean(of, axis=0))} |", flush=True)


def some(dataset: Dataset, indices: list[int], most: int, seed: int) -> Dataset:
    """Return at most so many pictures of each label, drawn evenly from these."""
    part = dataset.only(indices)
    return part.only(some_rows(part, most, seed))


def some_rows(dataset: Dataset, most: int, seed: int) -> np.ndarray:
    """Return indices of at most so many pictures of each label."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in dataset.labels:
        mine = [i for i, picture in enumerate(dataset.pictures) if picture.label == label]
        chosen.extend(rng.permutation(mine)[:most].tolist())
    return np.array(sorted(chosen))


def take(described: Described, chosen: np.ndarray) -> Described:
    """Return some pictures of those described."""
    return replace(
        described,
        dataset=described.dataset.only(chosen),
        rows=described.rows[chosen],
        scraps=described.scraps[chosen],
    )


def cells(row: np.ndarray) -> str:
    """Format the figures of one row."""
    return " | ".join(f"{figure:.2f}" for figure in row)


if __name__ == "__main__":
    main()
