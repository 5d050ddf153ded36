"""gpiozero, and nothing else: real pins or its own mock ones, from what `edge.toml` says."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from edge.errors import OutputError
from edge.platform import is_raspberry_pi

if TYPE_CHECKING:
    from edge.config import Actions
    from edge.outputs import Output

PinKind = Literal["real", "mock"]


class Pins:
    """The gpiozero devices that `edge.toml` names.

    Args:
        when: each label's actions.
        kind: `real` drives the header; `mock` is gpiozero's MockFactory, for machines without one.

    Raises:
        OutputError: no gpiozero, no GPIO here, or a pin that something else holds.
    """

    def __init__(self, when: dict[str, Actions], kind: PinKind) -> None:
        gpiozero = _gpiozero(kind)
        devices = {"led": gpiozero.LED, "buzzer": gpiozero.Buzzer}
        self._devices: dict[int, Any] = {}
        self.when: dict[str, list[Output]] = {}
        """The devices by label, for `Outputs`."""
        try:
            for label, actions in when.items():
                self.when[label] = []
                for device, pin in actions.pins():
                    self._devices[pin] = devices[device](pin)
                    self.when[label].append(self._devices[pin])
        except Exception as problem:  # each pin library has errors of its own
            self.close()
            raise OutputError(_advice(problem, kind)) from problem

    def states(self) -> dict[int, bool]:
        """Return whether each BCM pin is on."""
        return {pin: bool(device.value) for pin, device in self._devices.items()}

    def close(self) -> None:
        """Switch every pin off and let go of it; closing twice is fine."""
        for device in self._devices.values():
            with suppress(Exception):  # one that fails must not leave the others on
                device.close()
        self._devices.clear()


def _gpiozero(kind: PinKind) -> Any:
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


def _advice(problem: Exception, kind: PinKind) -> str:
    name, text = type(problem).__name__, str(problem).partition("\n")[0]
    if kind == "real" and not is_raspberry_pi():
        return f"no GPIO pins here ({text}); on a computer that is no Pi, add --pins mock"
    if "busy" in text.lower() or name == "GPIOPinInUse":
        return f"a pin is held by another program ({text}); stop that one first"
    return (
        f"cannot use the GPIO pins ({name}: {text}); on a Pi: sudo apt install python3-lgpio, "
        "and be in the group gpio"
    )
