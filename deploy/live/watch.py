"""A host's live figures in a terminal: bars, what is decided, how quick, and a small picture."""

from __future__ import annotations

import base64
import io
import select
import time
from typing import TYPE_CHECKING, Self, TextIO

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from deploy.errors import DeployError
from edge.errors import printable
from edge.status import WATCHING, Report
from edge.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import PIL.Image

    from deploy.live.tunnel import Tunnel

PERIOD = 0.2
"""Seconds between two looks."""
PAUSE = 1.0
"""Seconds to wait where there is no answer."""
BAR = 32
"""Columns of a bar."""
PICTURE = 60
"""Columns of the picture at most."""
TINY = 400
"""Pixels of its sides at most, whatever a host sends."""


class Pin(msgspec.Struct, frozen=True):
    """An output, and whether it is on."""

    pin: int
    name: str | None
    on: bool


class Look(msgspec.Struct, frozen=True):
    """One frame, and what became of it: `edge.page.look.Look`, as it travels."""

    labels: list[str]
    probabilities: list[float]
    novelty: float
    label: str | None
    confidence: float
    trouble: str | None
    pins: list[Pin]
    picture: str | None
    """A JPEG in a `data:` address."""


class Seen(msgspec.Struct, frozen=True):
    """What a host shows at one moment."""

    status: Report
    look: Look | None
    """None while no frames come."""


def look_on(
    tunnel: Tunnel, *, picture: bool, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Seen | str]:
    """Yield what the host shows, for ever; where it shows nothing, why, in words.

    A service that was restarted, or a host that was, is found again.

    Raises:
        DeployError: the first look fails.
    """
    path = f"/live.json?side={96 if picture else 0}"
    first = True
    while True:
        try:
            seen: Seen | str = _decoded(tunnel.ask(path).content, tunnel.name)
        except DeployError as problem:  # whatever it is, it may pass
            if first:
                raise
            seen = str(problem)
        first = False
        yield seen
        sleep(PAUSE if isinstance(seen, str) else PERIOD)


def _decoded(content: bytes, host: str) -> Seen:
    try:
        return msgspec.json.decode(content, type=Seen)
    except msgspec.MsgspecError as problem:
        raise DeployError(
            f"{host}: its release shows other figures than are read here ({problem}); push again"
        ) from None


def is_unread(stream: TextIO) -> bool:
    """Return whether a pipe's reader is gone; otherwise only the next write would show it."""
    poll = select.poll()
    try:
        poll.register(stream, 0)
    except (OSError, ValueError):  # it is no file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


class Screen:
    """Shows them: in a terminal all the time, elsewhere a line when something changes.

    Args:
        host: whose they are.
        picture: whether to show one, where the terminal has colours.
        console: where to; None: stdout.
    """

    def __init__(self, host: str, *, picture: bool = True, console: Console | None = None) -> None:
        self._host = printable(host)
        self._console = console or Console(highlight=False)
        colours = self._console.color_system in {"truecolor", "256"}
        self.wants_picture = picture and colours and self._console.is_interactive
        """Whether it can show a picture."""
        self._said = ""
        self._live: Live | None = None
        if self._console.is_interactive:
            self._live = Live(console=self._console, auto_refresh=False)

    def show(self, seen: Seen | str) -> None:
        """Show one look, or why there is none."""
        if self._live is not None:
            self._live.update(self.drawn(seen), refresh=True)
            return
        line = printable(seen) if isinstance(seen, str) else f"{self._host}: {_line(seen)}"
        if line.partition(";")[0] != self._said:
            self._said = line.partition(";")[0]
            self._console.print(Text(line), soft_wrap=True)

    def drawn(self, seen: Seen | str) -> Group:
        """Return the look as rows."""
        if isinstance(seen, str):
            return Group(Text(f"{printable(seen)}; trying again", style="bold yellow"))
        status, look = seen.status, seen.look
        well = status.state == WATCHING
        state = f"{self._host}: {printable(status.state)} for {in_words(status.state_for)}"
        rows = [Text(state, style="" if well else "bold yellow"), _decided(seen)]
        if look is not None:
            rows += _bars(look, self._console.width)
            rows += [_outputs(look)] if look.pins else []
        rows.append(Text(" · ".join(_figures(status)), style="dim"))
        if look is not None and look.picture and self.wants_picture:
            room = self._console.height - len(rows) - 2
            rows.append(half_blocks(_opened(look.picture), self._console.width, room))
        return Group(*rows)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def _line(seen: Seen) -> str:
    """Return a look as one line; a change before the `;` is worth a new line."""
    what = seen.status.label or "nothing decided"
    if seen.status.state != WATCHING:
        what = printable(seen.status.state).replace(";", ",")
    return "; ".join([printable(what), *_figures(seen.status)])


