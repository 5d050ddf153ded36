"""Set hosts up with pyinfra: from `deploy setup`, or from a fleet owner's own deploy.py.

    from deploy.setup import handwave

    handwave(config="edge.toml", _sudo=True)

What is to be done is decided in `deploy.setup.plan`, from one look at the host; here pyinfra does
it, on as many hosts at once as there are.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra import context
from pyinfra.api.command import FileUploadCommand, StringCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from deploy.errors import DeployError
from deploy.setup import survey as look
from deploy.setup.files import paths
from deploy.setup.needs import ALL, GROUPS, needs
from deploy.setup.plan import Put, plan
from deploy.target import USER, Target
from edge.config import read_config

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from deploy.setup.plan import Carried, Run, Step
    from deploy.setup.survey import Survey


class HostSurvey(FactBase["Survey | None"]):
    """What a host says about itself: one round trip, nothing changed."""

    def command(self, root: str, unit: str) -> str:
        """Return what the host runs; it becomes root by itself where it may."""
        return look.command(asked(Target(root, unit)))

    def process(self, output: list[str]) -> Survey | None:
        """Read the answer; None if it is none."""
        try:
            return look.read(output)
        except DeployError:
            return None


def asked(target: Target) -> dict[str, Any]:
    """Return what a survey is asked for."""
    return {
        "root": target.root,
        "services": [target.unit, target.check_unit],
        "service": USER,
        "groups": [*GROUPS, "render"],
        "packages": list(dict.fromkeys(ALL)),
        "paths": paths(target),
    }


@deploy("handwave")
def handwave(
    config: str | Path | None = None,
    root: str = Target().root,
    unit: str = Target().unit,
    carried: Carried | None = None,
    signers: str | None = None,
) -> None:
    """Make a host ready for `deploy push`; run it as root (`_sudo=True`).

    Args:
        config: an edge.toml, which says what outputs need; without one, what pins need.
        root: handwave's folder there.
        unit: the service there.
        carried: what was brought along for a host without the internet.
        signers: an allowed_signers file, if only bundles signed by one of those may be pushed.

    Raises:
        DeployError: the host cannot be set up; the message holds everything that is wrong.
    """
    target = Target(root, unit)
    survey = context.host.get_fact(HostSurvey, root=root, unit=unit)
    if survey is None:
        raise DeployError(f"{context.host.name}: it did not say what it is; see docs/setup.md")
    wrong = "; ".join(look.problems(survey, now=time.time(), offline=carried is not None))
    if wrong:
        raise DeployError(f"{context.host.name}: {wrong}; nothing was changed")
    what = needs(read_config(config) if config else None, survey)
    if signers is not None:
        what = replace(what, signers=Path(signers).read_text(encoding="utf-8"))
    add(plan(survey, what, target, carried))


def add(steps: list[Step]) -> None:
    """Give pyinfra each step as an operation of its own."""
    for step in steps:
        carry_out(name=f"{step.name}: {step.does}", commands=step.commands)


@operation()
def carry_out(commands: tuple[Run | Put, ...]) -> Generator[FileUploadCommand | StringCommand]:
    """Do one step of a plan, as root."""
    for command in commands:
        if isinstance(command, Put):
            yield from put(command)
        else:
            yield StringCommand(command.command)


def put(file: Put) -> Iterator[FileUploadCommand | StringCommand]:
    """Write a file beside its place, prove it, and give it its name."""
    # sudo, systemd, udev, polkit and tmpfiles.d pass over names that end so.
    fresh = f"{file.path}.new"
    # pyinfra's own @ssh connector writes it into /tmp first: under a name that nobody can guess.
    temporary = context.host.get_temp_filename(temp_directory="/tmp")  # noqa: S108  (as above)
    yield FileUploadCommand(BytesIO(file.content), fresh, remote_temp_filename=temporary)
    new, place = shlex.quote(fresh), shlex.quote(file.path)
    check = f"{shlex.join(file.check)} {new} && " if file.check else ""
    keep = f"{check}chown root:root {new} && chmod {file.mode:o} {new} && mv -f {new} {place}"
    yield StringCommand(f"{{ {keep}; }} || {{ rm -f {new}; false; }}")
