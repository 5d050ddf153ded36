"""Pictures to learn `edges` from: drawn hands in any pose, and what is true of each.

Wilder than what `edge.sources.virtual` films: fingers bend one by one, hands turn and shrink, and
what is behind them is noise, stripes, bars and shapes, some of them as round and as brown as a
hand. Of synthetic pictures the more varied teach more, whether or not they look real: Tobin et al.,
"Domain randomization for transferring deep neural networks from simulation to the real world", IROS
2017.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from edge.sources.virtual.gestures import SHAPES
from edge.sources.virtual.hands import Pose, View, bend
from edge.sources.virtual.scenes import SKIN, Scene
from edge.sources.virtual.shading import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[Any]

SIDE = 96
"""Of a picture, pixels: a little more than the network looks at, so that it can be shifted."""
CANVAS = (160, 224)
"""Width and height of the sheet a hand is drawn on."""
MILLIMETRE = 0.36
"""Pixels, on that sheet."""
CENTRE = np.array([80.0, 80.0])
WALL = 160
"""Pixels of a background's side."""
CURLED = np.radians([82, 103, 60])
SPREAD = np.radians([10, 1, -8, -19])
COUNTS = ("0000", "1000", "1100", "1110", "1111", "1001", "0001", "0111", "0011")


class Drawn(NamedTuple):
    """A hand on an empty sheet."""

    sheet: NDArray[np.uint8]
    """`[height, width, 4]`: red, green, blue and cover."""
    pose: Floats
    """`[11]`: up, thumb to little finger; curl, index to little finger; back of hand; left hand."""
    tips: Floats
    """`[5, 2]`: x, y of the fingertips on the sheet."""
    corners: Floats
    """`[2, 2]`: the hand's least and greatest x, y."""


class Truth(NamedTuple):
    """What is to be learned about pictures, a row each. Pixels are the picture's own."""

    seen: Floats
    """`[n]`: 1 with a hand, 0 without."""
    pose: Floats
    """`[n, 11]`, as in `Drawn`."""
    towards: Floats
    """`[n, 2]`: where the fingers point, right and down; unit length."""
    size: Floats
    """`[n]`: log of the hand's longer side over 35 pixels."""
    place: Floats
    """`[n, 2]`: x, y of its middle."""
    tips: Floats
    """`[n, 5, 2]`: x, y of the fingertips."""


def draw_hand(rng: np.random.Generator) -> Drawn:
    """Draw a hand of anybody, in any pose."""
    scene = Scene.random(int(rng.integers(2**31)), (16, 16))
    look = scene.look
    if rng.random() < 0.4:  # a bare arm: a sleeve of skin
        look = replace(look, cloth=look.back * np.float32(rng.uniform(0.85, 1)), stripes=0.0)
    pose, up, curl, back = _random_pose(rng)
    layer = render(pose, look, scene.light, CANVAS)
    if layer is None:
        raise AssertionError("the sheet holds every hand")
    sheet = np.zeros((CANVAS[1], CANVAS[0], 4), np.uint8)
    colour = np.sqrt(np.clip(layer.colour / np.maximum(layer.cover, 1e-3), 0, 1))
    sheet[layer.rows, layer.columns, :3] = colour * 255 + 0.5
    sheet[layer.rows, layer.columns, 3:] = layer.cover * 255 + 0.5
    bones = bend(pose, look, View(MILLIMETRE, *CENTRE)).hand
    # The thumb's last bone is the tenth; four cones a finger follow, its tip's the last of them.
    tips = np.array([bones[at].b[:2] for at in (9, 13, 17, 21, 25)])
    ends = np.array([end for bone in bones for end in (bone.a, bone.b)])
    low, high = ends[:, :2] - ends[:, 3:], ends[:, :2] + ends[:, 3:]
    truth = np.array([*up, *np.clip(curl, 0, 1.1), back, look.left], np.float32)
    return Drawn(sheet, truth, tips, np.array([low.min(axis=0), high.max(axis=0)]))


