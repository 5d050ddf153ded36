"""How hosts are: one round trip each, all at the same time, and nothing believed that is stale.

`deploy.remote.status` gathers there, `judge` says here what it means. A host is well when it
watches, or was paused on purpose; all else is a problem, said in words.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.ssh import Host
from deploy.target import USER
from edge.errors import HandwaveError, printable
from edge.status import HOT, STALE, WATCHING, Spread
from edge.words import in_words, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deploy.target import Target

SCRIPT = (Path(__file__).parent / "remote" / "status.py").read_bytes()
AT_ONCE = 16
"""Hosts asked at the same time; each takes an ssh of the laptop's memory and processor."""
FRESH = 10.0
"""Seconds after start within which the service must have written its status."""
LOOPING = 60.0
"""A service restarted several times, the last within these seconds, counts as crashing again and
again: the unit waits at most a minute between two starts."""
LITTLE = 300e6
"""Bytes of free disk below which the next releases may not fit."""
CLOCK = 60.0
"""Seconds that a clock may be off before it is mentioned: certificates and journals mind."""
WELL = {WATCHING, "paused"}
POWER = {  # bits of `vcgencmd get_throttled`, as the Raspberry Pi's documentation has them
    0: "too little power now",
    1: "held at a lower speed now",
    2: "slowed down now",
    3: "nearly too hot now",
    16: "too little power at times",
    17: "held at a lower speed at times",
    18: "slowed down at times",
    19: "nearly too hot at times",
}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What `deploy.remote.status.look` brings back."""

    user: str
    root: bool
    venv: bool
    current: str | None
    current_for: float | None
    kept: list[str]
    """The releases that are there, the last pushed first."""
    trial: str | None
    trial_for: float | None
    cut: bool
    """Whether a release is on trial and the push that would decide about it is gone."""
    unit: dict[str, str] | None
    status: str | None
    status_problem: str | None
    last_words: str | None
    lately: int | None
    """How often systemd has restarted it in the last ten minutes; None: unknown."""
    uptime: float | None
    temperature: float | None
    throttled: int | None
    disk_free: int
    monotonic: float
    clock: float


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """The service's own report: the fields needed of any release's `edge.status.Report`."""

    pid: int
    state: str
    written: float
    release: str | None = None
    state_for: float | None = None
    label: str | None = None
    confidence: float | None = None
    label_for: float | None = None
    fps: float | None = None
    latency_ms: Spread | None = None
    output_failures: int = 0
    spoiled: str | None = None
    temperature: float | None = None


class Health(msgspec.Struct, kw_only=True):
    """How one host is. Unknown values are None; times are seconds."""

    host: str
    well: bool = False
    state: str = "unreachable"
    """`watching`, or in a word or two why not."""
    problem: str | None = None
    """What is wrong, and what to do about it."""
    notes: list[str] = []
    """What is worth a word, though the host is well."""
    state_for: float | None = None
    release: str | None = None
    """The release that runs, or would if the service did."""
    release_for: float | None = None
    kept: list[str] = []
    """The releases that it has, and `deploy rollback` may go to; the last pushed first."""
    trial: str | None = None
    """The release that a push is trying."""
    label: str | None = None
    confidence: float | None = None
    label_for: float | None = None
    fps: float | None = None
    latency_ms: Spread | None = None
    """From a frame's arrival to the pins."""
    temperature: float | None = None
    throttling: list[str] | None = None
    """None where the host has no such firmware."""
    restarts: int | None = None
    """How often systemd has started the service again by itself."""
    disk_free: int | None = None
    """Bytes."""
    uptime: float | None = None
    clock_ahead: float | None = None
    """How far the host's clock is ahead of this one's."""


def ask(name: str, target: Target, config: Path | None = None) -> Health:
    """Return how a host is; never raises for anything about the host."""
    try:
        with Host(name, config=config) as host:
            sent = time.time()
            said = host.step(
                "look",
                script=SCRIPT,
                root=target.root,
                unit=target.unit,
                runtime=target.runtime,
                trial=target.trial,
            )
            took = time.time() - sent
        answer = msgspec.convert(said, Answer)
    except (HandwaveError, msgspec.ValidationError) as problem:
        why = str(problem).removeprefix(f"{name}: ")
        return Health(host=name, problem=why)
    health = judge(name, answer, target)
    ahead = answer.clock - (sent + took / 2)
    health.clock_ahead = round(ahead, 1) if abs(ahead) > took / 2 else 0.0
    if abs(ahead) > CLOCK:
        which = "ahead" if ahead > 0 else "behind"
        health.notes.append(f"its clock is {in_words(abs(ahead))} {which}")
    return health


