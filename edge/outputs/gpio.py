"""gpiozero, and nothing else: real pins or its own mock ones, and the outputs on them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edge.errors import OutputError
from edge.outputs.kind import Kind
from edge.platform import is_raspberry_pi

if TYPE_CHECKING:
    from edge.outputs.apply import Switch
    from edge.wiring import Wiring

PinKind = Literal["real", "mock"]


class Led(Kind, frozen=True):
    """An LED: on while its label is decided."""

    short: ClassVar[str] = "pin"
    pin: int

    def pins(self) -> tuple[int, ...]:  # noqa: D102
        return (self.pin,)

    def open(self, wiring: Wiring) -> Switch:  # noqa: D102
        device: Switch = wiring.device(self.pins(), lambda gpiozero: gpiozero.LED(self.pin))
        return device


class Buzzer(Kind, frozen=True):
    """An active buzzer, which beeps by itself: on while its label is decided."""

    short: ClassVar[str] = "pin"
    pin: int

    def pins(self) -> tuple[int, ...]:  # noqa: D102
        return (self.pin,)

    def open(self, wiring: Wiring) -> Switch:  # noqa: D102
        device: Switch = wiring.device(self.pins(), lambda gpiozero: gpiozero.Buzzer(self.pin))
        return device


def load_gpiozero(kind: PinKind) -> Any:
    """Return the module gpiozero, set to drive the header, or its own mock pins.

    Raises:
        OutputError: it is not installed.
    """
    if kind == "real":
        # gpiozero would fall through to libraries that fail on a Pi 5; lgpio works on every Pi.
        os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    try:
        import gpiozero  # only when pins are used
        from gpiozero.pins.mock import MockFactory, MockPWMPin
    except ImportError:
        raise OutputError(
            "gpiozero is missing; on a Pi: sudo apt install python3-gpiozero"
        ) from None
    if kind == "mock":
        gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    return gpiozero


def advice(problem: Exception, kind: PinKind) -> str:
    """Say what an error of gpiozero or of a pin library below it means, and what to do."""
    name, text = type(problem).__name__, str(problem).partition("\n")[0]
    if kind == "real" and not is_raspberry_pi():
        return f"no GPIO pins here ({text}); on a computer that is no Pi, add --pins mock"
    if "busy" in text.lower() or name == "GPIOPinInUse":
        return f"a pin is held by another program ({text}); stop that one first"
    return (
        f"cannot use the GPIO pins ({name}: {text}); on a Pi: sudo apt install python3-lgpio, "
        "and be in the group gpio"
    )