def _decided(seen: Seen) -> Text:
    status = seen.status
    if status.label is None:
        return Text("nothing decided", style="dim")
    sure = "" if status.confidence is None else f"  {status.confidence:.0%} sure,"
    line = Text(printable(status.label), style="bold")
    line.append(f"{sure} for {in_words(status.label_for)}", style="not bold")
    return line


def _bars(look: Look, width: int) -> list[Text]:
    """Return a row for each label: how likely it is by this frame alone."""
    names = [printable(label)[:20] for label in look.labels]
    widest = max(map(len, names), default=0)
    bar = max(4, min(BAR, width - widest - 9))
    rows = []
    for name, label, share in zip(names, look.labels, look.probabilities, strict=False):
        full = round(bar * min(max(share, 0.0), 1.0))
        row = Text(f"  {name:<{widest}} ", style="bold" if label == look.label else "")
        row.append("█" * full, style="green" if label == look.label else "cyan")
        row.append("░" * (bar - full), style="dim")
        rows.append(row.append(f" {share:4.0%}"))
    return rows


def _outputs(look: Look) -> Text:
    words = [
        (f"{printable(pin.name)}, " if pin.name else "")
        + f"GPIO{pin.pin} {'on' if pin.on else 'off'}"
        for pin in look.pins
    ]
    return Text("  ".join(words))


def _figures(status: Report) -> list[str]:
    """Return how it is going, in words."""
    figures = [f"{status.fps:.1f} frames a second"]
    if status.latency_ms is not None:
        spread = status.latency_ms
        figures.append(f"frame to pin {spread.p50:.3g} ms (99 in 100: {spread.p99:.3g} ms)")
    if status.temperature is not None:
        figures.append(f"{status.temperature:.0f} °C")
    if status.undervoltage:
        figures.append("too little power")
    elif status.throttled:
        figures.append("too hot, slowed down")
    if status.output_failures:
        figures.append(f"outputs failed: {status.output_failures}")
    return figures


def _opened(address: str) -> PIL.Image.Image | None:
    """Return the picture in a `data:` address; None where it is none."""
    import PIL.Image

    try:
        content = base64.b64decode(address.partition(",")[2], validate=True)
        with PIL.Image.open(io.BytesIO(content), formats=["JPEG"]) as file:
            return file.convert("RGB") if max(file.size) <= TINY else None
    except Exception:  # noqa: BLE001  (a decoder's own; the figures are worth more than a picture)
        return None


def half_blocks(picture: PIL.Image.Image | None, columns: int, lines: int) -> Text:
    """Return a picture as coloured text of at most so many columns and lines.

    Each character is an upper half block: two pixels, one above the other.
    """
    text = Text()
    if picture is None or columns < 1 or lines < 1:
        return text
    shape = picture.width / picture.height
    wide = max(1, min(PICTURE, columns, int(2 * lines * shape)))
    tall = max(1, min(lines, round(wide / shape / 2)))
    pixels = picture.resize((wide, 2 * tall)).tobytes()
    row = 3 * wide  # bytes
    for top in range(0, len(pixels), 2 * row):
        for at in range(top, top + row, 3):
            upper, lower = pixels[at : at + 3], pixels[at + row : at + row + 3]
            style = "rgb({},{},{}) on rgb({},{},{})".format(*upper, *lower)
            text.append("▀", style=style)
        text.append("\n")
    return text
