"""Signed bundles: with the user's own SSH key, for hosts that take only listed signers'."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from deploy.ssh import lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.bundle import Bundle


SIGNER = r"\S+(\s+\S*[\w\"])?\s+(sk-)?(ssh|ecdsa)-[\w@.-]+\s+[A-Za-z0-9+/]{40,}={0,3}(\s.*)?"
"""A line of ALLOWED SIGNERS (`man ssh-keygen`): whose, options, kind of key, key, comment."""


def read_signers(path: Path) -> str:
    """Return a file of signers, once it is sure to be one: a wrong one would shut everybody out.

    Raises:
        DeployError: a line of it is none, or it has none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise DeployError(f"--signers {path}: cannot be read: {problem}") from problem
    listed = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not re.fullmatch(SIGNER, line.strip()):
            raise DeployError(
                f"--signers {path}: line {number} is no signer; it takes a line such as: "
                "anna@example.com ssh-ed25519 AAAA..."
            )
        listed += 1
    if not listed:
        raise DeployError(f"--signers {path}: lists nobody, so nobody could push any more")
    return text


def sign(bundle: Bundle, key: Path) -> Bundle:
    """Return the bundle with a signature of its manifest, which stands for every byte of it.

    Args:
        bundle: what to sign.
        key: a private SSH key, or the public one of a key that the agent holds. ssh-keygen asks
            for a passphrase itself.

    Raises:
        DeployError: ssh-keygen cannot sign with it.
    """
    command = ["ssh-keygen", "-Y", "sign", "-n", "handwave", "-f", str(key)]
    try:
        done = subprocess.run(command, input=bundle.manifest, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise DeployError("there is no `ssh-keygen` here; install the OpenSSH client") from error
    if done.returncode != 0:
        why = (lines_of(done.stderr) or ["ssh-keygen did not say why"])[-1]
        raise DeployError(f"--sign {key}: {why}; name your SSH key, such as ~/.ssh/id_ed25519")
    return replace(bundle, signature=done.stdout)
