"""`hand` and `face`: what the points of a hand or a face say, whatever its size and place.

The points come from `landmarks`. Of a hand they become: how far apart fingertips are, how
much each joint is bent, both in space, where they are the same from any side; and which way each
finger points in the picture.

Of a face: how far lids and lips are open, how wide the mouth is, where its corners, the brows and
the chin are by the face's own three axes, so that a turned head still smiles the same; and which
way the head is turned, if it is. That is little, on purpose: more points tell people apart.

Where no hand or face is, everything is zero.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from trainer.features.geometry import QUARTER, upright
from trainer.features.landmarks import landmarks
from trainer.features.subjects import FACE, HAND, SUBJECTS
from trainer.graphs import parse_model, rename

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    from trainer.graphs import Constants

Kind: TypeAlias = Literal["hand", "face"]
FOUND = {"hand": 133, "face": 1410}
"""How many numbers `found` has; `trainer.features.landmarks.landmarks` says which."""
CLOUDS = {"hand": [(0, 63), (64, 127)], "face": [(0, 1404)]}
"""Which of them are points: those in the square, and, of a hand, those in space."""
HANDED = 63
"""Which of a hand's says whether it is the right one, from 0 to 1."""
NUMBERS = 47
"""Features of a hand."""
_SIDEWAYS, _HANDED = slice(35, 45, 2), 45
"""Of these: how far to the right each finger points in the picture; and which hand it is."""
FINGERS = [list(range(first, first + 4)) for first in (1, 5, 9, 13, 17)]
"""Of a hand's 21 points: the thumb's, from root to tip, and the other fingers'; 0 is the wrist."""
BONES = [pair for finger in FINGERS for pair in zip([0, *finger], finger, strict=False)]
"""From point to point, each finger from the wrist."""


def _size_about_the_wrist(points: str, prefix: str) -> str:
    """Return lines that make `from_wrist`, and `size`, the root of the mean squared distance."""
    return f"""
    {prefix}wrist = Gather <axis = 0> ({points}, origin)
    {prefix}from_wrist = Sub ({points}, {prefix}wrist)
    {prefix}squares = Mul ({prefix}from_wrist, {prefix}from_wrist)
    {prefix}across = ReduceSum ({prefix}squares, second)
    {prefix}spread = ReduceMean <keepdims = 1> ({prefix}across)
    {prefix}size_ = Sqrt ({prefix}spread)
    {prefix}size = Max ({prefix}size_, tiny)"""


_HAND = """
hand (float[133] found) => (float[n] features) {{
    points_, handed, world_, up, place, certain = Split <axis = 0> (found, parts)
    world = Reshape (world_, triples)
    {measured}
    shape = Div (from_wrist, size)

    gaps = MatMul (pairs, shape)
    distances = ReduceL2 <keepdims = 0> (gaps, second)

    bones = MatMul (bone_ends, shape)
    lengths_ = ReduceL2 <keepdims = 1> (bones, second)
    lengths = Max (lengths_, tiny)
    directions = Div (bones, lengths)
    one_bone = Gather <axis = 0> (directions, joint_from)
    other_bone = Gather <axis = 0> (directions, joint_to)
    products = Mul (one_bone, other_bone)
    bends = ReduceSum <keepdims = 0> (products, second)

    points = Reshape (points_, triples)
    flat_points, depths = Split <axis = 1> (points, two_and_one)
    {flat_measured}
    {upright}
    fingers = MatMul (roots_to_tips, flat_points)
    fingers_there = MatMul (fingers, axes)
    pointing_ = Div (fingers_there, flat_size)
    pointing = Reshape (pointing_, flat)

    features = Concat <axis = 0> (distances, bends, pointing, handed, certain)
}}
""".format(
    measured=_size_about_the_wrist("world", ""),
    flat_measured=_size_about_the_wrist("flat_points", "flat_"),
    upright=upright("up"),
)

