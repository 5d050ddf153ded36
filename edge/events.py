"""Decisions as a person feels them: gestures seen, gestures missed, false triggers."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.card import BACKGROUND

GRACE = 0.7
"""Seconds after a gesture has ended in which deciding for it still counts as seeing it."""


@dataclass(slots=True)
class _Shown:
    label: str
    start: float
    end: float
    seen: bool = False


@dataclass(slots=True)
class Events:
    """A count of events along a stream whose truth is known.

    A *gesture* is an unbroken run of frames that show the same label, `background` excepted. It is
    *seen* when it is decided for while it lasts or within `GRACE` seconds after. Any other decision
    that would switch an output is *false*.
    """

    shown: int = 0
    false: int = 0
    repeated: int = 0
    """Decisions for a gesture that had been seen already: an output that flickers."""
    delays: list[float] = field(default_factory=list)
    """Seconds from the start of each seen gesture to the decision for it."""
    _current: _Shown | None = None
    _truth: str | None = None
    _decided: str | None = None

    @property
    def seen(self) -> int:
        """How many gestures were seen."""
        return len(self.delays)

    @property
    def missed(self) -> int:
        """How many gestures were not."""
        return self.shown - self.seen

    def update(self, time: float, truth: str | None, decided: str | None) -> None:
        """Take one more frame.

        Args:
            time: the frame's, seconds.
            truth: the label it shows; None where it shows none, such as a hand on its way.
            decided: the label decided at this frame; None is undecided.
        """
        if truth != self._truth and _triggers(truth):
            self._current = _Shown(str(truth), time, time)
            self.shown += 1
        elif _triggers(truth) and self._current is not None:
            self._current.end = time
        if decided != self._decided and _triggers(decided):
            self._count(time, str(decided))
        self._truth, self._decided = truth, decided

    def _count(self, time: float, decided: str) -> None:
        shown = self._current
        if shown is None or decided != shown.label or time - shown.end > GRACE:
            self.false += 1
        elif not shown.seen:
            shown.seen = True
            self.delays.append(time - shown.start)
        else:
            self.repeated += 1


def _triggers(label: str | None) -> bool:
    return label is not None and label != BACKGROUND
