"""What `edge` adds to onnxruntime: processor time a frame, memory, and time to the first decision.

    trainer train DATA --features edges -o edges.onnx
    trainer train DATA --features backbone -o backbone.onnx
    python benchmarks/edge_overhead.py edges.onnx backbone.onnx
    python benchmarks/edge_overhead.py --soak 1000000 edges.onnx

All are ratios within one run, of medians over turns in which the two take their turns. Beside
`edge run` stands a bare process: it imports numpy and onnxruntime, opens a session on the same
model as anyone would, and runs it. Both get frames of 320 x 240 that are in memory already: what a
camera's own library takes is not in it. Pins are gpiozero's mock ones, with LEDs for the gestures.

`--soak` looks for growth instead: so many frames through the whole device, as fast as they go.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from edge_process import FRAMES, HEIGHT, WIDTH, Still, resident

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.device import Project
    from edge.frame import Frame, Image, Source

GROWTH = 1000
"""kB that a process may grow by in a soak, after its first tenth."""
MOMENTS = 10
"""How often a soak looks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, help="model files")
    parser.add_argument("--turns", type=int, default=15, help="of the two processes")
    parser.add_argument("--frames", type=int, default=900, help="to time, of each model")
    parser.add_argument("--soak", type=int, metavar="FRAMES", help="look for growth instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subjects = [Subject.of(model, Path(folder)) for model in options.models]
        if options.soak:
            grows = [soak(subject, options.soak) for subject in subjects]
            sys.exit(any(grows))
        time_frames(subjects, options.frames)
        compare(subjects, options.turns)


class Subject(NamedTuple):
    """A model, an `edge.toml` that has an LED for its gestures, and what they look like."""

    name: str
    model: Path
    config: Path
    images: list[Image]

    @classmethod
    def of(cls, model: Path, folder: Path) -> Subject:
        """Look into a model, and write its `edge.toml` to a folder."""
        from edge.card import BACKGROUND, GOLDEN_KEY, unpack_golden
        from edge.classifier import Classifier

        classifier = Classifier(model)
        meta = classifier._session.get_modelmeta()  # noqa: SLF001  (the golden frames, packed)
        packed = meta.custom_metadata_map[GOLDEN_KEY]
        golden = unpack_golden(classifier.card, packed, str(model))
        labels = [label for label in classifier.labels if label != BACKGROUND][:8]
        lines = [f'model = "{model.resolve()}"']
        lines += [f'[when."{label}"]\nled = {20 + number}' for number, label in enumerate(labels)]
        config = folder / f"{model.stem}.toml"
        config.write_text("\n".join(lines) + "\n")
        return cls(model.stem, model, config, [as_frame(image) for image in golden])


def as_frame(image: Image) -> Image:
    """Return a picture at a camera's size, nearest pixels."""
    rows = np.arange(HEIGHT) * image.shape[0] // HEIGHT
    columns = np.arange(WIDTH) * image.shape[1] // WIDTH
    return np.ascontiguousarray(image[rows][:, columns])


# --- What a frame costs


class Timed:
    """A session that adds up the processor time of its runs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.seconds = 0.0

    def run(self, *arguments: Any) -> Any:
        """Run it."""
        start = time.thread_time()
        try:
            return self._session.run(*arguments)
        finally:
            self.seconds += time.thread_time() - start


def time_frames(subjects: list[Subject], frames: int) -> None:
    """Print what a frame costs: the run, and everything else between two frames."""
    print("| model | run, ms | all else, ms | share of both | all else, 99th percentile, ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for subject in subjects:
        ran, rest = frame_times(subject, frames)
        else_, most = 1000 * np.median(rest), 1000 * np.quantile(rest, 0.99)
        share = np.median(rest / (ran + rest))
        run = 1000 * np.median(ran)
        print(f"| {subject.name} | {run:.3f} | {else_:.3f} | {share:.1%} | {most:.3f} |")


def frame_times(subject: Subject, frames: int) -> tuple[Any, Any]:
    """Return seconds of processor time, `[frames]` each: onnxruntime's run, and the rest."""
    ran, rest = [], []
    timed: list[Timed] = []

    class Clocked(Still):
        start = 0.0

        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():  # what a frame costs to make is not in it
                timed[0].seconds = 0.0
                self.start = time.thread_time()
                yield frame
                whole = time.thread_time() - self.start
                ran.append(timed[0].seconds)
                rest.append(whole - timed[0].seconds)

    def opened(project: Project) -> Source:
        classifier: Any = project.classifier
        timed.append(Timed(classifier._session))  # noqa: SLF001  (to time it alone)
        classifier._session = timed[0]  # noqa: SLF001  (as above)
        return Clocked(subject.images)

    drive(subject, opened, frames)
    return np.array(ran[10:]), np.array(rest[10:])


def drive(subject: Subject, opened: Any, frames: int) -> None:
    """Be the device of `edge run`, for so many frames."""
    from edge.classifier import Classifier
    from edge.config import read_config
    from edge.device import Device, Project

    def load() -> Project:
        return Project.of(read_config(subject.config), Classifier(subject.model))

    Device(load, opened, "mock").run(lambda _step, _wiring: None, frames)


# --- What a process costs

BARE = f"""
import sys, time
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = np.zeros(({HEIGHT}, {WIDTH}, 3), np.uint8)
session.run(["probabilities", "novelty"], {{"image": image}})
processor, clock = time.process_time(), time.monotonic()
for _ in range({FRAMES}):
    session.run(["probabilities", "novelty"], {{"image": image}})
for line in open("/proc/self/status"):
    if line.startswith("VmRSS"):
        print(line.split()[1], processor, clock)
"""
EDGE = """
import sys
from edge.startup import hurry
hurry()  # as the command does
from edge_process import edge_run
edge_run(sys.argv[2])
"""


def compare(subjects: list[Subject], turns: int) -> None:
    """Print what the two processes take."""
    print("\n| model | process | memory, MB | to the first decision: processor, s | clock, s |")
    print("| --- | --- | ---: | ---: | ---: |")
    for subject in subjects:
        both(subject)  # compiled files are there from now on
        found = np.array([both(subject) for _ in range(turns)])  # [turns, 2, 3]
        for name, row in zip(("bare", "edge run"), np.median(found, axis=0), strict=True):
            print(
                f"| {subject.name} | {name} | {row[0] / 1000:.1f} | {row[1]:.3f} | {row[2]:.3f} |"
            )
        ratios = np.median(found[:, 1] / found[:, 0], axis=0)
        print(f"| {subject.name} | ratio | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
    print(f"\nMedians over {turns} turns.")


def both(subject: Subject) -> list[list[float]]:
    """Return kB of memory, and seconds to the first decision by both clocks, of both processes."""
    return [process(BARE, subject), process(EDGE, subject)]


def process(code: str, subject: Subject) -> list[float]:
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), *([str(here)] if code is EDGE else [])])
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(subject.model), str(subject.config)],
        capture_output=True, text=True, check=False, env=environment(paths, subject),
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{subject.name}: {done.stderr}")
    memory, processor, clock = (float(word) for word in done.stdout.split("\n")[-2].split())
    return [memory, processor, clock - start]


