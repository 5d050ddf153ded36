"""The files that `deploy setup` puts on a host, and why each is there. Pure text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.remote.push import SIGNERS
from deploy.target import USER
from deploy.units import check_unit, service_unit

if TYPE_CHECKING:
    from deploy.setup.needs import Needs
    from deploy.setup.survey import Survey
    from deploy.target import Target

MEMORY = "/etc/handwave"
SETUP = f"{MEMORY}/setup.json"
"""What setup found and made: `remove` takes away that, and nothing else."""
PACKAGES, BEFORE = f"{MEMORY}/packages", f"{MEMORY}/packages.before"
"""The packages that came with a set-up, those that others needed among them, one a line; and those
that were there before, while apt is at work."""
WATCHDOG = "/etc/systemd/system.conf.d/handwave-watchdog.conf"
JOURNAL = "/etc/systemd/journald.conf.d/handwave.conf"
DEVICES = "/etc/udev/rules.d/60-handwave.rules"
POLKIT = "/etc/polkit-1/rules.d/50-handwave.rules"

JOURNAL_TEXT = """\
# The service says one line a decision: kept in memory, that wears out no SD card.
[Journal]
Storage=volatile
"""
WATCHDOG_TEXT = """\
# The board's own watchdog: a kernel that hangs is restarted by the hardware.
[Manager]
RuntimeWatchdogSec=15s
"""
DEVICES_TEXT = """\
# As on Raspberry Pi OS: pins for group gpio, and the camera's memory for group video.
SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"
SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"
"""
POLKIT_TEXT = f"""\
// The button of edge.toml shuts the machine down; see docs/wiring.md.
polkit.addRule(function(action, subject) {{
    if (subject.user == "{USER}" &&
            (action.id == "org.freedesktop.login1.power-off" ||
             action.id == "org.freedesktop.login1.power-off-multiple-sessions")) {{
        return polkit.Result.YES;
    }}
}});
"""
EDGE = "/usr/local/bin/edge"
EDGE_MARK = "# Made by `deploy setup` of handwave"
"""Else it is somebody else's command of that name."""
EDGE_TEXT = f"""\
#!/bin/sh
{EDGE_MARK}: edge, of the release that runs.
PYTHONPATH={{root}}/current exec {{root}}/venv/bin/python -P -m edge "$@"
"""
NETWORK_TEXT = """\
# edge.toml has mqtt or webhook: the service may use the network.
[Service]
RestrictAddressFamilies=AF_INET AF_INET6
"""

NO_PREVIEWS = '''\
"""In place of the real one, which Debian has not: picamera2 imports it, to show previews."""


class PixelFormat:
    """The names that picamera2 mentions when it is imported."""

    RGB888 = BGR888 = XRGB8888 = XBGR8888 = ABGR8888 = YUV420 = YVU420 = NV12 = None
'''


@dataclass(frozen=True, slots=True)
class File:
    """A file of root's; what has to happen once it is there; how it is proved before."""

    path: str
    text: str
    why: str
    mode: int = 0o644
    check: tuple[str, ...] = ()
    """A command that takes the new file's name and fails if it must not be in place."""
    then: tuple[str, ...] = ()
    """A command that lets the system know of it."""


