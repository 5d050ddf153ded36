"""The whole picture -> a detector of MediaPipe's -> the likeliest palm or face -> its region.

`landmarks` says what a region is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import numpy_helper

from trainer.features.geometry import between, direction, read_network, shared_constants

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from trainer.features.subjects import Subject
    from trainer.graphs import Constants

CELL = 32
"""Pixels of the detectors' coarsest grid: what they see has whole cells of it."""
SAME_PALM = 0.3
"""Of the known hand's side: a box whose middle is no farther from that hand's is about it."""
LEAST_CELLS = 4
"""Of either side: with less black around it, a close hand in a wide picture is found less often."""

# The whole picture, with black margins up to whole cells of the detector. Without the `Reshape`
# onnxruntime 1.16 does not see that `far` is one number, and refuses the `Resize`.
_SEEK = """
seek () => (float[6] sought) {
    any_far = Gather (side_at, step)
    far = Reshape (any_far, alone)
    shorter = ReduceMin <keepdims = 1> (sides)
    longer = ReduceMax <keepdims = 1> (sides)
    wished_ratio = Div (far, shorter)
    most_ratio = Div (farthest, longer)
    ratio = Min (wished_ratio, most_ratio)
    fitted = Mul (sides, ratio)
    rounded = Round (fitted)
    not_flat = Max (rounded, one)
    small = Cast <to = 7> (not_flat)
    small_size = Concat <axis = 0> (alone, small, colours)
    batch = Unsqueeze (image, origin)
    resized = Resize <mode = "linear"> (batch, , , small_size)
    shrunk = Squeeze (resized, origin)
    begun = Add (small, almost_cell)
    some_cells = Div (begun, cell)
    cells = Max (some_cells, least_cells)
    seen = Mul (cells, cell)
    gap = Sub (seen, small)
    above = Div (gap, two)
    below = Sub (gap, above)
    margins = Concat <axis = 0> (above, none_at_all, below, none_at_all)
    framed = Pad (shrunk, margins)
    channels_first = Transpose <perm = [2, 0, 1]> (framed)
    bytes = Cast <to = 1> (channels_first)
    scaled = Mul (bytes, light)
    lit = Add (scaled, dark)
    input = Unsqueeze (lit, origin)
}
"""
# The places of one stride that lie in what is seen.
_PLACES = """
    count_{stride} = Div (seen, stride_{stride})
    inside_{stride} = Slice (places_{stride}, corner_place, count_{stride})
    anchors_{stride} = Reshape (inside_{stride}, box_rows)"""
# A box about the hand that is known already is none.
_FREE = """
    known_on_small = Mul (known_centre, ratio)
    known_here = Add (known_on_small, corner)
    middles_from_known = Sub (middles, known_here)
    known_distances = ReduceL2 <keepdims = 0> (middles_from_known, across)
    known_extent = Mul (known_side, ratio)
    known_reach = Mul (known_extent, same_palm)
    is_known = Less (known_distances, known_reach)
    logits = Where (is_known, impossible, told_logits)"""
# The likeliest box, averaged with those that overlap it; from it a region.
_DECODE = """
decode () => (float[6] sought) {{
    {places}
    anchors = Concat <axis = 0> ({names})
    rows = Reshape (boxes, box_rows)
    placed = Add (rows, anchors)
    middles, spans, keypoints = Split <axis = 1> (placed, box_parts)
    margin = Cast <to = 1> (above)
    corner = Gather (margin, swapped)
    {told} = Reshape (scores, flat)
    {free}
    chances = Sigmoid (logits)
    best = ArgMax <axis = 0, keepdims = 1> (logits)
    extents = Max (spans, one)
    reach = Mul (extents, half)
    low = Sub (middles, reach)
    high = Add (middles, reach)
    best_low = Gather <axis = 0> (low, best)
    best_high = Gather <axis = 0> (high, best)
    inner_low = Max (low, best_low)
    inner_high = Min (high, best_high)
    inner = Sub (inner_high, inner_low)
    common_sides = Relu (inner)
    common = ReduceProd <keepdims = 0> (common_sides, across)
    area = ReduceProd <keepdims = 0> (extents, across)
    best_area = Gather (area, best)
    areas = Add (area, best_area)
    union = Sub (areas, common)
    overlap = Div (common, union)
    overlapping = Greater (overlap, enough)
    best_chance = Gather (chances, best)
    bar = Min (best_chance, half)
    good = GreaterOrEqual (chances, bar)
    counted = And (overlapping, good)
    mask = Cast <to = 1> (counted)
    weights = Mul (mask, chances)
    total = ReduceSum <keepdims = 1> (weights)
    whole = Concat <axis = 1> (middles, extents, keypoints)
    summed = MatMul (weights, whole)
    box = Div (summed, total)
    middle, extent, keys = Split <axis = 0> (box, box_parts)
    pairs = Reshape (keys, pair_rows)
    {direction}
    height = Gather (extent, second)
    rise = Mul (height, lift)
    offset = Mul (up, rise)
    centre = Add (middle, offset)
    longest = ReduceMax <keepdims = 1> (extent)
    side = Mul (longest, grow)
    moved = Sub (centre, corner)
    centre_there = Div (moved, ratio)
    side_there = Div (side, ratio)
    sought = Concat <axis = 0> (best_chance, centre_there, side_there, up)
}}
"""