def environment(paths: str, subject: Subject) -> dict[str, str]:
    """Return the environment of both: what was compiled once is kept, as wherever one installs."""
    kept = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": paths, "PYTHONPYCACHEPREFIX": str(subject.config.parent / "pyc")}


# --- What grows


def soak(subject: Subject, frames: int) -> bool:
    """Print memory and open handles as frames go by; return whether either grows."""
    looks: list[tuple[int, int]] = []
    print("| model | frames | memory, kB | handles |\n| --- | ---: | ---: | ---: |")

    class Looked(Still):
        def asked(self, number: int) -> None:
            if number and number % (frames // MOMENTS) == 0:
                forget_pins()
                looks.append((resident(), len(list(Path("/proc/self/fd").iterdir()))))
                memory, handles = looks[-1]
                print(f"| {subject.name} | {number} | {memory} | {handles} |", flush=True)

    drive(subject, lambda _: Looked(subject.images), frames + 1)
    (before, handles), (after, handles_after) = looks[0], looks[-1]
    grows = after - before > GROWTH or handles != handles_after
    print(f"{subject.name}: {after - before} kB more than after the first tenth"
          f"{': it grows' if grows else ''}")  # fmt: skip
    return grows


def forget_pins() -> None:
    """Let gpiozero's mock pins forget what they were switched to: they keep it all, for tests."""
    import gpiozero

    for pin in gpiozero.Device.pin_factory.pins.values():
        pin.clear_states()


if __name__ == "__main__":
    main()
