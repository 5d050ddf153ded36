"""What decisions drive. Knows no pins: anything with `on()` and `off()` will do, or a function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, TypeGuard

from edge.card import BACKGROUND
from edge.errors import OutputError

if TYPE_CHECKING:
    from edge.decider import Decision

log = logging.getLogger(__name__)


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
                if _is_switch(output):
                    self._on.append(output)  # first, so that a failing on() is still switched off
                    output.on()
                elif callable(output):
                    output()
            except Exception as problem:
                with suppress(OutputError):
                    self.off()
                raise OutputError(f"output of '{decision.label}' failed: {problem}") from problem

    def off(self) -> None:
        """Switch off whatever is on, all of it even when some fails to.

        Raises:
            OutputError: some did.
        """
        failure: Exception | None = None
        while self._on:
            try:
                self._on[-1].off()
            except Exception as problem:  # noqa: BLE001  (somebody else's output)
                failure = problem
            self._on.pop()  # only now: a signal in the middle of off() leaves it to close()
        if failure is not None:
            raise OutputError(f"an output could not be switched off: {failure}") from failure

    def close(self) -> None:
        """Switch everything off and let go of the hardware; closing twice is fine."""
        try:
            self.off()
        except OutputError as problem:
            log.warning("%s", problem)
        when, self._when = self._when, {}  # each output is closed once
        for outputs in when.values():
            for output in outputs:
                with suppress(Exception):
                    getattr(output, "close", lambda: None)()

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
        if not (_is_switch(output) or callable(output)):
            raise OutputError(f"output of '{label}' has neither on() and off() nor can be called")
    return several
