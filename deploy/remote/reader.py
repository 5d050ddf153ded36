"""Carries requests from stdin to a unix socket of the host and back, in the host's own python3.

Sent and run as `deploy.remote.push` is. A request is its number of bytes as a line, and then
itself; the answer is a line that begins with `handwave`, and what the socket gave. It ends with its
stdin, so a connection that was cut leaves nothing behind.
"""

from __future__ import annotations

import socket
import sys

SECONDS = 20.0
"""How long the service may take to answer; it gives up on its own after 10."""
MOST = 64_000_000
"""Bytes of an answer; more is no service of ours."""


def ask(path: str, request: bytes) -> bytes:
    """Return all that the socket's other side answers.

    Raises:
        OSError: nobody listens there, we may not, or it takes too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(SECONDS)
        line.connect(path)
        line.sendall(request)
        parts = []
        room = MOST
        while room > 0 and (part := line.recv(min(room, 1 << 16))):
            parts.append(part)
            room -= len(part)
    return b"".join(parts)


def main(path: str) -> None:
    """Answer one request after the other."""
    while size := sys.stdin.buffer.readline():
        request = sys.stdin.buffer.read(int(size))
        try:
            answer = ask(path, request)
        except OSError as problem:
            answer = f"{type(problem).__name__} {problem.strerror or problem}".encode()
            head = b"handwave failed %d\n"
        else:
            head = b"handwave answered %d\n"
        sys.stdout.buffer.write(head % len(answer) + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[2])
