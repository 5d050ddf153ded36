"""The page's server: a few threads of the standard library's, which the frame loop never waits for.

The loop hands over what it sees; encoding is done here, and only while somebody looks.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import logging
import re
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import OutputError
from edge.page.guard import Answer, Guard, parameter
from edge.page.look import LARGEST, SMALL, Look
from edge.page.metrics import Metrics
from edge.status import WATCHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge.loop import Step
    from edge.status import Status
    from edge.unsure import Unsure

log = logging.getLogger(__name__)

MOST = 16
"""Connections at once; a further one replaces the longest waiting."""
PATIENCE = 10.0
"""Seconds after which a connection is closed, however slow the other side is."""
WAKE = 0.25
"""Seconds between two looks for such connections, and for the end."""
PERIOD = 0.09
"""Seconds between two looks: about ten a second."""
INTEREST = 2.0
"""Seconds after a request during which a viewer is assumed; older looks are not shown."""
SAFE = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),  # no <img> on another site's page
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
SIDES = {"side=0": 0, f"side={SMALL}": SMALL}
"""What may stand behind `/live.json?`: no picture, or a terminal's."""
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"


class Page:
    """The live page, `/metrics`, `/status.json`, `/picture.jpg` and `/healthz`.

    >>> page = Page(status, 8080)           # doctest: +SKIP
    >>> page.show(step, wiring.states)      # doctest: +SKIP

    Args:
        status: what is gathered of the device.
        port: to listen at; 0 takes a free one.
        host: the address to listen at; one that other machines reach needs a token.
        token: what one must know to look, at least 16 characters.
        names: what hangs on each BCM pin, such as `led: rock`.
        listener: a unix socket that listens already, in place of a port: its file's rights are
            the guard, and no token is wanted.
        kept: returns the pictures that the device keeps. They are for the socket, and for who
            knows the token; only at the socket can they be taken away.

    Raises:
        OutputError: no such address, a port that is taken, or others could look without a token.
    """

    def __init__(
        self,
        status: Status,
        port: int,
        *,
        host: str = "127.0.0.1",
        token: str | None = None,
        names: Mapping[int, str] | None = None,
        listener: socket.socket | None = None,
        kept: Callable[[], Unsure | None] = lambda: None,
    ) -> None:
        self.names: Mapping[int, str] = names or {}
        self._status, self._kept = status, kept
        self._private = listener is not None or token is not None
        self.changeable = listener is not None
        """Whether what is kept may be taken away."""
        self._metrics: Metrics | None = None
        self._look: Look | None = None
        self._fresh = threading.Event()
        self._framed = self._wanted = float("-inf")  # when: the last frame, the end of interest
        self._html = {name: _read(name) for name in ("page.html", "token.html")}
        if listener is None:
            self._server = _listen(self, Guard(host, token), host, port)
        else:
            self._server = _Behind(self, Guard("localhost", None), listener)
            self._framed = time.monotonic()  # made as somebody comes, who waits for the next frame
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(WAKE,), name="handwave page", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where to look, for a message."""
        host, port = self._server.server_address[:2]
        return f"http://{f'[{host!s}]' if ':' in str(host) else host!s}:{port}/"

    def show(self, step: Step, states: Callable[[], Mapping[int, bool]]) -> None:
        """Take the newest turn of the loop; does nothing unless somebody looks.

        Args:
            step: the turn.
            states: tells whether the output on each pin is on.
        """
        self._framed = now = time.monotonic()
        if now > self._wanted or (self._look is not None and now - self._look.time < PERIOD):
            return
        try:
            pins = states()
        except Exception as problem:  # noqa: BLE001  (a pin's library; no reason to stop watching)
            log.debug("pins cannot be read: %s", problem)
            pins = {}
        image = step.frame.image.copy()  # the camera may write the next frame into the same memory
        self._look = Look(
            image, step.prediction, step.decision, step.trouble, pins, self.names, now
        )
        self._fresh.set()

    def close(self) -> None:
        """Stop, within a second or two, whoever is looking."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)
        self._server.hang_up()

    def answer(self, path: str, query: str, accept: str) -> tuple[int, str, bytes]:
        """Return status, content type and content of what a path names; in a server's thread."""
        routes: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/": lambda: (200, HTML, self._html["page.html"]),
            "/live.json": lambda: self._live(SIDES.get(query, LARGEST)),
            "/status.json": lambda: (200, JSON, msgspec.json.encode(self._status.report())),
            "/picture.jpg": self._picture,
            "/metrics": lambda: self._scrape(accept),
            "/healthz": self._health,
        }
        if self._private:
            routes["/unsure"] = self._unsure
        if path not in routes:
            return _plain(404, f"not here; there is: {' '.join(routes)}")
        return routes[path]()

    def forget(self, query: str) -> tuple[int, str, bytes]:
        """Take away what somebody has by now: `/unsure?ring=...&until=...`."""
        ring, until = (parameter(query, name) or "" for name in ("ring", "until"))
        unsure = self._kept()
        if unsure is None or not re.fullmatch(r"\d{1,15}", until):
            return _plain(404, "there is nothing to take away")
        return _plain(200, f"{unsure.forget(ring, int(until))} taken away")

    def refusal(self, answer: Answer) -> tuple[int, str, bytes]:
        """Return the page for a refused visitor; a form if the token is missing or wrong."""
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return 401, HTML, self._html["token.html"].replace(b"{told}", answer.text.encode())
        return _plain(answer.status, answer.text)

    def _newest(self) -> Look | None:
        """Return the newest look, asking for one; None while no frames come."""
        now = time.monotonic()
        self._fresh.clear()
        self._wanted = now + INTEREST
        look = self._look
        if look is None or now - look.time > INTEREST / 2:  # there was no viewer
            # Frames that stopped will not come while we wait.
            if now - self._framed > INTEREST or not self._fresh.wait(INTEREST / 2):
                return None
            look = self._look
        return look

    def _live(self, side: int) -> tuple[int, str, bytes]:
        look = self._newest()
        report = msgspec.json.encode(self._status.report())
        seen = b"null" if look is None else look.json(side)
        return 200, JSON, b'{"status":%b,"look":%b}' % (report, seen)

    def _picture(self) -> tuple[int, str, bytes]:
        look = self._newest()
        if look is None:
            return _plain(503, f"no picture: {self._status.state}")
        try:
            return 200, "image/jpeg", look.jpeg()
        except ImportError:
            return _plain(501, "pictures need Pillow: pip install pillow")

    def _health(self) -> tuple[int, str, bytes]:
        report = self._status.report()
        well = report.state in {WATCHING, "paused"} and (report.last_frame or 0.0) < PATIENCE
        return _plain(200 if well else 503, report.state)

    def _unsure(self) -> tuple[int, str, bytes]:
        unsure = self._kept()
        if unsure is None:
            return _plain(404, "it keeps no pictures; [keep] in its edge.toml: unsure = 50")
        if unsure.problem is not None:
            return _plain(501, unsure.problem)
        return 200, "application/msgpack", msgspec.msgpack.encode(unsure.lot())

    def _scrape(self, accept: str) -> tuple[int, str, bytes]:
        try:
            self._metrics = self._metrics or Metrics(self._status)
            try:
                content, kind = self._metrics.text(accept)
            except (TypeError, ValueError):  # the library trips over odd versions in `accept`
                content, kind = self._metrics.text("")
        except ImportError:
            return _plain(501, "metrics need prometheus_client: pip install prometheus-client")
        return 200, kind, content


