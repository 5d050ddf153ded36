"""A button on the header, which pauses the device or shuts it down: `[button]` in `edge.toml`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec

from edge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.outputs.wiring import Wiring

log = logging.getLogger(__name__)

Action: TypeAlias = Literal["pause", "shutdown", "nothing"]
BOUNCE = 0.02
"""Seconds for which a contact may chatter: no finger presses again so soon."""


class ButtonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the button does."""

    pin: int
    press: Action = "pause"
    """Action on a press; if holding has an action too, on a release in time."""
    hold: Action = "nothing"
    """Action after holding for `seconds`; nothing by default, as it may cut the power."""
    seconds: Annotated[float, msgspec.Meta(ge=0.5, le=30)] = 3.0


class Button:
    """The opened button: each press is one action, the one for a press or the one for holding.

    A button that is already down when opened, such as one with touching wires, does nothing until
    released.

    Args:
        device: gpiozero's Button.
        press: what a press does.
        hold: what holding does; None makes a press count at once.
    """

    def __init__(
        self, device: Any, press: Callable[[], object], hold: Callable[[], object] | None
    ) -> None:
        self._device, self._press, self._hold = device, press, hold
        self._lock = threading.Lock()  # gpiozero calls from several threads
        self._waiting = False  # whether this press has done nothing yet
        device.when_pressed = self._pressed
        if hold is not None:
            device.when_held = self._held
            device.when_released = self._released

    def close(self) -> None:
        """Let go of the pin; closing twice is fine."""
        self._device.close()

    def _pressed(self) -> None:
        with self._lock:
            self._waiting = True
        if self._hold is None:
            self._act(self._press)

    def _held(self) -> None:
        if self._hold is not None:
            self._act(self._hold)

    def _released(self) -> None:
        self._act(self._press)

    def _act(self, action: Callable[[], object]) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, False
        if not waiting:
            return
        try:
            action()
        except Exception as problem:  # else gpiozero's thread would end, and the button with it
            log.warning("button: %s", problem, exc_info=log.isEnabledFor(logging.DEBUG))


def open_button(
    settings: ButtonSettings,
    wiring: Wiring,
    *,
    on_pause: Callable[[], object],
    on_shutdown: Callable[[], object],
) -> Button:
    """Take the button's pin; `wiring` lets go of it when it is closed.

    Args:
        settings: `[button]`.
        wiring: whose pins are used.
        on_pause: called when the device should pause, or go on again. Like `on_shutdown` it is
            called in a thread of gpiozero's.
        on_shutdown: called when the machine should go off.

    Raises:
        OutputError: the pin cannot be had.
    """
    does: dict[Action, Callable[[], object]] = {
        "pause": on_pause,
        "shutdown": on_shutdown,
        "nothing": lambda: None,
    }
    device = wiring.device(
        (settings.pin,),
        lambda gpiozero: gpiozero.Button(
            settings.pin, bounce_time=BOUNCE, hold_time=settings.seconds
        ),
    )
    hold = None if settings.hold == "nothing" else does[settings.hold]
    return Button(device, does[settings.press], hold)


def power_off() -> None:
    """Shut the machine down, through systemd, which stops us in good order first.

    Raises:
        OutputError: it may not, or there is no systemd.
    """
    import subprocess  # only now: `edge run` starts without

    try:
        subprocess.run(
            ["systemctl", "--no-ask-password", "poweroff"],
            check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        said = getattr(problem, "stderr", None) or str(problem)
        first = said.strip().partition("\n")[0]
        raise OutputError(
            f"cannot shut down ({first}); docs/wiring.md says which right a button needs"
        ) from None
