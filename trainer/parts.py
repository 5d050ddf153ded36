"""A dictionary of parts: what small patches of oriented edges look like on hands.

    python -m trainer.parts        # learns it again, in about ten seconds, and writes parts.npz

`edges` looks for these parts everywhere in a picture. They were learned without labels, by k-means
on whitened patches, from hands that `edge.virtual` draws: no photograph of anybody went into them.

Source: Coates, Lee and Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning",
AISTATS 2011; the spherical k-means is that of Coates and Ng, "Learning Feature Representations with
K-means", 2012.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.virtual import LABELS, Scene, draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.frame import Image

    Cells: TypeAlias = Callable[[Image], NDArray[np.float32]]

FILE = Path(__file__).with_name("parts.npz")
PARTS = 256
PATCH = 5
"""Cells of a patch's side."""
PATCHES = 40
"""Looked at in each drawing."""
SCENES = 24
RESPONDING = 0.05
"""Share of patches that a part responds to, on average: few parts at a time, each meaning more."""

Floats: TypeAlias = NDArray[np.floating]


class Parts(NamedTuple):
    """Filters over maps of oriented edges."""

    filters: NDArray[np.float32]
    """float32 `[parts, directions, patch, patch]`."""
    thresholds: NDArray[np.float32]
    """float32 `[parts]`, to be added to what the filters say."""


def load_parts() -> Parts:
    """Return the parts that come with handwave."""
    with np.load(FILE, allow_pickle=False) as file:
        return Parts(*(file[name].astype(np.float32) for name in Parts._fields))


def learn_parts(cells: Cells, *, parts: int = PARTS, scenes: int = SCENES, seed: int = 0) -> Parts:
    """Learn parts from drawn hands.

    Args:
        cells: a picture's map of oriented edges, float32 `[1, directions, rows, columns]`.
        parts: how many.
        scenes: drawn people in drawn rooms, each showing every label twice.
        seed: of the patches looked at, and of where k-means starts.
    """
    rng = np.random.default_rng(seed)
    patches = _patches(cells, scenes, rng)  # (n, directions * PATCH * PATCH)
    mean, whiten = _whitening(patches)
    white = (patches - mean) @ whiten
    lengths = np.linalg.norm(white, axis=1, keepdims=True)
    centres = _spherical_k_means(white / lengths, parts, rng)

    # A part's response is its likeness to the patch, (patch - mean) @ whiten @ centre, in units of
    # the usual patch's length: all of it linear, so one convolution.
    filters = centres @ whiten.T / lengths.mean()
    offsets = -filters @ mean
    offsets -= np.quantile(patches @ filters.T + offsets, 1 - RESPONDING)
    shape = (parts, -1, PATCH, PATCH)
    return Parts(filters.reshape(shape).astype(np.float32), offsets.astype(np.float32))


def _patches(cells: Cells, scenes: int, rng: np.random.Generator) -> Floats:
    """Cut patches out of drawings, leaving out the emptiest third: walls teach nothing."""
    found = []
    for number in range(scenes):
        scene = Scene.random(number, (160, 120))
        for label in LABELS:
            for picture in range(2):
                edges = cells(draw(label, scene, 2 * number + picture))[0]
                spots = rng.integers(0, edges.shape[1] - PATCH + 1, (PATCHES, 2))
                found += [edges[:, y : y + PATCH, x : x + PATCH].ravel() for y, x in spots]
    patches: Floats = np.array(found, np.float64)
    spread = patches.std(axis=1)
    return np.compress(spread > np.quantile(spread, 1 / 3), patches, axis=0)


def _whitening(patches: Floats) -> tuple[Floats, Floats]:
    """Return the mean patch, and the matrix after which no two numbers of a patch go together.

    ZCA; a tenth of the mean variance is added, so that noise is not blown up to the size of edges.
    """
    variances, directions = np.linalg.eigh(np.cov(patches.T))
    shrink = 1 / np.sqrt(variances + 0.1 * variances.mean())
    whiten: Floats = (directions * shrink) @ directions.T
    return patches.mean(axis=0), whiten


def _spherical_k_means(points: Floats, number: int, rng: np.random.Generator) -> Floats:
    """Return `number` directions of length 1, each the mean direction of the points nearest it."""
    centres = points[rng.permutation(len(points))[:number]]
    for _ in range(10):
        nearest = (points @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, points)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return centres


def main() -> None:
    """Learn the parts and write them beside this module, as half floats."""
    from trainer.features import edge_cells

    learned = learn_parts(edge_cells())
    half = {name: getattr(learned, name).astype(np.float16) for name in Parts._fields}
    np.savez_compressed(FILE, **half)
    print(f"wrote {FILE.name}: {PARTS} parts, {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
