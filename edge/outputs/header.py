"""The 40-pin header: what is at which place, a drawing of it, and who uses which pin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from edge.config import Config
    from edge.outputs.kind import Kind

HEADER_PINS = range(2, 28)
"""BCM numbers on the 40-pin header; 0 and 1 belong to the HAT's ID chip."""
_NAMES = """
3V3 5V GPIO2 5V GPIO3 GND GPIO4 GPIO14 GND GPIO15 GPIO17 GPIO18 GPIO27 GND GPIO22 GPIO23 3V3 GPIO24
GPIO10 GND GPIO9 GPIO25 GPIO11 GPIO8 GND GPIO7 ID_SD ID_SC GPIO5 GND GPIO6 GPIO12 GPIO13 GND GPIO19
GPIO16 GPIO26 GPIO20 GND GPIO21
"""
PLACES = dict(enumerate(_NAMES.split(), start=1))
"""What is at each place of the header, 1 to 40; the odd ones are the left column."""
PLACE_OF = {int(name[4:]): place for place, name in PLACES.items() if name.startswith("GPIO")}
"""The place of each BCM pin."""
PHYSICAL_TO_BCM = {place: bcm for bcm, place in PLACE_OF.items() if place not in HEADER_PINS}
"""Places above 27, which cannot be BCM numbers; lower places are ambiguous."""
NOTE = 30
"""Letters that a note beside the drawing may have."""


def draw(notes: Mapping[int, str], at: Collection[int] = ()) -> str:
    """Return a drawing of the header, a line a row.

    Args:
        notes: what to write beside BCM pins.
        at: places to point at.
    """
    beside = {PLACE_OF[pin]: _clip(note) for pin, note in notes.items() if pin in PLACE_OF}
    margin = max((len(note) for place, note in beside.items() if place % 2), default=0)
    rows = []
    for odd in range(1, 41, 2):
        even = odd + 1
        left = f"{beside.get(odd, ''):>{margin}} {_mark(odd, beside, at):>3} {PLACES[odd]:>6}"
        right = f"{PLACES[even]:<6} {_mark(even, beside, at):<3} {beside.get(even, '')}"
        rows.append(f"  {left} {f'({odd})':>4} {f'({even})':<4} {right}".rstrip())
    return "\n".join(rows)


def describe(pins: Collection[int]) -> str:
    """Return BCM pins in words, with their places: `GPIO17 (place 11)`."""
    return ", ".join(f"GPIO{pin} (place {PLACE_OF[pin]})" for pin in pins)


def _mark(place: int, beside: Mapping[int, str], at: Collection[int]) -> str:
    if place in at:
        return "==>" if place % 2 else "<=="
    if place in beside:
        return "---"
    return ""


def _clip(note: str) -> str:
    return note if len(note) <= NOTE else f"{note[: NOTE - 3]}..."


# --- Is each pin of edge.toml there, and used once?


class _Use(NamedTuple):
    """Somebody's pins."""

    where: str
    pins: tuple[int, ...]
    label: str | None = None
    output: Kind | None = None  # None: the button


def check_pins(config: Config) -> None:
    """Check that every pin that `edge.toml` names is on the header, and used once.

    Raises:
        ConfigError: with a drawing of the header.
    """
    taken: dict[int, _Use] = {}
    uses = list(_uses(config))
    for use in uses:
        for pin in use.pins:
            if pin not in HEADER_PINS:
                place = [pin] if pin in PHYSICAL_TO_BCM else []
                line = f"{config.path}: {use.where}: {_not_on_header(pin)}"
                raise ConfigError(line, picture=draw(_notes(uses), place))
            if len(set(use.pins)) < len(use.pins):
                raise ConfigError(f"{config.path}: {use.where}: names a pin twice")
            other = taken.setdefault(pin, use)
            wrong = other is not use and _clash(pin, use, other)
            if wrong:
                line = f"{config.path}: {use.where}: {wrong}"
                raise ConfigError(line, picture=draw(_notes(uses), [PLACE_OF[pin]]))


