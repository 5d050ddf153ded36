"""Numbers in sentences for a person."""

from __future__ import annotations

import pytest

from edge.words import in_words, times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.2 s"),
        (40, "40 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (7300, "2 h 1 min"),
        (266_400, "3 d 2 h"),
    ],
)
def test_a_time_is_said_as_people_do(seconds, text):
    assert in_words(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 times"), (1, "once"), (2, "2 times")])
def test_how_often_is_said_as_people_do(number, text):
    assert times(number) == text
