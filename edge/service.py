"""Living under systemd: ending on a signal, reloading on another, and saying how it goes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from edge.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

log = logging.getLogger(__name__)

HEARTBEAT = 1.0
"""Seconds between two signs of life to systemd."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# Signals are the whole process's, so these are as well.
_asked = threading.Event()
_finishing: list[None] = []
"""One for each `finishing` block that is entered."""


class _Stop(BaseException):
    """A signal asked for the end. No Exception, so that no handler of errors swallows it."""


@contextmanager
def until_stopped() -> Iterator[None]:
    """Leave the block, running its clean-up, when a signal asks for the end.

    The signal interrupts any wait (a camera, a sleep). Further ones do nothing, so that they cannot
    cut the clean-up short; if somebody's `except:` swallows the first one, `stop_if_asked` repeats
    it. Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not _asked.is_set():
            _asked.set()
            if not _finishing:
                raise _Stop

    _asked.clear()
    # Whoever ignores hang-ups (nohup) goes on ignoring them.
    ours = [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = [(number, signal.signal(number, stop)) for number in ours]
    try:
        yield
    except _Stop:
        pass
    finally:
        _asked.clear()
        for number, handler in before:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: C's own


@contextmanager
def on_hangup(call: Callable[[], object] | None) -> Iterator[None]:
    """Within the block, SIGHUP calls `call`; None leaves the signal alone."""
    if call is None:
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def finishing() -> Iterator[None]:
    """Finish the block, which lets go of things, before a signal that comes meanwhile ends us."""
    _finishing.append(None)
    try:
        yield
    finally:
        _finishing.pop()
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and not _finishing and sys.exc_info()[0] is None:
        stop_if_asked()


def stop_if_asked() -> None:
    """Leave the `until_stopped` block around, if a signal has asked for it."""
    if _asked.is_set():
        raise _Stop


def notify(state: str) -> None:
    """Tell systemd, e.g. `READY=1`; does nothing where it did not start us.

    Source: sd_notify(3), the datagram protocol.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract sockets
    # An address left over from another service, where nobody listens, is no reason to fail.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall(state.encode())


class Herald:
    """Tell systemd how the device is, and the log when that changes."""

    def __init__(self) -> None:
        self._beat = -HEARTBEAT  # time of the last sign of life to systemd
        self._said: str | None = None
        self._in_trouble = False

    def alive(self, now: float) -> None:
        """Feed systemd's watchdog: a fresh frame has been decided at `now`, seconds."""
        if now - self._beat >= HEARTBEAT:
            notify("READY=1\nWATCHDOG=1")
            self._beat = now

    def watching(self, label: str | None) -> None:
        """Report that all is well, and the decided label."""
        if self._in_trouble:
            log.warning("all is well again")
        self._in_trouble = False
        self._say(f"watching: {label or 'undecided'}")

    def trouble(self, what: str) -> None:
        """Report why nothing can be decided."""
        if what != self._said:
            log.warning("%s; every output is off", what)
        self._in_trouble = True
        self._say(what)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            # A newline in a label must not inject another assignment.
            notify(f"STATUS={printable(text)}")
