"""Turning pictures: what a person does with a print in the hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from edge.sources.turning import Turn, turn

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize(
    ("rotation", "horizontal", "vertical"),
    list(product((0, 90, 180, 270), (False, True), (False, True))),
)
def test_it_is_turned_clockwise_and_then_mirrored(rotation, horizontal, vertical):
    expected = np.rot90(PICTURE, -rotation // 90)
    expected = expected[:, ::-1] if horizontal else expected
    expected = expected[::-1] if vertical else expected
    how = Turn.of(rotation, horizontal=horizontal, vertical=vertical)
    turned = turn(PICTURE, how)
    np.testing.assert_array_equal(turned, expected)
    assert turned.flags.c_contiguous
    assert turned.dtype == np.uint8

    # The same when the camera mirrors, and only the quarter is left to us.
    before = Turn(False, *how.mirrors_before)
    np.testing.assert_array_equal(turn(turn(PICTURE, before), Turn(how.quarter)), expected)


def test_the_top_of_a_picture_turned_by_90_is_on_the_right():
    image = np.zeros((2, 4, 3), np.uint8)
    image[0] = 255
    turned = turn(image, Turn.of(90))
    assert turned[:, -1].min() == 255
    assert turned[:, 0].max() == 0


def test_nothing_to_do_is_no_copy():
    assert turn(PICTURE, Turn()) is PICTURE


def test_a_view_is_turned_as_well():
    view = np.zeros((4, 8, 3), np.uint8)[:, 1:7]
    view[...] = PICTURE
    np.testing.assert_array_equal(turn(view, Turn.of(180)), PICTURE[::-1, ::-1])
