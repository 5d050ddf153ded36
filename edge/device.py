"""The standing device: `edge.toml` at work, through whatever happens, until it is told to end."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.button import open_button, power_off
from edge.errors import HandwaveError, SourceError, named
from edge.frame import Frame, Source
from edge.loop import make_decider, steps
from edge.outputs import Outputs
from edge.outputs.wiring import Wiring
from edge.service import Herald, on_hangup, stop_if_asked
from edge.status import Status, runtime_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.classifier import Classifier
    from edge.config import Config
    from edge.decider import Decider
    from edge.loop import Step
    from edge.outputs.gpio import PinKind
    from edge.unsure import Unsure

    Show = Callable[[Step, Wiring], None]

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait before a camera that failed is tried again; the last one for ever."""


BLIND = 1.0
"""Longest time that outputs stay on during a reload, seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """An `edge.toml` and the model that it names, checked against each other."""

    config: Config
    classifier: Classifier
    decider: Decider
    spoiled: str | None = None
    """What is wrong with the project in whose place this one runs."""

    @classmethod
    def of(cls, config: Config, classifier: Classifier) -> Project:
        """Return the project of an `edge.toml` and its model.

        Raises:
            ConfigError: it names a label that the model lacks, or thresholds that contradict it.
        """
        config.check_labels(classifier.card.labels)
        with named(f"{config.path}: "):
            decider = make_decider(classifier.card, config.decide)
        return cls(config, classifier, decider)


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A project with its hardware taken."""

    project: Project
    wiring: Wiring
    outputs: Outputs
    source: Source

    def let_go(self, time: float) -> None:
        """Switch all off: from `time` on, no frames are handled for a while."""
        self.outputs.apply(self.project.decider.nothing(time))