def _random_pose(rng: np.random.Generator) -> tuple[Pose, Floats, Floats, bool]:
    """Return a pose, which fingers are up `[5]`, how curled they are `[4]`, and if it is a back."""
    up, curl, joints = _random_fingers(rng)
    rest = np.radians([3, 5, 4]) + np.abs(rng.normal(0, 1, (4, 3))) * np.radians([6, 5, 4])
    bends = rest + (CURLED - rest) * curl[:, None] * joints
    spread = SPREAD * rng.choice([0.1, 1.0, 1.0, 1.25]) * rng.uniform(0.7, 1.2)
    spread = spread * (1 - 0.8 * np.clip(curl, 0, 1)) + np.radians(rng.normal(0, 2.5, 4))
    if up[1] and up[2] and not up[3] and rng.random() < 0.7:
        spread[:2] = np.radians([13, -8]) * rng.uniform(0.3, 1.3)
    names = ("palm", "thumb") if up[0] else ("fist", "vsign", "point")
    thumb = SHAPES[names[rng.integers(len(names))]].thumb.astype(float)
    if rng.random() < 0.3:  # on the way to another
        other = SHAPES[tuple(SHAPES)[rng.integers(len(SHAPES))]].thumb
        thumb = thumb + (other - thumb) * rng.uniform(0, 0.6)
    thumb = thumb * (1 + rng.normal(0, 0.1, (4, 3)))
    back = bool(rng.random() < 0.3)
    turn: Floats = np.radians([0, rng.normal(0, 14), rng.normal(0, 18) + 180 * back])
    if rng.random() < 0.08:
        turn[2] += rng.choice([-1, 1]) * np.radians(rng.uniform(40, 90))
    pose = Pose(
        fingers=np.column_stack([spread, bends]),
        thumb=thumb,
        turn=turn,
        wrist=np.radians([np.clip(rng.normal(0, 18), -45, 45)]),
        place=CENTRE / CANVAS[1],
        scale=np.array([MILLIMETRE / CANVAS[1]]),
    )
    return pose, up, curl, back


