"""What every use of the user's own OpenSSH has in common: how safe it is, and what it says."""

from __future__ import annotations

import re

from edge.errors import printable

OPTIONS = {
    "ControlMaster": "no",  # but where one connection is shared on purpose
    "BatchMode": "yes",  # never asks: a question nobody sees is a hang
    "StrictHostKeyChecking": "yes",  # also where the user's config is laxer
    "LogLevel": "ERROR",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",  # with the next: a dead connection is noticed in 15 s
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",  # what the user forwards for themselves is not for us
    "RemoteCommand": "none",
    "RequestTTY": "no",
}

LOST = 255
"""ssh's own exit code, where the trouble is the connection."""


GRUMBLE = "sudo: unable to resolve host"
"""sudo's harmless warning when a host cannot resolve its own name."""


def lines_of(output: bytes) -> list[str]:
    """Return the lines of what a command printed: none empty, no colours, all printable."""
    lines = re.sub("\x1b\\[[0-9;]*m", "", output.decode(errors="replace")).splitlines()
    plain = (printable(line, "").strip() for line in lines)
    return [line for line in plain if line]


def is_unknown(stderr: bytes) -> bool:
    """Return whether ssh gave up because it does not know the host's key."""
    changed = b"IDENTIFICATION HAS CHANGED" in stderr
    return not changed and (
        b"Host key verification failed" in stderr or b"host key is known" in stderr
    )


def explain(host: str, stderr: bytes) -> str:
    """Turn what ssh says when it gives up into one line with the next step."""
    said = [line for line in lines_of(stderr) if not line.startswith(GRUMBLE)]
    # ssh prints nothing when an open connection breaks.
    why = (said or ["it was lost, or what ran there was killed"])[-1]
    if b"IDENTIFICATION HAS CHANGED" in stderr:
        return (
            f"{host}: its host key is not the one you know: it was installed anew, or something "
            f"else answers in its place; run `ssh {host}`, which names the old line in known_hosts"
        )
    if is_unknown(stderr):
        return (
            f"{host}: its host key is unknown to you; "
            f"run `ssh {host}` once and compare the fingerprint"
        )
    open_key = re.search(rb"Permissions 0\d+ for '(.+)' are too open", stderr)
    if b"Permission denied" in stderr and open_key:
        key = printable(open_key[1].decode(errors="replace"))
        return f"{host}: others may read your key {key}, so ssh leaves it; run: chmod 600 '{key}'"
    if b"Permission denied" in stderr:
        return (
            f"{host}: it does not accept your key ({why}); "
            f"unlock it with `ssh-add`, or bring it there with `ssh-copy-id {host}`"
        )
    return f"{host}: no connection: {why}; is it on, and does `ssh {host}` work?"
