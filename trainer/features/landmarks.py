"""Where the points of a hand or a face are: one ONNX graph that finds them, and follows them.

Two networks of MediaPipe's, read by `trainer.features.tflite_file`, with geometry between them:

    image -> detector -> the likeliest palm or face -> its region
          -> a square cut out, turned upright -> landmark network -> points

A *region* is where to look closely: how sure it is, its middle, the side of its square and which
way is up, in pixels of the picture. The graph's optional input `state` is the region that the last
frame's points call for, `next_state` the one for the next frame. While that one still holds what it
should, the detector, the dearer half, is not run; where it does not, it is, in the same frame. A
picture by itself it sees in one size after the other until something is found; of a stream's frames
after the first, each in one size. An empty state, of zeros, is the default.

Geometry and thresholds are those of MediaPipe's graphs `hand_landmark_tracking_cpu` and
`face_landmark_front_cpu` (https://github.com/google-ai-edge/mediapipe, 0.10), for one hand or face:
instead of suppressing others, boxes that overlap the likeliest are averaged with it. What differs:
pixels are picked, not interpolated, a hand's then averaged; the palm detector sees other sizes than
a square of 192 pixels, the face detector one of 160, not 128, and only as much of a square's black
margins as their grid calls for; and a likely one, unless it is very small, is given a close look
sooner, because the landmark network judges better. What that moves and saves is in
docs/decisions/0013-hands.md, 0014-faces.md and 0022-sizes-of-search.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

from trainer.features.subjects import Search
from trainer.features.tflite_file import read_tflite
from trainer.features.weights import read_weights
from trainer.graphs import make_model, rename, tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trainer.features.subjects import Subject
    from trainer.graphs import Constants

STATE = 6
"""Numbers of a state: confidence, x, y, side, and the x and y of where up is."""
QUARTER = np.array([[0, 1], [-1, 0]], np.float32)
"""Turns where up is into where right is, in a picture, whose y points down: `up @ QUARTER`."""
CELL = 32
"""Pixels of the detectors' coarsest grid: what they see has whole cells of it."""
LEAST_CELLS = 4
"""Of either side: with less black around it, a close hand in a wide picture is found less often."""
SURE = 0.5
"""Confidence of the landmark network from which on it still sees what is followed: MediaPipe's."""


def landmarks(subject: Subject) -> onnx.ModelProto:
    """Return the graph from `image`, and `state`, which may be left out, to what is found.

    Its outputs are `next_state` and `found`, float32 `[n]`: all zeros where nothing is, else the
    points in the upright square, x, y and z each in its sides, from its middle; whatever else the
    landmark network says; the x and y of where up is; the region's middle, from the picture's, and
    its side, in the picture's longer side; and the confidence.

    Raises:
        DataError: the weights are not here.
    """
    detector, boxes = read_network(subject, subject.detector, ("boxes", "scores"), free=True)
    looker, sizes = read_network(subject, subject.looker, subject.outputs)
    size = sum(sizes) + 2 + 3
    numbers = boxes[0] // boxes[1]  # of a box and its keypoints
    seek = _graph(_SEEK, detector, _decode_text(subject), _seek_constants(subject, numbers))
    look = _graph(_cut_text(subject), looker, _read_text(subject), _look_constants(subject))
    turn = parser.parse_graph(_TURN.format(again=_AGAIN_TWICE if subject.twice else _AGAIN))
    _give(turn, "place", then_branch=parser.parse_graph(_SAME), else_branch=seek)
    _give(turn, "now", then_branch=look, else_branch=parser.parse_graph(_NOTHING))
    outer = parser.parse_graph(_OUTER.format(size=size))
    _give(outer, "found", body=turn)
    constants = {
        "state": np.zeros(STATE, np.float32),
        "turns": np.array(1 + len(subject.searches) + subject.twice),
        "yes": np.array(True),  # noqa: FBT003  (a constant)
        "first": np.array([0]),
        "nothing": np.zeros(size, np.float32),
        **_search_constants(subject),
        "sure": np.array([SURE], np.float32),
    }
    outer.initializer.extend(tensors(constants))
    return make_model(outer)


def upright(up: str, prefix: str = "") -> str:
    """Return lines that make `right`, `down`, and both as the rows of `axes`, of where up is.

    They take `quarter`, which is `QUARTER`, and `two_rows`, `[2, 2]`, as given.
    """
    return f"""
    {prefix}right = MatMul ({up}, quarter)
    {prefix}down = Neg ({up})
    {prefix}both = Concat <axis = 0> ({prefix}right, {prefix}down)
    {prefix}axes = Reshape ({prefix}both, two_rows)"""


