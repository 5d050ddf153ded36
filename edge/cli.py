"""The `edge` command: what runs on the Pi."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING

import click

from edge.card import BACKGROUND
from edge.classifier import Classifier
from edge.config import Config, read_config
from edge.console import Group
from edge.outputs import Outputs
from edge.platform import is_raspberry_pi
from edge.service import notify, until_stopped
from edge.sources import default_source, open_source
from edge.watch import Step, make_decider, steps
from edge.wiring import Wiring

if TYPE_CHECKING:
    from edge.outputs.gpio import PinKind

config_option = click.option(
    "--config", "config_path", default="edge.toml", show_default=True, help="What each label does."
)


@click.group("edge", cls=Group)
@click.version_option(package_name="handwave", prog_name="edge")
def main() -> None:
    """Run a taught model on a camera and light LEDs, on a Raspberry Pi or a laptop."""


@main.command(epilog="Example: edge check --config edge.toml")
@config_option
def check(config_path: str) -> None:
    """Check edge.toml, the model and its golden frames; no camera, no pins."""
    config = read_config(config_path)
    classifier = _load(config)
    make_decider(classifier.card, config.decide)
    card = classifier.card
    busy = {label for label, _, _ in config.outputs()}
    click.echo(f"{config.path}: {len(busy)} of {len(card.labels)} labels do something")
    click.echo(f"{config.model}: {', '.join(card.labels)} ({card.training.features} features)")
    click.echo(f"golden frames: {len(card.golden)} of {len(card.golden)} agree with the trainer's")
    accuracy = card.training.accuracy
    figure = "unknown" if accuracy is None else f"{accuracy:.1%}"
    click.echo(f"accuracy when taught: {figure}, measured on {card.training.measured_on}")


@main.command(epilog="Example: edge run --config edge.toml --source virtual --pins mock")
@config_option
@click.option(
    "--source", help="pi, webcam:0, a folder, a video file or virtual.  [default: camera]"
)
@click.option(
    "--pins",
    type=click.Choice(["real", "mock"]),
    help="The header's pins, or gpiozero's mock ones.  [default: real on a Pi]",
)
@click.option("--frames", type=click.IntRange(min=1), help="Stop after so many frames.")
@click.option("--fast", is_flag=True, help="Take drawn frames as fast as they come.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a frame on stdout.")
def run(
    *,
    config_path: str,
    source: str | None,
    pins: PinKind | None,
    frames: int | None,
    fast: bool,
    as_json: bool,
) -> None:
    """Watch the camera and drive the outputs, until Ctrl-C or SIGTERM."""
    with until_stopped():
        config = read_config(config_path)
        classifier = _load(config)
        decider = make_decider(classifier.card, config.decide)
        kind: PinKind = pins or ("real" if is_raspberry_pi() else "mock")
        name = source or config.source or default_source()
        with Wiring(config, kind) as wiring, Outputs(wiring.when, wiring.observers) as outputs:
            camera = open_source(name, size=classifier.card.camera.size, paced=not fast)
            drawn = name.startswith("virtual") and source is None and config.source is None
            what = "drawn hands (no camera found; yours: --source webcam:0)" if drawn else name
            click.echo(f"edge: watching {what}, {kind} pins; Ctrl-C ends it", err=True)
            show = _print_json if as_json else _print_line
            turns = steps(camera, classifier, decider, outputs)
            for number, step in enumerate(islice(turns, frames)):
                if number == 0:
                    notify("READY=1")
                show(number, step, wiring)
            turns.close()  # outputs off and camera closed now, not at some later collection
    if sys.stdout.isatty() and not as_json:
        click.echo("\r\033[K", nl=False)  # the row of the last frame
    click.echo("edge: ended, every output is off", err=True)


def _load(config: Config) -> Classifier:
    classifier = Classifier(config.model)
    labels = classifier.card.labels
    config.check_labels(labels)
    if not config.outputs():
        gesture = next((label for label in labels if label != BACKGROUND), labels[0])
        click.echo(
            f"edge: {config.path}: no label does anything; to light an LED: "
            f"[when.{gesture}] and below it led = 17",
            err=True,
        )
    return classifier


def _print_json(number: int, step: Step, wiring: Wiring) -> None:
    known = step.frame.truth in step.prediction.labels
    line = {
        "frame": number,
        "time": round(step.frame.time, 4),
        "label": step.prediction.label,
        "confidence": round(step.prediction.confidence, 4),
        "novelty": round(step.prediction.novelty, 4),
        "decision": step.decision.label,
        "changed": step.decision.changed,
        "pins": {str(pin): on for pin, on in wiring.states().items()},
        "ms": round(1000 * step.seconds, 3),
        "truth": step.frame.truth if known else None,
        "name": step.frame.name,
    }
    click.echo(json.dumps(line))


def _print_line(_number: int, step: Step, wiring: Wiring) -> None:
    decision = step.decision
    if sys.stdout.isatty():
        now = step.prediction
        click.echo(f"\r\033[K  {now.label:<14} {now.confidence:4.0%}", nl=False)
    if decision.changed:
        lit = " ".join(f"GPIO{pin}" for pin, on in wiring.states().items() if on)
        label = decision.label or "-"
        start = "\r\033[K" if sys.stdout.isatty() else ""
        line = f"{start}{step.frame.time:9.2f} s  {label:<14} {decision.confidence:4.0%}"
        click.echo(f"{line}  on: {lit}" if lit else line)
