"""The service's own socket, in its folder in memory: the live page, for whoever may open that file.

No port is opened. `deploy watch` and `deploy pull` come here over SSH, as a user who is in the
service's group. Until somebody comes, nothing of the page is loaded.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.loop import Step
    from edge.outputs.wiring import Wiring
    from edge.page import Page

log = logging.getLogger(__name__)


class Door:
    """A listening unix socket, and the page behind it once somebody has come.

    Args:
        path: of the socket; one that a process before left there is replaced.
        open_page: makes the page that answers at a listening socket.

    Raises:
        OSError: there can be no socket at that path.
    """

    def __init__(self, path: Path, open_page: Callable[[socket.socket], Page]) -> None:
        self._path, self._open_page = path, open_page
        self._page: Page | None = None
        self._closed = False
        self._change = threading.Lock()
        self._listener, self._number = _listen(path)
        self._thread = threading.Thread(target=self._wait, name="handwave door", daemon=True)
        self._thread.start()

    def show(self, step: Step, wiring: Wiring) -> None:
        """Take the newest turn of the loop; does nothing until somebody comes."""
        page = self._page
        if page is not None:
            page.names = wiring.names
            page.show(step, wiring.states)

    def close(self) -> None:
        """Let nobody in any more; twice is fine."""
        with self._change:
            self._closed, page = True, self._page
        if page is not None:
            page.close()
        else:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # which ends the waiting
        self._thread.join(2)
        self._listener.close()
        with suppress(OSError):  # gone, or already that of the process that follows
            if self._path.stat().st_ino == self._number:
                self._path.unlink()

    def _wait(self) -> None:
        """Wait for the first to come, and open the page; in a thread of its own."""
        select.select([self._listener], [], [])
        with self._change:
            if self._closed:
                return
            try:
                self._page = self._open_page(self._listener)
            except Exception as problem:  # noqa: BLE001  (no reason to stop watching)
                log.warning("%s: cannot be answered: %s", self._path, problem)
                self._listener.close()


def _listen(path: Path) -> tuple[socket.socket, int]:
    """Return a socket that listens at a path, for owner and group alone, and its file's number."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(new))
        new.chmod(0o660)
        listener.listen(64)
        number = new.stat().st_ino
        new.replace(path)  # in one step: nobody finds half of it, and a stale one is gone
    except BaseException:
        listener.close()
        new.unlink(missing_ok=True)
        raise
    return listener, number
