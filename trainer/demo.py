"""The whole path without hardware: teach, export, run the real edge service, light mock LEDs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import PIL.Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edge.card import BACKGROUND
from edge.config import Decide
from edge.errors import HandwaveError
from edge.sources.virtual import LABELS, Scene, draw
from trainer.dataset import Dataset, check_teachable, read_dataset, without_copies
from trainer.demo_show import Show
from trainer.errors import DataError
from trainer.export import export
from trainer.features import make_features
from trainer.plots import plot_confusion, plot_loss
from trainer.progress import counting_bar, progress_bar
from trainer.recipe import teach
from trainer.repeats import join_repeating
from trainer.splits import split
from trainer.taken import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge.card import Card
    from edge.frame import Image
    from trainer.features import Features

MARK = ".handwave-demo"
"""A file in every folder that a demo may overwrite; it holds the edge.toml that was written."""
ROOMS, PICTURES = 24, 8
"""Drawn sessions, each another person in another room, and pictures of each label in each."""
SIZE = (160, 120)
"""`(width, height)` of the drawn pictures, pixels."""
STRANGER = ROOMS
"""Seed of the drawn stream: the first person and room that were not taught."""
FRAMES = 450
"""Half a minute of the drawn stream, at 15 frames a second."""
FREE_PINS = (17, 27, 22, 23, 24, 25, 5, 6, 13, 19, 26, 12, 16, 20, 21, 4)
"""BCM pins for LEDs, the ones without a second duty first."""
BUZZER = 18
"""The first gesture's buzzer."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo trains on, and the stream it then watches."""

    dataset: Dataset
    source: str
    frames: int | None
    about: str
    """What the stream is, in words."""


def run_demo(
    data: Path | None,
    folder: Path,
    console: Console | None = None,
    *,
    kinds: Callable[[], Sequence[Features]] = lambda: [make_features("edges")],
) -> None:
    """Teach, export, run and show; leave the model and two plots in a folder.

    Args:
        data: the user's own pictures; None draws hands.
        folder: where everything goes; made if it is not there.
        console: where to show it; None: stdout.
        kinds: returns features to choose among; `edges` is enough for drawn hands.

    Raises:
        HandwaveError: pictures that cannot be learned from, or a service that failed.
    """
    console = console or Console(highlight=False)
    stage = _drawn_stage(folder) if data is None else _own_stage(data, folder)
    labels = stage.dataset.labels
    console.print(
        f"[bold]teach[/]   {len(stage.dataset.pictures)} pictures: {escape(', '.join(labels))}"
    )
    choices = kinds()
    start = time.perf_counter()
    with (
        counting_bar("reading pictures") as reading,
        counting_bar("measuring on sessions held out") as measuring,
        progress_bar() as progress,
    ):
        taught = teach(
            stage.dataset, choices, reading=reading, measuring=measuring, progress=progress
        )
    seconds = time.perf_counter() - start

    card = export(taught, folder / "model.onnx")
    plot_loss(taught.history, folder / "loss.png")
    size = (folder / "model.onnx").stat().st_size / 1000
    where = escape(str(folder / "model.onnx"))
    what = f"{size:.0f} kB, {taught.features.name} features"
    console.print(f"[bold]export[/]  {where}, {what}, checked in onnxruntime")

    config = _write_config(card, folder)
    console.print(f"[bold]run[/]     edge run --config {escape(str(config))} --pins mock")
    console.print(f"        on {stage.about}")
    console.print("        a frame a second, and each at which a lamp (●) changes: these follow")
    console.print("        what is decided, a moment later than what a single frame looks like\n")
    with Show(console, card.labels) as show:
        for line in _edge_run(config, stage):
            show.frame(line)
        show.end()
    plot_confusion(card.labels, show.confusion, stage.about, folder / "confusion.png")
    _summary(console, show, card, seconds, folder)


