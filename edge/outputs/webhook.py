"""Webhooks: an HTTP request to somebody's server when a label is decided.

Frames never wait for a server: each has a worker, which tries again for a while.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self
from urllib.parse import SplitResult, urlsplit

import msgspec

from edge.errors import OutputError, printable
from edge.outputs.kind import Kind
from edge.outputs.secret_files import read_secret
from edge.outputs.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from edge.decider import Decision
    from edge.outputs.apply import Output
    from edge.outputs.wiring import Wiring

log = logging.getLogger(__name__)

GIVE_UP = 60.0
"""Seconds after the gesture when it is too late to report it."""
FIRST_PAUSE = 1.0
"""Seconds before the second try; each further pause is twice as long, up to `LONGEST_PAUSE`."""
LONGEST_PAUSE = 15.0
PASSING = frozenset({408, 425, 429})
"""Status codes, besides 500 and above, worth retrying."""
MAX_SECRET_BYTES = 4000
LATE = "no answer in time"
OURS = frozenset({"connection", "content-length", "host", "transfer-encoding"})
"""Headers derived from the URL and the body; wrong ones make an unreadable request."""


class Webhook(Kind, frozen=True):
    """An HTTP request: who was seen, how surely, when, and by which device, as JSON."""

    short: ClassVar[str] = "url"
    library: ClassVar[str] = "urllib3"
    url: str
    method: Literal["POST", "PUT", "GET"] = "POST"
    seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0
    """How long to wait for the server, to connect and then to answer, at each try."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    secret_file: str | None = None
    """A file with a token, sent as `Authorization: Bearer ...`; never the token in `edge.toml`."""

    def check(self, folder: Path) -> None:
        _check_url(self.url)
        for name, value in self.headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError(f"headers: '{name}' is no header's name")
            if not re.fullmatch(r"[\t\x20-\x7e]*", value):
                raise ValueError(f"headers: {name}: plain text of one line, please")
            if name.lower() in OURS:
                raise ValueError(f"headers: {name} is set by itself; take it away")
            if self.secret_file is not None and name.lower() == "authorization":
                raise ValueError("headers: Authorization comes from secret_file already")

    def read_secrets(self, folder: Path) -> None:
        if self.secret_file is not None:
            _secret(folder / self.secret_file)

    def open(self, wiring: Wiring) -> Output:
        try:
            import urllib3  # noqa: F401  (when used; here to say at once that it is not there)
        except ImportError:
            raise OutputError(
                "webhook needs urllib3: deploy setup brings it; or in edge's venv: pip install "
                "urllib3"
            ) from None
        headers = _joined({"User-Agent": "handwave", "Connection": "close"}, self.headers)
        if self.secret_file is not None:
            headers["Authorization"] = f"Bearer {_secret(wiring.folder / self.secret_file)}"
        # One worker per URL: a failing or slow one delays no other, even on the same server.
        return Shot(self, headers, wiring.share(("webhook", self.url), lambda: Worker("webhook")))


