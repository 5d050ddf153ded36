"""Who may look: a camera's picture is nobody else's business."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from edge.errors import OutputError

if TYPE_CHECKING:
    from email.message import Message

SHORTEST = 16
"""Characters of a token: nobody guesses so many."""
MAKE_ONE = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
WRONG = "wrong"
"""Query parameter of the form that asks for the token again."""
MONTH = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer instead of what was asked for."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class Guard:
    """Decides whether a request is answered.

    Against pages of other sites: the `Host` must be an address or a name of this machine (a name
    that somebody else points here is not: DNS rebinding), and a browser that says it asks for
    another site's page is refused. Against other people: without a token nobody but this machine
    is listened to, else the token is wanted once in the address, then as a cookie; programs send
    `Authorization: Bearer`.

    Args:
        host: the address to listen at.
        token: what one must know; None wants nothing.

    Raises:
        OutputError: an address that others reach without a token, or a token that can be guessed.
    """

    def __init__(self, host: str, token: str | None) -> None:
        if token is None and not _is_loopback(host):
            raise OutputError(
                f"--serve-host {host}: everybody there could look in; set HANDWAVE_TOKEN to "
                f"{SHORTEST} characters or more ({MAKE_ONE})"
            )
        length = len((token or "").strip())
        if token is not None and length < SHORTEST:
            raise OutputError(
                f"HANDWAVE_TOKEN: {length} characters can be guessed, {SHORTEST} are needed; "
                f"{MAKE_ONE}"
            )
        own = socket.gethostname().lower()
        self._names = {"localhost", host.lower(), own, f"{own.partition('.')[0]}.local"}
        self._digest = None if token is None else _digest(token)

    def check(self, headers: Message, query: str, port: int, path: str = "") -> Answer | None:
        """Return the refusal of a forbidden request; None if it is allowed.

        Args:
            headers: the request's.
            query: what stands behind `?` in its address.
            port: where it came in; cookies do not tell ports apart.
            path: what is asked for; at `/` a person is asked again.
        """
        hosts = headers.get_all("Host") or []
        if len(hosts) != 1:
            return Answer(400, "one Host, please")
        if not self._is_ours(hosts[0]):
            return Answer(403, "this device does not go by that name; use its address")
        site, mode = headers.get("Sec-Fetch-Site"), headers.get("Sec-Fetch-Mode")
        if site in {"cross-site", "same-site"} and mode != "navigate":
            return Answer(403, "not for other sites' pages")
        return self._check_token(headers, path, query, f"handwave-{port}")

    def _check_token(self, headers: Message, path: str, query: str, cookie: str) -> Answer | None:
        if self._digest is None:
            return None
        told = parameter(query, "token")
        if told is not None and self._knows(_digest(told)):
            # The token leaves the address, and with it the history and what is sent on.
            kept = f"{cookie}={self._digest}; Path=/; Max-Age={MONTH}; HttpOnly; SameSite=Lax"
            return Answer(303, "", (("Location", "/"), ("Set-Cookie", kept)))
        scheme, _, bearer = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._knows(_digest(_utf8(bearer).strip())):
            return None
        if any(self._knows(value) for value in _cookies(headers, cookie)):
            return None
        if told is not None and path == "/":  # even a wrong token should not stay in the address
            return Answer(303, "", (("Location", f"/?{WRONG}=1"),))
        line = "That is not it; try again." if parameter(query, WRONG) else ""
        return Answer(401, line, (("WWW-Authenticate", "Bearer"),))

    def _knows(self, digest: str) -> bool:
        """Return whether it is the token's digest, comparing in constant time."""
        known = self._digest or ""
        return hmac.compare_digest(digest.encode("utf-8", "replace"), known.encode())

    def _is_ours(self, host: str) -> bool:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(:\d{1,5})?", host.strip())
        if found is None:
            return False
        name = found[1].strip("[]").lower().rstrip(".")
        return name in self._names or _is_address(name)  # nobody points an address elsewhere


def find_token() -> str | None:
    """Return the token, `HANDWAVE_TOKEN`; None where it is not set."""
    return os.environ.get("HANDWAVE_TOKEN", "").strip() or None


def _utf8(header: str) -> str:
    """Return a header's text as UTF-8: the library decodes it as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _digest(token: str) -> str:
    # A blank at either end is what copying brings along.
    return hashlib.sha256(f"handwave {token.strip()}".encode("utf-8", "replace")).hexdigest()


def parameter(query: str, name: str) -> str | None:
    """Return a parameter of a query; None where it has none of that name, or far too many."""
    try:
        return parse_qs(query, max_num_fields=8).get(name, [None])[0]
    except ValueError:  # more than a few
        return None


def _cookies(headers: Message, name: str) -> list[str]:
    pairs = [
        pair.strip().partition("=")
        for line in headers.get_all("Cookie") or []
        for pair in line.split(";")
    ]
    return [value for key, _, value in pairs if key == name]


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
