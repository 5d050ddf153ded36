"""Where the points of up to two hands are: `landmarks`, twice a frame, in one graph.

The surer hand of the last frame comes first and is followed, or searched for, as if it were the
only one. The second is what is not the first: the detector's boxes about the first count for
nothing, and a region in which the first turns up holds none. It is looked for where there is a
first one, and only in every other frame, as the detector is the dearer half; and it must be surer,
for where one hand is shown, a face or a window is a second one too easily.

A state is two of `landmarks`', one after the other. Of a second hand that is not there, the fifth
number counts the frames since it was looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import parser

from trainer.features.landmarks import STATE, give, one_turn, turn_constants
from trainer.graphs import make_model, tensors

if TYPE_CHECKING:
    import onnx

    from trainer.features.subjects import Subject
    from trainer.graphs import Constants

SURE_OF_SECOND = 0.9
"""Confidence of the landmark network from which on a second hand is believed. Of seven in selfies
the four that were surer were hands; a face and a window were less."""
SAME_HAND = 0.25
"""Of the known hand's side: what is found no farther from its middle is that hand once more."""
REST = 1
"""Frames between two searches for a second hand."""

_TWO = """
two (uint8[height, width, 3] image, float[{states}] state)
    => (float[{founds}] found, float[{states}] next_state) {{
    size = Shape <start = 0, end = 2> (image)
    sides = Cast <to = 1> (size)
    regions = Reshape (state, region_rows)
    confidences = Gather <axis = 1> (regions, first)
    surer = ArgMax <axis = 0, keepdims = 0> (confidences)
    other = Sub (second, surer)
    order = Concat <axis = 0> (surer, other)
    in_turn = Gather (regions, order)
    less_sure = ReduceMin <keepdims = 0> (confidences)
    both_followed = GreaterOrEqual (less_sure, sure)
    last_known, found_each, next_each = Loop (two, yes, nowhere)
    found_rows = Concat <axis = 0> (found_each, no_second)
    two_found = Slice (found_rows, first, two_of)
    found = Reshape (two_found, flat)
    next_rows = Concat <axis = 0> (next_each, not_looked_for)
    two_next = Slice (next_rows, first, two_of)
    next_state = Reshape (two_next, flat)
}}
"""
_HAND = """
hand (int64 number, bool on, float[6] known)
    => (bool any_more, float[6] now_known, float[n] found_here, float[6] next_here) {
    known_centre = Gather (known, middle_of)
    known_side = Gather (known, fourth)
    region = Gather (in_turn, number)
    sure_here = Gather (sure_of_each, number)
    sure_before, any_middle, step_before, waited, any_up = Split <axis = 0> (region, idle_parts)
    is_first = Less (number, second)
    was_seen = Greater (sure_before, fresh)
    is_new = Equal (step_before, fresh)
    has_rested = GreaterOrEqual (waited, rest)
    first_or_seen = Or (is_first, was_seen)
    new_or_rested = Or (is_new, has_rested)
    is_looked_for = Or (first_or_seen, new_or_rested)
    looks = Squeeze (is_looked_for)
    found_here, next_there = Loop (turns, looks, nothing, region)
    rests = Not (is_looked_for)
    resting = Cast <to = 1> (rests)
    one_longer = Mul (resting, waits)
    next_here = Add (next_there, one_longer)
    confidence_here = Gather (next_here, first)
    is_there = Greater (confidence_here, fresh)
    either = Or (is_there, both_followed)
    any_more = Squeeze (either)
    now_known = Identity (next_here)
}
"""


def two_hands(subject: Subject) -> onnx.ModelProto:
    """Return the graph from `image`, and `state`, which may be left out, to what is found.

    Its outputs are those of `landmarks` for each hand, one after the other: `next_state`, and
    `found`, of which a half is zeros where no such hand is.

    Raises:
        DataError: the weights are not here.
    """
    turn, size = one_turn(subject)
    outer = parser.parse_graph(_TWO.format(states=2 * STATE, founds=2 * size))
    hand = parser.parse_graph(_HAND)
    give(hand, "found_here", body=turn)
    give(outer, "found_each", body=hand)
    given = turn_constants(subject, size)
    outer.initializer.extend(tensors({**given, **_constants(given, size)}))
    return make_model(outer)


def _constants(given: Constants, size: int) -> Constants:
    sure_at = np.asarray(given["sure_at"])
    found_again = len(sure_at) - 1  # the last step: what was followed, and need not be surer
    sure_of_second = np.maximum(sure_at, np.float32(SURE_OF_SECOND))
    sure_of_second[found_again] = sure_at[found_again]
    searched_for = np.zeros((1, STATE), np.float32)
    searched_for[0, 3] = 1  # the step of a stream's later frames
    return {
        "state": np.zeros(2 * STATE, np.float32),
        "region_rows": np.array([2, STATE]),
        "second": np.array([1]),
        "two": np.array(2),
        "two_of": np.array([2]),
        "no_second": np.zeros((1, size), np.float32),
        "not_looked_for": searched_for,
        "flat": np.array([-1]),
        "middle_of": np.array([1, 2]),
        "same_hand": np.float32(SAME_HAND),
        "sure_of_each": np.stack([sure_at, sure_of_second]),
        "idle_parts": np.array([1, 2, 1, 1, 1]),
        "rest": np.array([REST], np.float32),
        "waits": np.eye(STATE, dtype=np.float32)[4],
    }
