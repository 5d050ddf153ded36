"""What decisions drive. Knows no pins: anything with `on()` and `off()` will do, or a function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, TypeGuard, runtime_checkable

from edge.card import BACKGROUND
from edge.errors import FOREIGN, OutputError, printable
from edge.service import finishing

if TYPE_CHECKING:
    from edge.decider import Decision

log = logging.getLogger(__name__)


class Switch(Protocol):
    """Anything that can be on or off: gpiozero's LED, Buzzer and many more."""

    def on(self) -> object: ...

    def off(self) -> object: ...


@runtime_checkable
class Follower(Protocol):
    """A switch that is told of every frame while it is on, as a lamp that shows confidence."""

    def follow(self, decision: Decision) -> object: ...


@runtime_checkable
class Shot(Protocol):
    """Something that fires once and takes the decision."""

    def fire(self, decision: Decision) -> object: ...


class Observer(Protocol):
    """Something told of every decision that changes anything, for all labels."""

    def decided(self, decision: Decision) -> object: ...


Output: TypeAlias = Switch | Shot | Callable[[], object]


class Outputs:
    """Outputs by label.

    An output with `on()` and `off()` *follows*: it is on while its label is decided. Any other
    *fires*: its `fire(decision)`, or it itself, is called once each time its label is decided.

    One that fails is named in the log and left off; the others go on, and so does the device.

    >>> outputs = Outputs({"rock": LED(17), "palm": [Buzzer(22), say_hi]})  # doctest: +SKIP

    Args:
        when: an output, or several, for each label.
        observers: what is told of every decision.

    Raises:
        OutputError: something that is neither a switch nor callable, or `background`.
    """

    def __init__(
        self,
        when: Mapping[str, Output | Iterable[Output]],
        observers: Iterable[Observer] = (),
    ) -> None:
        self._when = {label: _as_list(label, outputs) for label, outputs in when.items()}
        self._observers = list(observers)
        self._on: list[Switch] = []
        self.failures = 0
        """How often an output has failed."""

    def apply(self, decision: Decision) -> None:
        """Switch what this decision changes."""
        if not decision.changed:
            for lit in self._on:
                follow = getattr(lit, "follow", None)  # each frame: isinstance costs ten times that
                if follow is not None and not self._try(decision.label, follow, decision):
                    self._leave_off(decision.label, lit)
                    return  # the others are told at the next frame
            return
        self.off()
        for output in self._when.get(decision.label or "", []):
            self._begin(output, decision)
        for observer in self._observers:
            self._try(decision.label, observer.decided, decision)

    def _begin(self, output: Output, decision: Decision) -> None:
        """Switch one output on, or fire it."""
        if _is_switch(output):
            self._on.append(output)  # first, so that a failing on() is still switched off
            if not self._try(decision.label, output.on) or (
                isinstance(output, Follower)
                and not self._try(decision.label, output.follow, decision)
            ):
                self._leave_off(decision.label, output)
        elif isinstance(output, Shot):
            self._try(decision.label, output.fire, decision)
        elif callable(output):
            self._try(decision.label, output)

    def _leave_off(self, label: str | None, output: Switch) -> None:
        """Switch off a failed output until its label is decided again: frames are many."""
        self._try(label, output.off)
        self._on = [one for one in self._on if one is not output]  # a new list: it may be walked

    def hush(self) -> None:
        """End what was fired and still goes on, such as a melody."""
        for output in (one for outputs in self._when.values() for one in outputs):
            if callable(end := getattr(output, "hush", None)):
                self._try(None, end)

    def off(self) -> None:
        """Switch off all outputs that are on, even when some fail."""
        while self._on:
            self._try(None, self._on[-1].off)
            self._on.pop()  # only now: if a signal interrupts off(), close() repeats it

    def close(self) -> None:
        """Switch everything off and let go of the hardware; closing twice is fine."""
        with finishing():
            self.off()
            when, self._when = self._when, {}  # each output is closed once
            observers, self._observers = self._observers, []
            for output in [*(one for outputs in when.values() for one in outputs), *observers]:
                with suppress(*FOREIGN):
                    getattr(output, "close", lambda: None)()

    def _try(self, label: str | None, act: Callable[..., object], *arguments: object) -> bool:
        """Call foreign code; return whether it succeeded."""
        try:
            act(*arguments)
        except FOREIGN as problem:  # a device that stands alone goes on
            self.failures += 1
            what = "an output" if label is None else f"output of '{label}'"
            why = printable(str(problem)) or type(problem).__name__
            log.error("%s failed: %s", what, why, exc_info=log.isEnabledFor(logging.DEBUG))
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_switch(output: object) -> TypeGuard[Switch]:
    """Return whether it can be on and off; a class cannot, though its objects may."""
    has_both = callable(getattr(output, "on", None)) and callable(getattr(output, "off", None))
    return has_both and not isinstance(output, type)


def _as_list(label: str, outputs: Output | Iterable[Output]) -> list[Output]:
    if label == BACKGROUND:
        raise OutputError(f"'{BACKGROUND}' never triggers anything; take its outputs away")
    # A switch first: gpiozero's LEDBoard is one, and iterable as well.
    several: list[Output] = (
        [outputs] if _is_switch(outputs) or not isinstance(outputs, Iterable) else list(outputs)
    )
    for output in several:
        if isinstance(output, type):
            raise OutputError(f"output of '{label}' is a class; make one: {output.__name__}(17)")
        if not (_is_switch(output) or isinstance(output, Shot) or callable(output)):
            raise OutputError(f"output of '{label}' has neither on() and off() nor can be called")
    return several
