"""Decisions as a person feels them: gestures seen, gestures missed, false triggers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from edge.card import BACKGROUND
from edge.frame import GAP

GRACE = 0.7
"""Seconds after a gesture has ended in which deciding for it still counts as seeing it."""
SOON = 0.5
"""Seconds from gesture to output that still feel like at once."""
_ROUNDING = 1e-9  # frame times are sums of floats


class Verdict(Enum):
    """What a decision for a gesture was."""

    SEEN = "seen"
    """The first one for a gesture that was shown."""
    REPEATED = "repeated"
    """Another one for a gesture that had been seen already: an output that flickers."""
    FALSE = "false"
    """For a gesture that was not shown: an output switched for nothing."""


@dataclass(slots=True)
class Gesture:
    """One gesture that was shown."""

    label: str
    start: float
    """When it began, seconds."""
    end: float
    """The last frame that showed it, seconds."""
    delay: float | None = None
    """Seconds from its start to the decision for it; None as long as there is none: missed."""


@dataclass(slots=True)
class Events:
    """What happened along a stream whose truth is known.

    A *gesture* is an unbroken run of frames that show the same label, `background` excepted; more
    than a second without a frame breaks it, as it ends a decision, unless its beginning is known.
    It is *seen* when a decision for it begins while it lasts, or within `GRACE` seconds after if no
    other has begun. Any other decision that would switch an output is *false*.
    """

    gestures: list[Gesture] = field(default_factory=list)
    """All that were shown, in order."""
    repeats: Counter[str] = field(default_factory=Counter)
    """By label: decisions for a gesture that had been seen already."""
    wrong: Counter[str] = field(default_factory=Counter)
    """By the label decided for: false triggers."""
    mistaken: int = 0
    """False triggers during another gesture, or within `GRACE` after it."""
    _truth: tuple[str | None, float | None] = (None, None)
    _decided: str | None = None
    _time: float = math.inf

    @property
    def shown(self) -> int:
        """How many gestures were shown."""
        return len(self.gestures)

    @property
    def delays(self) -> list[float]:
        """Seconds from the start of each seen gesture to the decision for it."""
        return [gesture.delay for gesture in self.gestures if gesture.delay is not None]

    @property
    def seen(self) -> int:
        """How many gestures were seen."""
        return len(self.delays)

    @property
    def soon(self) -> int:
        """How many gestures were seen within `SOON` seconds."""
        return sum(delay <= SOON + _ROUNDING for delay in self.delays)

    @property
    def missed(self) -> int:
        """How many gestures were not seen."""
        return self.shown - self.seen

    def brief(self, seconds: float) -> int:
        """Return how many gestures were missed and shown for less than so many seconds."""
        return sum(
            gesture.delay is None and gesture.end - gesture.start < seconds - _ROUNDING
            for gesture in self.gestures
        )

    @property
    def repeated(self) -> int:
        """How many decisions were for a gesture that had been seen already."""
        return self.repeats.total()

    @property
    def false(self) -> int:
        """How many decisions were for a gesture that was not shown."""
        return self.wrong.total()

    def of(self, label: str) -> Events:
        """Return the same of one label alone: its gestures, and the decisions for it."""
        return Events(
            [gesture for gesture in self.gestures if gesture.label == label],
            Counter({label: self.repeats[label]}),
            Counter({label: self.wrong[label]}),
        )

    def update(
        self, time: float, truth: str | None, decided: str | None, *, since: float | None = None
    ) -> Verdict | None:
        """Take one more frame; return what a decision that begins at it was.

        Args:
            time: the frame's, seconds.
            truth: the label it shows; None where it shows none, such as a hand on its way.
            decided: the label decided at this frame; None is undecided.
            since: when what it shows began, where that is known better than by frames; another
                beginning is another gesture.
        """
        if time - self._time > GAP:
            self._decided = None
            if since is None:  # else it is known whether it is another gesture
                self._truth = (None, None)
        if triggers(truth):
            if (truth, since) != self._truth:
                self.gestures.append(Gesture(str(truth), time if since is None else since, time))
            self.gestures[-1].end = time
        begins = decided != self._decided and triggers(decided)
        self._time, self._truth, self._decided = time, (truth, since), decided
        return self._judge(time, str(decided)) if begins else None

    def _judge(self, time: float, decided: str) -> Verdict:
        last = self.gestures[-1] if self.gestures else None
        lasts = last is not None and time - last.end <= GRACE
        if last is None or not lasts or decided != last.label:
            self.wrong[decided] += 1
            self.mistaken += lasts
            return Verdict.FALSE
        if last.delay is not None:
            self.repeats[decided] += 1
            return Verdict.REPEATED
        last.delay = max(0.0, time - last.start)
        return Verdict.SEEN


def triggers(label: str | None) -> bool:
    """Return whether deciding for this label switches anything."""
    return label is not None and label != BACKGROUND


def poisson_upper(count: int, sure: float = 0.95) -> float:
    """Return the upper confidence bound, at level `sure`, on the mean of a Poisson count.

    The bound is exact and one-sided; for a count of 0 it is the rule of three: 3.0.
    """

    def this_few(mean: float) -> float:
        """Return the probability of `count` events or fewer."""
        terms = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1))
        return sum(map(math.exp, terms))

    low, high = 1e-9, 10.0 + 3.0 * count
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if this_few(middle) > 1 - sure else (low, middle)
    return high
