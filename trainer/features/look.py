"""A region of the picture, cut out upright -> a landmark network of MediaPipe's -> points.

And from the points, the region to look at in the next frame; `landmarks` says what a region is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.features.geometry import (
    QUARTER,
    between,
    direction,
    read_network,
    shared_constants,
    upright,
)

if TYPE_CHECKING:
    import onnx

    from trainer.features.subjects import Subject
    from trainer.graphs import Constants

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


def look(subject: Subject) -> tuple[onnx.GraphProto, int]:
    """Return the graph, of what surrounds it, to what is `told`, and how many numbers that is.

    Raises:
        DataError: the weights are not here.
    """
    network, sizes = read_network(subject, subject.looker, subject.outputs)
    graph = between(_cut_text(subject), network, _read_text(subject), _look_constants(subject))
    return graph, sum(sizes) + 2 + 3


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
        direction=direction("follow_line", "xy", "new_up"),
        upright=upright("new_up", "new_"),
        sigmoid="Sigmoid" if subject.logit else "Identity",
        others="\n    ".join(f"flat_{name} = Reshape ({name}, flat)" for name in others),
        names="".join(f"flat_{name}, " for name in others),
    )


def _look_constants(subject: Subject) -> Constants:
    line = np.zeros(subject.points, np.float32)
    for sign, ends in zip((-1, 1), subject.follow_line, strict=True):
        for end in ends:
            line[end] += np.float32(sign / len(ends))
    return {
        **shared_constants(subject),
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