def _random_fingers(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return which are up `[5]`, how curled they are `[4]`, and which joints do the bending."""
    up = (rng.random(5) < 0.5).astype(float)
    kind = rng.random()
    if kind < 0.75:  # each straight or bent
        if rng.random() < 0.55:
            up[1:] = [float(digit) for digit in COUNTS[rng.integers(len(COUNTS))]]
        bent = 1 - np.abs(rng.normal(0, 0.12, 4))
        curl = np.where(up[1:] > 0, np.abs(rng.normal(0, 0.07, 4)), bent)
        return up, np.clip(curl, 0, 1.08), np.ones(3)
    if kind < 0.9:  # all bent alike: a claw, an O
        curl = np.clip(rng.uniform(0, 1) + rng.normal(0, 0.06, 4), 0, 1.05)
    else:
        curl = rng.uniform(0, 1.05, 4)
    up[1:] = curl < 0.3
    return up, curl, np.clip(3 * rng.dirichlet([2, 2, 2]), 0, 1.3)


def compose(
    rng: np.random.Generator, walls: Sequence[NDArray[np.uint8]], hands: Sequence[Drawn], count: int
) -> tuple[NDArray[np.uint8], Truth]:
    """Return pictures, uint8 `[count, SIDE, SIDE, 3]`, and what is true of each."""
    pictures = np.empty((count, SIDE, SIDE, 3), np.uint8)
    truth = Truth(*(np.zeros((count, *s), np.float32) for s in ((), (11,), (2,), (), (2,), (5, 2))))
    for row in range(count):
        picture = _place_wall(rng, walls[int(rng.integers(len(walls)))])
        if rng.random() < 0.88:
            hand = hands[int(rng.integers(len(hands)))]
            matrix, size, place = _random_place(rng, hand)
            picture = _lay_over(rng, picture, hand, matrix, size / np.ptp(hand.corners, 0).max())
            up = matrix[:, :2] @ np.array([0.0, -1.0])
            truth.seen[row], truth.pose[row] = 1, hand.pose
            truth.towards[row] = up / np.linalg.norm(up)
            truth.size[row], truth.place[row] = np.log(size / 35), place
            truth.tips[row] = hand.tips @ matrix[:, :2].T + matrix[:, 2]
        pictures[row] = _photograph(rng, picture)
    return pictures, truth


def _place_wall(rng: np.random.Generator, wall: NDArray[np.uint8]) -> Floats:
    zoom = SIDE / WALL / rng.uniform(0.6, 1.0) * 1.05
    matrix: Floats = cv2.getRotationMatrix2D((WALL / 2, WALL / 2), float(rng.normal(0, 6)), zoom)
    matrix[:, 2] += SIDE / 2 - WALL / 2
    matrix[:, 2] += rng.uniform(-0.15, 0.15, 2) * (zoom * WALL - 0.9 * SIDE)
    if rng.random() < 0.5:
        wall = np.ascontiguousarray(wall[:, ::-1])
    moved = cv2.warpAffine(wall, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    return moved.astype(np.float32)


def _random_place(rng: np.random.Generator, hand: Drawn) -> tuple[Floats, float, Floats]:
    """Return the matrix `[2, 3]` from sheet to picture, the hand's size, and its middle."""
    turn = np.radians(rng.normal(0, 28) if rng.random() < 0.8 else rng.uniform(-180, 180))
    # Most cameras' pictures are wider than high, and are squeezed to a square.
    squeeze = np.sqrt(rng.choice([0.75, 0.75, 1.0, 1.33]) * np.exp(rng.normal(0, 0.08)))
    size = float(np.exp(rng.uniform(np.log(20), np.log(88))))
    cos, sin = np.cos(turn), np.sin(turn)
    spun: Floats = np.diag([squeeze, 1 / squeeze]) @ np.array([[cos, -sin], [sin, cos]])
    spun = spun * (size / np.ptp(hand.corners, axis=0).max())
    free = max(0.0, (SIDE - size) / 2) * 0.95 + 4
    place = SIDE / 2 + rng.uniform(-1, 1, 2) * free
    return np.column_stack([spun, place - spun @ hand.corners.mean(axis=0)]), size, place


def _lay_over(
    rng: np.random.Generator, picture: Floats, hand: Drawn, matrix: Floats, scale: float
) -> Floats:
    """Put a hand before the picture: in its own light, perhaps with a shadow or in a glove."""
    sheet: Floats = hand.sheet.astype(np.float32)
    sheet[..., 3] /= 255
    sheet[..., :3] *= sheet[..., 3:]
    if scale < 0.75:
        sheet = cv2.GaussianBlur(sheet, (0, 0), 0.35 / scale * rng.uniform(0.5, 1.1))
    laid = cv2.warpAffine(sheet, matrix, (SIDE, SIDE))
    colours, cover = laid[..., :3], laid[..., 3:]
    if rng.random() < 0.25:
        shadow = np.roll(laid[..., 3], rng.integers(-8, 9, 2), (0, 1))
        shadow = cv2.GaussianBlur(shadow, (0, 0), 3.0)[..., None]
        picture = picture * (1 - rng.uniform(0, 0.5) * shadow)
    if rng.random() < 0.08:
        shade = (colours.mean(axis=-1, keepdims=True) - 80) * rng.uniform(0, 0.6)
        colours = cover * (rng.uniform(0, 255, 3) + shade)
    dark = rng.uniform(0.25, 0.6) if rng.random() < 0.08 else 1.0
    gain = np.exp(rng.normal(0, 0.3)) * dark * (1 + rng.normal(0, 0.06, 3))
    laid_over: Floats = picture * (1 - cover) + colours * gain
    return laid_over


def _photograph(rng: np.random.Generator, picture: Floats) -> NDArray[np.uint8]:
    """Blur, expose, tint and add noise, as some camera in some light would."""
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.12:  # moved
        way = np.zeros((5, 5), np.float32)
        cv2.line(way, (0, int(rng.integers(5))), (4, int(rng.integers(5))), 0.2)
        picture = cv2.filter2D(picture, -1, way if rng.random() < 0.5 else way.T)
    light = np.clip(picture / 255, 0, 1)
    if rng.random() < 0.8:
        light = light ** (1.5 ** rng.uniform(-1, 1))
    if rng.random() < 0.5:
        light = (light - 0.5) * rng.uniform(0.55, 1.1) + 0.5 + rng.uniform(-0.08, 0.08)
    if rng.random() < 0.12:
        light = np.repeat(light.mean(axis=-1, keepdims=True), 3, axis=-1)
    light = light * (1 + rng.normal(0, 0.07, 3))
    light = light + rng.standard_normal(light.shape, np.float32) * abs(rng.normal(0, 0.02))
    return np.asarray(np.clip(light, 0, 1) * 255, np.uint8)


def any_skin(rng: np.random.Generator) -> Floats:
    """Return the colour of somebody's skin in some light, `[3]`."""
    tone = SKIN[rng.integers(len(SKIN))] * rng.uniform(0.5, 1.05)
    return np.asarray(np.clip(tone + rng.normal(0, 8, 3), 0, 255))
