"""Sight: a camera that sees nothing is told from one that sees something."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Frame
from edge.sight import FROZEN, PATIENCE, Sight

RNG = np.random.default_rng(0)
RATE = 15
SLOW_WORDS = "less than a frame a second: too slow to decide by; take features that cost less"


def room():
    return RNG.integers(20, 200, (48, 64, 3)).astype(np.uint8)


def black():
    return RNG.integers(0, 9, (48, 64, 3)).astype(np.uint8)


def dark():
    return RNG.integers(0, 40, (48, 64, 3)).astype(np.uint8)


def white():
    return RNG.integers(251, 256, (48, 64, 3)).astype(np.uint8)


def look(sight, pictures, start=0.0):
    """Show pictures at `RATE`; return what was said at each."""
    return [sight.update(Frame(p, start + n / RATE)) for n, p in enumerate(pictures)]


@pytest.mark.parametrize(
    ("picture", "words"), [(black, "black"), (dark, "too dark"), (white, "white")]
)
def test_a_bad_picture_is_said_after_a_while_and_taken_back_when_it_is_good(picture, words):
    sight = Sight()
    assert set(look(sight, [room() for _ in range(30)])) == {None}
    said = look(sight, [picture() for _ in range(30)], start=2.0)
    wait = round(PATIENCE * RATE)
    assert set(said[:wait]) == {None}
    assert all(words in line for line in said[wait + 1 :])
    again = look(sight, [room() for _ in range(30)], start=4.0)
    assert words in again[0]
    assert set(again[wait + 1 :]) == {None}


def test_a_camera_that_starts_black_is_black():
    said = look(Sight(), [black() for _ in range(30)])
    assert "black" in said[-1]


def test_one_dark_flash_is_nothing():
    assert set(look(Sight(), [room(), black(), room(), black(), room(), room()])) == {None}


def test_the_same_picture_again_and_again_is_a_frozen_camera():
    sight, same = Sight(), room()
    said = look(sight, [same] * 45)
    wait = round(FROZEN * RATE)
    assert set(said[:wait]) == {None}
    assert all("same picture" in line for line in said[wait + 1 :])
    assert not sight.fresh
    moving = look(sight, [room() for _ in range(30)], start=3.0)
    assert sight.fresh
    assert moving[-1] is None


def test_a_black_picture_that_does_not_change_is_called_black():
    said = look(Sight(), [np.zeros((48, 64, 3), np.uint8)] * 60)
    assert "black" in said[-1]


def test_a_recording_may_show_the_same_picture_for_long():
    assert set(look(Sight(live=False), [room()] * 60)) == {None}


def test_less_than_a_frame_a_second_is_said_and_only_of_what_lives():
    for live, said in ((True, {None, SLOW_WORDS}), (False, {None})):
        sight = Sight(live=live)
        troubles = [sight.update(Frame(room(), 1.1 * n)) for n in range(8)]
        assert set(troubles) == said
        assert troubles[-1] == (SLOW_WORDS if live else None)
        quick = [sight.update(Frame(room(), 9 + n / 10)) for n in range(10)]
        assert quick[-1] is None


def test_one_pause_of_the_camera_is_not_slow():
    sight = Sight()
    times = [*(n / 10 for n in range(20)), *(5 + n / 10 for n in range(20))]
    assert {sight.update(Frame(room(), time)) for n, time in enumerate(times)} == {None}


def test_one_pixel_that_changes_is_enough_to_be_alive():
    still = room()
    pictures = []
    for number in range(60):
        pictures.append(still.copy())
        pictures[-1][0, 8 * (number % 8), 1] ^= 1
    assert set(look(Sight(), pictures)) == {None}


def test_a_stream_that_begins_again_is_no_frozen_camera():
    sight, same = Sight(), room()
    look(sight, [same] * 20, start=100.0)
    assert sight.update(Frame(same, 0.0)) is None


@given(st.integers(1, 40), st.integers(1, 40))
def test_any_size_of_picture_will_do(height, width):
    assert Sight().update(Frame(np.full((height, width, 3), 100, np.uint8), 0.0)) is None