def _claim(folder: Path) -> None:
    """Make the demo's folder, or take an earlier demo's: it will be overwritten.

    Raises:
        DataError: it holds something else, such as somebody's own gestures; or cannot be made.
    """
    mark = folder / MARK
    if folder.is_dir() and any(folder.iterdir()) and not mark.exists():
        raise DataError(
            f"{folder}: holds things that no demo made, and this one would overwrite them; choose "
            "a new folder with -o"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as problem:
        raise DataError(f"{folder}: cannot be written to: {problem.strerror}") from None


def _drawn_stage(folder: Path) -> Stage:
    """Draw the training pictures, unless an earlier demo already did."""
    _claim(folder)
    data = folder / "drawn"  # not data, into which somebody might record
    wanted = len(LABELS) * ROOMS * PICTURES
    if sum(1 for _ in data.rglob("*.jpg")) != wanted:
        new = folder / "drawn.new"
        shutil.rmtree(new, ignore_errors=True)
        with counting_bar("drawing pictures") as progress:
            for number, (path, image) in enumerate(_drawings(new), start=1):
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(image).save(path, quality=92)
                progress(number, wanted)
        shutil.rmtree(data, ignore_errors=True)
        new.rename(data)  # whole or not at all: the next demo trusts it
    about = "a drawn person in a drawn room, both new to it"
    return Stage(read_dataset(data), f"virtual:{STRANGER}", FRAMES, about)


def _drawings(root: Path) -> Iterator[tuple[Path, Image]]:
    for room in range(ROOMS):
        scene = Scene.random(room, SIZE)
        for label in LABELS:
            for number in range(PICTURES):
                path = root / label / f"room{room}" / f"{number:02d}.jpg"
                yield path, draw(label, scene, PICTURES * room + number)


def _own_stage(data: Path, folder: Path) -> Stage:
    """Keep some sessions of the user's pictures from the training, for the stream."""
    dataset = join_repeating(without_copies(read_dataset(data)))
    check_teachable(dataset)
    train, kept = split(dataset)
    about = f"{len(kept)} pictures of sessions it has never seen"
    if not kept:
        train, kept = _tails(dataset)
        about = "the last pictures of the very recordings it was taught: this flatters"
    stream = folder / "stream"
    if any(p.path.resolve().is_relative_to(stream.resolve()) for p in dataset.pictures):
        raise DataError(f"{data}: lies where the demo puts its own pictures; choose another -o")
    _claim(folder)
    shutil.rmtree(stream, ignore_errors=True)
    for index in kept:
        picture = dataset.pictures[index]
        name = f"{index:06d}{picture.path.suffix}"  # two folders of a session may share names
        copy = stream / picture.label / picture.session / name
        if not copy.parent.is_dir():
            copy.parent.mkdir(parents=True)
            if picture.taken.is_set:
                note(picture.taken, copy.parent)
        shutil.copyfile(picture.path, copy)
    return Stage(dataset.only(train), str(stream), None, about)


def _tails(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Split off the last quarter of each label's one recording, for want of a second one.

    Good to see the LEDs light, and no measure of anything: neighbours in a burst are near copies.
    """
    learn: list[int] = []
    show: list[int] = []
    for label in dataset.labels:
        mine = [i for i, picture in enumerate(dataset.pictures) if picture.label == label]
        cut = max(1, len(mine) * 3 // 4)
        learn += mine[:cut]
        show += mine[cut:]
    if not show:
        raise DataError(
            f"{dataset.root}: one picture a label leaves nothing to show the trained model; "
            "record more: trainer capture LABEL"
        )
    return learn, show


def _write_config(card: Card, folder: Path) -> Path:
    """Write an edge.toml with an LED for each gesture, and a buzzer for the first one too."""
    lines = ["# What each gesture does. Pins are BCM numbers.", 'model = "model.onnx"']
    buzzer = BUZZER
    for label, pin in _leds(card.labels).items():
        lines += ["", f"[when.{json.dumps(label, ensure_ascii=False)}]", f"led = {pin}"]
        if buzzer:
            lines.append(f"buzzer = {buzzer}")
            buzzer = 0
    path, text = folder / "edge.toml", "\n".join(lines) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") not in {text, _written(folder)}:
        path.replace(folder / "edge.toml.old")  # somebody has made it theirs
    path.write_text(text, encoding="utf-8")
    (folder / MARK).write_text(text, encoding="utf-8")
    return path


def _written(folder: Path) -> str:
    """Return the edge.toml that the last demo wrote."""
    return (folder / MARK).read_text(encoding="utf-8")


def _leds(labels: list[str]) -> dict[str, int]:
    """Return a pin for each gesture, as far as there are pins."""
    gestures = [label for label in labels if label != BACKGROUND]
    return dict(zip(gestures, FREE_PINS, strict=False))


def _edge_run(config: Path, stage: Stage) -> Iterator[dict[str, Any]]:
    """Run the real service in a process of its own, and yield what it says about each frame."""
    command = [sys.executable, "-P", "-m", "edge", "run", "--config", str(config)]
    command += ["--source", stage.source, "--pins", "mock", "--fast", "--json"]
    command += ["--frames", str(stage.frames)] if stage.frames else []
    with (
        tempfile.TemporaryFile("w+") as errors,  # no pipe: it could fill up and stop the service
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as edge,
    ):
        try:
            for line in edge.stdout or ():
                yield json.loads(line)
        except BaseException:
            edge.terminate()  # it switches its outputs off
            raise
        edge.wait()
        errors.seek(0)
        said = errors.read().strip().splitlines() or [f"exit code {edge.returncode}"]
    if edge.returncode != 0:
        raise HandwaveError(f"edge run failed: {said[-1]}")


def _summary(console: Console, show: Show, card: Card, seconds: float, folder: Path) -> None:
    events = show.events
    decisions = events.seen + events.false + events.repeated
    flashed = events.brief(Decide().hold)
    brief = f", {flashed} of them too brief to be decided" if flashed else ""
    table = Table.grid(padding=(0, 2))
    for name, value in {
        "accuracy": f"{show.accuracy:.1%} of {show.confusion.sum()} frames it was not trained on",
        "held out": _held_out(card),
        "trained in": f"{seconds:.1f} s, reading pictures included",
        "speed": f"{show.rate:.0f} frames a second, with their making; "
        f"{show.milliseconds:.1f} ms to the pins",
        "decisions": f"{events.seen} of {decisions} right, {events.false} wrong, "
        f"{events.repeated} repeated; {events.missed} of {events.shown} gestures missed{brief}",
    }.items():
        table.add_row(f"  [bold]{name}[/]", value)
    console.print()
    console.print(table)
    console.print()
    files = {
        "model.onnx": "the model, all in one file",
        "edge.toml": "what each gesture does",
        "loss.png": "how it learned",
        "confusion.png": "what it takes for what",
    }
    width = max(len(str(folder / name)) for name in files)
    for name, what in files.items():  # a table would cut a long path, which one wants to copy
        line = Text(f"  {folder / name!s:<{width}}  ").append(what, style="dim")
        console.print(line, soft_wrap=True)


def _held_out(card: Card) -> str:
    """Say how good it is in sessions (rooms, people) of which it was taught nothing at all."""
    training = card.training
    if training.accuracy is None:
        return "nothing: too few sessions"
    return f"{training.accuracy:.1%} of {training.measured_on}"
