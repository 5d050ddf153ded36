"""Charts: inline SVG that is well-formed, inside its frame, and says what it shows."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evidence import Bin
from trainer.report.charts import HEIGHT, LEFT, WIDTH, Axis, Series, histogram, lines, reliability

HOSTILE = '<script>alert("x")</script> & $%'
SHARES = Axis("right", 0, 1, percent=True)


def parse(svg):
    return ET.fromstring(svg)


def bars(svg, look):
    """Return `(x, y, width, height)` of the bars inside the frame, without the legend's."""
    found = [e for e in parse(svg).iter("rect") if look in e.get("class").split()]
    sizes = [tuple(float(e.get(k)) for k in ("x", "y", "width", "height")) for e in found]
    return [size for size in sizes if size[1] > 20]


def test_a_line_goes_through_its_points_upwards():
    svg = lines([Series("a", [(0, 0), (10, 1)], "held")], Axis("x", 0, 10), SHARES, "alt")
    (line,) = parse(svg).iter("polyline")
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.get("points").split())
    assert x1 == LEFT
    assert x2 > x1
    assert y2 < y1


@given(
    st.lists(
        st.tuples(st.floats(1, 100), st.floats(0, 50) | st.just(np.nan) | st.just(np.inf)),
        min_size=1, max_size=300,
    )
)  # fmt: skip
def test_whatever_the_numbers_lines_stay_on_the_drawing(points):
    svg = lines([Series("a", sorted(points), "taught")], Axis("x", 1, 100), Axis("y", 0, 20), "alt")
    for line in parse(svg).iter("polyline"):
        numbers = [float(n) for n in re.findall(r"[-\d.]+", line.get("points"))]
        assert all(0 <= x <= WIDTH for x in numbers[::2])
        assert all(0 <= y <= HEIGHT for y in numbers[1::2])


def test_a_long_line_is_thinned_and_keeps_its_end():
    points = [(n, 0.5) for n in range(5000)] + [(5000, 1.0)]
    svg = lines([Series("a", points, "held")], Axis("x", 0, 5000), SHARES, "alt")
    assert len(svg) < 8000
    (line,) = parse(svg).iter("polyline")
    assert float(line.get("points").split()[-1].split(",")[0]) == WIDTH - 24


def test_a_single_epoch_is_a_dot():
    svg = lines([Series("a", [(1, 0.5)], "held")], Axis("epoch", 1, 1), SHARES, "alt")
    assert len(list(parse(svg).iter("circle"))) == 1


def test_all_text_is_escaped():
    series = [Series(HOSTILE, [(0, 0), (1, 1)], "held")]
    for svg in (
        lines(series, Axis(HOSTILE, 0, 1), Axis(HOSTILE, 0, 1), HOSTILE),
        histogram([(HOSTILE, np.ones(3), "held")], 2.0, HOSTILE),
        reliability([], HOSTILE),
    ):
        assert parse(svg).get("aria-label") == HOSTILE
        assert "<script" not in svg


def test_several_lines_of_one_name_have_one_entry_in_the_legend():
    series = [Series("fold", [(0, n), (1, n)], "held") for n in (0.1, 0.2, 0.3)]
    svg = lines(series, Axis("x", 0, 1), SHARES, "alt")
    assert len([e for e in parse(svg).iter("text") if e.text == "fold"]) == 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 7), (1, 60), (0, 0.013), (0, 12345)])
def test_ticks_are_round_few_and_inside(low, high):
    ticks = Axis("x", low, high).ticks()
    assert 2 <= len(ticks) <= 11
    assert min(ticks) >= low - 1e-9
    assert max(ticks) <= high + 1e-9
    assert all(len(f"{tick:.3g}") <= 8 for tick in ticks)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 2), (0, 3.4), (1, 12), (1, 20), (0, 130)])
def test_what_is_counted_has_ticks_at_whole_numbers_alone(low, high):
    ticks = Axis("sessions", low, high, whole=True).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(tick == int(tick) for tick in ticks)


def test_a_reliable_networks_bars_end_at_the_diagonal():
    bins = [Bin(n / 10, (n + 1) / 10, 5, n / 10 + 0.05, n / 10 + 0.05) for n in range(10)]
    svg = reliability(bins, "alt")
    (diagonal,) = [e for e in parse(svg).iter("line") if e.get("class") == "diagonal"]
    x1, y1, x2, y2 = (float(diagonal.get(key)) for key in ("x1", "y1", "x2", "y2"))
    drawn = bars(svg, "taught")
    assert len(drawn) == 10
    for x, y, width, _ in drawn:
        middle = x + width / 2
        assert y == pytest.approx(y1 + (middle - x1) / (x2 - x1) * (y2 - y1), abs=0.2)


def test_where_nothing_was_said_there_is_no_bar():
    svg = reliability([Bin(0, 0.5, 0, 0, 0), Bin(0.5, 1, 4, 0.75, 0.5)], "alt")
    assert len(bars(svg, "taught")) == 1
    assert "4 pictures" in svg


def test_a_histogram_has_every_picture_and_a_limit():
    values = np.array([0.5, 1.0, 1.1, 900.0, np.nan])
    svg = histogram([("known", values, "taught"), ("none", np.array([]), "held")], 3.0, "alt")
    heights = [height for *_, height in bars(svg, "taught")]
    assert [height / min(heights) for height in heights] == pytest.approx([1, 2, 1], rel=0.01)
    (limit,) = [e for e in parse(svg).iter("line") if e.get("class") == "limit"]
    assert LEFT < float(limit.get("x1")) < WIDTH


def test_no_numbers_are_no_error():
    parse(histogram([], 1.0, "alt"))
    parse(histogram([("known", np.array([np.nan]), "taught")], 1.0, "alt"))
    parse(lines([], Axis("x", 0, 0), SHARES, "alt"))
