"""What does a camera frame cost the processor, from bytes to features, beside the usual recipe?

    python benchmarks/inference.py [--features pixels edges backbone] [--seconds 20] [--tflite FILE]

The usual recipe's backbone is MobileNetV2 0.35 at 224x224, with random weights: it is only timed.
Where LiteRT is installed (`pip install ai-edge-litert`), the same graph is timed in it as well,
after a check that it computes the same; `--tflite` times a file of your own there, such as the one
that Teachable Machine exports, with its pictures resized by OpenCV.

All preprocessing is in what is measured; one thread; one frame of 320x240. The graphs take turns,
so that a slower moment of the machine meets them all. Each figure is a median over the turns: of
processor time, and of the ratio to the recipe's in the same turn. A Markdown table comes out.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from usual_recipe import mobilenet_v2

from edge.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features import KINDS, Features, make_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.frame import Image

SIZE = (320, 240)
TURN = 0.02
"""Seconds of processor time that a turn takes at the least: its clock is not that fine."""
RECIPE = "MobileNetV2 0.35 at 224"


class Subject(NamedTuple):
    """What is measured."""

    name: str
    runtime: str
    run: Callable[[Image], Any]
    kilobytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--features", nargs="+", default=list(dict.fromkeys([*KINDS, "backbone"])))
    parser.add_argument("--seconds", type=float, default=20.0, help="to measure for, about")
    parser.add_argument("--tflite", type=Path, help="a TensorFlow Lite file to time as well")
    options = parser.parse_args()
    frame = draw("palm", Scene.random(0, SIZE), 0)
    subjects = gather(options.features, options.tflite)
    times = measure(subjects, frame, options.seconds)
    print("| features | runs in | ms a frame | times the recipe | kB | numbers |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for subject, mine in zip(subjects, times, strict=True):
        ratio = median(one / recipe for one, recipe in zip(mine, times[0], strict=True))
        print(
            f"| {subject.name} | {subject.runtime} | {1000 * median(mine):.2f} | {ratio:.3f} "
            f"| {subject.kilobytes:.0f} | {np.size(subject.run(frame))} |"
        )
    print(f"\nMedians over {len(times[0])} turns.")


def gather(features: list[str], tflite: Path | None) -> list[Subject]:
    """Return what can be measured here, the recipe in onnxruntime first."""
    recipe = Features(RECIPE, mobilenet_v2())
    subjects = [in_onnxruntime(recipe)]
    if find_spec("ai_edge_litert"):
        from as_tflite import as_tflite

        check(recipe, in_litert(RECIPE, as_tflite(recipe.model, (224, 224))))
        subjects.append(in_litert(RECIPE, as_tflite(recipe.model, SIZE)))
        if tflite is not None:
            subjects.append(in_litert(tflite.name, tflite.read_bytes()))
    elif tflite is not None:
        raise SystemExit("--tflite: LiteRT is not installed; pip install ai-edge-litert")
    for name in features:
        try:
            subjects.append(in_onnxruntime(make_features(name)))
        except DataError as problem:
            print(f"left out: {problem}", file=sys.stderr)
    return subjects


def measure(subjects: list[Subject], frame: Image, seconds: float) -> list[list[float]]:
    """Return each subject's processor time a frame, seconds, in every turn."""
    repeats = [repeats_of_a_turn(subject, frame) for subject in subjects]
    times: list[list[float]] = [[] for _ in subjects]
    end = time.perf_counter() + seconds
    while not times[0] or time.perf_counter() < end:
        for subject, count, mine in zip(subjects, repeats, times, strict=True):
            start = time.process_time()
            for _ in range(count):
                subject.run(frame)
            mine.append((time.process_time() - start) / count)
    return times


def repeats_of_a_turn(subject: Subject, frame: Image) -> int:
    """Return how many frames take `TURN`, after some to warm up."""
    for _ in range(3):
        subject.run(frame)
    start = time.process_time()
    count = 0
    while time.process_time() - start < TURN:
        subject.run(frame)
        count += 1
    return count


def in_onnxruntime(features: Features) -> Subject:
    kilobytes = features.model.ByteSize() / 1000
    return Subject(features.name, "onnxruntime", features, kilobytes)


def in_litert(name: str, content: bytes) -> Subject:
    """Open a TensorFlow Lite file; frames of another size than it takes are resized by OpenCV."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (inside,), (outside,) = interpreter.get_input_details(), interpreter.get_output_details()
    _, height, width, _ = inside["shape"]

    def run(frame: Image) -> Any:
        if frame.shape[:2] != (height, width):
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        if inside["dtype"] == np.float32:  # as Teachable Machine's own example does
            frame = frame.astype(np.float32) / np.float32(127.5) - 1
        interpreter.set_tensor(inside["index"], frame[None])
        interpreter.invoke()
        return interpreter.get_tensor(outside["index"])

    return Subject(name, "LiteRT", run, len(content) / 1000)


def check(recipe: Features, other: Subject) -> None:
    """Stop unless the two runtimes agree, on a picture that neither has to resize."""
    picture = draw("palm", Scene.random(0, (224, 224)), 0)
    difference = np.abs(recipe(picture) - other.run(picture)).max()
    if difference > 1e-3:
        raise SystemExit(f"LiteRT computes something else: {difference:.3g} apart")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
