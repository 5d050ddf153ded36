"""Living under systemd: ending on a signal, and saying when it is ready."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Stop(BaseException):
    """A signal asked for the end. No Exception, so that no handler of errors swallows it."""


@contextmanager
def until_stopped() -> Iterator[None]:
    """Leave the block, running its clean-up, at SIGTERM or SIGINT.

    The signal interrupts whatever waits (a camera, a sleep). Further ones are ignored, so that
    they cannot interrupt the clean-up. Outside the main thread signals are not ours, and left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise _Stop

    before = [(number, signal.signal(number, stop)) for number in SIGNALS]
    try:
        yield
    except _Stop:
        pass
    finally:
        for number, handler in before:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: C's own


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