# A face's points, as the landmark network numbers them. Its own right is left in the picture.
EYES = (33, 263)
"""Outer corners, right and left: no expression moves them, so what lies between is the measure."""
MOUTH = (61, 291)
"""Its corners."""
RATIOS = [
    ([(159, 145), (158, 153), (160, 144)], (33, 133)),  # upper to lower lid, in the eye's width
    ([(386, 374), (385, 380), (387, 373)], (263, 362)),
    ([(13, 14)], MOUTH),  # upper to lower lip, in the mouth's width
    ([(82, 87), (13, 14), (312, 317)], (78, 308)),
    ([MOUTH], EYES),
    ([(0, 17)], EYES),  # the lips' outer edges
    ([(55, 285)], EYES),  # inner ends of the brows
    ([(2, 152)], EYES),  # nose to chin
]
"""Pairs of points, and the pair in whose distance their mean distance is told."""
RIGHTWARD, DOWNWARD, BACKWARD = range(3)
SHIFTS = [
    ([0, 17], [61], DOWNWARD),  # corners of the mouth, from the lips' middle
    ([0, 17], [291], DOWNWARD),
    ([33, 133], [107], DOWNWARD),  # brows, from the eye's corners
    ([33, 133], [105], DOWNWARD),
    ([33, 133], [70], DOWNWARD),
    ([263, 362], [336], DOWNWARD),
    ([263, 362], [334], DOWNWARD),
    ([263, 362], [300], DOWNWARD),
    ([2], [0, 17], BACKWARD),  # lips, chin and mouth, from below the nose
    ([2], [152], RIGHTWARD),
    ([2], list(MOUTH), RIGHTWARD),
]
"""From the middle of these points to that of those, along one of the face's own axes."""
ACROSS = ([234, 127, 33, 133], [454, 356, 263, 362])
"""Ears, temples and eyes, right and left: what lies between is the first axis."""
ALONG = ([10, 109, 338], [2, 98, 327])
"""Forehead and below the nose: the second."""
LEVEL = 0.1
"""Sine of the angle at which this third axis, of a face seen from in front, points down."""
STILL = 0.2
"""Sine of the angle, twelve degrees, up to which a head counts as not turned. So much heads differ
whatever their face shows; told, it would be learned as part of the expression."""

_FACE = """
face (float[1410] found) => (float[n] features) {{
    points_, up, place, certain = Split <axis = 0> (found, parts)
    points = Reshape (points_, triples)

    ways = MatMul (pairs, points)
    distances = ReduceL2 <keepdims = 0> (ways, second)
    told = MatMul (counted, distances)
    measures_ = MatMul (measured_in, distances)
    measures = Max (measures_, tiny)
    ratios = Div (told, measures)

    frame_ways = MatMul (frame, points)
    across, along = Split <axis = 0> (frame_ways, halves)
    width_ = ReduceL2 <keepdims = 1> (across, second)
    width = Max (width_, tiny)
    right = Div (across, width)
    products = Mul (along, right)
    askew = ReduceSum <keepdims = 1> (products, second)
    sideways = Mul (right, askew)
    straight = Sub (along, sideways)
    height_ = ReduceL2 <keepdims = 1> (straight, second)
    height = Max (height_, tiny)
    down = Div (straight, height)
    right_yzx = Gather <axis = 1> (right, yzx)
    right_zxy = Gather <axis = 1> (right, zxy)
    down_yzx = Gather <axis = 1> (down, yzx)
    down_zxy = Gather <axis = 1> (down, zxy)
    one_product = Mul (right_yzx, down_zxy)
    other_product = Mul (right_zxy, down_yzx)
    back = Sub (one_product, other_product)
    own_axes = Concat <axis = 0> (right, down, back)
    to_own = Transpose <perm = [1, 0]> (own_axes)

    moves = MatMul (shifts, points)
    own_moves_ = MatMul (moves, to_own)
    eye_ways = MatMul (eye_to_eye, points)
    eye_gap_ = ReduceL2 <keepdims = 1> (eye_ways, second)
    eye_gap = Max (eye_gap_, tiny)
    own_moves = Div (own_moves_, eye_gap)
    on_axis = Mul (own_moves, axis_of_each)
    shifted = ReduceSum <keepdims = 0> (on_axis, second)

    {upright}
    own_xy, own_z = Split <axis = 1> (own_axes, two_and_one)
    axes_there = MatMul (own_xy, picture_axes)
    flat_axes = Reshape (axes_there, flat)
    angles_ = Gather (flat_axes, turns)
    angles = Sub (angles_, level)
    turned = Shrink <lambd = {still}, bias = {still}> (angles)

    features = Concat <axis = 0> (ratios, shifted, turned, certain)
}}
""".format(still=STILL, upright=upright("up", "picture_"))


