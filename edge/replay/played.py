"""The result of a recording: the decisions, and their verdicts where the truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.frame import GAP
from edge.replay.events import Events, Verdict, triggers

if TYPE_CHECKING:
    from edge.loop import Step
    from edge.replay.truth import Truth


@dataclass(slots=True)
class Decided:
    """A gesture that was decided."""

    time: float
    label: str
    until: float
    verdict: Verdict | None = None
    """The verdict on it, where the truth is known."""


@dataclass(slots=True)
class Replay:
    """The result of a recording, built up from the loop's steps. Pure."""

    truth: Truth
    events: Events = field(default_factory=Events)
    decisions: list[Decided] = field(default_factory=list)
    frames: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    """Frames in which nothing could be seen, by what was wrong."""
    names: dict[float, str] = field(default_factory=dict)
    """Names, by time, of the frames at which a gesture or a decision began."""
    _seconds: float = 0.0
    _last: float | None = None
    _last_gap: float = 0.0
    """Seconds between the last two frames."""
    _open: bool = False
    """Whether the last of the decisions still holds."""

    @property
    def period(self) -> float:
        """Seconds from one frame to the next, at the end."""
        return self._last_gap

    @property
    def seconds(self) -> float:
        """How much was watched, pauses between recordings left out."""
        return self._seconds + self._last_gap

    def update(self, step: Step) -> None:
        """Take one more step."""
        now, decision = step.frame.time, step.decision
        self.frames += 1
        if self._last is not None:
            apart = now - self._last
            self._seconds += apart if 0 <= apart <= GAP else self._last_gap
            self._last_gap = apart if 0 <= apart <= GAP else self._last_gap
        if step.trouble:
            self.troubles[step.trouble] += 1
        truth, since = self.truth.of(step.frame)
        shown = self.events.shown
        verdict = self.events.update(now, truth, decision.label, since=since)
        if step.frame.name and decision.changed:
            self.names[now] = step.frame.name
        if step.frame.name and self.events.shown > shown:
            self.names[self.events.gestures[-1].start] = step.frame.name
        if self._open:
            self.decisions[-1].until = now if self._last is None else self._last + self._last_gap
        if decision.changed:
            self._open = triggers(decision.label)
            if self._open:
                self.decisions.append(Decided(now, str(decision.label), now))
        if self._open:
            self.decisions[-1].until = now + self._last_gap  # should this be the last frame
        if verdict is not None and self.truth.known:
            self.decisions[-1].verdict = verdict
        self._last = now
