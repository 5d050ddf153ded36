"""How the device is doing: gathered frame by frame, told to whoever asks."""

from __future__ import annotations

import logging
import math
import os
import time
from bisect import bisect_left
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.loop import Step

log = logging.getLogger(__name__)

WATCHING = "watching"
"""The state in which all is well."""
LAST = 1000
"""Frames that the percentiles cover: a minute, at 15 a second."""
RECENT = 5.0
"""Seconds over which frames a second are counted."""
STALE = 30.0
"""Seconds after which a service has fallen silent, as for systemd's watchdog: it writes each second
while frames come, and each time it looks for a camera that is not there."""
SECOND = 1.0
"""Seconds between two writes of the file, and two reads of /sys, at least."""
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
"""Seconds up to which each bucket of a `Times` counts; one more takes the rest."""
HOT = 80.0
"""Degrees Celsius from which a Raspberry Pi slows itself down."""


class Spread(msgspec.Struct, frozen=True):
    """Percentiles of the last thousand frames' times, milliseconds."""

    p50: float
    """Half of them took at most this."""
    p99: float
    """Ninety-nine in a hundred did."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know at one moment; the status file is one of these as JSON.

    Times are seconds before the report: a Pi without a network does not know what time it is.
    """

    release: str | None
    """Which bundle runs; None where `deploy push` did not put it there."""
    pid: int
    uptime: float
    state: str
    """`watching`, or in words why it does not: `paused`, or what is wrong with the camera."""
    state_for: float
    label: str | None
    """What is decided; None is undecided."""
    confidence: float | None
    """None before the first frame."""
    label_for: float
    frames: int
    last_frame: float | None
    fps: float
    """Frames a second, over the last few seconds."""
    latency_ms: Spread | None
    """From a frame's arrival to the pins that follow from it."""
    process_ms: Spread | None
    """The part of it that is ours: model, deciding, outputs."""
    output_failures: int
    spoiled: str | None = None
    """What is wrong with the release, where the one before it runs in its place."""
    temperature: float | None
    """Of the processor, degrees Celsius."""
    undervoltage: bool | None
    throttled: bool | None
    """Whether the Pi slows itself down: too hot, or too little power."""
    memory_mb: float | None
    """What the process takes (resident), megabytes."""
    written: float
    """When, by this machine's monotonic clock, which no network sets."""


class Times:
    """How long frames took: the last thousand of them, and counts of all by size."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        """Seconds, of all."""
        self.buckets = [0] * (len(BOUNDS) + 1)
        self._ring: list[float] = []

    def add(self, seconds: float) -> None:
        """Take one more."""
        seconds = max(seconds, 0.0)
        if self.count < LAST:
            self._ring.append(seconds)
        else:
            self._ring[self.count % LAST] = seconds
        self.count += 1
        self.total += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1

    def spread(self) -> Spread | None:
        """Return the percentiles; None where there was nothing yet."""
        ordered = sorted(self._ring)
        return Spread(_at(ordered, 0.5), _at(ordered, 0.99)) if ordered else None


class Status:
    """The device's figures. Memory stays constant for years; a frame costs a few microseconds.

    Another thread may ask for a report at any time.

    Args:
        path: the file to write; `runtime_file()` for a service. None writes none.
        clock: seconds; only differences mean something.
        root: where `sys` and `proc` are.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        root: Path = Path("/"),
    ) -> None:
        self.failures = 0
        """How often an output has failed."""
        self.spoiled: str | None = None
        """Why what ran before runs; see `Report`."""
        self.latency, self.process = Times(), Times()
        self.decided: Counter[str] = Counter()
        """How often each label was decided."""
        self._path, self._clock, self._machine = path, clock, _Machine(root)
        self._release = find_release()
        now = clock()
        self._started = self._state_since = self._label_since = now
        self._written = self._looked = -math.inf
        self._written_as: tuple[str, str | None] = ("", None)
        self._state = "starting"
        self._label: str | None = None
        self._confidence: float | None = None
        self._frames = 0
        self._arrivals = [-math.inf] * 256  # a ring

    @property
    def state(self) -> str:
        """The state in words."""
        return self._state

    def step(self, step: Step, latency: float | None = None) -> None:
        """Take one turn of the loop.

        Args:
            step: the turn.
            latency: seconds from the frame's arrival to the pins; None where nobody knows.
        """
        now = self._clock()
        decision = step.decision
        self._arrivals[self._frames % len(self._arrivals)] = now
        self._frames += 1
        self._confidence = round(decision.confidence, 4)
        if decision.changed or decision.label != self._label:
            self._label, self._label_since = decision.label, now
            if decision.label is not None:
                self.decided[decision.label] += 1
        self.process.add(step.seconds)
        if latency is not None:
            self.latency.add(latency)
        self.say(step.trouble or WATCHING)

    def say(self, state: str) -> None:
        """Set the state in words, such as `camera absent: ...`."""
        if state != self._state:
            self._state, self._state_since = state, self._clock()
            if state != WATCHING:
                self._label, self._label_since = None, self._state_since  # nothing is decided then

    def report(self) -> Report:
        """Return all there is to know now."""
        now = self._clock()
        arrivals = self._recent(now)
        if now - self._looked >= SECOND:
            self._looked = now
            self._machine.look()
        return Report(
            release=self._release,
            pid=os.getpid(),
            uptime=_since(self._started, now),
            state=self._state,
            state_for=_since(self._state_since, now),
            label=self._label,
            confidence=self._confidence if self._state == WATCHING else None,
            label_for=_since(self._label_since, now),
            frames=self._frames,
            last_frame=_since(self._last(), now) if self._frames else None,
            fps=_rate(arrivals, now),
            latency_ms=self.latency.spread(),
            process_ms=self.process.spread(),
            output_failures=self.failures,
            spoiled=self.spoiled,
            temperature=self._machine.temperature,
            undervoltage=self._machine.undervoltage,
            throttled=self._machine.throttled,
            memory_mb=self._machine.memory_mb,
            written=round(now, 3),
        )

    def write(self) -> None:
        """Write the report to the file, whole or not at all.

        At most once a second, and at once when the state or the label is another.
        """
        now, what = self._clock(), (self._state, self._label)
        if self._path is None:
            return
        if now - self._written < SECOND and what == self._written_as:
            return
        self._written, self._written_as = now, what
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(self.report()))
            new.chmod(0o644)  # the unit's umask keeps everything to the service; this is for people
            new.replace(self._path)
        except OSError as problem:  # no reason to stop watching; the file goes stale, which is seen
            log.debug("%s: %s", self._path, problem)

    def _last(self) -> float:
        """Return when the last frame arrived."""
        return self._arrivals[(self._frames - 1) % len(self._arrivals)]

    def _recent(self, now: float) -> list[float]:
        return sorted(time for time in self._arrivals if now - time <= RECENT)


