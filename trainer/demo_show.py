"""What the demo shows while the service runs: each frame, each pin as it turns on and off."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rich.live import Live
from rich.text import Text

from edge.replay.events import Events

if TYPE_CHECKING:
    from rich.console import Console

BAR = 8
"""Characters of a full confidence bar."""


class Show:
    """Prints a line each time a pin changes, above a live line for the frame just seen.

    Args:
        console: where to.
        labels: the model's, in its order.
    """

    def __init__(self, console: Console, labels: list[str]) -> None:
        self.events = Events()
        self.confusion = np.zeros((len(labels), len(labels)), np.int64)
        """`[classes, classes]`: frames by their truth and their likeliest label."""
        self._console, self._labels = console, labels
        self._width = max(map(len, labels))
        self._milliseconds: list[float] = []
        self._clock: list[float] = []
        self._pins: dict[str, bool] = {}
        self._live = Live(console=console, transient=True, refresh_per_second=15)

    @property
    def accuracy(self) -> float:
        """Share of frames whose likeliest label is right, of those whose truth is known."""
        return float(np.trace(self.confusion) / max(1, self.confusion.sum()))

    @property
    def rate(self) -> float:
        """Frames a second that came through the service, Hz, making them included."""
        seconds = self._clock[-1] - self._clock[0] if self._clock else 0.0
        return (len(self._clock) - 1) / seconds if seconds else 0.0

    @property
    def milliseconds(self) -> float:
        """The median time from having a frame to having switched the pins."""
        return median(self._milliseconds)

    def end(self) -> None:
        """Show that the pins which were on went off with the service."""
        for pin, on in self._pins.items():
            if on:
                self._console.print(Text(f"  end of the stream  GPIO{pin} off"))

    def frame(self, line: dict[str, Any]) -> None:
        """Show one line of `edge run --json`."""
        self._milliseconds.append(line["ms"])
        self._clock.append(time.perf_counter())
        if line["truth"] is not None:
            truth, label = (self._labels.index(line[key]) for key in ("truth", "label"))
            self.confusion[truth, label] += 1
        self.events.update(line["time"], line["truth"], line["decision"])
        changes = [pin for pin, on in line["pins"].items() if on != self._pins.get(pin, False)]
        self._pins = line["pins"]
        if changes:
            self._console.print(self._row(line, changes))
        if self._console.is_interactive:
            self._live.update(self._row(line, []))
        elif not changes and line["frame"] % 15 == 0:
            self._console.print(self._row(line, []))

    def _row(self, line: dict[str, Any], changes: list[str]) -> Text:
        confidence = line["confidence"]
        filled = round(BAR * confidence)
        row = Text(f"  {line['time']:6.2f} s  {line['label']:<{self._width}}  ")
        row.append("━" * filled, style="green").append("─" * (BAR - filled), style="bright_black")
        row.append(f" {confidence:4.0%}  ")
        for on in line["pins"].values():
            row.append("●" if on else "○", style="bold red" if on else "bright_black")
        for state, style in ((True, "bold red"), (False, "")):
            pins = [f"GPIO{pin}" for pin in changes if line["pins"][pin] is state]
            if pins:
                row.append(f"  {' '.join(pins)} {'on' if state else 'off'}", style=style)
        if line["truth"] not in {None, line["label"]}:
            row.append(f"  shown: {line['truth']}", style="yellow")
        return row

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
