"""`hand` and `face`: what the points of a hand or a face say, whatever its size and place.

The points come from `trainer.landmarks`. Of a hand they become: how far apart fingertips are, how
much each joint is bent, both in space, where they are the same from any side; and which way each
finger points in the picture. Where no hand is, everything is zero.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from trainer.graphs import make_model, rename
from trainer.landmarks import HAND, STATE, Subject, landmarks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FINGERS = [list(range(first, first + 4)) for first in (1, 5, 9, 13, 17)]
"""Of a hand's 21 points: the thumb's, from root to tip, and the other fingers'; 0 is the wrist."""

_HAND = """
hand (float[133] found) => (float[n] features) {
    points_, handed, world_, up, place, certain = Split <axis = 0> (found, parts)
    world = Reshape (world_, triples)
    wrist = Gather <axis = 0> (world, origin)
    from_wrist = Sub (world, wrist)
    squares = Mul (from_wrist, from_wrist)
    across = ReduceSum (squares, second)
    spread = ReduceMean <keepdims = 1> (across)
    size_ = Sqrt (spread)
    size = Max (size_, tiny)
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
    flat_wrist = Gather <axis = 0> (flat_points, origin)
    from_there = Sub (flat_points, flat_wrist)
    flat_squares = Mul (from_there, from_there)
    flat_across = ReduceSum (flat_squares, second)
    flat_spread = ReduceMean <keepdims = 1> (flat_across)
    flat_size_ = Sqrt (flat_spread)
    flat_size = Max (flat_size_, tiny)
    right = MatMul (up, quarter)
    down = Neg (up)
    both = Concat <axis = 0> (right, down)
    axes = Reshape (both, two_rows)
    fingers = MatMul (roots_to_tips, flat_points)
    fingers_there = MatMul (fingers, axes)
    pointing_ = Div (fingers_there, flat_size)
    pointing = Reshape (pointing_, flat)

    features = Concat <axis = 0> (distances, bends, pointing, handed, certain)
}
"""


def hand() -> onnx.ModelProto:
    """Return the features of one hand, 47 numbers.

    Raises:
        DataError: MediaPipe's weights are not here.
    """
    return _features(HAND, _HAND, _hand_constants())


def _features(
    subject: Subject, text: str, constants: Mapping[str, NDArray[np.generic]]
) -> onnx.ModelProto:
    """Return a graph from `image`, and `state`, which may be left out, to the numbers."""
    found = landmarks(subject)
    last = parser.parse_graph(text)
    last.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    # A prefix, as no name may be both inside and outside of what Loop and If run.
    rename(last, "pose/", {"found": "found", "features": "features"})
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])
    state, next_state = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [STATE])
        for name in ("state", "next_state")
    )
    graph = helper.make_graph(
        [*found.nodes, *last.node],
        "features",
        [image, state],
        [last.output[0], next_state],
        [
            numpy_helper.from_array(np.zeros(STATE, np.float32), "state"),
            *found.constants,
            *last.initializer,
        ],
    )
    return make_model(graph)


def _hand_constants() -> dict[str, NDArray[np.generic]]:
    tips = [finger[-1] for finger in FINGERS]
    ends = [pair for finger in FINGERS for pair in zip([0, *finger], finger, strict=False)]
    joints = [(4 * i + a, 4 * i + b) for i in range(5) for a, b in ((0, 1), (1, 2), (2, 3), (0, 3))]
    return {
        "parts": np.array([63, 1, 63, 2, 3, 1]),
        "triples": np.array([-1, 3]),
        "origin": np.array([0]),
        "second": np.array([1]),
        "flat": np.array([-1]),
        "two_and_one": np.array([2, 1]),
        "two_rows": np.array([2, 2]),
        "quarter": np.array([[0, 1], [-1, 0]], np.float32),
        "tiny": np.array(1e-6, np.float32),
        "pairs": _differences([*combinations(tips, 2), *((0, tip) for tip in tips)]),
        "bone_ends": _differences(ends),
        "joint_from": np.array([a for a, _ in joints]),
        "joint_to": np.array([b for _, b in joints]),
        "roots_to_tips": _differences([(2, 4), *((f[0], f[-1]) for f in FINGERS[1:])])
        * np.float32(0.5),
    }


def _differences(pairs: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Return the matrix that makes, of points, the way from one to another, `[pairs, 21]`."""
    matrix = np.zeros((len(pairs), 21), np.float32)
    for row, (start, end) in enumerate(pairs):
        matrix[row, start] -= 1
        matrix[row, end] += 1
    return matrix
