"""`picture`: a picture on the whole of an attached screen, while its label is decided.

A program of its own draws it (`show.py`): SDL wants a thread for itself, may take long to start,
and has been seen to crash with a screen's driver; none of that may touch the device. It is told
what to show, line by line, and ends when we do.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edge.outputs.kind import Kind, Section
from edge.outputs.paths import find_beside, read_head, suffix
from edge.outputs.process import GRACE, Once, end, environment, last_line
from edge.outputs.worker import Worker

if TYPE_CHECKING:
    import threading

    from edge.outputs.apply import Output
    from edge.outputs.wiring import Wiring

HEADS = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".gif": (b"GIF87a", b"GIF89a"),
}
"""First bytes of files with each suffix."""
SHOW = Path(__file__).with_name("show.py")
PAUSE = 30.0
"""Seconds between two starts of the program that draws, at least: without a screen it ends soon."""
PATIENCE = 20.0
"""Seconds for an answer, after which it counts as hung; starting may take many."""
LOOK = 0.1
"""Seconds between two looks whether we should stop waiting."""
QUIET = {
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    "SDL_NO_SIGNAL_HANDLERS": "1",
    "SDL_INPUT_LINUX_KEEP_KBD": "1",  # without a desktop SDL would take the keyboard, and Ctrl-C
    "SDL_VIDEO_ALLOW_SCREENSAVER": "0",
    "SDL_AUDIODRIVER": "dummy",
}


class Idle(Section, frozen=True):
    """`[picture]`: what the screen shows while no label with a picture is decided."""

    idle: str | None = None
    """A picture; None is black."""

    def check(self, folder: Path) -> None:
        if self.idle is not None:
            _check(folder, self.idle)

    def files(self, folder: Path) -> tuple[str, ...]:
        return () if self.idle is None else (self.idle,)


class Picture(Kind, frozen=True):
    """A PNG, a JPEG or a GIF, which may move: on the screen while its label is decided."""

    short: ClassVar[str] = "file"
    section: ClassVar[type[Section] | None] = Idle
    file: str

    def check(self, folder: Path) -> None:
        _check(folder, self.file)

    def files(self, folder: Path) -> tuple[str, ...]:
        return (self.file,)

    def open(self, wiring: Wiring) -> Output:
        section = wiring.section("picture")
        idle = section.idle if isinstance(section, Idle) else None
        path = None if idle is None else find_beside(wiring.folder, idle).resolve()
        screen = wiring.share("picture", lambda: Screen(path))
        return Shown(find_beside(wiring.folder, self.file).resolve(), screen)


class Shown:
    """A picture that is on the screen or not.

    Args:
        path: the picture.
        screen: what it is shown on.
    """

    def __init__(self, path: Path, screen: Screen) -> None:
        self._path, self._screen = path, screen
        screen.prepare(path)

    def on(self) -> None:
        """Have it shown; returns at once."""
        self._screen.show(self._path)

    def off(self) -> None:
        """Have the idle picture shown; returns at once."""
        self._screen.hide()


class Screen:
    """The attached screen, which all pictures share: the newest is shown.

    A worker speaks to the program that draws. Should that end, as it does without a screen, one
    line says so, and it is started anew when there is something to show.

    Args:
        idle: what to show while there is nothing else; None is black.
    """

    def __init__(self, idle: Path | None = None) -> None:
        self._idle = idle
        self._wanted: Path | None = idle
        self._shown: Path | None = None  # what the painter shows, as far as we know
        self._painter: Painter | None = None
        self._started_at = float("-inf")
        self._once = Once()
        self._each: defaultdict[Path | None, Once] = defaultdict(Once)  # by picture
        self._worker = Worker("picture")
        self._worker.do(self._tell)  # takes the screen, so that no login is seen

    def prepare(self, picture: Path) -> None:
        """Have a picture read when there is time, so that it is shown without delay."""
        self._worker.prepare(lambda: self._ask("load", picture))

    def show(self, picture: Path) -> None:
        """Show a picture from now on; returns at once."""
        self._wanted = picture
        self._worker.do(self._tell)

    def hide(self) -> None:
        """Show the idle picture from now on; returns at once."""
        self._wanted = self._idle
        self._worker.do(self._tell)

    def save(self, path: Path) -> None:
        """Have what the screen shows written to a BMP or PNG, for who cannot see it; at once."""
        self._worker.do(lambda: self._ask("save", path))

    def close(self) -> None:
        """Give the screen back."""
        self._worker.close()
        if self._painter is not None:
            self._painter.close()

    def _tell(self) -> None:
        """Make the painter show what should be shown."""
        wanted = self._wanted
        if self._painter is None and time.monotonic() - self._started_at > PAUSE:
            self._started_at = time.monotonic()
            self._shown = None
            self._painter = Painter(self._worker.stopping)
            self._ask("start")
        if wanted != self._shown and self._ask("show", wanted):
            self._shown = wanted

    def _ask(self, what: str, path: Path | None = None) -> bool:
        """Have the painter do something; return whether it did."""
        if self._painter is None:
            return False
        try:
            trouble = self._painter.ask(what, None if path is None else str(path))
        except PainterError as problem:
            self._painter.close()
            self._painter = None
            if what == "start" or not self._worker.stopping.is_set():
                self._once.trouble(f"picture: {problem}")
            return False
        if trouble:
            self._each[path].trouble(f"picture: {trouble}")
        elif what == "show":
            self._each[path].over()
            self._once.over()
        return True


class PainterError(Exception):
    """The program that draws has ended, or does nothing any more."""


class Painter:
    """The program that draws, as a child of ours.

    Args:
        stopping: when set, nothing is waited for.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._said = b""
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(SHOW)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env={**environment(), **QUIET},
            start_new_session=True,
        )

    def ask(self, what: str, path: str | None) -> str:
        """Have it do something, and wait until it has; return what was wrong, if anything.

        Raises:
            PainterError: it has ended, or is silent for `PATIENCE` seconds.
        """
        assert self._child.stdin and self._child.stdout  # noqa: PT018, S101  (they are pipes)
        with suppress(BrokenPipeError):  # its last message is read below
            self._child.stdin.write(json.dumps([what, path]).encode() + b"\n")
        until = time.monotonic() + PATIENCE
        while not self._stopping.is_set():
            if select.select([self._child.stdout], [], [], LOOK)[0]:
                said = self._child.stdout.read(4096)
                if not said:
                    raise PainterError(last_line(self._said) or "the program that draws has ended")
                self._said = (self._said + said)[-4000:]
                answer = self._answer()
                if answer is not None:
                    return answer
            elif time.monotonic() > until:
                raise PainterError(f"the screen did nothing for {PATIENCE:g} s")
        raise PainterError("the screen was not ready yet when it had to stop")

    def close(self) -> None:
        """End it, which gives the screen back; waits a moment at most."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE)  # at the end of its stdin it exits by itself, tidily
        if self._child.poll() is None:
            end(self._child)

    def _answer(self) -> str | None:
        """Return what is wrong, "" for nothing; None while it has not answered.

        Drivers below it say things of their own, line by line; its answers are marked.
        """
        *lines, rest = self._said.split(b"\n")
        for line in lines:
            if line.startswith(b"handwave: "):
                self._said = rest
                return line.removeprefix(b"handwave: ").decode(errors="replace").removeprefix("ok")
        return None


def _check(folder: Path, name: str) -> None:
    """Check that a picture is there, and is what its ending says."""
    ending = suffix(name, HEADS)
    if not read_head(find_beside(folder, name)).startswith(HEADS[ending]):
        raise ValueError(f"'{name}' is no {ending} file, whatever its name; convert it")
