"""`two-hands`: what each of two hands says, and how they are placed to each other.

The hand further left in the picture comes last; so does the only one, whichever it is. Each says
what it says for `hand`, and is zero where it is not there, as is what lies between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, parser

from trainer.features.geometry import QUARTER
from trainer.features.poses import FINGERS, FOUND, pose
from trainer.features.subjects import HAND
from trainer.graphs import make_model, rename, tensors

if TYPE_CHECKING:
    import onnx

    from trainer.graphs import Constants

PLACES = [0, *(finger[-1] for finger in FINGERS)]
"""Of each hand's points those whose distances to the other's are told: wrist and fingertips."""
SECOND = 46
"""Which of the features says how sure the second hand is; 0: there is none."""

# Nearness is 1 where two points touch, 1/2 where they are a region's side apart, and 0 far off, as
# it is where there is no second hand.
_TWO = """
two (float[{founds}] found) => (float[n] features) {{
    rows = Reshape (found, hand_rows)
    points_, handed, world, ups, centres, sides, certain = Split <axis = 1> (rows, parts)
    is_there = Greater (certain, none)
    there = Cast <to = 1> (is_there)
    missing = Sub (one, there)
    beyond = Mul (missing, far_right)
    across, along = Split <axis = 1> (centres, halves)
    rank = Add (across, beyond)
    left = ArgMin <axis = 0, keepdims = 0> (rank)
    right = Sub (second, left)
    left_row = Gather (rows, left)
    right_row = Gather (rows, right)
    left_found = Reshape (left_row, flat)
    right_found = Reshape (right_row, flat)

    points = Reshape (points_, point_rows)
    chosen = MatMul (places, points)
    local = Gather <axis = 2> (chosen, x_and_y)
    rights = MatMul (ups, quarter)
    downs = Neg (ups)
    both_axes = Concat <axis = 1> (rights, downs)
    axes = Reshape (both_axes, axes_rows)
    turned = MatMul (local, axes)
    side_of_each = Unsqueeze (sides, second)
    centre_of_each = Unsqueeze (centres, second)
    in_picture = Mul (turned, side_of_each)
    spots = Add (in_picture, centre_of_each)
    left_spots = Gather (spots, left)
    right_spots = Gather (spots, right)
    right_columns = Transpose <perm = [1, 0, 2]> (right_spots)
    ways = Sub (right_columns, left_spots)
    gaps_ = ReduceL2 <keepdims = 0> (ways, third)
    gaps = Reshape (gaps_, flat)
    mean_side = ReduceMean <keepdims = 0> (sides)
    unit = Max (mean_side, tiny)
    widened = Add (gaps, unit)
    nearness = Div (unit, widened)

    left_centre = Gather (centres, left)
    right_centre = Gather (centres, right)
    way_ = Sub (right_centre, left_centre)
    way = Reshape (way_, flat)
    length = ReduceL2 <keepdims = 1> (way)
    longer = Add (length, unit)
    towards = Div (way, longer)
    left_side = Gather (sides, left)
    right_side = Gather (sides, right)
    larger_ = Sub (right_side, left_side)
    larger = Reshape (larger_, flat)
    in_units = Div (larger, unit)
    both_there = ReduceMin <keepdims = 0> (there)
    placed = Concat <axis = 0> (nearness, towards, in_units)
    between = Mul (placed, both_there)
}}
"""


def pose_of_two() -> onnx.ModelProto:
    """Return the graph from `found`, of two hands, to `features`.

    Those are the right hand's, how near each of its `PLACES` is to each of the left's, where the
    left one sees the right and how much larger that is, and the left hand's.
    """
    graph = parser.parse_graph(_TWO.format(founds=2 * FOUND["hand"]))
    graph.initializer.extend(tensors(_constants()))
    for side in ("right", "left"):
        one = pose("hand").graph
        rename(one, f"{side}/", {"found": f"{side}_found", "features": f"{side}_features"})
        graph.node.extend(one.node)
        graph.initializer.extend(one.initializer)
    told = ["right_features", "between", "left_features"]
    graph.node.append(helper.make_node("Concat", told, ["features"], axis=0))
    # A prefix, as no name may be both inside and outside of what Loop and If run.
    rename(graph, "two/", {"found": "found", "features": "features"})
    return make_model(graph)


def _constants() -> Constants:
    return {
        "hand_rows": np.array([2, FOUND["hand"]]),
        "parts": np.array([63, 1, 63, 2, 2, 1, 1]),
        "none": np.float32(0),
        "one": np.float32(1),
        "far_right": np.float32(10),  # a picture's longer side is 1
        "halves": np.array([1, 1]),
        "flat": np.array([-1]),
        "point_rows": np.array([2, HAND.points, 3]),
        "places": np.eye(HAND.points, dtype=np.float32)[PLACES],
        "x_and_y": np.array([0, 1]),
        "quarter": QUARTER,
        "axes_rows": np.array([2, 2, 2]),
        "second": np.array([1]),
        "third": np.array([2]),
        "tiny": np.float32(1e-6),
    }
