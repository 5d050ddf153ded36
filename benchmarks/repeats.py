"""Are sessions that are one recording told from true ones?

    python benchmarks/repeats.py FOLDER

FOLDER holds sets, each `<set>/<label>/<session>/<picture>`. Each set is looked at as it is; with
every session saved once more, half as large and at quality 60; and with every session cut in the
middle. A Markdown table says how alike a label's pictures of different sessions are, and how many
of the sessions' pairs that are one recording `trainer train` joins, and of those that are not.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from edge.pictures import read_picture
from trainer.alike import Likeness
from trainer.dataset import Dataset, read_dataset
from trainer.describe import describe
from trainer.features import make_features
from trainer.repeats import REPEATED, join_repeating

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.dataset import Picture

MARK = "~"
"""What tells a session from the one that it is part of, or a copy of."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(
        "| set | sessions | likest of another session: median | 90 % | most "
        f"| {REPEATED} or more | joined, of one recording | joined, of others |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        with TemporaryDirectory() as copies:
            for name, dataset in versions(read_dataset(path), Path(copies)):
                print(row(f"{path.name}{name}", dataset), flush=True)


def versions(dataset: Dataset, copies: Path) -> Iterator[tuple[str, Dataset]]:
    """Yield the set as it is, saved again beside itself, and with its sessions cut in two."""
    yield "", dataset
    again = [saved_again(number, one, copies) for number, one in enumerate(dataset.pictures)]
    yield ", saved again", replace(dataset, pictures=dataset.pictures + again)
    recordings: dict[tuple[str, str], list[Picture]] = {}
    for one in dataset.pictures:
        recordings.setdefault((one.label, one.session), []).append(one)
    halves = [
        replace(one, session=one.session + MARK * (2 * number >= len(pictures)))
        for pictures in recordings.values()
        for number, one in enumerate(pictures)
    ]
    yield ", cut", replace(dataset, pictures=halves)


def saved_again(number: int, picture: Picture, folder: Path) -> Picture:
    """Save a picture half as large, and return it as one of another session."""
    image = PIL.Image.fromarray(read_picture(picture.path))
    path = folder / f"{number}.jpg"
    image.resize((image.width // 2, image.height // 2)).save(path, quality=60)
    return replace(picture, path=path, session=picture.session + MARK)


def row(name: str, dataset: Dataset) -> str:
    likest = likeness(dataset)
    before = {one.path: one.session for one in dataset.pictures}
    after = {before[one.path]: one.session for one in join_repeating(dataset).pictures}
    joined, of = {True: 0, False: 0}, {True: 0, False: 0}
    for one, other in combinations(sorted(after), 2):
        same = one.rstrip(MARK) == other.rstrip(MARK)
        of[same] += 1
        joined[same] += after[one] == after[other]
    if not len(likest):
        return f"| {name} | {len(after)} | - | - | - | - | - | - |"
    cells = [f"{share:.2f}" for share in np.quantile(likest, [0.5, 0.9])]
    cells += [f"{likest.max():.3f}", f"{np.mean(likest >= REPEATED):.0%}"]
    cells += [f"{joined[same]} of {of[same]}" if of[same] else "-" for same in (True, False)]
    return f"| {name} | {len(after)} | {' | '.join(cells)} |"


def likeness(dataset: Dataset) -> np.ndarray:
    """Return how like each picture is to the likest one of its label in another session."""
    seen = describe(dataset, make_features("pixels"))
    pictures = seen.dataset.pictures
    labels, sessions = (
        np.array([getattr(one, what) for one in pictures], object) for what in ("label", "session")
    )
    best = np.full(len(pictures), -2.0)
    for block, cosines in Likeness.of(seen.rows[:, 0], sessions.tolist()).cosines():
        cosines[(labels[block, None] != labels) | (sessions[block, None] == sessions)] = -2
        best[block] = cosines.max(axis=1)
    return np.asarray(best[best > -2])


if __name__ == "__main__":
    main()
