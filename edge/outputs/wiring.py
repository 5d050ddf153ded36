"""What `edge.toml` wires up: every output opened, and closed again."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from edge.errors import FOREIGN, HandwaveError, OutputError
from edge.outputs.gpio import advice, load_gpiozero
from edge.outputs.header import check_held
from edge.platform import is_raspberry_pi
from edge.service import finishing

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from edge.config import Config
    from edge.outputs.apply import Observer, Output
    from edge.outputs.gpio import PinKind
    from edge.outputs.kind import Section

T = TypeVar("T")


class Wiring:
    """The opened outputs of an `edge.toml`, by label.

    Args:
        config: what to open.
        pins: `real` drives the header; `mock` is gpiozero's MockFactory, for machines without one.
        labels: the model's, for outputs that tell of every decision.

    Raises:
        OutputError: no gpiozero, no GPIO here, a pin that something else holds, or an output that
            cannot be opened; what was opened is closed again.
    """

    def __init__(self, config: Config, pins: PinKind, labels: Sequence[str] = ()) -> None:
        self.folder: Path = config.path.parent
        """`edge.toml`'s: what paths in it are relative to."""
        self.pins = pins
        self.labels = list(labels)
        self.when: dict[str, list[Output]] = {}
        """The outputs by label, for `Outputs`."""
        self.observers: list[Observer] = []
        """What is told of every decision."""
        self.names: dict[int, str] = {}
        """What hangs on each BCM pin, such as `led: rock`, or `servo: rock, palm`."""
        for label, name, kind in config.outputs():
            for pin in kind.pins():
                known = self.names.get(pin)
                self.names[pin] = f"{known}, {label}" if known else f"{name}: {label}"
        self._sections = config.sections
        self._gpiozero: Any = None
        self._devices: dict[tuple[int, ...], Any] = {}  # by BCM pins
        self._shared: dict[Hashable, Any] = {}
        try:
            self._open(config)
        except BaseException:
            self.close()
            raise

    def device(self, pins: tuple[int, ...], make: Callable[[Any], Any]) -> Any:
        """Return the gpiozero device on these BCM pins, made by `make(gpiozero)` when first asked.

        Raises:
            OutputError: no gpiozero, no GPIO here, or a pin that something else holds.
        """
        if pins not in self._devices:
            if self._gpiozero is None:
                self._gpiozero = load_gpiozero(self.pins)
            if self.pins == "real" and is_raspberry_pi():
                check_held(pins)
            try:
                self._devices[pins] = make(self._gpiozero)
            except Exception as problem:  # each pin library has errors of its own
                raise OutputError(advice(problem, self.pins)) from problem
        return self._devices[pins]

    def share(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what outputs share under a key, such as a connection, made when first asked.

        It is closed, if it has `close()`, after the outputs.
        """
        if key not in self._shared:
            self._shared[key] = make()
        shared: T = self._shared[key]
        return shared

    def section(self, name: str) -> Section | None:
        """Return the settings that all outputs of a kind share; None where `edge.toml` has none."""
        return self._sections.get(name)

    def states(self) -> dict[int, bool]:
        """Return whether the output on each BCM pin is on, whichever level that is."""
        return {
            pin: on
            for pins, device in self._devices.items()
            if not hasattr(device, "when_activated")  # a button drives nothing
            for pin, on in zip(pins, _each(device), strict=True)
        }

    def close(self) -> None:
        """Switch every output off and let go of it; closing twice is fine."""
        outputs = [output for each in self.when.values() for output in each]
        everything = [
            *outputs, *self.observers, *self._devices.values(), *self._shared.values(),
        ]  # fmt: skip
        with finishing():
            for one in everything:  # all at once: several that hang take no longer than one
                with suppress(*FOREIGN):
                    getattr(one, "end", lambda: None)()
            for one in everything:
                with suppress(*FOREIGN):  # one that fails must not leave the others on
                    getattr(one, "close", lambda: None)()
            self.when, self.observers = {}, []
            self._devices.clear()
            self._shared.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, config: Config) -> None:
        for label, kinds in config.when.items():
            self.when[label] = []
            for name, outputs in kinds.items():
                for output in outputs:
                    # With pins it is more often the machine's fault than one output's.
                    with _placed(config, f"[when.{label}] {name}", ours_too=not output.pins()):
                        self.when[label].append(output.open(self))
        for name, section in config.sections.items():
            with _placed(config, f"[{name}]"):
                observer = section.open(self)
            if observer is not None:
                self.observers.append(observer)


@contextmanager
def _placed(config: Config, place: str, *, ours_too: bool = True) -> Iterator[None]:
    """Say in an error where that stands which could not be opened, in errors of our own as well."""
    try:
        yield
    except HandwaveError as problem:
        if not ours_too:
            raise
        named = "" if str(problem).startswith("[") else f"{place}: "
        raise OutputError(f"{config.path}: {named}{problem}") from problem
    except FOREIGN as problem:  # somebody else's
        raise OutputError(f"{config.path}: {place}: {_told(problem)}") from problem


def _told(problem: BaseException) -> str:
    """Return a foreign error's message; a KeyError's is just a word."""
    name, text = type(problem).__name__, str(problem)
    return f"{name}: {text}" if isinstance(problem, LookupError) or not text else text


def _each(device: Any) -> list[bool]:
    """Return whether each pin of a device is on."""
    if hasattr(device, "all"):  # of several parts, as a motor; of one, as a servo
        return [bool(part.value) for part in device.all]
    value = device.value
    return [bool(one) for one in value] if isinstance(value, tuple) else [bool(value)]
