"""Films a hand that moves from gesture to gesture."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge.errors import SourceError
from edge.frame import Frame, Source
from edge.sources.virtual.exposure import STILL, expose
from edge.sources.virtual.gestures import LABELS, check_labels, random_pose
from edge.sources.virtual.hands import extent
from edge.sources.virtual.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge.sources.virtual.hands import Look, Pose
    from edge.sources.virtual.planes import Numbers

HOLD = (1.5, 3.0)  # seconds a gesture is held
MOVE = (0.3, 0.5)  # seconds from one gesture to the next
SHUTTER = 0.4  # of the time between two frames


class Virtual(Source):
    """Films a hand that moves from gesture to gesture, for ever or for some seconds.

    Every frame carries its truth: the label while it is held, None on the way to the next.

    Args:
        size: Width and height in pixels.
        seed: Another seed is another person, place, light and order.
        rate: Frames a second.
        paced: Wait until each frame is due, as a camera does; else as fast as drawn.
        labels: What to show; each comes up about equally often.
        seconds: How long; None never ends.
    """

    def __init__(
        self,
        size: tuple[int, int] = (320, 240),
        *,
        seed: int = 0,
        rate: float = 15.0,
        paced: bool = True,
        labels: Sequence[str] = LABELS,
        seconds: float | None = None,
    ) -> None:
        if not labels:
            raise SourceError(f"virtual: no labels to show; there is: {', '.join(LABELS)}")
        check_labels(labels)
        if not (math.isfinite(rate) and rate > 0):
            raise SourceError(f"virtual: rate {rate} is not a number of frames a second above 0")
        if seconds is not None and not seconds >= 0:
            raise SourceError(f"virtual: {seconds} seconds; give 0 or more, or None for no end")
        self.scene, self.rate, self.paced = Scene.random(seed, size), rate, paced
        self.labels = tuple(dict.fromkeys(labels))
        self.seconds = math.inf if seconds is None else seconds
        self._closings = 0

    def __iter__(self) -> Iterator[Frame]:
        """Start the same stream anew."""
        return self._frames(self._closings)

    def close(self) -> None:
        """End every iteration that is under way."""
        self._closings += 1

    def _frames(self, closings: int) -> Iterator[Frame]:
        rng = np.random.default_rng([self.scene.seed, 2])
        last: Pose | None = None
        due = time.monotonic()
        for moment, truth, pose in _act(self.scene, self.labels, self.rate):
            if moment >= self.seconds or self._closings != closings:
                return
            moved = (pose.place - last.place) * SHUTTER if pose and last else STILL
            image = expose(self.scene, pose, 1 + 0.015 * math.sin(moment * 0.9), rng, moved)
            last = pose
            if self.paced:
                due = max(due, time.monotonic())  # a late reader gets no backlog
                time.sleep(max(0.0, due - time.monotonic()))
                due += 1 / self.rate
            yield Frame(image, moment, truth)


class _Beat(NamedTuple):
    """One gesture, held from start until end (seconds); no pose for background."""

    label: str
    start: float
    end: float
    pose: Pose | None


def _act(
    scene: Scene, labels: Sequence[str], rate: float
) -> Iterator[tuple[float, str | None, Pose | None]]:
    """Yield each frame's moment (seconds), truth and pose; a pose is None without a hand."""
    rng = np.random.default_rng([scene.seed, 3])
    speeds = rng.uniform(0.2, 0.7, 22) * 2 * np.pi  # radians a second
    phases = rng.uniform(0, 2 * np.pi, 22)
    beats = pairwise(_beats(scene, labels, rng))
    here, after = next(beats)
    for number in count():
        moment = number / rate
        while moment >= after.start:
            here, after = next(beats)
        held = moment < here.end
        pose = here.pose if held else _between(here, after, moment, scene.look)
        wave = np.sin(phases + speeds * moment)
        yield moment, here.label if held else None, pose and _wobbled(pose, wave)


def _beats(scene: Scene, labels: Sequence[str], rng: np.random.Generator) -> Iterator[_Beat]:
    """Make up gesture after gesture: round after round of all labels, each in its own order."""
    start, before = 0.0, ""
    while True:
        order = [str(label) for label in rng.permutation(labels)]
        if order[-1] != before:  # never the same twice in a row, over the rounds' seam too
            order.reverse()
        for label in order:
            end = start + rng.uniform(*HOLD)
            yield _Beat(label, start, end, random_pose(label, scene, rng))
            start = end + rng.uniform(*MOVE)
            before = label


def _between(here: _Beat, after: _Beat, moment: float, look: Look) -> Pose | None:
    """Return the pose on the way from one beat to the next."""
    came = here.pose or (after.pose and _lowered(after.pose, look))
    goes = after.pose or (here.pose and _lowered(here.pose, look))
    share = (moment - here.end) / (after.start - here.end)
    return came and goes and came.towards(goes, share * share * (3 - 2 * share))


def _lowered(pose: Pose, look: Look) -> Pose:
    """Return the pose taken down until all of it is below the frame."""
    low, _ = extent(pose, look)
    down = 1.08 - (pose.place[1] + low[1] * pose.scale[0])
    return replace(pose, place=pose.place + np.array([0.0, down]))


def _wobbled(pose: Pose, wave: Numbers) -> Pose:
    """Nobody holds still: drift by a centimetre or so and a few degrees, along `[22]` waves."""
    return replace(
        pose,
        turn=pose.turn + np.radians((2.5, 3.0, 4.0)) * wave[:3],
        place=pose.place + 0.012 * wave[3:5],
        scale=pose.scale * (1 + 0.02 * wave[5:6]),
        fingers=pose.fingers + math.radians(2.0) * wave[6:].reshape(4, 4),
    )