def _direction(of: str, points: str, up: str) -> str:
    """Return lines that make `up`, of length 1, of a line through points."""
    return f"""
    along = MatMul ({of}, {points})
    upward = MatMul (along, line_to_up)
    length = ReduceL2 <keepdims = 1> (upward)
    some_length = Max (length, tiny)
    {up} = Div (upward, some_length)"""


def _pixels_along(axis: str, side: str, numbers: str) -> str:
    """Return lines that make, of each pixel of the square, the column or row in the picture."""
    return f"""
    across_{axis} = Mul (reach, right_{axis})
    from_{axis} = Add (across_{axis}, {axis})
    over_{axis} = Mul (reach, down_{axis})
    rows_{axis} = Unsqueeze (over_{axis}, second)
    all_{axis} = Add (rows_{axis}, from_{axis})
    beyond_{axis} = Cast <to = 6> ({side})
    end_{axis} = Sub (beyond_{axis}, one_pixel)
    whole_{axis} = Cast <to = 6> (all_{axis})
    positive_{axis} = Max (whole_{axis}, zero)
    {numbers} = Min (positive_{axis}, end_{axis})"""


# More than one turn: where the last frame's region does not hold what it should, all is searched,
# and a first frame in one size after the other. `_search_constants` says what a step is.
_OUTER = """
outer (uint8[height, width, 3] image, float[6] state)
    => (float[{size}] found, float[6] next_state) {{
    size = Shape <start = 0, end = 2> (image)
    sides = Cast <to = 1> (size)
    found, next_state = Loop (turns, yes, nothing, state)
}}
"""
_TURN = """
turn (int64 number, bool on, float[n] before, float[6] region)
    => (bool again, float[n] now, float[6] next) {{
    confidence = Gather (region, first)
    followed = GreaterOrEqual (confidence, sure)
    told_number = Gather (region, fourth)
    told_step = Abs (told_number)
    known_step = Less (told_step, lost)
    some_step = Where (known_step, told_step, fresh)
    this_step = Where (followed, lost, some_step)
    step = Cast <to = 7> (this_step)
    needed = Gather (sure_at, step)
    place = If (followed)
    chance = Gather (place, first)
    likely = Gather (likely_at, step)
    promising = GreaterOrEqual (chance, likely)
    now, seen = If (promising)
    certainty = Gather (seen, first)
    held = GreaterOrEqual (certainty, needed)
    next_step = Gather (step_after, step)
    missed = Pad (next_step, around_step)
    next = Where (held, seen, missed)
    all_sizes = Greater (next_step, one_a_frame)
    some_left = Or (followed, all_sizes)
    missed_here = Not (held)
    goes_on = And (missed_here, some_left)
    {again}
}}
"""
_AGAIN = "again = Squeeze (goes_on)"
_AGAIN_TWICE = """
    searched = Not (followed)
    just_found = And (held, searched)
    once_more = Or (goes_on, just_found)
    again = Squeeze (once_more)
"""
_SAME = "same () => (float[6] same) { same = Identity (region) }"
_NOTHING = """
none () => (float[n] none, float[6] none_next) {
    none = Identity (nothing)
    none_next = Identity (nowhere)
}
"""

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
# The likeliest box, averaged with those that overlap it; from it a region.
_DECODE = """
decode () => (float[6] sought) {{
    {places}
    anchors = Concat <axis = 0> ({names})
    rows = Reshape (boxes, box_rows)
    logits = Reshape (scores, flat)
    chances = Sigmoid (logits)
    best = ArgMax <axis = 0, keepdims = 1> (logits)
    placed = Add (rows, anchors)
    middles, spans, keypoints = Split <axis = 1> (placed, box_parts)
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
    margin = Cast <to = 1> (above)
    corner = Gather (margin, swapped)
    moved = Sub (centre, corner)
    centre_there = Div (moved, ratio)
    side_there = Div (side, ratio)
    sought = Concat <axis = 0> (best_chance, centre_there, side_there, up)
}}
"""