class _Server(ThreadingHTTPServer):
    """A thread a connection, of which there are few, and none for long."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, page: Page, guard: Guard, address: tuple[str, int]) -> None:
        self.page, self.guard = page, guard
        self._since: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the library's look-up of our host name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, replacing the longest waiting one if need be."""
        with self._lock:
            if len(self._since) >= MOST:
                longest = min(self._since, key=self._since.__getitem__)
                del self._since[longest]
                _hang_up(longest)
            self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Close what has been open for too long; called a few times a second."""
        with self._lock:
            now = time.monotonic()
            for connection, since in self._since.items():
                if now - since > PATIENCE:
                    _hang_up(connection)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._since.pop(request, None)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close every connection, and wait a moment for their threads."""
        with self._lock:
            for connection in self._since:
                _hang_up(connection)
        end = time.monotonic() + 1
        while self._since and time.monotonic() < end:
            time.sleep(0.01)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Say nothing of who hung up: one cannot fill the log from outside."""
        log.debug("page: %s hung up", client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection (HTTP/1.0): none is kept open for a browser that may come back."""

    server: _Server
    timeout = PATIENCE
    default_request_version = "HTTP/1.0"  # so that nonsense, too, is answered with a status

    def do_GET(self) -> None:
        """Answer."""
        self._respond(lambda p, path, query: p.answer(path, query, self.headers.get("Accept", "")))

    do_HEAD = do_GET  # noqa: N815  (http.server's names)

    def refuse(self) -> None:
        """Answer whoever wants to change something."""
        with suppress(ValueError):  # unread bytes may cost them the answer
            self.rfile.read(max(0, min(int(self.headers.get("Content-Length", 0)), 64_000)))
        self._send(*_plain(405, "there is nothing to change here"), extra=(("Allow", "GET, HEAD"),))

    do_POST = do_PUT = do_PATCH = do_OPTIONS = refuse  # noqa: N815  (http.server's names)

    def do_DELETE(self) -> None:
        """Take away what was kept, where that may be done."""
        if self.server.page.changeable and self.path.partition("?")[0] == "/unsure":
            self._respond(lambda page, _path, query: page.forget(query))
        else:
            self.refuse()

    def version_string(self) -> str:
        """Return the server's name, without a version."""
        return "handwave"

    def end_headers(self) -> None:
        """Send what makes it safe with every answer, also with the library's own."""
        for name, value in SAFE:
            self.send_header(name, value)
        super().end_headers()

    def send_error(self, code: int, *_: object) -> None:
        """Answer nonsense, without repeating it as the library would."""
        self._send(*_plain(code, HTTPStatus(code).phrase.lower()))

    def log_message(self, *_: object) -> None:
        """Log nothing: the journal is for what matters, and the address may hold the token."""

    def _respond(self, act: Callable[[Page, str, str], tuple[int, str, bytes]]) -> None:
        page, (path, _, query) = self.server.page, self.path.partition("?")
        refused = self.server.guard.check(self.headers, query, self.server.server_port, path)
        if refused is not None:
            self._send(*page.refusal(refused), extra=refused.headers)
            return
        try:
            answer = act(page, path, query)
        except Exception:  # a bug here must not stop the next request
            log.exception("page")
            answer = _plain(500, "a mistake of ours; the log says which")
        self._send(*answer)

    def _send(
        self, status: int, kind: str, content: bytes, extra: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _policy(content if kind == HTML else b""))
        for name, value in extra:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Behind(_Server):
    """The same at a unix socket, which is there already."""

    address_family = socket.AF_UNIX

    def __init__(self, page: Page, guard: Guard, listener: socket.socket) -> None:
        self._listener = listener
        super().__init__(page, guard, ("", 0))

    def server_bind(self) -> None:
        """Take the listener in place of the library's new socket."""
        self.socket.close()
        self.socket = self._listener
        self.server_name, self.server_port = "localhost", 0

    def server_activate(self) -> None:
        """Do nothing: it listens."""


