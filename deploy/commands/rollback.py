"""`deploy rollback`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from deploy.commands.options import (
    dry_run_option,
    ssh_config_option,
    target_options,
    tell,
    words_argument,
)
from deploy.errors import DeployError
from deploy.inventory import Fleet, read_fleet
from deploy.push import roll_back
from deploy.ssh import Host
from deploy.target import Target
from edge.console import Command, complain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.command("rollback", cls=Command, epilog="Example: deploy rollback pi@raspberrypi.local")
@words_argument
@target_options
@ssh_config_option
@dry_run_option
def rollback(
    hosts: tuple[str, ...], root: str, unit: str, ssh_config: Path | None, *, dry_run: bool
) -> None:
    """Let each HOST run what it ran before its current release, or a RELEASE.

    A RELEASE, such as 0123456789ab or its first six characters, is said after the hosts. It is
    checked and tried as in a push, and does not travel: a host keeps its last five.
    """
    release = hosts[-1] if re.fullmatch(r"[0-9a-f]{12}", hosts[-1]) else None
    # Hardly a host's name: only hexadecimal digits, at least one of them a figure.
    nearly = re.fullmatch(r"(?=.*\d)[0-9a-fA-F]{4,14}", hosts[-1])
    if release is None and nearly and len(hosts) > 1:
        if not re.fullmatch("[0-9a-f]{6,11}", hosts[-1]):
            raise click.UsageError(
                f"{hosts[-1]}: a release is 12 characters of 0-9 and a-f, or the first six; a host "
                "of such a name is named first, or alone"
            )
        release = hosts[-1]
    words = hosts[:-1] if release else hosts
    if not words:
        raise click.UsageError("say a HOST before the release")
    if release is None and len(words) > 1:
        _check_last(words[-1], ssh_config)

    target, names = Target(root, unit), read_fleet(words).hosts
    if len(names) > 1:
        sys.exit(not _all_back(names, target, release, ssh_config, dry_run=dry_run))
    with Host(names[0], config=ssh_config) as host:
        roll_back(host, target, release, dry_run=dry_run, tell=tell)


def _all_back(
    names: Sequence[str],
    target: Target,
    release: str | None,
    ssh_config: Path | None,
    *,
    dry_run: bool,
) -> bool:
    """Let pyinfra take many hosts back, all at once; return whether all is well."""
    from deploy import fleet as many

    outcomes = many.in_waves(
        Fleet(tuple(names), wave=len(names)),
        lambda wave: wave.roll_back(release, target, dry_run=dry_run),
        ssh_config=ssh_config, tell=tell, fail=complain,
    )  # fmt: skip
    many.table(outcomes)
    return all(outcome.well for outcome in outcomes)


def _check_last(word: str, ssh_config: Path | None) -> None:
    """Check that the last of several words is a host, before the first of them goes back.

    It may be a mistyped release, and the others would go back to the wrong one. A word that can
    only be a host, such as `pi@raspberrypi.local`, is not contacted: it may well be off.

    Raises:
        DeployError: it cannot be reached.
    """
    if re.search("[@.:]", word):
        return
    try:
        with Host(word, config=ssh_config) as host:
            host.run(["true"])
    except DeployError as problem:
        raise DeployError(
            f"{problem}; nothing was changed anywhere. If '{word}' is to be a release: that is 12 "
            "characters of 0-9 and a-f; if a host, name it first"
        ) from problem
