"""`edge status`: what the service last said of itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from edge.console import Command
from edge.errors import HandwaveError, printable
from edge.files import read_bounded
from edge.service import until_stopped
from edge.status import STALE, Report
from edge.words import in_words, times

STATUS_FILE = "/run/handwave/status.json"
UNIT = "handwave.service"
MAX_BYTES = 64_000


class Unit(msgspec.Struct, frozen=True):
    """What systemd says of the service."""

    state: str
    """Such as `active (running)`."""
    restarts: int | None
    """How often systemd has started it again by itself."""


class Word(msgspec.Struct, frozen=True):
    """The service's last word, and how old it is."""

    report: Report
    age: float
    """Seconds."""
    gone: bool
    """Whether its process has ended."""

    @property
    def fresh(self) -> bool:
        """Whether the service still speaks."""
        return self.age <= STALE and not self.gone


@click.command("status", cls=Command, epilog="Example: edge status --json")
@click.option("--file", "path", default=STATUS_FILE, show_default=True, help="The service's file.")
@click.option("--unit", default=UNIT, show_default=True, help="The service's name in systemd.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--watch", "again", is_flag=True, help="Every second, until Ctrl-C.")
def status(*, path: str, unit: str, as_json: bool, again: bool) -> None:
    """Say how the running service is doing; exit code 1 if it is not running, or silent."""
    tell = _tell_json if as_json else _tell
    if not again:
        tell(Path(path), unit)
        return
    with until_stopped():
        while True:
            if sys.stdout.isatty() and not as_json:
                click.clear()
            try:
                tell(Path(path), unit)
            except HandwaveError as problem:
                click.echo(f"edge: {problem}", err=True)
            time.sleep(1)


def read_word(path: Path, unit: Unit | None = None, *, now: float | None = None) -> Word:
    """Read the status file of a service on this machine.

    Args:
        path: the file.
        unit: what systemd says of the service.
        now: this machine's monotonic clock; None looks at it.

    Raises:
        HandwaveError: there is none, or it is no status file.
    """
    missing = (
        "the service is not running; start it with: sudo systemctl start handwave"
        if unit
        else "no handwave service runs on this machine; how a Pi's does: deploy status HOST"
    )
    content = read_bounded(path, MAX_BYTES, what="status", missing=missing, error=HandwaveError)
    try:
        report = msgspec.json.decode(content, type=Report)
    except msgspec.MsgspecError as problem:
        raise HandwaveError(f"{path}: not the status of this edge: {problem}") from None
    now = time.monotonic() if now is None else now
    return Word(report, round(max(now - report.written, 0.0), 1), _is_gone(report.pid))


def ask_systemd(unit: str) -> Unit | None:
    """Return what systemd says of a unit; None without systemd or the unit."""
    if shutil.which("systemctl") is None:
        return None
    wanted = "LoadState,ActiveState,SubState,NRestarts"
    try:
        done = subprocess.run(
            ["systemctl", "show", f"--property={wanted}", "--", unit],
            capture_output=True, text=True, check=True, timeout=5, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):  # such as a container, without systemd in it
        return None
    return parse_unit(done.stdout)


def parse_unit(text: str) -> Unit | None:
    """Return what `systemctl show` says, line by line `Name=value`; None for no such unit."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if said.get("LoadState") != "loaded":
        return None
    restarts = said.get("NRestarts", "")
    return Unit(
        f"{said.get('ActiveState', '?')} ({said.get('SubState', '?')})",
        int(restarts) if restarts.isdecimal() else None,
    )


def _tell_json(path: Path, unit: str) -> None:
    found = ask_systemd(unit)
    word, problem = None, None
    try:
        word = read_word(path, found)
        problem = None if word.fresh else _silent(word)
    except HandwaveError as error:
        problem = str(error)
    said: dict[str, Any] = {
        "running": problem is None,
        "problem": problem,
        "age": word.age if word else None,
        "unit": found.state if found else None,
        "restarts": found.restarts if found else None,
        **(msgspec.to_builtins(word.report) if word else {}),
    }
    click.echo(msgspec.json.encode(said))
    if problem is not None:
        raise HandwaveError(problem)


def _tell(path: Path, unit: str) -> None:
    found = ask_systemd(unit)
    if found is not None:
        again = f", started again {times(found.restarts)}" if found.restarts else ""
        click.echo(f"{'service':<9} {found.state}{again}")
    word = read_word(path, found)
    for name, text in describe(word.report):
        click.echo(f"{name:<9} {printable(text)}")
    if not word.fresh:
        raise HandwaveError(_silent(word))


def describe(report: Report) -> list[tuple[str, str]]:
    """Return a report as lines: what, and how it is."""
    shown = "nothing decided"
    if report.label is not None:
        sure = "" if report.confidence is None else f", {report.confidence:.0%} sure"
        shown = f"{report.label} for {in_words(report.label_for)}{sure}"
    last = "" if report.last_frame is None else f", the last {in_words(report.last_frame)} ago"
    spoiled = (
        [] if report.spoiled is None else [("spoiled", f"{report.spoiled}; runs the one before")]
    )
    lines = [
        *spoiled,
        ("state", f"{report.state}, for {in_words(report.state_for)}"),
        ("shown", shown),
        ("frames", f"{report.frames:,}, {report.fps:.1f} a second{last}"),
    ]
    for name, spread in (("latency", report.latency_ms), ("our part", report.process_ms)):
        if spread is not None:
            lines.append((name, f"{spread.p50:.3g} ms (half), {spread.p99:.3g} ms (99 in 100)"))
    if report.output_failures:
        lines.append(("outputs", f"failed {times(report.output_failures)}; see the log"))
    lines += [("machine", text) for text in [_machine(report)] if text]
    release = "" if report.release is None else f", release {report.release}"
    lines.append(("running", f"for {in_words(report.uptime)}{release}"))
    return lines


def _machine(report: Report) -> str:
    parts = []
    if report.memory_mb is not None:
        parts.append(f"{report.memory_mb:.0f} MB")
    if report.temperature is not None:
        parts.append(f"{report.temperature:.0f} °C")
    if report.undervoltage:
        parts.append("too little power: use a better supply or a shorter cable")
    elif report.throttled:
        parts.append("too hot, so it slows down: give it air")
    return ", ".join(parts)


def _is_gone(pid: int) -> bool:
    """Return whether there is no such process on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def _silent(word: Word) -> str:
    if word.gone:
        return (
            f"its process, {word.report.pid}, is there no more: it ended or was killed; "
            "look at: journalctl -u handwave -n 20"
        )
    return (
        f"last word {in_words(word.age)} ago: the service hangs or was killed; "
        "look at: journalctl -u handwave -n 20"
    )