class _Machine:
    """The machine's own figures; each is None where unknown."""

    def __init__(self, root: Path) -> None:
        self.temperature: float | None = None
        self.undervoltage: bool | None = None
        self.memory_mb: float | None = None
        self._heat = root / "sys/class/thermal/thermal_zone0/temp"
        self._alarm = next(  # the Pi's firmware, asked by its hwmon driver; none on other machines
            (
                name.with_name("in0_lcrit_alarm")
                for name in sorted((root / "sys/class/hwmon").glob("hwmon*/name"))
                if _read(name) == "rpi_volt"
            ),
            None,
        )
        self._memory = root / "proc/self/statm"

    @property
    def throttled(self) -> bool | None:
        """Whether the Pi slows itself down."""
        if self.temperature is None or self.undervoltage is None:
            return None  # not a Pi
        return self.undervoltage or self.temperature >= HOT

    def look(self) -> None:
        """Read it all anew."""
        heat, alarm = _number(self._heat), _number(self._alarm)
        pages = _number(self._memory, word=1)  # total, resident, ...
        self.temperature = None if heat is None else heat / 1000
        self.undervoltage = None if alarm is None else alarm > 0
        self.memory_mb = None if pages is None else round(pages * _page_size() / 1e6, 1)


SOCKET = "live.sock"
"""Socket in the service's folder that `deploy watch` and `deploy pull` connect to."""


def runtime_file(name: str = "status.json") -> Path | None:
    """Return where a service of systemd's has a file: in memory, not on the SD card.

    None where no `RuntimeDirectory=` was made for it, such as when it is started by hand.
    """
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) / name if folder else None


def find_release() -> str | None:
    """Return which release runs: `HANDWAVE_RELEASE`, or the folder that `deploy push` made.

    That is `/opt/handwave/releases/<name>`, which `current` points to.
    """
    told = os.environ.get("HANDWAVE_RELEASE")
    if told:
        return told
    folder = Path(__file__).resolve().parents[1]
    return folder.name if folder.parent.name == "releases" else None


def _at(ordered: Sequence[float], share: float) -> float:
    """Return the `share` quantile of sorted seconds, in milliseconds."""
    return round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 3)


def _since(then: float, now: float) -> float:
    return round(max(now - then, 0.0), 2)


def _rate(arrivals: Sequence[float], now: float) -> float:
    """Return frames a second up to `now`, so that the rate of a stopped camera falls."""
    if len(arrivals) < 2 or now <= arrivals[0]:
        return 0.0
    return round((len(arrivals) - 1) / (now - arrivals[0]), 2)


def _page_size() -> int:
    return os.sysconf("SC_PAGE_SIZE")


def _read(path: Path) -> str:
    """Return what a file of the kernel's says; nothing where there is none, or no answer."""
    with suppress(OSError, ValueError):
        return path.read_text().strip()
    return ""


def _number(path: Path | None, *, word: int = 0) -> int | None:
    with suppress(ValueError, IndexError):
        return int(_read(path).split()[word]) if path else None
    return None