def _uses(config: Config) -> Iterator[_Use]:
    if config.button is not None:
        yield _Use("[button] pin", (config.button.pin,))
    for label, name, output in config.outputs():
        yield _Use(f"[when.{label}] {name}", output.pins(), label, output)


def _notes(uses: list[_Use]) -> dict[int, str]:
    """Return who has each pin; where labels share it, the first."""
    return {pin: use.where for use in reversed(uses) for pin in use.pins}


def _clash(pin: int, use: _Use, other: _Use) -> str | None:
    """Say why two may not have the same pin; None where they may."""
    one, first = use.output, other.output
    shares = (
        one is not None
        and type(one) is type(first)
        and one.shared
        and use.label != other.label  # twice for one label would be two wishes at once
        and use.pins == other.pins
    )
    if not shares:
        return f"pin {pin} is already used by {other.where}; take another"
    for name in one.alike if one is not None else ():
        if getattr(one, name) != getattr(first, name):
            return f"shares its pins with {other.where}, so {name} must be the same in both"
    return None


def _not_on_header(pin: int) -> str:
    physical = PHYSICAL_TO_BCM.get(pin)
    hint = f"; the pin at place {pin} of the header is BCM {physical}" if physical else ""
    return f"{pin} is not a BCM pin on the header (2 to 27){hint}"


# --- What a Pi's own buses hold


class Bus(NamedTuple):
    """Something that uses pins of its own while it is switched on."""

    name: str
    sign: str
    """A file that is there when it is on."""
    pins: tuple[int, ...]
    free: str
    """What switches it off."""


_SPI_OFF = "sudo raspi-config nonint do_spi 1"
_SPI1_OFF = "take dtoverlay=spi1 out of /boot/firmware/config.txt"
BUSES = (
    Bus("I2C", "dev/i2c-1", (2, 3), "sudo raspi-config nonint do_i2c 1"),
    Bus("SPI", "dev/spidev0.0", (8, 9, 10, 11), _SPI_OFF),
    Bus("SPI", "dev/spidev0.1", (7, 9, 10, 11), _SPI_OFF),
    Bus("SPI1", "dev/spidev1.0", (18, 19, 20, 21), _SPI1_OFF),
    Bus("SPI1", "dev/spidev1.1", (17, 19, 20, 21), _SPI1_OFF),
    Bus("SPI1", "dev/spidev1.2", (16, 19, 20, 21), _SPI1_OFF),
)
SERIAL = Bus(
    "the serial console", "dev/serial0", (14, 15), "sudo raspi-config nonint do_serial_cons 1"
)


def held_pins(root: Path = Path("/")) -> dict[int, Bus]:
    """Return the pins that buses of this Pi hold.

    The kernel would hand such a pin out as well, and the bus would just fall silent. I2C and SPI
    are off unless somebody wanted them; the serial port is on by itself on some Pis, so it counts
    only where the console is on it.
    """
    held = {pin: bus for bus in BUSES if (root / bus.sign).exists() for pin in bus.pins}
    if _header_console(root):
        held.update(dict.fromkeys(SERIAL.pins, SERIAL))
    return held


def _header_console(root: Path) -> bool:
    """Return whether the kernel's console is on the header's serial port."""
    try:
        active = (root / "sys/class/tty/console/active").read_text().split()
    except OSError:
        return False
    port = (root / SERIAL.sign).resolve().name
    # A Pi 5's primary port is at a plug of its own, its first PL011 on the header.
    return ("ttyAMA0" if port == "ttyAMA10" else port) in active


def check_held(pins: Collection[int], root: Path = Path("/")) -> None:
    """Check that no bus of this Pi holds one of these BCM pins.

    Raises:
        OutputError: with a drawing of the header.
    """
    held = held_pins(root)
    for pin in pins:
        if pin in held:
            bus = held[pin]
            line = (
                f"pin {pin} belongs to {bus.name}, which is on on this Pi; "
                f"take another, or switch it off: {bus.free}"
            )
            notes = {pin: bus.name for pin, bus in held.items()}
            raise OutputError(line, picture=draw(notes, [PLACE_OF[pin]]))
