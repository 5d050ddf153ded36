"""The text of the two systemd units, made from the one file that is written by hand."""

from __future__ import annotations

from pathlib import Path

from deploy.target import Target

SERVICE = Path(__file__).with_name("handwave.service")

# What belongs to a service that stays, and not to a check that ends.
ONLY_OF_THE_SERVICE = {
    "Type", "ExecStart", "ExecReload", "ExecStopPost", "EnvironmentFile", "TimeoutStartSec",
    "TimeoutStopSec", "WatchdogSec", "WatchdogSignal", "Restart", "RestartSec", "RestartSteps",
    "RestartMaxDelaySec", "RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve",
    "WorkingDirectory",
}  # fmt: skip

CHECK = """\
# {service} with `edge check` in place of `edge run`: same user, same limits.
# Made by `deploy setup`; a push starts it, with the release to check in {trial}/check.env.

[Unit]
Description=handwave: check a release
# Who tries one edge.toml after the other pushes often: none is refused for the last one's sake.
StartLimitIntervalSec=0

[Service]
Type=oneshot
EnvironmentFile={trial}/check.env
ExecStart={root}/venv/bin/python -P -m edge check --config ${{RELEASE}}/edge.toml
TimeoutStartSec=90
# The journal holds what is wrong, and nothing else.
StandardOutput=null
StandardError=journal
{same}
"""


def service_unit(target: Target) -> str:
    """Return the service's unit, with the target's names."""
    usual = Target()
    text = SERVICE.read_text(encoding="utf-8")
    for name in ("root", "trial", "runtime"):
        text = text.replace(getattr(usual, name) + "/", getattr(target, name) + "/")
    text = text.replace(f"RuntimeDirectory={usual.name}\n", f"RuntimeDirectory={target.name}\n")
    return text.replace(f"={usual.runtime}\n", f"={target.runtime}\n")


def check_unit(target: Target) -> str:
    """Return the unit that checks a release: whatever holds the service holds it as well."""
    section = service_unit(target).partition("[Service]")[2].partition("[Install]")[0]
    settings = [line for line in section.splitlines() if "=" in line and not line.startswith("#")]
    same = [line for line in settings if line.partition("=")[0] not in ONLY_OF_THE_SERVICE]
    return CHECK.format(
        service=target.unit, root=target.root, trial=target.trial, same="\n".join(same)
    )
