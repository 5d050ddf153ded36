"""`command`: any program, started when a label is decided. No shell looks at its arguments."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from edge.files import is_file
from edge.outputs.kind import Kind
from edge.outputs.paths import is_beside
from edge.outputs.process import run
from edge.outputs.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from edge.decider import Decision
    from edge.outputs.apply import Output
    from edge.outputs.wiring import Wiring

log = logging.getLogger(__name__)

KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "XDG_RUNTIME_DIR",
)  # fmt: skip
"""What of our own environment a command gets."""


class Command(Kind, frozen=True):
    """A program: started each time its label is decided, unless it is still running."""

    short: ClassVar[str] = "run"
    lists: ClassVar[bool] = False  # a list is one command
    run: tuple[str, ...] | str
    seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 60.0
    """After which it is ended, with all that it has started."""

    def check(self, folder: Path) -> None:
        if isinstance(self.run, str):
            words = ", ".join(f'"{word}"' for word in self.run.split())
            raise ValueError(f"no shell takes it apart; write a list: [{words}]")  # noqa: TRY004  (of a value)
        if not self.run or not self.run[0]:
            raise ValueError("names no program")
        if any("\0" in word for word in self.run):
            raise ValueError("a null character cannot be part of a command")
        program = self.run[0]
        if "/" in program and not PurePosixPath(program).is_absolute():
            # A push sends files without the right to be run.
            raise ValueError(
                f"'{program}' is no program on the Pi; name the one that runs it first, such as "
                f'["sh", "{program.removeprefix("./")}"]'
            )

    def files(self, folder: Path) -> tuple[str, ...]:
        """Return the arguments that are files beside `edge.toml`: a script has to come along."""
        return tuple(
            str(PurePosixPath(word))
            for word in self.run[1:]
            if is_beside(word) and is_file(folder / word)
        )

    def programs(self) -> tuple[str, ...]:
        return (self.run[0],)

    def open(self, wiring: Wiring) -> Output:
        """Return what starts it; a program that is not here is said now, not refused.

        It may come with an update, and the other outputs are of use without it.
        """
        started = Started(self, wiring.folder)
        if shutil.which(self.run[0], path=started.environment["PATH"]) is None:
            log.error("command: there is no program '%s' here; install it", self.run[0])
        return started


class Started:
    """One command, ready to be started.

    Args:
        settings: what to run, and for how long at most.
        folder: where it runs: `edge.toml`'s.
    """

    def __init__(self, settings: Command, folder: Path) -> None:
        self._settings = settings
        self._folder = folder.resolve()  # `current` may point elsewhere tomorrow
        self._cut = threading.Event()
        self._worker = Worker("command")
        self._running = False
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environment = {"PATH": os.defpath, **kept}
        """What the program gets, but for the decision."""

    def fire(self, decision: Decision) -> None:
        """Start it, unless it is still running; returns at once."""
        if self._running:
            log.error("command: '%s' is still running; not started again", self._settings.run[0])
            return
        self._running = True
        about = {
            "HANDWAVE_LABEL": decision.label or "",
            "HANDWAVE_CONFIDENCE": f"{decision.confidence:.3f}",
        }
        self._worker.do(lambda: self._run({**self.environment, **about}))

    def close(self) -> None:
        """End it, if it is running."""
        self._cut.set()
        self._worker.close()

    def _run(self, environment: dict[str, str]) -> None:
        name, seconds = self._settings.run[0], self._settings.seconds
        try:
            ended = run(
                self._settings.run,
                cut=self._cut,
                seconds=seconds,
                env=environment,
                cwd=self._folder,
            )
            if ended.late:
                log.error("command: '%s' took more than %g s and was ended", name, seconds)
            elif not ended.well:
                log.error("command: '%s': %s", name, ended)
        except OSError as problem:
            log.error("command: '%s' cannot be started: %s", name, problem.strerror)
        finally:
            self._running = False
