"""Graphs put together: names that do not meet, and others looked at only where nothing is found."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from edge.classifier import open_session
from trainer.features import Features, join

HEADER = '<ir_version: 8, opset_import: ["" : 18]>'


def kind(name, text):
    return Features(name, parser.parse_model(f"{HEADER} {text}"))


@pytest.fixture
def finder():
    """Finds brightness: it says how bright, twice, and counts the frames in its state."""
    return kind(
        "bright",
        """
        g (uint8[h, w, 3] image, float[1] state) => (float[2] features, float[1] next_state)
        <float[1] state = {0}, float[1] one = {1}> {
            numbers = Cast <to = 1> (image)
            most = ReduceMax <keepdims = 0> (numbers)
            flat = Constant <value_ints = [-1]> ()
            sure = Reshape (most, flat)
            features = Concat <axis = 0> (sure, sure)
            next_state = Add (state, one)
        }
        """,
    )


@pytest.fixture
def width():
    """Says how wide the picture is, out of an inner graph."""
    return kind(
        "width",
        """
        g (uint8[h, w, 3] image) => (float[1] features) {
            yes = Constant <value_int = 1> ()
            on = Cast <to = 9> (yes)
            size = Shape <start = 1, end = 2> (image)
            features = If (on) <
                then_branch = a () => (float[1] told) { told = Cast <to = 1> (size) },
                else_branch = b () => (float[1] other) { other = Cast <to = 1> (size) }>
        }
        """,
    )


def picture(value, width=7):
    return np.full((5, width, 3), value, np.uint8)


def test_two_kinds_with_the_same_names_stand_side_by_side(width):
    twin = Features("twin", width.model)
    assert join([width, twin])(picture(0)).tolist() == [7, 7]


@pytest.mark.parametrize("finder_first", [True, False])
def test_others_are_looked_at_only_where_nothing_is_found(finder, width, finder_first):
    parts = [finder, width] if finder_first else [width, finder]
    joined = join(parts)
    found, nothing = joined(picture(9)).tolist(), joined(picture(0)).tolist()
    assert found == ([9, 9, 0] if finder_first else [0, 9, 9])
    assert nothing == ([0, 0, 7] if finder_first else [7, 0, 0])


def test_a_state_goes_to_the_kind_that_keeps_it_and_may_be_left_out(finder, width):
    other = Features("again", finder.model)
    joined = join([finder, width, other])
    assert joined.state == 2
    session = open_session(joined.model.SerializeToString(), "joined")
    _, first = session.run(["features", "next_state"], {"image": picture(1)})
    assert first.tolist() == [1, 1]
    state = np.array([4, 8], np.float32)
    _, after = session.run(["features", "next_state"], {"image": picture(1), "state": state})
    assert after.tolist() == [5, 9]


def test_what_is_learned_is_what_the_joined_graph_says(finder, width, make_data):
    from edge.pictures import read_picture
    from trainer.dataset import read_dataset
    from trainer.describe import describe

    dataset = read_dataset(make_data(labels=("fist", "palm"), sessions=1, pictures=2))
    joined = join([finder, width])
    described = describe(dataset, joined, copies=1, scraps=1).only(joined)
    assert described.rows.shape == (4, 2, 3)
    for row, one in zip(described.rows, dataset.pictures, strict=True):
        np.testing.assert_array_equal(row[0], joined(read_picture(one.path)))
    assert (described.rows[..., 2] == 0).all()
    alone = describe(dataset, join([width, finder])).only(width)
    assert (alone.rows == 64).all(), "alone it is looked at everywhere"