def _listen(page: Page, guard: Guard, host: str, port: int) -> _Server:
    kind = _Server6 if ":" in host else _Server
    try:
        return kind(page, guard, (host, port))
    except (OSError, OverflowError) as problem:
        number = getattr(problem, "errno", None)
        why = {
            errno.EADDRINUSE: f"port {port} is taken; take another, such as --serve {port + 1}",
            errno.EACCES: f"port {port} is for root only; take one above 1023, such as 8080",
            errno.EADDRNOTAVAIL: f"this machine has no address {host}; try --serve-host 0.0.0.0",
            errno.EAFNOSUPPORT: "the service has no network; docs/watching.md says how to give it",
        }.get(number or 0, f"cannot listen at {host} port {port}: {problem}")
        raise OutputError(f"--serve: {why}") from None


def _hang_up(connection: socket.socket) -> None:
    """End a connection while its thread uses it; the thread then sees its end."""
    with suppress(OSError):  # ended already
        connection.shutdown(socket.SHUT_RDWR)


def _plain(status: int, text: str) -> tuple[int, str, bytes]:
    return status, TEXT, f"{text}\n".encode()


def _read(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


def _policy(html: bytes) -> str:
    """Return the Content-Security-Policy of a page: its own scripts and styles, nothing else."""
    scripts, styles = _digests(b"script", html), _digests(b"style", html)
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _digests(tag: bytes, html: bytes) -> str:
    parts = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(part).digest()).decode() for part in parts]
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
