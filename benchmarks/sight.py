"""How far real pictures are from what `edge.sight` takes for a camera that sees nothing.

    python benchmarks/sight.py ../shared/data

For each folder: the dimmest picture (the brightness that one in a hundred of its pixels passes)
and the whitest one (the share of its pixels without colour), beside the limits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edge.pictures import find_pictures, read_picture
from edge.sight import COVERED, DARK, DAZZLED, STRIDE, WHITE


def main(root: Path) -> None:
    """Print a row a folder."""
    print(f"{'folder':12} {'pictures':>8} {'dimmest':>8} {'whitest':>8}")
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        dimmest, whitest = 255.0, 0.0
        pictures = find_pictures(folder)
        for path in pictures:
            sample = read_picture(path)[::STRIDE, ::STRIDE]
            dimmest = min(dimmest, float(np.percentile(sample.max(axis=2), 99)))
            whitest = max(whitest, float((sample.min(axis=2) >= WHITE).mean()))
        print(f"{folder.name:12} {len(pictures):8} {dimmest:8.0f} {whitest:8.2f}")
    print(f"limits: black up to {COVERED}, too dark up to {DARK}, white from {DAZZLED}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