# The region's square, upright: for each of its pixels the nearest one of the picture. The region is
# rounded first: another processor's last bits would pick other pixels, and move points.
_LOOK = """
look () => (float[n] told, float[6] next_told) {{
    in_steps = Mul (place, grid)
    whole_steps = Round (in_steps)
    on_grid = Div (whole_steps, grid)
    chance_there, centre, side, up = Split <axis = 0> (on_grid, region_parts)
    {upright}
    x, y = Split <axis = 0> (centre, halves)
    right_x, right_y = Split <axis = 0> (right, halves)
    down_x, down_y = Split <axis = 0> (down, halves)
    {picks}
    reach = Mul (steps, side)
    height, width = Split <axis = 0> (sides, halves)
    {columns}
    {lines}
    before_line = Mul (lines, beyond_x)
    numbers = Add (before_line, columns)
    pixels = Reshape (image, pixel_rows)
    picked = Gather <axis = 0> (pixels, numbers)
    channels_first = Transpose <perm = [2, 0, 1]> (picked)
    bytes = Cast <to = 1> (channels_first)
    lit = Mul (bytes, light)
    sharp = Unsqueeze (lit, origin)
    {cut_out}
}}
"""
_SHARP = "input = Identity (sharp)"
# Two picks a pixel of the picture, or as many as the network has pixels, and four neighbours
# averaged. That is as smooth as interpolating, for a quarter of the picking.
_PICKS = """
    wished_picks = Mul (side, picks_a_pixel)
    whole_picks = Ceil (wished_picks)
    some_picks = Max (whole_picks, one)
    picks = Min (some_picks, most_picks)
    end_of_picks = Cast <to = 7> (picks)
    counted = Slice (corners, origin, end_of_picks)
    shares = Div (counted, picks)
    steps = Sub (shares, half)
"""
_SMOOTH = """
    averaged = AveragePool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (sharp)
    input = Resize <mode = "linear"> (averaged, , , input_size)
"""
# What the landmark network says, and where to look in the next frame.
_READ = """
read () => (float[n] told, float[6] next_told) {{
    certain_row = Reshape (certain, flat)
    certain_one = {sigmoid} (certain_row)
    rows = Reshape (points, triples)
    in_sides = Div (rows, near)
    local = Sub (in_sides, mid_square)
    xy, z = Split <axis = 1> (local, two_and_one)
    {direction}
    {upright}
    outline = Gather <axis = 0> (xy, followed_points)
    turned_axes = Transpose <perm = [1, 0]> (new_axes)
    turned = MatMul (outline, turned_axes)
    most = ReduceMax <keepdims = 0> (turned, origin)
    least = ReduceMin <keepdims = 0> (turned, origin)
    extent = Sub (most, least)
    doubled = Add (most, least)
    middle = Mul (doubled, half)
    rise = Mul (extent, follow_lift)
    raised = Sub (middle, rise)
    raised_local = MatMul (raised, new_axes)
    raised_there = MatMul (raised_local, axes)
    offset = Mul (raised_there, side)
    centre_there = Add (centre, offset)
    up_there = MatMul (new_up, axes)
    longest = ReduceMax <keepdims = 1> (extent)
    grown = Mul (longest, follow_grow)
    side_there = Mul (grown, side)
    next_told = Concat <axis = 0> (certain_one, centre_there, side_there, up_there)

    flat_points = Reshape (local, flat)
    {others}
    longer = ReduceMax <keepdims = 1> (sides)
    width_first = Concat <axis = 0> (width, height)
    mid_picture = Mul (width_first, half)
    from_middle = Sub (centre, mid_picture)
    centre_share = Div (from_middle, longer)
    side_share = Div (side, longer)
    all = Concat <axis = 0>
        (flat_points, {names} up, centre_share, side_share, certain_one)
    sure_of_it = GreaterOrEqual (certain_one, needed)
    mask = Cast <to = 1> (sure_of_it)
    told = Mul (all, mask)
}}
"""


def _decode_text(subject: Subject) -> str:
    strides = [stride for stride, _ in subject.places]
    return _DECODE.format(
        places="".join(_PLACES.format(stride=stride) for stride in strides),
        names=", ".join(f"anchors_{stride}" for stride in strides),
        direction=_direction("line", "pairs", "up"),
    )


def _cut_text(subject: Subject) -> str:
    return _LOOK.format(
        upright=upright("up"),
        columns=_pixels_along("x", "width", "columns"),
        lines=_pixels_along("y", "height", "lines"),
        picks=_PICKS if subject.smooth else "",
        cut_out=_SMOOTH if subject.smooth else _SHARP,
    )


def _read_text(subject: Subject) -> str:
    others = [name for name in subject.outputs if name not in {"points", "certain"}]
    return _READ.format(
        direction=_direction("follow_line", "xy", "new_up"),
        upright=upright("new_up", "new_"),
        sigmoid="Sigmoid" if subject.logit else "Identity",
        others="\n    ".join(f"flat_{name} = Reshape ({name}, flat)" for name in others),
        names="".join(f"flat_{name}, " for name in others),
    )


