"""A hand as a skeleton: joint angles in, round cones of flesh as the viewer sees them out.

Hand space, in millimetres: the right hand, palm to the viewer: x to the thumb, y to the fingertips,
z to the viewer. The wrist is the origin. A left hand is the mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from edge.sources.virtual.planes import Numbers, Plane

FAR = 700.0  # mm from the hand to the camera: a little perspective
MIDDLE = np.array([0.0, 75.0, 10.0])  # the hand's own centre, about which it turns
FRONT = np.array([0.0, 0.0, 1.0])  # where a flat palm looks

CARPALS = np.array([[13, 8, 0], [5, 8, 0], [-5, 8, 0], [-13, 8, 0]], float)
KNUCKLES = np.array([[28, 91, 0], [8, 96, -1], [-12, 91, -1], [-30, 80, 0]], float)  # index..little
LENGTHS = np.array([[42, 25, 20], [45, 29, 21], [42, 27, 21], [34, 20, 18]], float)
RADII = np.array(  # at knuckle, two joints, tip
    [[11.2, 10.1, 9.0, 7.6], [11.4, 10.4, 9.2, 7.8], [10.9, 9.9, 8.8, 7.4], [9.8, 8.8, 7.8, 6.7]]
)
THUMB_BASE = np.array([21.0, 20.0, 3.0])
THUMB_LENGTHS = np.array([42.0, 30.0, 24.0])
THUMB_RADII = np.array([14.5, 12.0, 11.0, 8.8])
LINES = (  # the palm's: heart, head, life
    ((-34, 66), (-20, 66), (-4, 71), (10, 82)),
    ((30, 66), (14, 64), (-4, 56), (-20, 46)),
    ((30, 67), (14, 60), (5, 44), (3, 26), (8, 14)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """How a hand is held, and where: everything that changes from frame to frame."""

    fingers: Numbers
    """`[4, 4]` radians, index to little finger: sideways spread, then the bend at three joints."""
    thumb: Numbers
    """`[4, 3]` directions in hand space: of its three bones, and where its pad looks."""
    turn: Numbers
    """`[3]` radians: roll (anticlockwise), tilt (fingertips to the viewer), yaw."""
    wrist: Numbers
    """`[1]` radians that the forearm is turned from straight down, in the palm's plane."""
    place: Numbers
    """`[2]` frame heights right and down from the frame's top left to the hand's centre."""
    scale: Numbers
    """`[1]` frame heights a millimetre."""

    def towards(self, other: Pose, share: float) -> Pose:
        """Return the pose `share` of the way from here (0) to the other (1)."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Pose(*(here + share * (there - here) for here, there in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What stays with one person. Colours are linear light, 0 to 1, `[3]`."""

    back: Plane
    """Skin on the back of the hand."""
    front: Plane
    """Skin on the palm: lighter and redder, the more so the darker the back."""
    cloth: Plane
    """The sleeve."""
    cuff: float
    """Millimetres from the wrist to where the sleeve begins."""
    stripes: float
    """How much darker every other band of the sleeve is, 0 to 1."""
    width: float
    """Thickness of fingers and palm against the average."""
    length: float
    """Length of fingers against the average."""
    left: bool
    """A left hand."""


class View(NamedTuple):
    """From millimetres about the hand's centre to a picture's pixels."""

    scale: float
    """Pixels a millimetre."""
    x: float
    y: float
    """Where the hand's centre is."""


class Cone(NamedTuple):
    """A round cone; its ends are `[4]`: x, y, nearness and radius in pixels."""

    a: Numbers
    b: Numbers
    melt: float
    """How far (pixels) it flows into what it touches."""
    palmar: float
    """1 where the palm's skin looks at the viewer, 0 where the back's does."""


class Mark(NamedTuple):
    """A crease (ink below 0) or nail (above) on the skin, between ends like a cone's."""

    a: Numbers
    b: Numbers
    ink: float


class Skeleton(NamedTuple):
    """One posed hand as a view sees it."""

    forearm: list[Cone]
    hand: list[Cone]
    sleeve: list[Cone]
    marks: list[Mark]


