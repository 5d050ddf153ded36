"""What a person sees while recording: the count, the light, and a small picture of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import cv2
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from edge.frame import Image
    from trainer.collect.capture import Shot

COLUMNS = 48
"""Of the little picture; each holds two pixels, one above the other, as an upper half block."""


class Viewfinder:
    """A live line with a picture in a terminal; elsewhere lines: pictures, and warnings.

    Args:
        label: being recorded.
        number: of pictures wanted; None: until stopped.
        console: where to show it; None: stderr.
    """

    def __init__(self, label: str, number: int | None, console: Console | None = None) -> None:
        self.kept = 0
        self._label, self._number = label, number
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._warned = {""}
        if self._console.is_interactive:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def show(self, shot: Shot) -> None:
        """Show one frame."""
        new, self.kept = shot.kept > self.kept, shot.kept
        if self._live is not None:
            colours = self._console.color_system in {"truecolor", "256"}
            rows = [half_blocks(shot.image, self._columns(shot.image))] if colours else []
            self._live.update(Group(*rows, self._line(shot)), refresh=True)
        elif self._is_news(shot, new=new):
            self._warned.add(shot.warning)
            self._console.print(self._line(shot))

    def _is_news(self, shot: Shot, *, new: bool) -> bool:
        """Whether a frame gets a line away from a terminal: of a warning, its first."""
        counted = new and (shot.kept % 8 == 1 or shot.kept == self._number)
        return counted or shot.warning not in self._warned

    def _columns(self, image: Image) -> int:
        """Return how wide a picture may be shown so that the line below it has room too."""
        tallest: int = 2 * (self._console.height - 3) * image.shape[1] // image.shape[0]
        return max(1, min(COLUMNS, self._console.width, tallest))

    def _line(self, shot: Shot) -> Text:
        if shot.countdown > 0:
            line = Text(f"{self._label}: get ready … {shot.countdown:.0f}", style="bold")
        else:
            of = f"/{self._number}" if self._number else ""
            line = Text(f"{self._label}: {shot.kept}{of} kept  light {shot.brightness:.0%}")
        if shot.warning:
            line.append(f"  {shot.warning}", style="bold yellow")
        return line

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def half_blocks(image: Image, columns: int = COLUMNS) -> Text:
    """Return a picture as coloured text, two pixels a character."""
    rows = max(1, round(columns * image.shape[0] / image.shape[1] / 2))
    small = cv2.resize(image, (columns, 2 * rows), interpolation=cv2.INTER_AREA)
    text = Text()
    for upper, lower in zip(small[0::2], small[1::2], strict=True):
        for (r, g, b), (R, G, B) in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({R},{G},{B})")
        text.append("\n")
    return text
