"""Charts as inline SVG: plain functions from numbers to text.

Colours and fonts are the page's: elements have classes (`axis`, `taught`, `held`, ...) that its
style sheet knows, so that a chart is as light or dark as the page. All text is escaped here.
"""

from __future__ import annotations

from html import escape
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from trainer.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.evidence import Bin
    from trainer.network import Array

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 30, 42
POINTS = 200
"""Of a line, at most: more are less than two of its pixels apart."""
BARS = 30


class Series(NamedTuple):
    """A line."""

    name: str
    points: Sequence[tuple[float, float]]
    look: Literal["taught", "held"]
    dots: bool = False
    """Whether each point is one that was measured, not a step on the way."""


class Axis(NamedTuple):
    """What a direction of a chart means."""

    name: str
    low: float
    high: float
    percent: bool = False
    room: float = 0.0
    """Share of the height that is left free below."""
    whole: bool = False
    """Whether only whole numbers mean something."""

    def ticks(self) -> list[float]:
        """Return about five round numbers."""
        rough = (self.high - self.low) / 5
        rough = max(rough, 1) if self.whole else rough
        power = 10.0 ** floor(log10(rough))
        steps = (1, 2, 5, 10) if self.whole else (1, 2, 2.5, 5, 10)
        step = next(power * times for times in steps if power * times >= rough * 0.999)
        first = ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, floor(self.high / step + 1e-9) + 1)]

    def label(self, value: float) -> str:
        """Return a tick's number."""
        return f"{100 * value:.0f} %" if self.percent else f"{value:.4g}"


def lines(series: Sequence[Series], x: Axis, y: Axis, alt: str) -> str:
    """Draw lines; what is no number, or above the chart, is left out.

    Args:
        series: several of one name have one entry in the legend.
        x: from left to right.
        y: upwards.
        alt: what the chart says, for who cannot see it.
    """
    place = _Place(x, y)
    drawn = [place.line(each) for each in series]
    names = dict.fromkeys((each.name, each.look) for each in series)
    return _svg(alt, place.frame(), *drawn, *_legend(list(names)))


def reliability(bins: Sequence[Bin], alt: str) -> str:
    """Draw how often the network is right (bars) for each confidence, and how often it is so sure.

    On the diagonal a confidence can be taken at its word: Guo et al. 2017, figure 1.
    """
    right = Axis("right", 0, 1, percent=True, room=0.2)
    place = _Place(Axis("confidence", 0, 1, percent=True), right)
    most = max((each.number for each in bins), default=0) or 1
    zero, lowest = place.y(0), HEIGHT - BOTTOM
    parts = [_line("diagonal", place.x(0), zero, place.x(1), place.y(1))]
    for each in bins:
        start, end = place.x(each.low) + 1, place.x(each.high) - 1
        depth = zero + (lowest - zero) * each.number / most
        parts.append(_bar("counts", start, end, zero, depth))
        if each.number:
            shares = f"{each.confidence:.0%} sure: {each.accuracy:.0%} right"
            says = f"{count(each.number, 'picture')}, {shares}"
            parts.append(_bar("taught", start, end, place.y(each.accuracy), zero, says=says))
    legend = _legend([("right", "taught"), ("how many", "counts")])
    return _svg(alt, place.frame(), *parts, *legend)


def histogram(
    groups: Sequence[tuple[str, Array, Literal["taught", "held"]]], limit: float, alt: str
) -> str:
    """Draw how novel pictures are, by group, and the limit above which one is strange.

    Args:
        groups: name, values and look; each is drawn as shares of its own number. What is beyond
            the right end, two to four times the limit, is counted in the last bar.
        limit: where the line is.
        alt: what the chart says, for who cannot see it.
    """
    known = [(name, v[np.isfinite(v)], look) for name, v, look in groups]
    known = [group for group in known if len(group[1])]
    most = max((float(np.quantile(v, 0.98)) for _, v, _ in known), default=0.0)
    high = min(max(2 * limit, most), 4 * limit)
    edges = np.linspace(0, high, BARS + 1)
    counts = [np.histogram(np.clip(v, 0, high), edges)[0] / len(v) for _, v, _ in known]
    top = max((float(share.max()) for share in counts), default=1.0)
    place = _Place(Axis("novelty", 0, high), Axis("share of pictures", 0, 1.08 * top, percent=True))
    parts = [
        _bar(f"{look} see-through", place.x(low) + 0.5, place.x(low + edges[1]) - 0.5,
             place.y(share), place.y(0))
        for (_, _, look), shares in zip(known, counts, strict=True)
        for low, share in zip(edges.tolist(), shares.tolist(), strict=False)
        if share
    ]  # fmt: skip
    at = place.x(limit)
    parts.append(_line("limit", at, TOP, at, place.y(0)))
    parts.append(_text("note", at + 5, TOP + 12, f"strange: above {limit:.3g}"))
    return _svg(alt, place.frame(), *parts, *_legend([(name, look) for name, _, look in known]))


class _Place:
    """Where numbers are on the drawing."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = (a if a.high > a.low else a._replace(high=a.low + 1) for a in (x, y))

    def x(self, value: float) -> float:
        share = (value - self._x.low) / (self._x.high - self._x.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self._y.low) / (self._y.high - self._y.low)
        share = self._y.room + (1 - self._y.room) * share
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def frame(self) -> str:
        """Draw both axes' numbers and names, and light lines across."""
        left, right, low = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = [_line("axis", left, self.y(self._y.low), right, self.y(self._y.low))]
        for tick in self._y.ticks():
            parts.append(_line("grid", left, self.y(tick), right, self.y(tick)))
            parts.append(_text("tick end", left - 6, self.y(tick) + 4, self._y.label(tick)))
        parts += [
            _text("tick middle", self.x(tick), low + 17, self._x.label(tick))
            for tick in self._x.ticks()
        ]
        parts.append(_text("name middle", (left + right) / 2, HEIGHT - 6, self._x.name))
        return "".join(parts)

    def line(self, series: Series) -> str:
        step = max(1, -(-len(series.points) // POINTS))
        kept = [*series.points[:-1:step], *series.points[-1:]]
        inside = [
            (self.x(x), self.y(min(y, self._y.high)))
            for x, y in kept
            if isfinite(x) and isfinite(y)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in inside)
        dots = [
            f'<circle class="{series.look}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
            for x, y in inside
            if series.dots or len(series.points) == 1
        ]
        return f'<polyline class="{series.look}" points="{path}"/>' + "".join(dots)


def _svg(alt: str, *parts: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(parts)}</svg>'
    )


def _legend(names: Sequence[tuple[str, str]]) -> list[str]:
    """Draw a legend above the drawing, from left to right."""
    parts, x = [], float(LEFT)
    for name, look in names:
        parts.append(_bar(look, x, x + 12, 6, 16))
        parts.append(_text("legend", x + 17, 15, name))
        x += 17 + 6.4 * len(name) + 18  # about: a text's width is the browser's business
    return parts


def _line(look: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{look}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _bar(look: str, left: float, right: float, top: float, bottom: float, *, says: str = "") -> str:
    size = f'width="{max(right - left, 0):.1f}" height="{max(bottom - top, 0):.1f}"'
    title = f"<title>{escape(says)}</title>" if says else ""
    return f'<rect class="{look}" x="{left:.1f}" y="{top:.1f}" {size}>{title}</rect>'


def _text(look: str, x: float, y: float, text: str) -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
