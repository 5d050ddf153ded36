"""What pins drive: LEDs, buzzers, servos, relays, motors; all through gpiozero."""

from __future__ import annotations

import logging
import threading
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

from edge.outputs.gpio import MISSING, OCTAVES, find_tone, is_lgpio
from edge.outputs.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge.decider import Decision
    from edge.outputs.apply import Output, Switch
    from edge.outputs.wiring import Wiring

log = logging.getLogger(__name__)

Degrees: TypeAlias = Annotated[float, msgspec.Meta(ge=-90, le=90)]

BEEP = 0.15
"""Seconds that a beep lasts, and the pause after it."""
SETTLE = 0.8
"""Seconds that a servo gets to turn back; a slow one does 180 degrees in that time."""
LONGEST = 30.0
"""Seconds that a melody may last."""


class _OnePin(Kind, frozen=True):
    """What hangs on one pin."""

    short: ClassVar[str] = "pin"
    pin: int

    def pins(self) -> tuple[int, ...]:
        """Return that pin."""
        return (self.pin,)


class Led(_OnePin, frozen=True):
    """An LED: on while its label is decided."""

    active_high: bool = True

    def open(self, wiring: Wiring) -> Switch:
        device: Switch = wiring.device(
            self.pins(), lambda gpiozero: gpiozero.LED(self.pin, active_high=self.active_high)
        )
        return device


class Relay(_OnePin, frozen=True):
    """A relay, or anything else that a pin switches: on while its label is decided."""

    active_high: bool = True
    """False for the many relay boards that are on while their input is low."""

    def open(self, wiring: Wiring) -> Switch:
        device: Switch = wiring.device(
            self.pins(),
            lambda gpiozero: gpiozero.DigitalOutputDevice(self.pin, active_high=self.active_high),
        )
        return device


class PwmLed(_OnePin, frozen=True):
    """An LED as bright as the decision is sure, or one that fades in and out."""

    effect: Literal["confidence", "pulse"] = "confidence"
    seconds: Annotated[float, msgspec.Meta(ge=0.2, le=60)] = 2.0
    """How long one pulse takes, in and out."""
    active_high: bool = True

    def open(self, wiring: Wiring) -> Switch:
        led = wiring.device(
            self.pins(), lambda gpiozero: gpiozero.PWMLED(self.pin, active_high=self.active_high)
        )
        if self.effect == "confidence":
            return _Brightness(led)
        half = self.seconds / 2
        return _Part(led, on=lambda: led.pulse(fade_in_time=half, fade_out_time=half), off=led.off)


class RgbLed(Kind, frozen=True):
    """A colour of an RGB LED, whose three pins several labels may share."""

    short: ClassVar[str] = "pins"
    shared: ClassVar[bool] = True
    alike: ClassVar[tuple[str, ...]] = ("active_high",)
    legs: tuple[int, int, int] = msgspec.field(name="pins")
    """Red, green, blue."""
    colour: Annotated[str, msgspec.Meta(max_length=40)] = "white"
    active_high: bool = True
    """False where the long leg is the common plus."""

    def pins(self) -> tuple[int, ...]:
        return self.legs

    def check(self, folder: Path) -> None:
        self._levels()

    def open(self, wiring: Wiring) -> Switch:
        led = wiring.device(
            self.legs, lambda gpiozero: gpiozero.RGBLED(*self.legs, active_high=self.active_high)
        )
        levels = self._levels()
        return _Part(led, on=lambda: setattr(led, "value", levels), off=led.off)

    def _levels(self) -> tuple[float, ...]:
        """Return how bright each of the three is, 0 to 1."""
        try:
            from colorzero import Color  # gpiozero's own; only when there is a colour
        except ImportError:
            raise ValueError(MISSING) from None
        try:
            return tuple(Color.from_string(self.colour).rgb)
        except ValueError:
            raise ValueError(
                f"colour: there is no '{self.colour}'; a name such as orange, or '#ff8800'"
            ) from None


class Buzzer(_OnePin, frozen=True):
    """An active buzzer, which beeps by itself: on while its label is decided, or a few beeps."""

    shared: ClassVar[bool] = True
    alike: ClassVar[tuple[str, ...]] = ("active_high",)
    beeps: Annotated[int, msgspec.Meta(ge=1, le=20)] | None = None
    active_high: bool = True

    def open(self, wiring: Wiring) -> Switch:
        buzzer: Any = wiring.device(
            self.pins(), lambda gpiozero: gpiozero.Buzzer(self.pin, active_high=self.active_high)
        )
        if self.beeps is None:
            switch: Switch = buzzer
            return switch
        return _Part(buzzer, on=lambda: buzzer.beep(BEEP, BEEP, n=self.beeps), off=buzzer.off)


