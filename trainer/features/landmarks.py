"""Where the points of a hand or a face are: one ONNX graph that finds them, and follows them.

Two networks of MediaPipe's, read by `trainer.features.tflite_file`, with geometry between them:

    image -> detector -> the likeliest palm or face -> its region
          -> a square cut out, turned upright -> landmark network -> points

A *region* is where to look closely: how sure it is, its middle, the side of its square and which
way is up, in pixels of the picture. The graph's optional input `state` is the region that the last
frame's points call for, `next_state` the one for the next frame. While that one still holds what it
should, the detector, the dearer half, is not run; where it does not, it is, in the same frame. A
picture by itself it sees in one size after the other until something is found, and so the frame
after one in which something was found that is not sure enough to be followed; of a stream's other
frames after the first, each in one size. An empty state, of zeros, is the default.

Geometry and thresholds are those of MediaPipe's graphs `hand_landmark_tracking_cpu` and
`face_landmark_front_cpu` (https://github.com/google-ai-edge/mediapipe, 0.10), for one hand or face:
instead of suppressing others, boxes that overlap the likeliest are averaged with it. What differs:
pixels are picked, not interpolated, a hand's then averaged; the palm detector sees other sizes than
a square of 192 pixels, the face detector one of 160, not 128, and only as much of a square's black
margins as their grid calls for; and a likely one, unless it is very small, is given a close look
sooner, because the landmark network judges better; and a hand that is followed must stay surer.
What that moves and saves is in docs/decisions/0013-hands.md, 0014-faces.md, 0022-sizes-of-search.md
and 0029-what-stays.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, parser

from trainer.features.look import look
from trainer.features.seek import seek
from trainer.features.subjects import Search
from trainer.graphs import make_model, tensors

if TYPE_CHECKING:
    from trainer.features.subjects import Subject
    from trainer.graphs import Constants

STATE = 6
"""Numbers of a state: confidence, x, y, side, and the x and y of where up is."""

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
    needed = Gather ({sure_at}, step)
    place = If (followed)
    chance = Gather (place, first)
    likely = Gather (likely_at, step)
    promising = GreaterOrEqual (chance, likely)
    {looked}, seen = If (promising)
    certainty = Gather (seen, first)
    {held}
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
_HELD = "held = GreaterOrEqual (certainty, needed)"
# What turns out to be the hand that is known already is no second one.
_HELD_APART = """
    sure_enough = GreaterOrEqual (certainty, needed)
    seen_centre = Gather (seen, middle_of)
    from_known = Sub (seen_centre, known_centre)
    distance = ReduceL2 <keepdims = 1> (from_known)
    within = Mul (known_side, same_hand)
    apart = Greater (distance, within)
    held = And (sure_enough, apart)
    held_number = Cast <to = 1> (held)
    now = Mul (looked, held_number)"""
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


def landmarks(subject: Subject) -> onnx.ModelProto:
    """Return the graph from `image`, and `state`, which may be left out, to what is found.

    Its outputs are `next_state` and `found`, float32 `[n]`: all zeros where nothing is, else the
    points in the upright square, x, y and z each in its sides, from its middle; whatever else the
    landmark network says; the x and y of where up is; the region's middle, from the picture's, and
    its side, in the picture's longer side; and the confidence.

    Raises:
        DataError: the weights are not here.
    """
    turn, size = one_turn(subject)
    outer = parser.parse_graph(_OUTER.format(size=size))
    give(outer, "found", body=turn)
    state = {"state": np.zeros(STATE, np.float32)}
    outer.initializer.extend(tensors({**state, **turn_constants(subject, size)}))
    return make_model(outer)


def one_turn(subject: Subject) -> tuple[onnx.GraphProto, int]:
    """Return what the loop does in one turn, and how many numbers `found` has.

    Where a second one may be there, it takes the known one's `known_centre` and `known_side` from
    what surrounds it, and `sure_here` for `sure_at`.

    Raises:
        DataError: the weights are not here.
    """
    looking, size = look(subject)
    text = _TURN.format(
        sure_at="sure_here" if subject.two else "sure_at",
        looked="looked" if subject.two else "now",
        held=_HELD_APART if subject.two else _HELD,
        again=_AGAIN_TWICE if subject.twice else _AGAIN,
    )
    turn = parser.parse_graph(text)
    give(turn, "place", then_branch=parser.parse_graph(_SAME), else_branch=seek(subject))
    give(turn, "seen", then_branch=looking, else_branch=parser.parse_graph(_NOTHING))
    return turn, size


def turn_constants(subject: Subject, size: int) -> Constants:
    """Return what the turns and what surrounds them take as given."""
    return {
        "turns": np.array(1 + len(subject.searches) + subject.twice),
        "yes": np.array(True),  # noqa: FBT003  (a constant)
        "first": np.array([0]),
        "nothing": np.zeros(size, np.float32),
        "sure": np.array([subject.stays], np.float32),
        **_search_constants(subject),
    }


def _search_constants(subject: Subject) -> Constants:
    """Return what one turn needs to know of the others.

    Where nothing is followed, a region's side is a step of the search, of n sizes: 0 in a stream's
    first frame, which tries all, n + 1 to 2n - 1 after the first of them. Later frames try one size
    each, in turn: 1 to n. So does the one in which what was followed is lost, at 2n.
    """
    n = len(subject.searches)
    first, *others = subject.searches
    followed = Search(first.side, subject.stays, subject.stays)  # where it is, nothing is searched
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


def give(graph: onnx.GraphProto, output: str, **bodies: onnx.GraphProto) -> None:
    """Give the node with this output its graphs, which the text leaves out."""
    node = next(node for node in graph.node if output in node.output)
    node.attribute.extend(helper.make_attribute(name, body) for name, body in bodies.items())
