"""What does a camera frame cost the processor, from bytes to features, beside the usual recipe?

    python benchmarks/inference.py [--features edges hand+edges] [--seconds 20] [--tflite FILE]

The usual recipe's backbone is MobileNetV2 0.35 at 224x224, with random weights: it is only timed.
Where LiteRT is installed (`pip install ai-edge-litert`), the same graph is timed in it as well,
after a check that it computes the same; `--tflite` times a file of your own there, such as the one
that Teachable Machine exports, with its pictures resized by OpenCV.

Features that follow something have a row for each thing that can happen to them; "nothing there" is
a stream that shows nobody. With `hand`, a second table says what its parts take, and what others of
MediaPipe's networks would; also with two threads, in multiples of one, by the processor's time and
by the clock on the wall: those two only mean something on a machine that does nothing else.

All preprocessing is in what is measured; one thread; one frame of 320x240. The graphs take turns,
so that a slower moment of the machine meets them all. Each figure is a median over the turns: of
processor time, and of the ratio to the recipe's in the same turn. Markdown tables come out.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from onnx import TensorProto, helper
from usual_recipe import mobilenet_v2

from edge.classifier import open_session
from edge.sources.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features import KINDS, Features, make_features
from trainer.features.geometry import read_network
from trainer.features.seek import free
from trainer.features.subjects import HAND
from trainer.graphs import make_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from edge.frame import Image

SIZE = (320, 240)
PALM, ROOM = (draw(label, Scene.random(0, SIZE), 0) for label in ("palm", "background"))
CLOSE = np.asarray(cv2.resize(PALM[60:180, 80:240], SIZE), np.uint8)
"""A palm that is found when the detector sees the picture in its smallest size."""
FAR = np.array(ROOM)
FAR[96:144, 128:192] = cv2.resize(draw("palm", Scene.random(3, SIZE), 0), (64, 48))
"""A palm that is found when the detector sees the picture in its largest size."""
TWO_PALMS = np.asarray(
    cv2.resize(np.concatenate([PALM[:, 60:260], PALM[:, 260:60:-1]], axis=1), SIZE), np.uint8
)
TURN = 0.02
"""Seconds of processor time that a turn takes at the least: its clock is not that fine."""
RECIPE = "MobileNetV2 0.35 at 224"
SEEN = [(192, 128), (128, 128), (256, 192)]
"""What the detector sees of a frame in each search: at least so high, and whole `CELL`s."""
PARTS = [
    *((file, seen) for file in ("palm_lite", "palm_full") for seen in SEEN),
    *((file, (HAND.near, HAND.near)) for file in ("hand_lite", "hand_full")),
]
"""MediaPipe's networks, and the width and height that they see."""


class Subject(NamedTuple):
    """What is measured."""

    name: str
    runtime: str
    run: Callable[[], Sequence[Any]]
    kilobytes: float
    threads: int = 1

    def processor_time(self) -> float:
        """Return seconds: of this thread where it does all the work, else of all."""
        return time.thread_time() if self.threads == 1 else time.process_time()


