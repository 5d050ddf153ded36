"""The live page of a host at a port of this computer, through SSH.

Everybody on this computer can reach the port, so the page wants a token, made anew each time; and
only what the page itself needs is carried, never what the device has kept.
"""

from __future__ import annotations

import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from edge.errors import HandwaveError
from edge.page.guard import Guard

if TYPE_CHECKING:
    from deploy.live.tunnel import Tunnel

PATHS = {"/", "/live.json", "/picture.jpg", "/status.json", "/healthz"}
"""What is carried."""
LOOPBACK = "127.0.0.1"
PATIENCE = 10.0
"""Seconds after which a connection that says nothing is closed."""


class Browse:
    """The page, from the block's beginning to its end.

    Args:
        tunnel: the way to the host.
    """

    def __init__(self, tunnel: Tunnel) -> None:
        token = secrets.token_urlsafe(18)
        self._server = _Server(tunnel, Guard(LOOPBACK, token))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"http://{LOOPBACK}:{self._server.server_address[1]}/?token={token}"
        """What to open."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Wait for ever."""
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # who is still looking must not hold us up

    def __init__(self, tunnel: Tunnel, guard: Guard) -> None:
        self.tunnel, self.guard = tunnel, guard
        super().__init__((LOOPBACK, 0), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a browser that hung up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer what the host answers."""
        path, _, query = self.path.partition("?")
        port = int(self.server.server_address[1])
        refused = self.server.guard.check(self.headers, query, port)
        if refused is not None:
            self._say(refused.status, refused.text or WANTED, refused.headers)
        elif path not in PATHS:
            self._say(404, "not here")
        else:
            try:
                answer = self.server.tunnel.ask(path)
            except HandwaveError as problem:
                self._say(503, str(problem))
            else:
                self.wfile.write(answer.raw)  # with its headers, which keep it harmless

    def log_message(self, *_: Any) -> None:
        """Log nothing: the address holds the token."""

    def _say(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


WANTED = "open the address that deploy watch printed, with its token"
