"""Signed bundles: with the user's own SSH key, for hosts that take only listed signers'."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from deploy.ssh import lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.bundle import Bundle


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
