"""`edge replay`: a recording through the live loop, faster than real time, and what came of it.

The frames go through `edge.loop.steps` as a camera's do, with the recording's own clock and no
outputs; what came of them `edge.replay.played` counts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from edge.classifier import Classifier
from edge.config import Decide, read_config
from edge.console import Command
from edge.errors import SourceError, did_you_mean, named, printable
from edge.files import is_file, is_folder
from edge.frame import GAP
from edge.loop import make_decider, steps
from edge.outputs import Outputs
from edge.replay.events import SOON, Events, Verdict, poisson_upper
from edge.replay.played import Decided, Replay
from edge.replay.truth import Truth, read_truth
from edge.service import until_stopped
from edge.sources.recordings import RATE, Recordings
from edge.sources.video import Video
from edge.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge.card import Camera
    from edge.decider import Decider
    from edge.frame import Source


@click.command("replay", cls=Command, epilog="Example: edge replay model.onnx gestures/data")
@click.argument("model")
@click.argument("source")
@click.option(
    "--truth", "truth_path", type=click.Path(path_type=Path),
    help="What it shows: start,end,label in seconds, or Audacity's labels.",
)  # fmt: skip
@click.option("--config", "config_path", help="An edge.toml, for its [decide].")
@click.option(
    "--rate", type=click.FloatRange(max=1000),
    help=f"Pictures of a folder a second, 1 or more, Hz.  [default: {RATE:g}]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
def replay(
    *,
    model: str,
    source: str,
    truth_path: Path | None,
    config_path: str | None,
    rate: float | None,
    as_json: bool,
) -> None:
    """Play a recording through a model, faster than real time, and count what is seen.

    SOURCE is a video, a folder of pictures, or one as it is taught from: label/session/picture.
    """
    played, ended = None, False
    with until_stopped():
        decide = Decide() if config_path is None else read_config(config_path).decide
        spans = None if truth_path is None else read_truth(truth_path)
        classifier = Classifier(model)
        recording = _open(source, rate, classifier.card.camera, labelled=spans is None)
        with named("" if config_path is None else f"{config_path}: "):
            decider = make_decider(classifier.card, decide)
        played = Replay(Truth(classifier.labels, spans))
        for step in steps(recording, classifier, decider, Outputs({})):
            played.update(step)
        ended = True
    if played is None:
        raise SourceError("stopped before anything was played")
    for line in _doubts(played, classifier.labels, decider, ended=ended):
        click.echo(f"edge: {line}", err=True)
    if as_json:
        click.echo(json.dumps(_as_json(played, decider, model, source)))
    else:
        click.echo("\n".join(_as_text(played, decider)))


def _open(name: str, rate: float | None, taken: Camera, *, labelled: bool) -> Source:
    if rate is not None and not rate >= 1 / GAP:  # nor is nan, which click lets through
        raise click.UsageError(
            f"--rate {rate:g}: take 1 or more, such as 15; a gesture ends where no picture comes "
            "for a second, so nothing could be decided"
        )
    if is_folder(name):
        return Recordings(name, rate=rate or RATE, labelled=labelled, taken=taken)
    if not is_file(name):
        raise SourceError(f"{name}: no such recording; replay plays a folder or a video file")
    if rate is not None:
        raise click.UsageError("--rate is for folders; a video has a clock of its own")
    return Video(name)


def _doubts(
    played: Replay, labels: Sequence[str], decider: Decider, *, ended: bool
) -> Iterator[str]:
    """Yield what should be known before the figures are believed."""
    if not ended:
        yield f"stopped early, after {_time(played.seconds)}; what follows is about that"
    for label, frames in played.truth.unknown.items():
        hint = did_you_mean(label, labels)
        yield f"the model has no class '{label}'{hint}; no gesture in {count(frames, 'frame')}"
    if played.truth.unmet:
        yield f"{count(played.truth.unmet, 'line')} of the truth left out: no frame is there"
    if played.frames > 1 and not played.period:
        yield "no two frames are within a second, so nothing can be decided"
    if brief := played.events.brief(decider.hold):
        yield (
            f"of the gestures missed {brief} lasted less than {decider.hold:g} s, the time for "
            "which one must be held to be decided; more pictures of each say more"
        )
    for trouble, frames in played.troubles.items():
        yield f"nothing was decided in {count(frames, 'frame')}: {trouble}"


def _as_json(played: Replay, decider: Decider, model: str, source: str) -> dict[str, Any]:
    """Return the report for scripts; figures that need the truth are null without it."""
    events = played.events
    found: dict[str, Any] = {
        "model": model,
        "source": source,
        "frames": played.frames,
        "seconds": round(played.seconds, 3),
        "decide": _settings(decider),
        "decisions": [
            {
                "time": round(one.time, 3),
                "label": one.label,
                "until": round(one.until, 3),
                "verdict": one.verdict and one.verdict.value,
                "name": played.names.get(one.time),
            }
            for one in played.decisions
        ],
    }
    figures = {
        **_figures(events),
        "mistaken": events.mistaken,
        "hours": round(played.seconds / 3600, 6),
        "false_per_hour": _per_hour(events.false, played.seconds),
        "false_per_hour_at_most": _per_hour(poisson_upper(events.false), played.seconds),
        "labels": {label: _figures(events.of(label)) for label in _labels(events)},
        "missed_gestures": [
            {
                "time": round(one.start, 3),
                "label": one.label,
                "name": played.names.get(one.start),
            }
            for one in events.gestures
            if one.delay is None
        ],
        "unknown": dict(played.truth.unknown),
    }
    return found | (figures if played.truth.known else dict.fromkeys(figures))


def _figures(events: Events) -> dict[str, Any]:
    return {
        "shown": events.shown,
        "seen": events.seen,
        "soon": events.soon,
        "missed": events.missed,
        "repeated": events.repeated,
        "false": events.false,
        "delay": {"median": _median(events.delays), "p95": _p95(events.delays)},
    }


def _as_text(played: Replay, decider: Decider) -> Iterator[str]:
    """Yield the lines of the report for people."""
    settings = ", ".join(
        f"{name} {value:g}" + (" s" if name in {"window", "hold", "cooldown"} else "")
        for name, value in _settings(decider).items()
    )
    yield f"{count(played.frames, 'frame')}, {_time(played.seconds)}; {settings}"
    yield ""
    if not played.truth.known:
        yield from _decisions(played.decisions)
        yield "what it really shows is not known; tell with --truth, or by label/session/picture"
        return
    yield from _went_wrong(played)
    if played.events.shown or played.events.false:
        yield from _table(played.events)
        yield ""
    else:
        yield "no gesture was shown, and none was decided"
    yield _false_line(played)


def _decisions(decisions: list[Decided]) -> Iterator[str]:
    for one in decisions:
        yield f"{one.time:10.2f} s  {one.label}, for {one.until - one.time:.2f} s"
    yield "nothing was decided" if not decisions else ""


def _went_wrong(played: Replay) -> Iterator[str]:
    """Yield a line for each gesture missed and each decision that was one too many, in order."""
    lines = [
        (one.start, f"{one.label} missed, shown for {one.end - one.start + played.period:.2f} s")
        for one in played.events.gestures
        if one.delay is None
    ]
    lines += [
        (one.time, f"{one.label} {one.verdict.value}, decided for {one.until - one.time:.2f} s")
        for one in played.decisions
        if one.verdict in {Verdict.FALSE, Verdict.REPEATED}
    ]
    for time, line in sorted(lines):
        name = played.names.get(time)
        yield f"{time:10.2f} s  {line}" + (f"  ({printable(name)})" if name else "")
    if lines:
        yield ""


def _table(events: Events) -> Iterator[str]:
    labels = _labels(events)
    titles = ["shown", "seen", f"in {SOON:g} s", "missed", "repeated", "false", "median", "95 %"]
    rows = [("gesture", titles), *((label, _cells(events.of(label))) for label in labels)]
    if len(labels) > 1:
        rows.append(("all", _cells(events)))
    first = max(len(name) for name, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    for name, cells in rows:
        placed = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        yield "  ".join([f"{name:<{first}}", *placed])


def _cells(events: Events) -> list[str]:
    """Return a row of the table, but for its name."""
    numbers = [events.shown, events.seen, events.soon, events.missed, events.repeated, events.false]
    times = [_median(events.delays), _p95(events.delays)]
    return [*map(str, numbers), *("-" if time is None else f"{time:.2f} s" for time in times)]


def _false_line(played: Replay) -> str:
    false, seconds = played.events.false, played.seconds
    rate, most = _per_hour(false, seconds), _per_hour(poisson_upper(false), seconds)
    line = f"false triggers: {false} in {_time(seconds)}"
    if rate is None or most is None:
        return line
    return f"{line}; {_few(rate)} an hour, and with 95 % certainty no more than {_few(most)}"


def _few(number: float) -> str:
    """Return a number with three digits or, above a thousand, as a whole number."""
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def _labels(events: Events) -> list[str]:
    """Return the labels that were shown or decided for, in the order of the alphabet."""
    return sorted({*(one.label for one in events.gestures), *events.wrong})


def _settings(decider: Decider) -> dict[str, float]:
    names = ("enter", "leave", "window", "hold", "cooldown", "novelty")
    return {name: round(getattr(decider, name), 4) for name in names}


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"


def _per_hour(number: float, seconds: float) -> float | None:
    return round(3600 * number / seconds, 3) if seconds > 0 else None


def _median(delays: list[float]) -> float | None:
    return round(median(delays), 3) if delays else None


def _p95(delays: list[float]) -> float | None:
    """Return the 95th percentile of the delays: a measured one, not interpolated."""
    return round(sorted(delays)[math.ceil(0.95 * len(delays)) - 1], 3) if delays else None