class Cost(NamedTuple):
    """Seconds a frame, `[turns]`."""

    processor: NDArray[np.float64]
    clock: NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--features", nargs="+", default=[*KINDS, "hand+edges", "hand+backbone"])
    parser.add_argument("--seconds", type=float, default=20.0, help="to measure for, about")
    parser.add_argument("--tflite", type=Path, help="a TensorFlow Lite file to time as well")
    options = parser.parse_args()
    subjects = gather(options.features, options.tflite)
    hand = any(subject.name == "hand, followed" for subject in subjects)
    parts = [network(*part) for part in PARTS if hand]
    costs = measure([*subjects, *parts], options.seconds)
    recipe = costs[0].processor
    print("| features | runs in | ms a frame | times the recipe | kB | numbers |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for subject, cost in zip(subjects, costs, strict=False):
        print(
            f"| {subject.name} | {subject.runtime} | {1000 * np.median(cost.processor):.2f} "
            f"| {np.median(cost.processor / recipe):.3f} "
            f"| {subject.kilobytes:.0f} | {np.size(subject.run()[0])} |"
        )
    if hand:
        # One part after the other: second threads that wait, of others, keep processors busy.
        seconds = options.seconds / 3 / len(PARTS)
        compared = [
            measure([network(*part, threads) for threads in (1, 2)], seconds) for part in PARTS
        ]
        names = [subject.name for subject in [*subjects, *parts]]
        print_parts(dict(zip(names, costs, strict=True)), compared, recipe)
    print(f"\nMedians over {len(recipe)} turns.")


def print_parts(
    costs: dict[str, Cost], compared: list[list[Cost]], recipe: NDArray[np.float64]
) -> None:
    """Print each part's cost; `compared` has it with one thread and with two."""
    print("\n| part of `hand` | ms a frame | times the recipe | two threads | by the clock |")
    print("| --- | ---: | ---: | ---: | ---: |")

    def row(part: str, times: NDArray[np.float64], two: str) -> None:
        print(
            f"| {part} | {1000 * np.median(times):.2f} | {np.median(times / recipe):.2f} | {two} |"
        )

    for part, (one, two) in zip(PARTS, compared, strict=True):
        ratios = [np.median(b / a) for a, b in zip(one, two, strict=True)]
        two_threads = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        row(name_of(*part), costs[name_of(*part)].processor, two_threads)
    look = costs[name_of(HAND.looker, (HAND.near, HAND.near))].processor
    seek = costs[name_of(HAND.detector, SEEN[0])].processor
    row("the rest, followed", costs["hand, followed"].processor - look, "|")
    row("the rest, searched for", costs["hand, searched for"].processor - look - seek, "|")


def gather(features: list[str], tflite: Path | None) -> list[Subject]:
    """Return what can be measured here, the recipe in onnxruntime first."""
    recipe = Features(RECIPE, mobilenet_v2())
    subjects = in_onnxruntime(recipe)
    if find_spec("ai_edge_litert"):
        from as_tflite import as_tflite

        picture = draw("palm", Scene.random(0, (224, 224)), 0)  # neither has to resize it
        check(recipe(picture), in_litert(RECIPE, as_tflite(recipe.model, (224, 224)), picture))
        subjects.append(in_litert(RECIPE, as_tflite(recipe.model, SIZE), PALM))
        if tflite is not None:
            subjects.append(in_litert(tflite.name, tflite.read_bytes(), PALM))
    elif tflite is not None:
        raise SystemExit("--tflite: LiteRT is not installed; pip install ai-edge-litert")
    for name in features:
        try:
            subjects += in_onnxruntime(make_features(name))
        except DataError as problem:
            print(f"left out: {problem}", file=sys.stderr)
    return subjects


def measure(subjects: list[Subject], seconds: float) -> list[Cost]:
    """Return what a frame costs each subject, in every turn."""
    repeats = [repeats_of_a_turn(subject) for subject in subjects]
    times: list[list[tuple[float, float]]] = [[] for _ in subjects]
    end = time.perf_counter() + seconds
    while not times[0] or time.perf_counter() < end:
        for subject, count, mine in zip(subjects, repeats, times, strict=True):
            clock, start = time.perf_counter(), subject.processor_time()
            for _ in range(count):
                subject.run()
            taken = subject.processor_time() - start, time.perf_counter() - clock
            mine.append((taken[0] / count, taken[1] / count))
    return [Cost(*np.transpose(mine)) for mine in times]


def repeats_of_a_turn(subject: Subject) -> int:
    """Return how many frames take `TURN`, after some to warm up."""
    for _ in range(3):
        subject.run()
    start = subject.processor_time()
    count = 0
    while subject.processor_time() - start < TURN:
        subject.run()
        count += 1
    return count


def in_onnxruntime(features: Features) -> list[Subject]:
    """Return features once, or, if they follow something, once for each thing that can happen."""
    session = open_session(features.model.SerializeToString(), features.name)

    def subject(name: str, run: Callable[[], Sequence[Any]]) -> Subject:
        return Subject(name, "onnxruntime", run, features.file_size / 1000)

    def one(**feed: Image | NDArray[np.float32]) -> Callable[[], Sequence[Any]]:
        return partial(session.run, None, feed)

    if not features.state:
        return [subject(features.name, one(image=PALM))]
    nothing = subject(f"{features.name}, nothing there", stream(session, ROOM))
    state = session.run(["next_state"], {"image": PALM})[0]
    if features.name == "two-hands":
        both = session.run(["next_state"], {"image": TWO_PALMS})[0]
        return [
            subject("two-hands, both followed", one(image=TWO_PALMS, state=both)),
            subject("two-hands, one followed, on average", stream(session, PALM)),
            nothing,
        ]
    if state[0] < HAND.stays:  # it follows no hands
        return [nothing]
    return [
        subject(f"{features.name}, followed", one(image=PALM, state=state)),
        subject(f"{features.name}, searched for", one(image=PALM)),
        subject(f"{features.name}, searched for, close", one(image=CLOSE)),
        subject(f"{features.name}, searched for, far", one(image=FAR)),
        subject(f"{features.name}, far, in its turn", one(image=FAR, state=last_turn(state))),
        nothing,
    ]


def last_turn(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the state of a stream that showed nobody, before the search in the last size."""
    turn = np.zeros_like(state)
    turn[3] = len(HAND.searches)
    return turn


def stream(session: InferenceSession, image: Image) -> Callable[[], Sequence[Any]]:
    """Return what runs frame after frame, each with the state that the one before it left."""
    _, state = session.run(None, {"image": image})

    def run() -> Sequence[Any]:
        nonlocal state
        features, state = session.run(None, {"image": image, "state": state})
        return [features, state]

    return run


def name_of(file: str, seen: tuple[int, int]) -> str:
    return f"{file} at {seen[0]}x{seen[1]}"


def network(file: str, seen: tuple[int, int], threads: int = 1) -> Subject:
    """Return one of MediaPipe's networks by itself; what it sees makes no difference."""
    palm = file.startswith("palm")
    outputs = ("boxes", "scores") if palm else HAND.outputs
    graph, _ = read_network(HAND, file, outputs)
    if palm:
        free(graph)
    shape = (1, 3, *reversed(seen))
    inside = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    outside = [
        helper.make_tensor_value_info(
            value.name, TensorProto.FLOAT, [None] * len(value.type.tensor_type.shape.dim)
        )
        for value in graph.output
    ]
    model = make_model(helper.make_graph(graph.node, file, [inside], outside, graph.initializer))
    session = open_session(model.SerializeToString(), file, threads=threads)
    run = partial(session.run, None, {"input": np.full(shape, 0.5, np.float32)})
    return Subject(name_of(file, seen), "onnxruntime", run, model.ByteSize() / 1000, threads)


def in_litert(name: str, content: bytes, frame: Image) -> Subject:
    """Open a TensorFlow Lite file; frames of another size than it takes are resized by OpenCV."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (inside,), (outside,) = interpreter.get_input_details(), interpreter.get_output_details()
    _, height, width, _ = inside["shape"]

    def run() -> list[Any]:
        image: NDArray[Any] = frame
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        if inside["dtype"] == np.float32:  # as Teachable Machine's own example does
            image = image.astype(np.float32) / np.float32(127.5) - 1
        interpreter.set_tensor(inside["index"], image[None])
        interpreter.invoke()
        return [interpreter.get_tensor(outside["index"])]

    return Subject(name, "LiteRT", run, len(content) / 1000)


def check(expected: NDArray[np.float32], other: Subject) -> None:
    """Stop unless the two runtimes agree."""
    difference = np.abs(expected - other.run()[0]).max()
    if difference > 1e-3:
        raise SystemExit(f"LiteRT computes something else: {difference:.3g} apart")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