def ask_all(names: Sequence[str], target: Target, config: Path | None = None) -> list[Health]:
    """Return how hosts are, in their order."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(names), AT_ONCE)) as pool:
        return list(pool.map(lambda name: ask(name, target, config), names))


def judge(host: str, answer: Answer, target: Target) -> Health:
    """Say what an answer means."""
    unit = answer.unit or {}
    health = Health(
        host=host,
        notes=[],
        state_for=_since(unit, answer),
        release=answer.trial or answer.current,
        release_for=answer.trial_for if answer.trial else answer.current_for,
        kept=answer.kept,
        trial=None if answer.cut else answer.trial,
        temperature=answer.temperature,
        throttling=throttling(answer.throttled),
        restarts=_count(unit),
        disk_free=answer.disk_free,
        uptime=answer.uptime,
    )
    mixed_up = target.mixed_up(unit.get("ExecStart", ""))
    if mixed_up:
        health.state, health.problem = "another's", mixed_up
        health.release = health.release_for = None
    elif unit.get("ActiveState") in {"active", "reloading"} and answer.root:
        _judge_running(health, answer, target)
    else:
        health.state, health.problem = _why_not(answer, unit, health, target)
    if answer.cut and health.state not in {"not set up", "masked", "another's"}:
        cut = f"a push was cut while {answer.trial} was on trial; push again"
        health.problem = f"{cut}; {health.problem}" if health.problem else cut
    health.well = health.problem is None
    health.problem = health.problem and printable(health.problem)
    health.notes += map(printable, _notes(health))
    return health


def _why_not(
    answer: Answer, unit: dict[str, str], health: Health, target: Target
) -> tuple[str, str]:
    """Return the state of a host whose service does not run, and what is wrong."""
    lacks = [
        what
        for what, there in (
            (f"no folder {target.root}", answer.root),
            (f"no {target.root}/venv", answer.venv or not answer.root),
            ("no systemd", answer.unit is not None),
            (f"no {target.unit}", unit.get("LoadState") == "loaded" or answer.unit is None),
        )
        if not there
    ]
    if unit.get("LoadState") == "masked":
        return "masked", f"{target.unit} is masked there: systemctl unmask it"
    if lacks:
        what = ", ".join(lacks)
        setup = f"deploy setup {health.host}{target.options}"
        return "not set up", f"it is not set up, there is {what}; run: {setup}"
    if answer.current is None and answer.trial is None:
        if answer.current_for is not None:
            return "broken", f"the release that {target.root}/current names is gone; push again"
        return "never pushed", f"nothing was pushed there yet; run: deploy push {health.host}"
    return _standing(answer, unit, health, target)


def _standing(
    answer: Answer, unit: dict[str, str], health: Health, target: Target
) -> tuple[str, str]:
    """Return the state of a set-up service that does not run, and what is wrong."""
    active, sub, result = (unit.get(p, "?") for p in ("ActiveState", "SubState", "Result"))
    since = "" if health.state_for is None else f" for {in_words(health.state_for)}"
    words = f"; it said: {answer.last_words}" if answer.last_words else ""
    see = f"{words}; see: deploy logs {health.host}"
    if active == "inactive":
        start = f"on it: sudo systemctl start {target.unit}"
        return "stopped", f"it was stopped, and has been{since}; {start}"
    if active == "failed":
        return "failed", f"it failed ({_result(unit)}) and has stood{since}{see}"
    again = _lately(health, answer)
    if again > 1:
        return "crash-looping", f"it ends again and again ({_result(unit)}, {times(again)}){see}"
    if again or "auto-restart" in sub or result not in {"success", "?"}:
        return "restarting", f"it ended ({_result(unit)}) and is started again{see}"
    if active == "activating":
        what = f"{answer.trial}, on trial," if answer.trial else "it"
        return "starting", f"{what} has been starting{since}; ask again"
    return "stopping", f"it has been stopping{since}; ask again"


def _judge_running(health: Health, answer: Answer, target: Target) -> None:
    """Judge a service that systemd calls active, by its own report if that is credible.

    READY=1 comes with the first frame, so an active one has seen something once.
    """
    age = health.state_for or 0.0
    lately = _lately(health, answer)
    if lately > 1 and health.state_for is not None and age < LOOPING:
        health.state = "crash-looping"
        health.problem = (
            f"it was started again {times(lately)}, the last {in_words(age)} ago; "
            f"see: deploy logs {health.host}"
        )
        return
    word, doubt = believe(answer, target)
    if word is None:
        health.state, health.problem = "silent", f"it runs, but {doubt}"
        if health.state_for is not None and age < FRESH and answer.status_problem is None:
            health.state, health.problem = "starting", "it runs, but has not spoken yet; ask again"
        return
    health.state = word.state.partition(":")[0]
    health.state_for = word.state_for
    health.label, health.confidence, health.label_for = word.label, word.confidence, word.label_for
    health.fps, health.latency_ms = word.fps, word.latency_ms
    if word.state not in WELL:
        health.problem = f"{word.state}; see: deploy logs {health.host}"
    if word.spoiled is not None:
        spoiled = f"it runs what ran before, as its release has spoiled: {word.spoiled}"
        health.problem = health.problem or f"{spoiled}; push again"
    if word.output_failures:
        health.notes.append(f"outputs failed {times(word.output_failures)}; see its logs")
    if word.release == answer.current:
        health.release, health.release_for = answer.current, answer.current_for
    elif word.release is not None:
        health.release, health.release_for = word.release, None
        if answer.trial is None:
            health.problem = health.problem or (
                f"it runs {word.release}, but would start {answer.current} next time; push again"
            )


def _lately(health: Health, answer: Answer) -> int:
    """Return how often it was restarted: lately or, if unknown, since the last boot."""
    return (health.restarts or 0) if answer.lately is None else answer.lately


def believe(answer: Answer, target: Target) -> tuple[Word | None, str]:
    """Return the service's own report, or why that is not credible."""
    path = f"{target.runtime}/status.json"
    if answer.status is None:
        if answer.status_problem == "Permission denied":
            return None, (
                f"{answer.user} may not read {path} (log in anew if setup has just put "
                f"{answer.user} into the group {USER}, else run: deploy setup)"
            )
        return None, f"says nothing of itself ({path}: {answer.status_problem})"
    try:
        word = msgspec.json.decode(answer.status, type=Word)
    except msgspec.MsgspecError:
        return None, f"{path} is not what this handwave knows; push again"
    if str(word.pid) != (answer.unit or {}).get("MainPID"):
        return None, f"{path} is another process's: it has said nothing since it started"
    age = answer.monotonic - word.written
    if not -1 < age <= STALE:
        return None, f"has said nothing for {in_words(abs(age))}: it hangs; see its logs"
    return word, ""


