"""gpiozero itself, real pins or its own mock ones: nothing else imports it."""

# ruff: noqa: SLF001  (subclassing gpiozero's pins needs their private methods)
from __future__ import annotations

import os
from typing import Any, Literal

from edge.errors import OutputError
from edge.platform import is_raspberry_pi

PinKind = Literal["real", "mock"]

OCTAVES = 3
"""How far from A4 a tone may be, A1 to A7: what a passive buzzer can make heard."""
MISSING = "gpiozero is missing; on a Pi: sudo apt install python3-gpiozero"


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
        raise OutputError(MISSING) from None
    if kind == "mock":
        gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    else:
        _mend_lgpio(gpiozero)
    return gpiozero


def all_off(levels: dict[int, bool], kind: PinKind) -> list[str]:
    """Drive pins to the level at which what they switch is off; return what went wrong.

    Args:
        levels: for each BCM pin whether it is off while low.
        kind: which pins.
    """
    try:
        gpiozero = load_gpiozero(kind)
    except OutputError as problem:
        return [str(problem)]
    wrong = []
    for pin, active_high in levels.items():
        try:
            gpiozero.DigitalOutputDevice(pin, active_high=active_high).close()
        except Exception as problem:  # noqa: BLE001  (the other pins still want switching off)
            wrong.append(f"pin {pin}: {advice(problem, kind)}")
    return wrong


def find_tone(note: str) -> float:
    """Return a note such as `C4`, `F#4` or `Bb4` as gpiozero's Tone: a float, its frequency in Hz.

    A plain float would not do: below 128 gpiozero takes that for the number of a MIDI note.

    Raises:
        ValueError: it is no note.
        OverflowError: it is one that a buzzer cannot play.
        ImportError: there is no gpiozero.
    """
    from gpiozero.tones import Tone  # only when there is a melody

    if not Tone.regex.fullmatch(note):
        raise ValueError(note)
    tone, middle = Tone.from_note(note), Tone("A4")
    if not middle.down(12 * OCTAVES) <= tone <= middle.up(12 * OCTAVES):
        raise OverflowError(note)
    found: float = tone
    return found


def advice(problem: Exception, kind: PinKind) -> str:
    """Say what an error of gpiozero or of a pin library below it means, and what to do."""
    name, text = type(problem).__name__, str(problem).partition("\n")[0]
    if kind == "real" and not is_raspberry_pi():
        return f"no GPIO pins here ({text}); on a computer that is no Pi, add --pins mock"
    if "busy" in text.lower() or name == "GPIOPinInUse":
        return (
            f"a pin is held by another program ({text}); stop that one first, "
            "the service with: sudo systemctl stop handwave"
        )
    return (
        f"cannot use the GPIO pins ({name}: {text}); on a Pi: sudo apt install python3-lgpio, "
        "and be in the group gpio"
    )


def is_lgpio(factory: Any) -> bool:
    """Return whether a pin factory is the one that a Pi uses."""
    return type(factory).__name__ == "LGPIOFactory"


def _mend_lgpio(gpiozero: Any) -> None:
    """Do three things on lgpio's pins that gpiozero 2.0.1 does not (its #1177 and #1209).

    It claims an output low and then sets its level: a relay that is on while low would click each
    time. It cuts pulses to whole per cents: of a servo's 5 to 10 % that leaves six angles. And it
    stops pulses in their middle, which leaves a buzzer's pin high every other time.
    """
    try:
        gpiozero.Device.ensure_pin_factory()
    except Exception:  # noqa: BLE001  (it fails again, with advice, when a pin is taken)
        return
    if not is_lgpio(gpiozero.Device.pin_factory):
        return
    from gpiozero.pins import lgpio as theirs

    lgpio = theirs.lgpio

    class Pin(theirs.LGPIOPin):  # type: ignore[misc]  # gpiozero has no types
        _pwm: tuple[float, float] | None  # Hz, per cent

        def output_with_state(self, state: float) -> None:
            lgpio.gpio_claim_output(self.factory._handle, self._number, int(bool(state)))

        def _set_state(self, value: float) -> None:
            if not self._pwm:
                super()._set_state(value)
                return
            self._pwm = (self._pwm[0], 100 * value)
            lgpio.tx_pwm(self.factory._handle, self._number, *self._pwm)

        def _set_frequency(self, value: float | None) -> None:
            before = self._pwm
            super()._set_frequency(value)
            if before and not self._pwm:  # all on stays on: that is off for what is on while low
                lgpio.gpio_write(self.factory._handle, self._number, int(before[1] == 100))

    gpiozero.Device.pin_factory.pin_class = Pin
