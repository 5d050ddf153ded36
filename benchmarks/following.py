"""Does what is followed stay a hand? Still views that tremble, as a stream and one by one.

    python benchmarks/following.py FOLDER [--kinds hand hand-full]

FOLDER holds sets, each `<set>/<label>/<session>/<picture>`, and one of nothing but `background`.
A view is shown for so many frames, a pixel off each time and with a camera's noise. Counted are the
empty views in which something is found: by each frame alone, by the stream, and for how many frames
in the worst view; and in how many frames of a stream a true hand is found, which should not become
fewer. `stays` is the confidence from which on the landmark network keeps what it follows. Views in
which nearly every frame alone shows a hand are left out: somebody's hangs there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.classifier import open_session
from edge.pictures import read_picture
from trainer.dataset import read_dataset
from trainer.features.landmarks import STATE, landmarks
from trainer.features.subjects import HAND, SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxruntime import InferenceSession

    from edge.frame import Image

FRAMES = 60
"""Of each view, four seconds."""
EVERY = 6
"""Of a view's frames so many are looked at alone."""
HANDS = 60
"""Pictures of hands, from all sets."""
WIDTH = 320
"""Pixels of a frame."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", nargs="+", default=["hand", "hand-full"], choices=[*SUBJECTS])
    parser.add_argument("--stays", nargs="+", type=float, default=[0.5, HAND.stays])
    options = parser.parse_args()
    empty, hands = views(options.folder)
    print("| kind | stays | empty views: alone | followed | the worst, s | hands found |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for kind in options.kinds:
        for stays in options.stays:
            graph = landmarks(replace(SUBJECTS[kind], stays=stays))
            session = open_session(graph.SerializeToString(), kind)
            alone = [np.mean([found(session, one)[0] for one in trembling(view)][::EVERY])
                     for view in empty]  # fmt: skip
            empty_ones = [view for view, share in zip(empty, alone, strict=True) if share < 0.9]
            followed = [follow(session, view) for view in empty_ones]
            seen = np.concatenate([follow(session, view) for view in hands])
            few = [share for share in alone if share < 0.9]
            worst = max(sum(one) for one in followed) / 15
            print(f"| {kind} | {stays:g} | {np.mean(few):.3f} | {np.mean(followed):.3f} "
                  f"| {worst:.1f} | {np.mean(seen):.3f} |", flush=True)  # fmt: skip
    print(f"\n{len(empty)} empty views and {len(hands)} of hands, {FRAMES} frames each.")


def views(folder: Path) -> tuple[list[Image], list[Image]]:
    """Return the empty views and some of hands, as a camera's frames."""
    sets = [read_dataset(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    shown = [one for found in sets for one in found.pictures]
    empty = [one.path for one in shown if one.label == "background"]
    hands = [one.path for one in shown if one.label not in {"background", "none"}]
    return [as_frame(path) for path in empty], [
        as_frame(path) for path in hands[:: len(hands) // HANDS]
    ]


def as_frame(path: Path) -> Image:
    """Return a picture at a camera's width."""
    image = read_picture(path)
    size = (WIDTH, max(1, round(image.shape[0] * WIDTH / image.shape[1])))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def trembling(view: Image) -> Iterator[Image]:
    """Yield a view's frames: each about a pixel off, with noise."""
    rng = np.random.default_rng(int(view.sum()))
    for _ in range(FRAMES):
        shift = np.array([[1, 0, rng.normal()], [0, 1, rng.normal()]])
        moved = cv2.warpAffine(view, shift, view.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        yield np.clip(moved + rng.normal(0, 3, view.shape), 0, 255).astype(np.uint8)


def follow(session: InferenceSession, view: Image) -> list[bool]:
    """Return in which of a view's frames something is found, each knowing the one before."""
    state, seen = np.zeros(STATE, np.float32), []
    for frame in trembling(view):
        there, state = found(session, frame, state)
        seen.append(there)
    return seen


def found(
    session: InferenceSession, frame: Image, state: np.ndarray | None = None
) -> tuple[bool, np.ndarray]:
    """Return whether something is found in a frame, and the state for the next one."""
    feed = {"image": frame} | ({} if state is None else {"state": state})
    row, following = session.run(["found", "next_state"], feed)
    return bool(row[-1]), following


if __name__ == "__main__":
    main()
