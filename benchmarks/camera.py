"""What does a camera's frame cost before the model sees it: copying it, turning it, its format?

    python benchmarks/camera.py

No camera is needed: the pictures are noise. A Pi's memory is slower than a laptop's, so each row is
also in multiples of the one copy that every frame is. A Markdown table comes out.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.sources.camera import from_nv12
from edge.sources.turning import Turn, turn

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = ((320, 240), (640, 480))
ROUNDS = 15


def cost(act: Callable[[], object], times: int = 20) -> float:
    """Return milliseconds of processor time."""
    act()
    start = time.process_time()
    for _ in range(times):
        act()
    return 1000 * (time.process_time() - start) / times


def acts(size: tuple[int, int]) -> dict[str, Callable[[], object]]:
    width, height = size
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
    padded = rng.integers(0, 255, (height, width * 3 + 64)).astype(np.uint8)
    nv12 = rng.integers(0, 255, (height * 3 // 2, width)).astype(np.uint8)
    return {
        "the copy": lambda: np.copy(rgb),
        "the copy, of lines with padding": lambda: np.ascontiguousarray(padded[:, : width * 3]),
        "a turn by 90 degrees": lambda: turn(rgb, Turn.of(90)),
        "the same, by NumPy's own way": lambda: np.ascontiguousarray(np.rot90(rgb, -1)),
        "a mirror, where the camera has none": lambda: turn(rgb, Turn.of(0, horizontal=True)),
        "NV12, where the camera gives no RGB": lambda: from_nv12(nv12, size, full_range=True),
        "a webcam's BGR": lambda: cv2.cvtColor(rgb, cv2.COLOR_BGR2RGB),
        "the same, by NumPy": lambda: np.ascontiguousarray(rgb[..., ::-1]),
    }


def main() -> None:
    cv2.setNumThreads(1)
    tables = [acts(size) for size in SIZES]
    # In turns, so that a slower moment of the machine meets them all.
    rounds = [[{name: cost(act) for name, act in t.items()} for t in tables] for _ in range(ROUNDS)]
    print("| | " + " | ".join(f"{w}x{h}, ms | copies" for w, h in SIZES) + " |")
    print("| --- |" + " ---: |" * 2 * len(SIZES))
    for name in tables[0]:
        cells = []
        for number in range(len(SIZES)):
            cells.append(f"{median(one[number][name] for one in rounds):.3f}")
            ratio = median(one[number][name] / one[number]["the copy"] for one in rounds)
            cells.append(f"{ratio:.1f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
