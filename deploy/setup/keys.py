"""A host whose key nobody here knows yet: its fingerprint is shown, and a person is asked."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from edge.console import somebody_is_at

if TYPE_CHECKING:
    from pathlib import Path

# ssh itself asks, and notes the answer in known_hosts: so names, ports, jump hosts and the user's
# own settings are right. Nobody logs in.
ASK = {
    "StrictHostKeyChecking": "ask",  # also where the user's config is laxer
    "PreferredAuthentications": "none",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "ConnectTimeout": "10",
}


def ask(name: str, config: Path | None = None) -> None:
    """Let ssh show an unknown host's fingerprint in the terminal, and ask whether it is right.

    Whether the person said yes, the next connection tells.

    Raises:
        DeployError: nobody is there to be asked.
    """
    if not somebody_is_at(sys.stdin, sys.stderr):
        raise DeployError(
            f"{name}: its host key is unknown to you, and nobody is here to look at it; "
            f"run `ssh {name}` once and compare the fingerprint"
        )
    options = [word for o in ASK.items() for word in ("-o", "=".join(o))]
    own = [] if config is None else ["-F", str(config)]
    # The question goes to the terminal; stderr would only add that nobody logged in.
    subprocess.run(
        ["ssh", "-T", *options, *own, "--", name, "true"],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