@contextmanager
def _after(seconds: float, call: Callable[..., object], *given: object) -> Iterator[None]:
    """Run `call` in a thread if the block exceeds `seconds`; leaving the block waits for it."""
    timer = threading.Timer(seconds, call, given)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class Device:
    """What stands on the shelf.

    Args:
        load: reads `edge.toml` and the model; called at the start and at each reload.
        open_source: opens the project's camera.
        pins: the header's, or gpiozero's mock ones.
        load_before: reads what ran before this project, for a start at which that cannot be used,
            as a file of it has spoiled; None: there is nothing.
        forever: whether to wait for a camera that is missing or fails, and to reload on a hang-up,
            as a service does. Otherwise the former is an error and the latter ends it.
    """

    def __init__(
        self,
        load: Callable[[], Project],
        open_source: Callable[[Project], Source],
        pins: PinKind,
        *,
        load_before: Callable[[], Project] | None = None,
        forever: bool = False,
    ) -> None:
        self._load, self._open_source, self._pins = load, open_source, pins
        self._load_before = load_before
        self._forever = forever
        self._reload, self._paused = threading.Event(), threading.Event()
        self._herald = Herald()
        self.status = Status(runtime_file() if forever else None)
        """How it is doing, for whoever asks."""
        self.unsure: Unsure | None = None
        """The pictures that it was unsure about, if `[keep]` says so."""

    def run(self, show: Show, frames: int | None = None) -> None:
        """Watch and switch until the source ends, `frames` have passed, or a signal asks.

        `show(step, wiring)` is told of every step.

        Raises:
            HandwaveError: it could not start; or, unless `forever`, the camera failed.
        """
        with on_hangup(self._reload.set if self._forever else None):
            self.status.write()  # otherwise a dead process's last status would look current
            project = self._first()
            running = self._start(project)
            while (following := self._watch(running, show, frames)) is not None:
                try:
                    running = self._start(following)
                    project = following
                except HandwaveError as problem:
                    stop_if_asked()  # by a signal that came while the hardware was let go of
                    log.warning("%s; going back to what ran before", problem)
                    running = self._start(project)

    def _first(self) -> Project:
        """Return the project to begin with: the one before it where it has spoiled."""
        try:
            return self._load()
        except HandwaveError as problem:
            if self._load_before is None:
                raise
            try:
                project = self._load_before()
            except HandwaveError:  # nor that
                raise problem from None
            log.error("%s; running what ran before: %s", problem, project.config.path)
            return replace(project, spoiled=str(problem))

    def _start(self, project: Project) -> _Running:
        """Take a project's hardware: all of it, or none if some cannot be had."""
        self.status.spoiled = project.spoiled
        wiring = Wiring(project.config, self._pins, project.classifier.labels)
        try:
            button = project.config.button
            if button is not None:
                open_button(button, wiring, on_pause=self._pause, on_shutdown=power_off)
            if button is None or "pause" not in {button.press, button.hold}:
                self._paused.clear()  # nothing is left that could end it
            outputs = Outputs(wiring.when, wiring.observers)
            self._keep(project.config.keep.unsure)
            return _Running(project, wiring, outputs, self._camera(project, outputs))
        except BaseException:
            wiring.close()
            raise

    def _keep(self, most: int) -> None:
        """Keep up to `most` pictures; an unchanged number keeps those already held."""
        if not most:
            self.unsure = None
        elif self.unsure is None or self.unsure.most != most:
            from edge.unsure import Unsure  # most keep none

            self.unsure = Unsure(most)

    def _camera(self, project: Project, outputs: Outputs) -> Source:
        if not self._forever:
            return self._open_source(project)

        def lost(problem: SourceError) -> None:
            outputs.apply(project.decider.nothing(time.monotonic()))
            outputs.hush()
            self._herald.trouble(str(problem))
            self.status.say(str(problem))
            self.status.write()

        return Patient(lambda: self._open_source(project), lost, self._reload.wait)

    def _watch(self, running: _Running, show: Show, frames: int | None) -> Project | None:
        """Run a project; return what to go on with after a reload, None at the end."""
        project = running.project
        turns = steps(
            running.source, project.classifier, project.decider, running.outputs,
            paused=self._paused.is_set,
        )  # fmt: skip
        with running.wiring:
            try:
                for number, step in enumerate(turns, 1):
                    self._tell(step, running.outputs)
                    if self.unsure is not None:
                        self.unsure.taken = running.source.taken
                        self.unsure.see(step, project.decider)
                    show(step, running.wiring)
                    if number == frames:
                        return None
                    if self._reload.is_set():
                        with _after(BLIND, running.let_go, step.frame.time):
                            following = self._reloaded()
                        if following is not None:
                            return following
            finally:
                turns.close()  # outputs off and camera closed now, not at some later collection
            # Waiting for a camera ends when a reload is asked for.
            return (self._reloaded() or project) if self._reload.is_set() else None

    def _reloaded(self) -> Project | None:
        """Return what is on disk now; None where that cannot be used."""
        self._reload.clear()
        try:
            project = self._load()
        except HandwaveError as problem:
            log.warning("not reloaded: %s; going on as before", problem)
            return None
        log.warning("reloaded %s", project.config.path)
        return project

    def _pause(self) -> None:
        """Pause, or go on again; a button calls this in a thread of its own."""
        if self._paused.is_set():
            self._paused.clear()
        else:
            self._paused.set()

    def _tell(self, step: Step, outputs: Outputs) -> None:
        self.status.step(step, step.latency)
        self.status.failures = outputs.failures
        self.status.write()
        if step.fresh:
            self._herald.alive(time.monotonic())
        if step.trouble:
            self._herald.trouble(step.trouble)
        else:
            self._herald.watching(step.decision.label)


class Patient(Source):
    """A camera that is opened again, after growing pauses, whenever it fails.

    Args:
        open_source: opens it.
        lost: told what went wrong, each time.
        wait: waits some seconds; returns True to give up.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        lost: Callable[[SourceError], None],
        wait: Callable[[float], bool],
    ) -> None:
        self._open, self._lost, self._wait = open_source, lost, wait
        self._source: Source | None = None

    def __iter__(self) -> Iterator[Frame]:
        failures = 0
        while True:
            try:
                self._source = self._open()
                self.live, self.taken = self._source.live, self._source.taken
                for frame in self._source:
                    failures = 0
                    yield frame
            except SourceError as problem:
                self._lost(problem)
            else:
                return  # a recording has an end; a camera has none
            self.close()
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            if self._wait(pause):
                return

    def now(self) -> float | None:
        """Return the time on the clock of the camera that is open."""
        return None if self._source is None else self._source.now()

    def close(self) -> None:
        """Close the camera, if it is open."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