def bend(pose: Pose, look: Look, view: View) -> Skeleton:
    """Bend a skeleton into the pose."""
    build = _Builder(pose, look, view)
    _forearm(build)
    _palm(build)
    _thumb(build)
    for index in range(4):
        _finger(build, index)
    return build.skeleton


def corners(cones: list[Cone]) -> tuple[Numbers, Numbers]:
    """Return the least and greatest x, y, `[2]` each, of anything in the cones."""
    ends = np.array([end for cone in cones for end in (cone.a, cone.b)])  # [ends, 4]
    radius = ends[:, 3:]
    return (ends[:, :2] - radius).min(axis=0), (ends[:, :2] + radius).max(axis=0)


def extent(pose: Pose, look: Look) -> tuple[Numbers, Numbers]:
    """Return the hand's corners about its centre, without the forearm: `[2]` mm right and down."""
    return corners(bend(pose, look, View(1.0, 0.0, 0.0)).hand)


def _unit(vector: Numbers) -> Numbers:
    return np.asarray(vector / np.linalg.norm(vector))


def _rotation(turn: Numbers) -> Numbers:
    """Return the matrix `[3, 3]` for roll, tilt, yaw."""
    (cr, ct, cy), (sr, st, sy) = np.cos(turn), np.sin(turn)
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.asarray(roll @ tilt @ yaw)


class _Builder:
    """Takes bones and marks in hand space and keeps them as the view sees them."""

    def __init__(self, pose: Pose, look: Look, view: View) -> None:
        self.pose, self.look, self.view = pose, look, view
        self.turn = _rotation(pose.turn)
        if look.left:
            self.turn = np.diag([-1.0, 1.0, 1.0]) @ self.turn
        self.skeleton = Skeleton([], [], [], [])

    def ball(self, point: Numbers, radius: float) -> Numbers:
        """Return x, y, nearness and radius in pixels, `[4]`."""
        right, up, near = self.turn @ (point - MIDDLE)
        scale, x, y = self.view
        closer = scale * FAR / max(FAR - near, 50.0)
        return np.array([x + right * closer, y - up * closer, near * scale, radius * closer])

    def facing(self, out: Numbers) -> float:
        """Return how straight a direction points at the viewer: 1 at, -1 away."""
        return float(self.turn[2] @ _unit(out))

    def cone(self, a: Numbers, b: Numbers, radii: ArrayLike, melt: float, pad: Numbers) -> Cone:
        """Return flesh about a bone from a to b, whose palm's side looks to `pad`."""
        first, last = np.multiply(radii, self.look.width)
        palmar = float(np.clip(0.5 + 0.9 * self.facing(pad), 0, 1))
        return Cone(self.ball(a, first), self.ball(b, last), melt * self.view.scale, palmar)

    def bone(
        self, a: Numbers, b: Numbers, radii: ArrayLike, melt: float, pad: Numbers = FRONT
    ) -> None:
        self.skeleton.hand.append(self.cone(a, b, radii, melt, pad))

    def mark(self, a: Numbers, b: Numbers, radius: float, ink: float, out: Numbers) -> None:
        """Put a mark on skin that looks towards `out`; what looks away is left out."""
        facing = self.facing(out)
        if facing > 0.15:
            fade = min(1.0, (facing - 0.15) * 2.5)
            self.skeleton.marks.append(Mark(self.ball(a, radius), self.ball(b, radius), ink * fade))

    def crease(self, at: Numbers, side: Numbers, radius: float, ink: float, out: Numbers) -> None:
        """Mark the fold across a finger of that radius."""
        at, half = at + out * radius * 0.9, side * radius * 0.6
        self.mark(at - half, at + half, 0.7, ink, out)

    def nail(self, tip: Numbers, along: Numbers, out: Numbers, radius: float) -> None:
        at = tip + out * radius * 0.85
        self.mark(at - along * radius * 0.55, at + along * radius * 0.25, radius * 0.62, 0.5, out)