def seek(subject: Subject) -> onnx.GraphProto:
    """Return the graph, of what surrounds it, to `sought`: the likeliest region.

    Raises:
        DataError: the weights are not here.
    """
    network, (boxes, scores) = read_network(subject, subject.detector, ("boxes", "scores"))
    free(network)
    numbers = boxes // scores  # of a box and its keypoints
    return between(_SEEK, network, _decode_text(subject), _seek_constants(subject, numbers))


def _decode_text(subject: Subject) -> str:
    strides = [stride for stride, _ in subject.places]
    return _DECODE.format(
        places="".join(_PLACES.format(stride=stride) for stride in strides),
        names=", ".join(f"anchors_{stride}" for stride in strides),
        direction=direction("line", "pairs", "up"),
        told="told_logits" if subject.two else "logits",
        free=_FREE if subject.two else "",
    )


def _seek_constants(subject: Subject, numbers: int) -> Constants:
    line = np.zeros(numbers // 2 - 2, np.float32)
    line[list(subject.line)] = -1, 1
    known = {"same_palm": np.float32(SAME_PALM), "impossible": np.float32(-100)}
    return {
        **shared_constants(subject),
        "farthest": np.array([subject.farthest], np.float32),
        "cell": np.array(CELL),
        "almost_cell": np.array(CELL - 1),
        "least_cells": np.array(LEAST_CELLS),
        "alone": np.array([1]),
        "colours": np.array([3]),
        "two": np.array(2),
        "none_at_all": np.array([0]),
        "light": np.float32((1 - subject.darkest) / 255),
        "dark": np.float32(subject.darkest),
        **_anchors(subject, numbers),
        "corner_place": np.array([0, 0]),
        "box_rows": np.array([-1, numbers]),
        "box_parts": np.array([2, 2, numbers - 4]),
        "pair_rows": np.array([-1, 2]),
        "across": np.array([1]),
        "enough": np.float32(0.3),
        "line": line,
        "grow": np.float32(subject.grow),
        "lift": np.float32(subject.lift),
        "swapped": np.array([1, 0]),
        **(known if subject.two else {}),
    }


def _anchors(subject: Subject, numbers: int) -> Constants:
    """Return what to add to each box: the place it is about, in pixels, `[rows, columns, ...]`."""
    constants: dict[str, NDArray[Any]] = {}
    for stride, boxes in subject.places:
        middles = ((np.arange(subject.farthest // stride) + 0.5) * stride).astype(np.float32)
        place = np.stack(np.meshgrid(middles, middles), axis=-1)  # [rows, columns, 2]
        still = np.zeros_like(place)  # width and height
        box = np.concatenate([place, still, *[place] * (numbers // 2 - 2)], axis=-1)
        constants[f"stride_{stride}"] = np.array(stride)
        constants[f"places_{stride}"] = np.tile(box, boxes)
    return constants


def free(graph: onnx.GraphProto) -> None:
    """Let a network of convolutions take a picture of another size than it was drawn for."""
    constants = {one.name: one for one in graph.initializer}

    def change(name: str, value: NDArray[Any]) -> None:
        constants[name].CopyFrom(numpy_helper.from_array(value, name))

    for node in graph.node:
        if node.op_type == "Resize":  # always to twice the size
            change(node.input[3], np.array([1, 1, 2, 2], np.float32))
            node.input[2:] = [node.input[3]]
        elif node.op_type == "Reshape":  # of the boxes: [1, boxes, numbers]
            shape = numpy_helper.to_array(constants[node.input[1]]).copy()
            shape[1] = -1
            change(node.input[1], shape)
