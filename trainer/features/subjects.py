"""What is looked for in a picture, a hand or a face, and how MediaPipe's networks look for it.

Numbers are those of MediaPipe's graphs `hand_landmark_tracking_cpu` and `face_landmark_front_cpu`
(https://github.com/google-ai-edge/mediapipe, 0.10), but for `searches`, `farthest`, `stays`,
`smooth` and `twice`: docs/decisions/0013-hands.md, 0014-faces.md, 0022-sizes-of-search.md,
0027-hand-full.md, 0028-two-hands.md and 0029-what-stays.md say why. `trainer.features.landmarks`
makes a graph of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Search(NamedTuple):
    """A size in which the whole picture is searched."""

    side: int
    """Pixels of the picture's shorter side, as the detector sees it."""
    likely: float
    """Confidence of the detector from which on a closer look is taken."""
    sure: float
    """Confidence of the landmark network from which on what is found is believed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked for, and how MediaPipe's networks look for it."""

    name: str
    """`hand` or `face`; `trainer features fetch` calls the weights so."""
    detector: str
    looker: str
    """Files of weights."""
    searches: tuple[Search, ...]
    """One after the other, until something is found."""
    farthest: int
    """Pixels that the picture's longer side has at the most, as the detector sees it."""
    darkest: float
    """What black is to the detector; white is 1."""
    places: tuple[tuple[int, int], ...]
    """Pixels between two places that it looks at, and boxes a place."""
    line: tuple[int, int]
    """Two of the keypoints that come with a box; the line through them tells the direction."""
    upright: bool
    """Whether that line points up; else it points right."""
    grow: float
    """The region's side, in sides of the box."""
    lift: float
    """How far above the box's middle the region's is, in heights of the box."""
    near: int
    """Pixels of the square that the landmark network sees, the region."""
    outputs: tuple[str, ...]
    """Of the landmark network: `points` and `certain`, and what else there is, in its order."""
    points: int
    logit: bool
    """Whether `certain` is a logit; else it is a probability."""
    followed: tuple[int, ...]
    """Points that the next region is drawn around."""
    follow_line: tuple[tuple[int, ...], tuple[int, ...]]
    """The middle of these points and the middle of those: the next region's direction."""
    follow_grow: float
    follow_lift: float
    smooth: bool = False
    """Whether the picked pixels are averaged: a small one is magnified without corners."""
    stays: float = 0.5
    """Confidence of the landmark network from which on it still sees what is followed."""
    twice: bool = False
    """Whether what was just found is looked at again, in the region that its points call for. So a
    picture by itself says what one in a row of frames does."""
    two: bool = False
    """Whether a second one may be there: what is known of the first is none."""


HAND = Subject(
    name="hand",
    detector="palm_lite",
    looker="hand_lite",
    # The smaller a hand may be, the more things look like one.
    searches=(Search(128, 0.15, 0.5), Search(84, 0.15, 0.5), Search(192, 0.5, 0.8)),
    farthest=384,
    darkest=0.0,
    places=((8, 2), (16, 6)),
    line=(0, 2),  # wrist, root of the middle finger
    upright=True,
    grow=2.6,
    lift=0.5,
    near=224,
    outputs=("points", "certain", "handed", "world"),
    points=21,
    logit=False,
    followed=(0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18),
    follow_line=((0,), (5, 13, 9, 9)),
    follow_grow=2.0,
    follow_lift=0.1,
    stays=0.7,
    smooth=True,
)
HAND_FULL = replace(
    HAND,
    detector="palm_full",
    looker="hand_full",
    # Surer of hands than the smaller networks, and of half a face as well.
    searches=(Search(128, 0.15, 0.9), Search(84, 0.15, 0.9), Search(192, 0.5, 0.9)),
)
TWO_HANDS = replace(HAND, two=True)
FACE = Subject(
    name="face",
    detector="face_short",
    looker="face_points",
    searches=(Search(160, 0.3, 0.5),),
    farthest=160,
    darkest=-1.0,
    places=((8, 2), (16, 6)),
    line=(0, 1),  # the eyes, from left to right in the picture
    upright=False,
    grow=1.5,
    lift=0.0,
    near=192,
    outputs=("points", "certain"),
    points=468,
    logit=True,
    followed=tuple(range(468)),
    follow_line=((33,), (263,)),  # outer corners of the eyes
    follow_grow=1.5,
    follow_lift=0.0,
    twice=True,
)
SUBJECTS = {"hand": HAND, "hand-full": HAND_FULL, "two-hands": TWO_HANDS, "face": FACE}
"""By the kind of features. `hand-full` is what MediaPipe's larger networks see."""


def looks_for(kind: str) -> str:
    """Return what a kind of features looks for, `hand` or `face`; others look for themselves."""
    return SUBJECTS[kind].name if kind in SUBJECTS else kind