class Shot:
    """One webhook, ready to fire.

    Args:
        settings: where to and how.
        headers: all of them.
        worker: what sends.
    """

    def __init__(self, settings: Webhook, headers: dict[str, str], worker: Worker) -> None:
        self._settings, self._headers, self._worker = settings, headers, worker
        self._device = socket.gethostname()
        self._site = _site(urlsplit(settings.url))

    def fire(self, decision: Decision) -> None:
        """Have the request sent soon; returns at once."""
        body = {
            "label": decision.label,
            "confidence": round(decision.confidence, 3),
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "device": self._device,
        }
        until = time.monotonic() + GIVE_UP
        self._worker.do(lambda: self._deliver(msgspec.json.encode(body), until))

    def _deliver(self, body: bytes, until: float) -> None:
        """Try until it is taken, refused for good, or too late; one line in the log if not."""
        pause, tries, trouble = FIRST_PAUSE, 0, ""
        while time.monotonic() < until:
            tries += 1
            taken, trouble, asked = self._try(body)
            if taken:
                return
            if asked is None:
                break
            # Never later than the end: a server may ask for a day's pause.
            left = max(until - time.monotonic(), 0)
            if self._worker.stopping.wait(min(max(pause, asked), left)):
                break
            pause = min(2 * pause, LONGEST_PAUSE)
        if not tries:
            log.error("webhook: %s: waited too long behind an earlier one; not sent", self._site)
            return
        ended = "stopped" if self._worker.stopping.is_set() else "gave up"
        often = "1 try" if tries == 1 else f"{tries} tries"
        log.error("webhook: %s: %s; %s after %s", self._site, trouble, ended, often)

    def _try(self, body: bytes) -> tuple[bool, str, float | None]:
        """Send it once.

        Returns:
            Whether it was taken; else why not; and how many seconds the server wants to be left
            alone, None where trying again is no use.
        """
        import urllib3

        settings, headers = self._settings, self._headers
        if settings.method == "GET":
            body = b""
        else:
            headers = _joined({"Content-Type": "application/json"}, headers)
        wait = urllib3.Timeout(connect=settings.seconds, read=settings.seconds)
        try:
            # No redirects: they would take our data, and the secret, to an unnamed server. The
            # body is not read, as it may be endless; the connection is not reused.
            with urllib3.PoolManager() as manager, Deadline(settings.seconds) as end:
                pool = manager.connection_from_url(settings.url)
                pool.ConnectionCls = end.watched(pool.ConnectionCls)
                answer = pool.urlopen(
                    settings.method, urllib3.util.parse_url(settings.url).request_uri,
                    body=body or None, headers=headers,
                    timeout=wait, retries=False, redirect=False, preload_content=False,
                )  # fmt: skip
                answer.close()
        except urllib3.exceptions.HTTPError as problem:
            return False, LATE if end.over else _why(problem), 0.0
        # To the library, headers that break off are an answer.
        return (False, LATE, 0.0) if end.over else _judge(answer)


class Deadline:
    """Ends a connection some seconds after it came about, while it is entered.

    urllib3's own limit is per read: a server that sends a line a second could take a minute or
    two.
    """

    def __init__(self, seconds: float) -> None:
        self.over = False
        """Whether a connection was ended."""
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def watched(self, kind: Any) -> Any:
        """Return a kind of urllib3's connections with this end."""
        begin = self._begin

        class Watched(kind):  # type: ignore[misc]  # known when it runs
            def connect(self) -> None:
                super().connect()
                begin(self.sock)

        return Watched

    def _begin(self, link: socket.socket) -> None:
        self._timer = threading.Timer(self._seconds, self._end, (link,))
        self._timer.daemon = True
        self._timer.start()

    def _end(self, link: socket.socket) -> None:
        self.over = True
        with suppress(OSError):  # ended already
            socket.socket.shutdown(link, socket.SHUT_RDWR)  # TLS' own would pull it from a read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _judge(answer: Any) -> tuple[bool, str, float | None]:
    """Return what an answer means, as `_try` does."""
    status = answer.status
    if 200 <= status < 300:
        return True, "", None
    if 300 <= status < 400:
        there = _plain(answer.headers.get("Location", "somewhere else"))
        return False, f"is elsewhere: {there}; write that in edge.toml", None
    said = f"answered {status} {_plain(answer.reason or '')}".rstrip()
    if status < 500 and status not in PASSING:
        return False, said, None
    asked = answer.headers.get("Retry-After", "")
    return False, said, float(asked) if re.fullmatch(r"\d{1,6}", asked) else 0.0


def _why(problem: Exception) -> str:
    """Return what went wrong on the way, without urllib3's own names and addresses."""
    cause = problem.__cause__ or problem.__context__ or problem
    name, text = type(problem).__name__, getattr(cause, "strerror", None) or str(cause)
    if "Timeout" in name:
        return LATE
    return _plain(text) or name


def _joined(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """Return both; of one name theirs, however it is written."""
    said = {name.lower() for name in theirs}
    return {name: value for name, value in ours.items() if name.lower() not in said} | theirs


def _plain(text: str) -> str:
    """Return foreign text shortened to part of one line."""
    return printable(text)[:120]


def _site(url: SplitResult) -> str:
    """Return the server's part of a URL, which may be said: the rest may be a secret."""
    return f"{url.scheme}://{url.netloc}"


def _secret(path: Path) -> str:
    text = read_secret(path, MAX_SECRET_BYTES, owner="webhook", what="secret")
    secret = text.decode("ascii", "replace").rstrip("\r\n")
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise OutputError(f"secret_file: {path}: not one line of plain letters, so no secret")
    return secret


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port  # noqa: F841  (a ValueError where it is none)
    except ValueError as problem:
        raise ValueError(f"url: {problem}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url: must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: no user and password in it; use secret_file")
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError("url: only plain letters; write others, and blanks, as %20 and the like")
