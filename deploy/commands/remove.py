"""`deploy remove`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from deploy.commands.options import (
    dry_run_option,
    hosts_argument,
    ssh_config_option,
    tell,
)
from deploy.errors import DeployError
from deploy.target import Target
from edge.console import Command, complain, somebody_is_at

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.crew import Crew
    from deploy.setup.survey import Survey


@click.command("remove", cls=Command, epilog="Example: deploy remove pi@raspberrypi.local")
@hosts_argument
@ssh_config_option
@click.option("--yes", is_flag=True, help="Do not ask first.")
@dry_run_option
def remove(hosts: tuple[str, ...], ssh_config: Path | None, *, yes: bool, dry_run: bool) -> None:
    """Take away from each HOST all that `deploy setup` made: nothing of handwave stays.

    Says what it takes away, and asks. What was there before setup stays, and so do apt's packages:
    the command that removes those is said.
    """
    from deploy.crew import Crew

    with Crew(hosts, ssh_config, tell, complain) as crew:
        surveys = crew.survey(Target())
        waiting = announce(crew, surveys)
        if waiting and not dry_run:
            if not yes:
                agree()
            act(crew, surveys, waiting)
        failed = bool(crew.failed)
    sys.exit(failed)


def announce(crew: Crew, surveys: dict[str, Survey]) -> list[str]:
    """Say what would go and what would stay; return the hosts where anything would."""
    from deploy.setup.remove import left, plan

    waiting = []
    for name, survey in surveys.items():
        steps = plan(survey)
        if not survey.python:
            crew.fail(crew.host(name), "it has no python3: sudo apt install python3")
        elif survey.may != "root":
            crew.fail(
                crew.host(name), f"sudo asks {survey.login} for a password: see docs/setup.md"
            )
        elif not steps:
            crew.tell(f"{name}: nothing to do: `deploy setup` has made nothing there")
        else:
            waiting.append(name)
            crew.tell(f"{name}: takes away:")
            for step in steps:
                crew.tell(f"  {step.name:9} {step.does}")
            for line in left(survey, name):
                crew.tell(f"  stays:    {line}")
    return waiting


def agree() -> None:
    """Ask the person.

    Raises:
        DeployError: nobody is there to be asked.
    """
    if not somebody_is_at(sys.stdin):
        raise DeployError("nothing was changed: nobody is here to be asked; say --yes")
    click.confirm("Take all of this away?", abort=True)


def act(crew: Crew, surveys: dict[str, Survey], names: list[str]) -> None:
    """Do it."""
    from deploy.setup.remove import plan

    for name in names:
        crew.add(name, plan(surveys[name]), sudo=surveys[name].login != "root")
    crew.act()
    for name in names:
        if name not in crew.failed:
            crew.tell(f"{name}: removed")
