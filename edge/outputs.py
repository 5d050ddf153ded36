"""What decisions drive. Knows no pins: anything with `on()` and `off()` will do, or a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, runtime_checkable

from edge.card import BACKGROUND
from edge.errors import OutputError

if TYPE_CHECKING:
    from edge.decider import Decision


@runtime_checkable
class Switch(Protocol):
    """Anything that can be on or off: gpiozero's LED, Buzzer and many more."""

    def on(self) -> object: ...  # noqa: D102

    def off(self) -> object: ...  # noqa: D102


Output: TypeAlias = Switch | Callable[[], object]


class Outputs:
    """Outputs by label.

    An output with `on()` and `off()` *follows*: it is on while its label is decided. Any other
    callable *fires*: it is called once each time its label is decided.

    >>> outputs = Outputs({"rock": LED(17), "palm": [Buzzer(22), say_hi]})  # doctest: +SKIP

    Args:
        when: an output, or several, for each label.

    Raises:
        OutputError: something that is neither a switch nor callable, or `background`.
    """

    def __init__(self, when: Mapping[str, Output | Iterable[Output]]) -> None:
        self._when = {label: _as_list(label, outputs) for label, outputs in when.items()}
        self._on: list[Switch] = []

    def apply(self, decision: Decision) -> None:
        """Switch what this decision changes.

        Raises:
            OutputError: an output failed; all of them are off then.
        """
        if not decision.changed:
            return
        self.off()
        for output in self._when.get(decision.label or "", []):
            try:
                if isinstance(output, Switch):
                    self._on.append(output)  # first, so that a failing on() is still switched off
                    output.on()
                else:
                    output()
            except Exception as problem:
                self.off()
                raise OutputError(f"output of '{decision.label}' failed: {problem}") from problem

    def off(self) -> None:
        """Switch off whatever is on, even when some of it fails to."""
        while self._on:
            with suppress(Exception):
                self._on[-1].off()
            self._on.pop()  # only now: a signal in the middle of off() leaves it to close()

    def close(self) -> None:
        """Switch everything off and let go of the hardware; closing twice is fine."""
        self.off()
        when, self._when = self._when, {}  # each output is closed once
        for outputs in when.values():
            for output in outputs:
                with suppress(Exception):
                    getattr(output, "close", lambda: None)()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_list(label: str, outputs: Output | Iterable[Output]) -> list[Output]:
    if label == BACKGROUND:
        raise OutputError(f"'{BACKGROUND}' never triggers anything; take its outputs away")
    # A switch first: gpiozero's LEDBoard is one, and iterable as well.
    several: list[Output] = (
        [outputs]
        if isinstance(outputs, Switch) or not isinstance(outputs, Iterable)
        else list(outputs)
    )
    for output in several:
        if not (isinstance(output, Switch) or callable(output)):
            raise OutputError(f"output of '{label}' has neither on() and off() nor can be called")
    return several