def _forearm(build: _Builder) -> None:
    angle = float(build.pose.wrist[0])
    along = np.array([np.sin(angle), -np.cos(angle), 0.0])
    side = np.array([np.cos(angle), np.sin(angle), 0.0])
    for sign in (0, -1, 1):
        top, low = along * -14 + side * sign * 9, along * 130 + side * sign * 15
        arm = build.cone(top, low, (16.0, 21.0), 16.0, FRONT)
        build.skeleton.forearm.append(arm._replace(palmar=arm.palmar * 0.4))
    cuff = build.look.cuff
    for sign in (-1, 1):
        top, low = along * cuff + side * sign * 13, along * 460 + side * sign * 24
        ends = build.ball(top, 21.0 + cuff * 0.03), build.ball(low, 44.0)
        build.skeleton.sleeve.append(Cone(*ends, 14.0 * build.view.scale, 0.0))


def _palm(build: _Builder) -> None:
    for base, knuckle, radius in zip(CARPALS, KNUCKLES, RADII[:, 0], strict=True):
        build.bone(base, knuckle, (15.0, radius + 2.6), 13.0)
        build.mark(knuckle - FRONT * 11, knuckle - FRONT * 11, 3.5, -0.12, -FRONT)
    build.bone(np.array([-17.0, 18.0, 2.0]), np.array([-26.0, 60.0, 2.0]), (15.0, 13.0), 13.0)
    build.bone(np.array([14.0, 28.0, 3.0]), np.array([24.0, 44.0, 4.0]), (14.0, 12.0), 13.0)
    for line in LINES:
        for a, b in pairwise(np.array([x, y, 14.0]) for x, y in line):
            build.mark(a, b, 0.8, -0.26, FRONT)


def _thumb(build: _Builder) -> None:
    base, *bones, pad = (_unit(v) for v in build.pose.thumb)
    ball = base * THUMB_LENGTHS[0]
    start, web = THUMB_BASE + ball, THUMB_BASE + ball * 0.72
    build.bone(THUMB_BASE, start, THUMB_RADII[:2], 12.0)
    build.bone(web, CARPALS[0] * 0.35 + KNUCKLES[0] * 0.65, (9.0, 9.0), 12.0)
    for joint, along in enumerate(bones, start=1):
        end = start + along * (THUMB_LENGTHS[joint] * build.look.length)
        out = _unit(pad - along * (pad @ along))
        build.bone(start, end, THUMB_RADII[joint : joint + 2], 4.0, out)
        side, radius = np.cross(along, out), THUMB_RADII[joint] * build.look.width
        build.crease(start, side, radius, -0.25, out)
        build.crease(start, side, radius, -0.14, -out)
        start = end
    build.nail(start, along, -out, THUMB_RADII[3] * build.look.width)


def _finger(build: _Builder, index: int) -> None:
    spread, *bends = build.pose.fingers[index]
    start, radii = KNUCKLES[index], RADII[index] * build.look.width
    straight = np.array([np.sin(spread), np.cos(spread), 0.0])
    side = np.array([np.cos(spread), -np.sin(spread), 0.0])
    angle = 0.0
    for joint, (by, length) in enumerate(zip(bends, LENGTHS[index], strict=True)):
        angle += by
        along = straight * np.cos(angle) + FRONT * np.sin(angle)
        pad = np.cross(side, along)
        end = start + along * length * build.look.length
        if joint == 2:  # the tip's ball reaches further
            end = end - along * radii[3] * 0.4
        build.bone(start, end, RADII[index, joint : joint + 2], 3.0, pad)
        if joint == 0:  # the fat where finger and palm meet, which also webs the fingers
            build.bone(start, start + along * length * 0.3, (12.0, 10.6), 9.0, pad)
            build.crease(start + along * (length * 0.42), side, radii[0], -0.28, pad)
        else:
            build.crease(start, side, radii[joint], -0.28, pad)
            build.crease(start, side, radii[joint], -0.16, -pad)
        start = end
    build.nail(start, along, -pad, radii[3])
