"""What a line below `[when.LABEL]` may say: the kinds of output, ours and other people's.

A kind is a frozen msgspec Struct: its fields are the settings, checked when `edge.toml` is read,
before anything is switched on. Packages add kinds by an entry point; docs/outputs.md shows one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar

import msgspec

from edge.errors import FOREIGN, ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints
    from pathlib import Path

    from edge.outputs.apply import Observer, Output
    from edge.outputs.wiring import Wiring

ENTRY_POINTS = "handwave.outputs"
"""Where other packages name their kinds: `[project.entry-points."handwave.outputs"]`."""


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one output.

    `led = 17` fills the field that `short` names, `led = { pin = 17 }` is the same in full. A list
    is several outputs of the kind.
    """

    short: ClassVar[str]
    """The field that a bare value stands for."""
    lists: ClassVar[bool] = True
    """Whether a list means several outputs; False where a list is one value, as for a command."""
    shared: ClassVar[bool] = False
    """Whether labels may share its pins, as colours of one RGB LED; else a pin taken twice is an
    error."""
    alike: ClassVar[tuple[str, ...]] = ()
    """Settings that labels sharing pins must agree on, as they belong to the device."""
    section: ClassVar[type[Section] | None] = None
    """Settings for all its outputs: a table of the kind's name at the top of `edge.toml`."""

    lacking: ClassVar[str] = ""
    """Message if the required table is absent; empty if it is optional."""
    library: ClassVar[str] = ""
    """The module imported on opening, if not every Pi has it."""

    def pins(self) -> tuple[int, ...]:
        """Return the BCM pins it takes."""
        return ()

    def check(self, folder: Path) -> None:
        """Check what types cannot, such as that a file is there; no hardware yet.

        Args:
            folder: `edge.toml`'s, which paths in it are relative to.

        Raises:
            ValueError: what is wrong, and what to do.
        """

    def files(self, folder: Path) -> tuple[str, ...]:
        """Return the files it names, relative to `edge.toml`'s folder: a push takes them along."""
        return ()

    def programs(self) -> tuple[str, ...]:
        """Return the programs it starts that not every Pi has."""
        return ()

    def read_secrets(self, folder: Path) -> None:
        """Read what only the device has, such as a file with a password; `edge doctor` asks.

        Raises:
            HandwaveError: which setting, which file, and what to do.
        """

    def open(self, wiring: Wiring) -> Output:
        """Take the hardware; return a switch, which follows its label, or what fires once.

        It is closed, if it has `close()`, when the device stops.

        Raises:
            OutputError: it cannot be used.
        """
        raise NotImplementedError


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings that all outputs of a kind share: a table at the top of `edge.toml`."""

    library: ClassVar[str] = ""
    """As a `Kind`'s."""

    def check(self, folder: Path) -> None:
        """Check what types cannot, as a `Kind` does.

        Raises:
            ValueError: what is wrong, and what to do.
        """

    def files(self, folder: Path) -> tuple[str, ...]:
        """Return the files it names, as a `Kind` does."""
        return ()

    def read_secrets(self, folder: Path) -> None:
        """Read what only the device has, as a `Kind` does."""

    def open(self, _wiring: Wiring) -> Observer | None:
        """Return what is told of every decision, whichever label; None where nothing is."""
        return None


@cache
def built_in() -> dict[str, type[Kind]]:
    """Return our own kinds by name; what each needs is imported when one is opened."""
    from edge.outputs import command, mqtt, pins, screen, sound, webhook

    return {
        **pins.KINDS,
        "sound": sound.Sound,
        "say": sound.Say,
        "picture": screen.Picture,
        "command": command.Command,
        "mqtt": mqtt.Mqtt,
        "webhook": webhook.Webhook,
    }


def find_kind(name: str) -> type[Kind] | None:
    """Return the kind of a name in `edge.toml`; None where there is none.

    Raises:
        ConfigError: another package's kind that cannot be loaded.
    """
    from edge.outputs import pins

    # Kinds on pins first: who uses only these need not load the other kinds' modules.
    if name in pins.KINDS:
        return pins.KINDS[name]
    if name in built_in():
        return built_in()[name]
    for point in _others().select(name=name):
        try:
            found = point.load()
        except FOREIGN as problem:  # somebody else's module
            raise ConfigError(f"the output '{name}' cannot be loaded: {problem}") from problem
        if not (isinstance(found, type) and issubclass(found, Kind)):
            raise ConfigError(f"the output '{name}' ({point.value}) is no edge.outputs.Kind")
        return found
    return None


def kind_names() -> list[str]:
    """Return the name of every kind there is."""
    return [*built_in(), *sorted({point.name for point in _others()})]


def _others() -> EntryPoints:
    """Return what other packages add."""
    from importlib.metadata import entry_points  # slow to load, and most have our own kinds only

    return entry_points(group=ENTRY_POINTS)