def throttling(bits: int | None) -> list[str] | None:
    """Return the firmware's power and heat problems in words; a present one hides `at times`."""
    if bits is None:
        return None
    return [
        words
        for bit, words in POWER.items()
        if bits >> bit & 1 and not (bit > 15 and bits >> (bit - 16) & 1)
    ]


def _notes(health: Health) -> Iterable[str]:
    """Yield what is worth a word."""
    if health.trial:
        yield f"a push has {health.trial} on trial"
    if health.throttling:
        yield f"power and heat: {', '.join(health.throttling)}"
    elif health.temperature is not None and health.temperature >= HOT:
        yield f"it is hot: {health.temperature:.0f} °C"
    if health.disk_free is not None and health.disk_free < LITTLE:
        yield f"its disk is nearly full: {_size(health.disk_free)} left"


def _since(unit: dict[str, str], answer: Answer) -> float | None:
    """Return for how long systemd has seen the service in its state."""
    said = unit.get("StateChangeTimestampMonotonic", "")
    if not said.isdecimal() or said == "0":
        return None
    return round(max(answer.monotonic - int(said) / 1e6, 0.0), 1)


def _count(unit: dict[str, str]) -> int | None:
    said = unit.get("NRestarts", "")
    return int(said) if said.isdecimal() else None


def _result(unit: dict[str, str]) -> str:
    """Return how the service last ended, such as `exit code 1`."""
    result = unit.get("Result", "?")
    if result == "exit-code":
        return f"exit code {unit.get('ExecMainStatus', '?')}"
    return {"success": "exit code 0", "timeout": "it took too long"}.get(result, result)


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def describe(health: Health) -> list[tuple[str, str]]:
    """Return a host that answered as lines: what, and how it is."""
    lines = [("state", _for(health.state, health.state_for))]
    if health.release:
        lines.append(("release", _for(health.release, health.release_for)))
    if len(health.kept) > 1:
        lines.append(("kept", ", ".join(health.kept)))
    if health.state == WATCHING:
        sure = "" if health.confidence is None else f", {health.confidence:.0%} sure"
        shown = "nothing decided" if health.label is None else _for(health.label, health.label_for)
        lines.append(("shown", shown + ("" if health.label is None else sure)))
    if health.fps is not None:
        lines.append(("frames", f"{health.fps:.1f} a second"))
    if health.latency_ms is not None:
        half, most = health.latency_ms.p50, health.latency_ms.p99
        lines.append(("latency", f"{half:.3g} ms (half), {most:.3g} ms (99 in 100), frame to pin"))
    if health.restarts is not None:
        lines.append(("restarts", str(health.restarts)))
    lines.append(("machine", ", ".join(_machine(health))))
    lines += [("note", note) for note in health.notes]
    return [(name, printable(text)) for name, text in lines]


def _machine(health: Health) -> Iterable[str]:
    if health.temperature is not None:
        yield f"{health.temperature:.0f} °C"
    if health.throttling == []:
        yield "power fine"
    if health.disk_free is not None:
        yield f"{_size(health.disk_free)} of disk free"
    if health.uptime is not None:
        yield f"up for {in_words(health.uptime)}"
    if health.clock_ahead is not None and abs(health.clock_ahead) <= CLOCK:
        ahead = health.clock_ahead
        yield f"clock {ahead:+.1f} s" if ahead else "clock right"


def _for(what: str, seconds: float | None) -> str:
    return what if seconds is None else f"{what}, for {in_words(seconds)}"