class Tone(_OnePin, frozen=True):
    """A melody on a passive buzzer: once through when its label is decided, or over and over."""

    shared: ClassVar[bool] = True
    melody: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] = "C5 E5 G5"
    """Notes such as `C4`, `F#4` or `Bb4`, rests as `-`; `C4:2` lasts two beats."""
    tempo: Annotated[float, msgspec.Meta(ge=20, le=1000)] = 240.0
    """Beats a minute."""
    repeat: bool = False
    """Whether it is played again and again, for just as long as the label is decided."""

    def check(self, folder: Path) -> None:
        seconds = sum(seconds for _, seconds in self._notes())
        if seconds > LONGEST:
            raise ValueError(f"melody: takes {seconds:.0f} s, {LONGEST:.0f} s is the most")

    def open(self, wiring: Wiring) -> Output:
        buzzer = wiring.device(
            self.pins(), lambda gpiozero: gpiozero.TonalBuzzer(self.pin, octaves=OCTAVES)
        )
        player = wiring.share(("tone", self.pin), lambda: _Player(buzzer))
        notes = self._notes()
        if self.repeat:
            return _Part(player, on=lambda: player.play(notes, repeat=True), off=player.stop)
        return _Melody(player, notes)

    def _notes(self) -> list[Note]:
        """Return what to play: frequencies, None for silence, each with its seconds.

        Raises:
            ValueError: something that is no note, or none that a buzzer can play.
        """
        beat = 60 / self.tempo
        notes = [_read_note(word, beat) for word in self.melody.split()]
        if not any(tone for tone, _ in notes):
            raise ValueError("melody: has no note; write some, such as C5 E5 G5")
        played: list[Note] = []
        for (tone, seconds), (following, _) in pairwise([*notes, (None, 0.0)]):
            gap = seconds / 10 if tone is not None and tone == following else 0.0
            played += [(tone, seconds - gap), *([(None, gap)] if gap else [])]
        return played


class Servo(_OnePin, frozen=True):
    """A servo: at an angle while its label is decided; back at rest, or let go, when not."""

    shared: ClassVar[bool] = True
    alike: ClassVar[tuple[str, ...]] = ("rest", "min_pulse", "max_pulse")
    angle: Degrees = 90.0
    rest: Degrees | None = None
    """Where it turns back to; None leaves it where it is."""
    min_pulse: Annotated[float, msgspec.Meta(ge=0.3, le=1.4)] = 1.0
    """Milliseconds of the pulse for -90 degrees."""
    max_pulse: Annotated[float, msgspec.Meta(ge=1.6, le=2.8)] = 2.0
    """Milliseconds of the pulse for 90 degrees."""

    def open(self, wiring: Wiring) -> Switch:
        servo = wiring.device(self.pins(), self._make)
        arm = wiring.share(("servo", self.pin), lambda: _Arm(servo, self.rest))
        return _Part(arm, on=lambda: arm.go(self.angle), off=arm.let_go)

    def _make(self, gpiozero: Any) -> Any:
        with warnings.catch_warnings():  # some releases recommend pigpio, which no Pi 5 has
            warnings.simplefilter("ignore")
            servo = gpiozero.AngularServo(
                self.pin,
                initial_angle=None,
                min_pulse_width=self.min_pulse / 1000,
                max_pulse_width=self.max_pulse / 1000,
            )
        if is_lgpio(servo.pin_factory):
            log.warning(
                "servo on pin %d may tremble: its pulses are timed by software, as on every pin, "
                "12, 13, 18 and 19 too; docs/wiring.md has what helps",
                self.pin,
            )
        return servo


class Motor(Kind, frozen=True):
    """A motor at a driver board: it turns while its label is decided."""

    short: ClassVar[str] = "forward"
    shared: ClassVar[bool] = True
    forward: int
    backward: int
    enable: int | None = None
    """The driver's enable pin, if it has one that is not tied high."""
    direction: Literal["forward", "backward", "stop"] = "forward"
    speed: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0

    def pins(self) -> tuple[int, ...]:
        both = (self.forward, self.backward)
        return both if self.enable is None else (*both, self.enable)

    def open(self, wiring: Wiring) -> Switch:
        motor = wiring.device(self.pins(), self._make)

        def on() -> None:
            if self.direction != "stop":
                getattr(motor, self.direction)(self.speed)
                _enable(motor, on=True)  # last, so that nothing turns the wrong way first

        def off() -> None:
            _enable(motor, on=False)
            motor.stop()

        return _Part(motor, on=on, off=off)

    def _make(self, gpiozero: Any) -> Any:
        motor = gpiozero.Motor(self.forward, self.backward, enable=self.enable)
        _enable(motor, on=False)  # gpiozero leaves it on
        return motor


# --- What the kinds above are made of


