"""Removing handwave from a host: everything that setup.json says `deploy setup` made. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from deploy.setup import files as setup_files
from deploy.setup.plan import Run, Step, read_memory, run
from deploy.target import USER, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.setup.survey import Survey

OURS = (".service.d", ".conf.d")
"""Suffixes of folders that hold only drop-ins, removed with the last one."""


def plan(survey: Survey) -> list[Step]:
    """Return the steps that remove handwave completely; none if nothing is left."""
    memory = read_memory(survey)
    made, targets = memory["made"], [Target(**one) for one in memory["targets"]]
    if not targets:
        return []
    return [
        *(_stop(target) for target in targets),
        *([_files(made["files"], targets)] if made["files"] else []),
        *_folders(made["folders"], targets),
        *_people(made),
        _memory(),
    ]


def left(survey: Survey, host: str) -> Iterator[str]:
    """Yield what stays, and why."""
    memory = read_memory(survey)
    made = memory["made"]
    if packages := (survey.text(setup_files.PACKAGES) or "").split():
        yield (
            "apt's packages that came with setup; others may use them by now. To remove them: "
            f"ssh -t {host} 'sudo apt purge {' '.join(packages)}'"
        )
    for target in memory["targets"]:
        if target["root"] not in made["folders"]:
            yield f"{target['root']}, which was there before setup"
    if survey.service_groups is not None and USER not in made["users"]:
        yield f"the user {USER}, who was there before setup"


def _stop(target: Target) -> Step:
    unit = shlex.quote(target.unit)
    stop = f"systemctl disable --quiet --now {unit} 2>/dev/null || true"
    forget = f"systemctl reset-failed {unit} 2>/dev/null || true"
    return Step("stop", f"{target.unit}, and no more at boot", (Run(stop), Run(forget)))


def _files(files: list[str], targets: list[Target]) -> Step:
    unfinished = [f"{name}.new" for name in files]
    folders = {name.rpartition("/")[0] for name in files}
    commands = [run("rm", "-f", *files, *unfinished)]
    for folder in sorted(folder for folder in folders if folder.endswith(OURS)):
        there, keep = shlex.quote(folder), "--ignore-fail-on-non-empty"
        commands.append(Run(f"[ ! -d {there} ] || rmdir {keep} {there}"))
    in_memory = [folder for target in targets for folder in (target.trial, target.runtime)]
    commands.append(run("rm", "-rf", *in_memory))
    commands.append(run("systemctl", "daemon-reload"))
    if setup_files.JOURNAL in files:
        commands.append(run("systemctl", "restart", "systemd-journald"))
    if setup_files.WATCHDOG in files:
        commands.append(run("systemctl", "daemon-reexec"))
    if setup_files.DEVICES in files:
        commands.append(Run("udevadm control --reload 2>/dev/null || true"))  # if it runs at all
    return Step("files", " ".join(files), tuple(commands))


def _folders(folders: list[str], targets: list[Target]) -> Iterator[Step]:
    for folder in folders:
        if folder in {target.root for target in targets}:  # setup never made anything else
            yield Step("folder", f"{folder}, with every release", (run("rm", "-rf", folder),))


def _people(made: dict[str, list[str]]) -> Iterator[Step]:
    for member in made["members"]:
        name, group = member.split(" ")
        if name != USER or USER not in made["users"]:
            leave = f"gpasswd --delete {shlex.quote(name)} {shlex.quote(group)} >/dev/null || true"
            yield Step("member", f"{name} leaves {group}", (Run(leave),))
    if USER in made["users"]:
        gone = f"! id {USER} >/dev/null 2>&1 || userdel {USER}"
        group = f"! getent group {USER} >/dev/null || groupdel {USER}"
        yield Step("user", f"{USER}, and its group", (Run(gone), Run(group)))
    for group in made["groups"]:
        gone = f"! getent group {shlex.quote(group)} >/dev/null || groupdel {shlex.quote(group)}"
        yield Step("group", group, (Run(gone),))


def _memory() -> Step:
    """Last: should it be cut before, the next `remove` still knows everything."""
    keep = "--ignore-fail-on-non-empty"
    names = (setup_files.PACKAGES, setup_files.BEFORE, setup_files.SETUP)
    gone = (run("rm", "-f", *names), run("rmdir", keep, setup_files.MEMORY))
    return Step("forget", setup_files.SETUP, gone)