def other_hand(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a hand's features as the other hand gives them, held the same: `[..., 47]`."""
    mirrored = rows.copy()
    mirrored[..., _SIDEWAYS] *= -1
    mirrored[..., _HANDED] = np.where(rows[..., -1] > 0, 1 - rows[..., _HANDED], 0)
    return mirrored


def finder(kind: Kind) -> onnx.ModelProto:
    """Return the graph from `image`, and `state`, which may be left out, to `found`.

    Raises:
        DataError: MediaPipe's weights are not here.
    """
    return landmarks(SUBJECTS[kind])


def pose(kind: str) -> onnx.ModelProto:
    """Return the graph from `found` to `features`: 47 numbers of a hand, 23 of a face."""
    text, constants = (_HAND, _hand_constants()) if kind == "hand" else (_FACE, _face_constants())
    model = parse_model(text, constants)
    # A prefix, as no name may be both inside and outside of what Loop and If run.
    rename(model.graph, "pose/", {"found": "found", "features": "features"})
    return model


_SHARED = {
    "triples": np.array([-1, 3]),
    "second": np.array([1]),
    "flat": np.array([-1]),
    "two_and_one": np.array([2, 1]),
    "two_rows": np.array([2, 2]),
    "quarter": QUARTER,
    "tiny": np.array(1e-6, np.float32),
}


def _hand_constants() -> Constants:
    tips = [finger[-1] for finger in FINGERS]
    joints = [(4 * i + a, 4 * i + b) for i in range(5) for a, b in ((0, 1), (1, 2), (2, 3), (0, 3))]
    return {
        **_SHARED,
        "parts": np.array([63, 1, 63, 2, 3, 1]),
        "origin": np.array([0]),
        "pairs": _differences([*combinations(tips, 2), *((0, tip) for tip in tips)], HAND.points),
        "bone_ends": _differences(BONES, HAND.points),
        "joint_from": np.array([a for a, _ in joints]),
        "joint_to": np.array([b for _, b in joints]),
        "roots_to_tips": _differences([(2, 4), *((f[0], f[-1]) for f in FINGERS[1:])], HAND.points)
        * np.float32(0.5),
    }


def _face_constants() -> Constants:
    pairs = sorted({pair for several, measure in RATIOS for pair in [*several, measure]})
    counted, measured_in = np.zeros((2, len(RATIOS), len(pairs)), np.float32)
    for row, (several, measure) in enumerate(RATIOS):
        counted[row, [pairs.index(pair) for pair in several]] = 1 / len(several)
        measured_in[row, pairs.index(measure)] = 1
    return {
        **_SHARED,
        "parts": np.array([3 * FACE.points, 2, 3, 1]),
        "halves": np.array([1, 1]),
        "yzx": np.array([1, 2, 0]),
        "zxy": np.array([2, 0, 1]),
        "pairs": _differences(pairs, FACE.points),
        "counted": counted,
        "measured_in": measured_in,
        "frame": _ways([ACROSS, ALONG], FACE.points),
        "eye_to_eye": _differences([EYES], FACE.points),
        "shifts": _ways([(start, end) for start, end, _ in SHIFTS], FACE.points),
        "axis_of_each": np.eye(3, dtype=np.float32)[[axis for _, _, axis in SHIFTS]],
        "turns": np.array([4, 5, 1]),  # x and y of the third axis, y of the first
        "level": np.array([0, LEVEL, 0], np.float32),
    }


def _differences(pairs: list[tuple[int, int]], points: int) -> NDArray[np.float32]:
    """Return the matrix that makes, of points, the way from one to another, `[pairs, points]`."""
    return _ways([((start,), (end,)) for start, end in pairs], points)


def _ways(ways: Sequence[tuple[Sequence[int], Sequence[int]]], points: int) -> NDArray[np.float32]:
    """Return the matrix that makes the way from some points' middle to that of others."""
    matrix = np.zeros((len(ways), points), np.float32)
    for row, (starts, ends) in enumerate(ways):
        matrix[row, list(starts)] -= np.float32(1 / len(starts))
        matrix[row, list(ends)] += np.float32(1 / len(ends))
    return matrix
