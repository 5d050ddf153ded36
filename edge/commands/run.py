"""`edge run`: a camera, a model and pins, until it is stopped."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING

import click
import msgspec

from edge.card import BACKGROUND
from edge.classifier import Classifier
from edge.commands.options import config_option, pins_option
from edge.config import FORMS, read_config
from edge.console import Command
from edge.device import Device, Project
from edge.service import until_stopped
from edge.sources.opening import default_source, open_source
from edge.startup import preload, settle
from edge.status import SOCKET, runtime_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from edge.config import Config
    from edge.device import Show
    from edge.frame import Source
    from edge.loop import Step
    from edge.outputs.gpio import PinKind
    from edge.outputs.wiring import Wiring
    from edge.page import Page

log = logging.getLogger(__name__)


@click.command(
    "run", cls=Command, epilog="Example: edge run --config edge.toml --source virtual --pins mock"
)
@config_option
@click.option(
    "--source", callback=lambda _ctx, _param, word: _not_empty(word),
    help=f"{FORMS}; folders and videos are played as fast as this machine can.  "
    "[default: camera]",
)  # fmt: skip
@pins_option
@click.option("--frames", type=click.IntRange(min=1), help="Stop after so many frames.")
@click.option("--fast", is_flag=True, help="Take drawn frames as fast as they come.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a frame on stdout.")
@click.option(
    "--forever", is_flag=True,
    help="As a service: wait for a camera that fails, reload on SIGHUP.",
)  # fmt: skip
@click.option(
    "--before", metavar="PATH", envvar="HANDWAVE_BEFORE",
    help="As a service: the edge.toml that ran before, for a start at which --config's, or its "
    "model, has spoiled.",
)  # fmt: skip
@click.option(
    "--serve", "port", type=click.IntRange(0, 65535), metavar="PORT",
    help="Show a live page at this port, and /metrics.",
)  # fmt: skip
@click.option(
    "--serve-host", "host", default="127.0.0.1", show_default=True,
    help="Address of the page; one that others reach needs HANDWAVE_TOKEN.",
)  # fmt: skip
def run(
    *,
    config_path: str,
    source: str | None,
    pins: PinKind,
    frames: int | None,
    fast: bool,
    as_json: bool,
    forever: bool,
    before: str | None,
    port: int | None,
    host: str,
) -> None:
    """Watch the camera and drive the outputs, until Ctrl-C or SIGTERM.

    A line is a decision: when, for which label (- is for none), how sure it is, and what is on.
    """

    def load(path: str = config_path) -> Project:
        config = read_config(path)
        preload(*_slow(config, _source(source, config)))
        return open_project(config)

    def open_camera(project: Project) -> Source:
        config, taken = project.config, project.classifier.card.camera
        name = _source(source, config)
        camera = open_source(
            name, size=taken.size, paced=not fast, camera=config.camera, taken=taken
        )
        drawn = name.startswith("virtual") and source is None and config.source is None
        what = "drawn hands (no camera found; yours: --source webcam:0)" if drawn else name
        click.echo(f"edge: watching {what}, {pins} pins; Ctrl-C ends it", err=True)
        return camera

    with until_stopped():
        show = _json_printer() if as_json else _print_line
        load_before = partial(load, before) if before and forever else None
        device = Device(load, open_camera, pins, load_before=load_before, forever=forever)
        with _page(device, port, host) as page, _door(device, forever=forever) as door:
            device.run(_all(show, page, door), frames)
    if sys.stdout.isatty() and not as_json:
        click.echo("\r\033[K", nl=False)  # the row of the last frame
    click.echo("edge: ended, every output is off", err=True)


@contextmanager
def _page(device: Device, port: int | None, host: str) -> Iterator[Show | None]:
    """Serve the live page within the block, if a port is given; yield what shows it a step."""
    if port is None:
        yield None
        return
    from edge.page import Page, find_token

    page = Page(device.status, port, host=host, token=find_token(), kept=lambda: device.unsure)
    click.echo(f"edge: live page at {page.address}", err=True)

    def show(step: Step, wiring: Wiring) -> None:
        page.names = wiring.names
        page.show(step, wiring.states)

    try:
        yield show
    finally:
        page.close()


@contextmanager
def _door(device: Device, *, forever: bool) -> Iterator[Show | None]:
    """Serve the page on a socket in the service's folder, if any, for the service's group."""
    path = runtime_file(SOCKET) if forever else None
    if path is None:
        yield None
        return
    from edge.door import Door

    def open_page(listener: socket.socket) -> Page:
        from edge.page import Page  # only once somebody comes

        return Page(device.status, 0, listener=listener, kept=lambda: device.unsure)

    try:
        door = Door(path, open_page)
    except OSError as problem:  # no reason not to watch
        log.warning("%s: nobody can look: %s", path, problem)
        yield None
        return
    try:
        yield door.show
    finally:
        door.close()


def _all(*shows: Show | None) -> Show:
    """Return one function that calls each of these that is not None."""
    wanted = [show for show in shows if show is not None]

    def show_all(step: Step, wiring: Wiring) -> None:
        for show in wanted:
            show(step, wiring)

    return wanted[0] if len(wanted) == 1 else show_all


def _not_empty(source: str | None) -> str | None:
    if source == "":  # as from a variable that is not set
        raise click.BadParameter("it is empty; leave it out for the camera")
    return source


def _source(asked: str | None, config: Config) -> str:
    """Return the source to open: the one asked for, or else the configured one."""
    return asked or config.source or default_source()


def _slow(config: Config, source: str) -> Iterator[Callable[[], object]]:
    """Yield functions that import the large libraries of the outputs and the camera."""
    if config.outputs():
        yield partial(import_module, "gpiozero")
    if source == "pi":
        from edge.sources.camera import load_picamera2  # only on a Pi

        yield load_picamera2


def open_project(config: Config) -> Project:
    """Open the model, and print what the user should know before it watches."""
    project = Project.of(config, Classifier(config.model))
    settle()
    if config.keep.unsure:
        click.echo(
            f"edge: {config.path}: [keep] up to {config.keep.unsure} pictures that it is unsure "
            "about, in memory, for `deploy pull`",
            err=True,
        )
    if not config.outputs():
        labels = project.classifier.labels
        gesture = next((label for label in labels if label != BACKGROUND), labels[0])
        click.echo(
            f"edge: {config.path}: no label does anything; to light an LED: "
            f"[when.{gesture}] and below it led = 17",
            err=True,
        )
    return project


def _json_printer() -> Show:
    numbers = count()

    def show(step: Step, wiring: Wiring) -> None:
        known = step.frame.truth in step.prediction.labels
        line = {
            "frame": next(numbers),
            "time": round(step.frame.time, 4),
            "label": step.prediction.label,
            "confidence": round(step.prediction.confidence, 4),
            "novelty": round(step.prediction.novelty, 4),
            "decision": step.decision.label,
            "changed": step.decision.changed,
            "trouble": step.trouble,
            "pins": {str(pin): on for pin, on in wiring.states().items()},
            "ms": round(1000 * step.seconds, 3),
            "truth": step.frame.truth if known else None,
            "name": step.frame.name,
        }
        click.echo(msgspec.json.encode(line))

    return show


def _print_line(step: Step, wiring: Wiring) -> None:
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
