"""`edge doctor`: what is wrong with this Pi, in words, and what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.checks import Finding, Subject, check_project, run_checks
from edge.console import Command
from edge.errors import printable
from edge.platform import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACES = ("edge.toml", "/opt/handwave/current/edge.toml")
"""Where an `edge.toml` is looked for: here, and where `deploy` puts it."""
RANK = {"ok": 0, "warning": 1, "wrong": 2}
COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


@click.command("doctor", cls=Command, epilog="Example: edge doctor --config edge.toml")
@click.option(
    "--config", "config_path", metavar="FILE",
    help="An edge.toml to check as well.  [default: the one here, or the service's]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def doctor(ctx: click.Context, *, config_path: str | None, as_json: bool) -> None:
    """Say what is wrong with this Pi, and what to do; exit code 1 if anything is."""
    findings = examine(Machine(), config_path)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    warnings = sum(finding.verdict == "warning" for finding in findings)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"wrong": wrong, "warnings": warnings, "checks": checks}))
    else:
        for line in lines(findings):
            click.echo(line)
        click.echo(_summary(wrong, warnings))
    ctx.exit(1 if wrong else 0)


def examine(machine: Machine, config_path: str | None = None) -> list[Finding]:
    """Return all there is to say, the worst last: there it stays on the screen."""
    named = config_path or next((path for path in PLACES if Path(path).is_file()), None)
    config, findings = (None, []) if named is None else check_project(Path(named))
    if named is None:
        text = "none here, so none was checked; another: --config FILE"
        findings = [Finding("edge.toml", "ok", text)]
    findings = [*run_checks(Subject(machine, config)), *findings]
    return sorted(findings, key=lambda finding: RANK[finding.verdict])


def lines(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each finding, and one more for what to do."""
    shown = []
    for finding in findings:
        verdict = click.style(f"{finding.verdict:<8}", fg=COLOURS[finding.verdict])
        shown.append(f"{verdict} {finding.name:<10} {printable(finding.text, ' ')}")
        if finding.do:
            shown.append(f"{'':<8} {'':<10} to do: {printable(finding.do, ' ')}")
    return shown


def _summary(wrong: int, warnings: int) -> str:
    noticed = f"{warnings} warning{'' if warnings == 1 else 's'}" if warnings else ""
    if wrong:
        return f"{wrong} wrong" + (f", {noticed}" if noticed else "")
    return "nothing is wrong" + (f"; {noticed}" if noticed else "")