class _Part:
    """One label's use of a device that others may share.

    Args:
        device: closed when this is; closing it twice is fine.
        on: begins it.
        off: ends it at once.
    """

    def __init__(self, device: Any, *, on: Callable[[], object], off: Callable[[], object]) -> None:
        self._device, self._on, self._off = device, on, off

    def on(self) -> None:
        self._on()

    def off(self) -> None:
        self._off()

    def close(self) -> None:
        if not self._device.closed:
            self._off()  # a released pin floats: it should be low before that
        self._device.close()


class _Brightness:
    """An LED that is as bright as the decision is sure."""

    def __init__(self, led: Any) -> None:
        self._led = led

    def on(self) -> None:
        self._led.on()

    def off(self) -> None:
        self._led.off()

    def follow(self, decision: Decision) -> None:
        # An eye sees about the root of the light: 0.7 should look clearly darker than 1.
        self._led.value = min(1.0, max(0.0, decision.confidence)) ** 2

    def close(self) -> None:
        if not self._led.closed:
            self._led.off()
        self._led.close()


Note: TypeAlias = "tuple[float | None, float]"
"""A tone, or None for silence, and its seconds."""


class _Player:
    """Plays melodies in a thread; a new one takes the place of the one that is playing."""

    def __init__(self, buzzer: Any) -> None:
        self._buzzer = buzzer
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        return bool(self._buzzer.closed)

    def play(self, notes: Sequence[Note], *, repeat: bool = False) -> None:
        self.stop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._play, args=(notes, repeat), name="handwave tone", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()  # soon: it waits on the event that is set
            self._thread = None

    def close(self) -> None:
        self.stop()
        self._buzzer.close()

    def _play(self, notes: Sequence[Note], repeat: bool) -> None:  # noqa: FBT001  (for a thread)
        try:
            while True:
                for tone, seconds in notes:
                    self._buzzer.play(tone)
                    if self._stopping.wait(seconds):
                        return
                if not repeat:
                    return
        except Exception as problem:  # nobody else would report it
            log.error("tone: %s", problem, exc_info=log.isEnabledFor(logging.DEBUG))
        finally:
            self._buzzer.stop()


class _Melody:
    """A melody that is played once through each time."""

    def __init__(self, player: _Player, notes: Sequence[Note]) -> None:
        self._player, self._notes = player, notes

    def fire(self, _decision: Decision) -> None:
        self._player.play(self._notes)

    def hush(self) -> None:
        self._player.stop()

    def close(self) -> None:
        self._player.close()


class _Arm:
    """A servo that several labels turn.

    While unused it gets no pulses: it neither hums nor trembles, and can be moved by hand.
    """

    def __init__(self, servo: Any, rest: float | None) -> None:
        self._servo, self._rest = servo, rest
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._rests = False
        self.let_go()

    @property
    def closed(self) -> bool:
        return bool(self._servo.closed)

    def go(self, angle: float) -> None:
        with self._lock:
            self._cancel()
            self._rests = False
            self._servo.angle = angle

    def let_go(self) -> None:
        with self._lock:
            if self._rests or self._timer is not None:  # it is there, or turning there
                return
            self._servo.angle = self._rest  # None: no more pulses
            if self._rest is not None:
                timer = threading.Timer(SETTLE, self._settled)
                timer.daemon = True
                timer.start()
                self._timer = timer  # only now: a signal may come between

    def close(self) -> None:
        timer = self._timer
        if timer is not None:
            timer.join(SETTLE)  # without pulses it would stay on its way
        with self._lock:
            self._cancel()
            if not self._servo.closed:
                self._servo.detach()
            self._servo.close()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settled(self) -> None:
        with self._lock:
            if self._timer is threading.current_thread():  # else it was wanted again
                self._timer = None
                self._rests = True
                self._servo.detach()


def _enable(motor: Any, *, on: bool) -> None:
    device = getattr(motor, "enable_device", None)
    if device is not None:
        device.value = on


def _read_note(word: str, beat: float) -> Note:
    """Return the note that a word of a melody stands for."""
    name, colon, length = word.partition(":")
    try:
        beats = float(length) if colon else 1.0
        tone = None if name == "-" else find_tone(name)
    except ImportError:
        raise ValueError(MISSING) from None
    except OverflowError:
        raise ValueError(f"melody: '{word}' is out of a buzzer's range, A1 to A7") from None
    except ValueError:
        raise ValueError(
            f"melody: '{word}' is no note; write C4, F#4 or Bb4, - for a rest, C4:2 for two beats"
        ) from None
    if not 0.1 <= beats <= 100:
        raise ValueError(f"melody: '{word}' does not last 0.1 to 100 beats")
    return tone, beats * beat


KINDS: dict[str, type[Kind]] = {
    "led": Led,
    "pwm_led": PwmLed,
    "rgb_led": RgbLed,
    "buzzer": Buzzer,
    "tone": Tone,
    "servo": Servo,
    "relay": Relay,
    "motor": Motor,
}
"""What `edge.toml` calls each."""