def _search_constants(subject: Subject) -> Constants:
    """Return what one turn needs to know of the others.

    Where nothing is followed, a region's side is a step of the search, of n sizes: 0 in a stream's
    first frame, which tries all, n + 1 to 2n - 1 after the first of them. Later frames try one size
    each, in turn: 1 to n. So does the one in which what was followed is lost, at 2n.
    """
    n = len(subject.searches)
    first, *others = subject.searches
    followed = Search(first.side, SURE, SURE)  # where it is, nothing is searched
    by_step = [first, *subject.searches, *others, followed]
    to_try = [*range(n + 1, 2 * n), 1]
    in_turn = [*range(2, n + 1), 1]
    after = [to_try[0], *in_turn, *to_try[1:], 1]
    return {
        "nowhere": np.zeros(STATE, np.float32),
        "fourth": np.array([3]),
        "around_step": np.array([3, STATE - 4]),
        "fresh": np.array([0], np.float32),
        "one_a_frame": np.array([n], np.float32),
        "lost": np.array([2 * n], np.float32),
        "step_after": np.array(after, np.float32),
        "side_at": np.array([search.side for search in by_step], np.float32),
        "likely_at": np.array([search.likely for search in by_step], np.float32),
        "sure_at": np.array([search.sure for search in by_step], np.float32),
    }


def _seek_constants(subject: Subject, numbers: int) -> Constants:
    line = np.zeros(numbers // 2 - 2, np.float32)
    line[list(subject.line)] = -1, 1
    return {
        **_shared(subject),
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
    }


def _look_constants(subject: Subject) -> Constants:
    line = np.zeros(subject.points, np.float32)
    for sign, ends in zip((-1, 1), subject.follow_line, strict=True):
        for end in ends:
            line[end] += np.float32(sign / len(ends))
    return {
        **_shared(subject),
        "grid": np.array([16] * 4 + [256] * 2, np.float32),  # of a pixel; of a direction
        "region_parts": np.array([1, 2, 1, 2]),
        "halves": np.array([1, 1]),
        "two_rows": np.array([2, 2]),
        "quarter": QUARTER,
        **_pick_constants(subject),
        "zero": np.array(0, np.int32),
        "one_pixel": np.array(1, np.int32),
        "pixel_rows": np.array([-1, 3]),
        "light": np.float32(1 / 255),
        "near": np.float32(subject.near),
        "mid_square": np.array([0.5, 0.5, 0], np.float32),
        "triples": np.array([-1, 3]),
        "two_and_one": np.array([2, 1]),
        "follow_line": line,
        "followed_points": np.array(subject.followed),
        "follow_lift": np.array([0, subject.follow_lift], np.float32),
        "follow_grow": np.float32(subject.follow_grow),
    }


def _pick_constants(subject: Subject) -> Constants:
    near = subject.near
    if not subject.smooth:
        return {"steps": ((np.arange(near) + 0.5) / near - 0.5).astype(np.float32)}
    return {
        "picks_a_pixel": np.float32(2),
        "corners": np.arange(near, dtype=np.float32),  # four around each middle
        "most_picks": np.array([near], np.float32),
        "input_size": np.array([1, 3, near, near]),
    }


def _shared(subject: Subject) -> Constants:
    up = np.eye(2, dtype=np.float32) if subject.upright else QUARTER.T
    return {
        "origin": np.array([0]),
        "second": np.array([1]),
        "flat": np.array([-1]),
        "one": np.float32(1),
        "half": np.float32(0.5),
        "tiny": np.float32(1e-6),
        "line_to_up": up,
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


def read_network(
    subject: Subject, file: str, outputs: Sequence[str], *, free: bool = False
) -> tuple[onnx.GraphProto, list[int]]:
    """Return a network of MediaPipe's, and how many numbers each of its outputs has.

    Args:
        subject: whose.
        file: of weights.
        outputs: names for them.
        free: whether it is to take any picture whose sides are whole `CELL`s; else its own square.
    """
    model = read_tflite(read_weights(subject.name, file), file, outputs, half=True)
    graph = model.graph
    if free:
        _free(graph)
    sizes = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output]
    rename(graph, f"{file}/", {name: name for name in ("input", *outputs)})
    return graph, [int(np.prod(size)) for size in sizes]


def _free(graph: onnx.GraphProto) -> None:
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


def _graph(
    before: str, network: onnx.GraphProto, after: str, constants: Constants
) -> onnx.GraphProto:
    """Put a network between two texts: one makes its `input`, the other reads its outputs."""
    first, last = parser.parse_graph(before), parser.parse_graph(after)
    nodes = [*first.node, *network.node, *last.node]
    weights = [*network.initializer, *tensors(constants)]
    return helper.make_graph(nodes, first.name, [], last.output, weights)


def _give(graph: onnx.GraphProto, output: str, **bodies: onnx.GraphProto) -> None:
    """Give the node with this output its graphs, which the text leaves out."""
    node = next(node for node in graph.node if output in node.output)
    node.attribute.extend(helper.make_attribute(name, body) for name, body in bodies.items())