def files(target: Target, needs: Needs, survey: Survey) -> list[File]:
    """Return the files of the system that belong there, the venv's own not among them."""
    etc = "/etc/systemd/system"
    found = [
        File(f"{etc}/{target.unit}", service_unit(target), "the service"),
        File(f"{etc}/{target.check_unit}", check_unit(target), "checks a release before it runs"),
        File(
            tmpfiles(target),
            f"d {target.trial} 0755 {survey.login} {survey.login_group}\n",
            f"{target.trial}, in memory, where a push puts a release on trial",
            then=("systemd-tmpfiles", "--create", tmpfiles(target)),
        ),
    ]
    if needs.signers is not None:
        found.append(File(SIGNERS, needs.signers, "whose bundles it takes"))
    if needs.network:
        found.append(File(network(target), NETWORK_TEXT, "the network, for mqtt or webhook"))
    if survey.login != "root":
        text = rights(target, survey.login)
        check = ("visudo", "--check", "--quiet", "--file")
        why = f"{survey.login} may restart {target.unit} and start its check, and no more"
        found.append(File(sudoers(target), text, why, 0o440, check))
    if needs.shutdown:
        found.append(File(POLKIT, POLKIT_TEXT, "the button may shut it down"))
    if not survey.volatile or survey.text(JOURNAL):
        restart = ("systemctl", "restart", "systemd-journald")
        found.append(File(JOURNAL, JOURNAL_TEXT, "the journal stays in memory", then=restart))
    if survey.watchdog:
        again = ("systemctl", "daemon-reexec")
        found.append(File(WATCHDOG, WATCHDOG_TEXT, "the board's own watchdog", then=again))
    if not survey.raspberry:
        reload_them = ("udevadm", "trigger", "--subsystem-match=gpio", "--subsystem-match=dma_heap")
        why = "pins for group gpio, the camera's memory for group video"
        found.append(File(DEVICES, DEVICES_TEXT, why, then=reload_them))
    command = EDGE_TEXT.format(root=target.root)
    is_ours = EDGE_MARK in (survey.text(EDGE) or "")
    if survey.places.get(EDGE) is None or is_ours:
        found.append(File(EDGE, command, "the command edge, for who looks there", 0o755))
    return found


def rights(target: Target, login: str) -> str:
    """Return the sudoers file: what a push does as root, and nothing more."""
    verbs = [f"{verb} {target.unit}" for verb in ("restart", "stop", "start")]
    allowed = ", ".join(f"/usr/bin/systemctl {v}" for v in (*verbs, f"start {target.check_unit}"))
    why = "# What `deploy push` does as root; see docs/setup.md of handwave."
    return f"{why}\n{login} ALL=(root) NOPASSWD: {allowed}\n"


def sudoers(target: Target) -> str:
    """Return where its sudoers file lies; sudo passes over names with a dot."""
    return f"/etc/sudoers.d/{target.name.replace('.', '_')}"


def tmpfiles(target: Target) -> str:
    """Return where its tmpfiles.d file lies."""
    return f"/etc/tmpfiles.d/{target.name}.conf"


def network(target: Target) -> str:
    """Return where the drop-in lies that gives the service the network."""
    return f"/etc/systemd/system/{target.unit}.d/network.conf"


def constraints(target: Target) -> str:
    """Return where NumPy's version is held."""
    return f"{target.root}/venv/constraints.txt"


def previews(target: Target, python: tuple[int, ...]) -> str:
    """Return where the module lies that PyPI's picamera2 looks for and Debian has not."""
    version = ".".join(map(str, python))
    return f"{target.root}/venv/lib/python{version}/site-packages/pykms.py"


def pip_conf(target: Target) -> str:
    """Return the venv's own pip.conf: whoever uses its pip later is held to that version, too."""
    return f"{target.root}/venv/pip.conf"


def of_pushes(target: Target) -> list[str]:
    """Return what pushes make in the root folder: whoever pushes next has to own it."""
    made = ("lock", "history", "releases", "current", "previous")
    return [f"{target.root}/{name}" for name in made]


def paths(target: Target) -> list[str]:
    """Return every path that a survey should tell of."""
    etc = "/etc/systemd/system"
    of_system = [JOURNAL, WATCHDOG, DEVICES, POLKIT, EDGE, SETUP, PACKAGES, SIGNERS, MEMORY]
    of_target = [tmpfiles(target), network(target), sudoers(target), pip_conf(target)]
    units = [f"{etc}/{target.unit}", f"{etc}/{target.check_unit}", f"{etc}/{target.unit}.d"]
    folders = [target.root, *of_pushes(target), target.trial]
    return [*of_system, *of_target, constraints(target), *units, *folders]
