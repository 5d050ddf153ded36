"""From shaky single frames to steady decisions. Pure: no clock, no camera, no pins."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge.card import BACKGROUND
from edge.frame import GAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier import Prediction


class Decision(msgspec.Struct, frozen=True):
    """What is being shown, as far as the device is sure."""

    label: str | None
    """The decided label, `background` among them; None is undecided."""
    confidence: float
    """Mean probability over the window: of `label`, or of the likeliest while undecided."""
    since: float
    """When this label, or None, was decided; seconds."""
    time: float
    """The time of the frame that this decision follows; seconds."""
    changed: bool
    """Whether the label differs from the previous frame's, or began again after a gap."""


class Decider:
    """Turn predictions into decisions: a window, two thresholds, a hold and a cooldown.

    Probabilities are averaged over the `window`, where a frame unlike anything taught votes for
    nothing. A gesture begins when that mean has been at least `enter` for `hold`, and ends as soon
    as it falls below `leave`: two thresholds, so that one shaky hand does not make an LED flicker
    (a Schmitt trigger). After it ended it cannot begin again within `cooldown`.

    Args:
        enter: confidence at which a gesture begins, in (0, 1).
        leave: confidence below which it ends, at most `enter`.
        novelty: novelty above which a frame votes for nothing.
        window: seconds of predictions to average; the newest always counts.
        hold: seconds for which a gesture must be seen before it is decided (debounce).
        cooldown: seconds before a gesture that ended may begin again.

    Raises:
        ValueError: a threshold or a time out of range.
    """

    def __init__(
        self,
        enter: float = 0.7,
        leave: float = 0.5,
        *,
        novelty: float = math.inf,
        window: float = 0.3,
        hold: float = 0.2,
        cooldown: float = 0.5,
    ) -> None:
        if not 0 < leave <= enter < 1:
            raise ValueError(f"need 0 < leave <= enter < 1, got leave {leave:g}, enter {enter:g}")
        if not min(window, hold, cooldown) >= 0:
            raise ValueError("window, hold and cooldown are seconds, 0 or more")
        self.enter, self.leave, self.novelty = enter, leave, novelty
        self.window, self.hold, self.cooldown = window, hold, cooldown
        self.reset()

    def reset(self) -> None:
        """Forget everything seen, as at the start of a new stream."""
        self._recent: deque[Prediction] = deque()
        self._label: str | None = None
        self._since = self._now = -math.inf
        self._candidate: tuple[str, float] | None = None  # a label, since when it is sure enough
        self._ended: dict[str, float] = {}  # when each label was last let go

    def nothing(self, time: float) -> Decision:
        """End the current decision: at `time` nothing can be seen, or deciding is paused."""
        changed = self._label is not None
        if time < self._now:
            self.reset()
        self._let_go(time)
        if changed:
            self._since = time
        self._now = time
        return Decision(None, 0.0, self._since, time, changed=changed)

    def update(self, prediction: Prediction) -> Decision:
        """Take one more prediction, in order of time, and decide."""
        now, before = prediction.time, self._label
        if now < self._now:
            self.reset()  # the source began again
        elif now - self._now > GAP:
            self._let_go(self._now)  # what was seen before the gap has not lasted through it
        self._now = now
        mean = self._average(prediction)
        labels = prediction.labels
        held = self._label is not None and mean[labels.index(self._label)] >= self.leave
        if self._label is not None and not held:  # NaN holds nothing
            self._ended[self._label] = now
            self._label = None
        best = int(mean.argmax())
        begins = self._is_ripe(labels[best], float(mean[best]), now)
        if begins:
            if self._label is not None:
                self._ended[self._label] = now
            self._label = labels[best]
        changed = begins or self._label != before
        if changed:
            self._since = now
        shown = best if self._label is None else labels.index(self._label)
        return Decision(self._label, float(mean[shown]), self._since, now, changed=changed)

    def _let_go(self, time: float) -> None:
        """End the decision and forget what led to it; only cooldowns continue."""
        if self._label is not None:
            self._ended[self._label] = time
        self._recent.clear()
        self._label = self._candidate = None

    def _average(self, newest: Prediction) -> NDArray[np.float64]:
        """Return the mean probabilities `[classes]` over the window; strange frames count as 0."""
        self._recent.append(newest)
        while newest.time - self._recent[0].time >= self.window and len(self._recent) > 1:
            self._recent.popleft()
        total = np.zeros(len(newest.labels))
        for prediction in self._recent:
            if prediction.novelty <= self.novelty:
                total += prediction.probabilities
        return total / len(self._recent)

    def _is_ripe(self, label: str, confidence: float, now: float) -> bool:
        """Return whether `label` may begin: sure enough, for long enough, and rested."""
        if not confidence >= self.enter or label == self._label:  # NaN is not sure
            self._candidate = None
            return False
        if self._candidate is None or self._candidate[0] != label:
            self._candidate = (label, now)
        if label != BACKGROUND and now - self._ended.get(label, -math.inf) < self.cooldown:
            return False
        return now - self._candidate[1] >= self.hold - 1e-9  # frame times are sums of floats
