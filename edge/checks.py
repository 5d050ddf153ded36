"""What can be wrong with a Pi, one small check each; `edge doctor` prints what they find."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge.errors import HandwaveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.config import Config
    from edge.outputs.kind import Kind, Section
    from edge.platform import Machine

BORN = 1_793_491_200
"""Seconds from 1970 to November 2026, when this was written: a correct clock cannot show an earlier
time."""
MEGA = 1_000_000
SENSORS = r"(?:imx|ov|arducam|vc_mipi|tc358743|adv7282)[\w-]*"
"""How the names of cameras' overlays begin."""


@dataclass(frozen=True)
class Finding:
    """What a check has found."""

    name: str
    verdict: Literal["ok", "warning", "wrong"]
    text: str
    """What is the case."""
    do: str = ""
    """What to do about it."""


@dataclass(frozen=True)
class Subject:
    """What is checked: a machine, and the `edge.toml` for it if one can be read."""

    machine: Machine
    config: Config | None = None

    @property
    def pi(self) -> bool:
        """Whether the machine is a Raspberry Pi."""
        return self.machine.pi is not None

    @property
    def source(self) -> str:
        """Where frames are to come from."""
        named = self.config.source if self.config else None
        return named or ("pi" if self.pi else "webcam")


Check: TypeAlias = "Callable[[Subject], Finding | None]"


def ok(name: str, text: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(name, "ok", text)


# --- The machine


def check_machine(subject: Subject) -> Finding:
    """Say what it is."""
    machine = subject.machine
    if machine.pi is None:
        return ok("machine", f"no Raspberry Pi ({machine.architecture}): no camera or pins of one")
    return ok("machine", machine.pi)


def check_bits(subject: Subject) -> Finding:
    """Onnxruntime has 64-bit wheels only."""
    machine = subject.machine
    if machine.bits == 64:
        return ok("system", f"64 bits ({machine.architecture})")
    if machine.architecture.startswith("armv6"):
        do = "take a Raspberry Pi 3, Zero 2 W, or newer"
        return Finding("system", "wrong", "this Pi's processor has 32 bits, onnxruntime 64", do)
    do = 'write "Raspberry Pi OS (64-bit)" onto the card with Raspberry Pi Imager'
    return Finding("system", "wrong", "a 32-bit system: there is no onnxruntime for it", do)


def check_packages(subject: Subject) -> Finding:
    """What edge needs to run at all."""
    machine = subject.machine
    python = ".".join(map(str, machine.python))
    found = {name: machine.installed(name) for name in ("numpy", "onnxruntime", "msgspec")}
    missing = [name for name, version in found.items() if version is None]
    if machine.python < (3, 11):
        do = "use a system with Python 3.11 or newer, as Raspberry Pi OS Bookworm is"
        return Finding("python", "wrong", f"Python {python} is too old", do)
    if missing:
        what = ", ".join(missing)
        return Finding("python", "wrong", f"missing: {what}", f"pip install {' '.join(missing)}")
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    return ok("python", f"Python {python}, {listed}")


def check_numpy(subject: Subject) -> Finding | None:
    """Apt's compiled modules, picamera2's too, need the NumPy major they were built with."""
    machine = subject.machine
    ours = machine.installed("numpy")
    folders = machine.find("usr/lib/python3/dist-packages/numpy-*-info")
    found = [re.match(r"numpy-(\d[\w.]*?)\.(?:dist|egg)-info", folder.name) for folder in folders]
    theirs = next((match[1] for match in found if match), None)
    if not (subject.pi and ours and theirs):
        return None
    if ours.partition(".")[0] == theirs.partition(".")[0]:
        return ok("numpy", f"{ours} goes with the system's {theirs}")
    text = f"NumPy {ours} here, but the system's modules were built with {theirs}: picamera2 breaks"
    return Finding("numpy", "wrong", text, f"pip install numpy=={theirs}")


def check_memory(subject: Subject) -> Finding | None:
    """A model takes some 100 MB."""
    told = subject.machine.read("proc/meminfo") or ""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", told, re.MULTILINE)
    if found is None:
        return None
    free = int(found[1]) * 1024 // MEGA
    if free >= 200:
        return ok("memory", f"{free} MB available")
    do = "end other programs; without a desktop a Pi has some 200 MB more: sudo raspi-config"
    return Finding("memory", "wrong" if free < 80 else "warning", f"only {free} MB available", do)


def check_disk(subject: Subject) -> Finding:
    """A full card makes updates, logs and pushes fail in odd ways."""
    free, size = subject.machine.space(subject.machine.root)
    text = f"{free // MEGA} MB free of {size / 1e9:.0f} GB"
    if free >= 300 * MEGA:
        return ok("disk", text)
    do = "what is large: sudo du -xh / | sort -h | tail; what helps: sudo apt clean"
    return Finding("disk", "wrong" if free < 50 * MEGA else "warning", f"nearly full: {text}", do)


def check_read_only(subject: Subject) -> Finding | None:
    """A card that goes bad is mounted read-only by the kernel; some people do so on purpose."""
    mounts = [line.split() for line in (subject.machine.read("proc/mounts") or "").splitlines()]
    roots = [mount for mount in mounts if len(mount) > 3 and mount[1] == "/"]
    if not (subject.pi and roots):
        return None
    kind, options = roots[-1][2], roots[-1][3].split(",")
    if kind == "overlay":
        return ok("card", "not written to: changes are in memory (overlay) until a restart")
    if "ro" not in options:
        return ok("card", "can be written to")
    fstab = [line.split() for line in (subject.machine.read("etc/fstab") or "").splitlines()]
    meant = any(len(line) > 3 and line[1] == "/" and "ro" in line[3].split(",") for line in fstab)
    if meant:
        return ok("card", "read-only, as /etc/fstab says")
    do = "restart it; if that comes back, the card is worn out: take a new one"
    return Finding("card", "wrong", "the card has become read-only, after errors on it", do)


def check_clock(subject: Subject) -> Finding:
    """Nothing in edge needs the time; a certificate, a log and apt do."""
    machine = subject.machine
    shown = time.strftime("%Y-%m-%d %H:%M", time.gmtime(machine.now))
    if machine.now < BORN:
        do = "give it a network for a minute, or set it: sudo date --set '2027-01-31 12:00'"
        text = f"it says {shown} UTC, before edge was written: connections with TLS will fail"
        return Finding("clock", "wrong", text, do)
    synchronised = machine.ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if synchronised and synchronised.strip() == "no":
        return ok("clock", f"{shown} UTC, not set by a network: fine, only the log's dates need it")
    return ok("clock", f"{shown} UTC")


# --- Power and heat


def throttled(machine: Machine) -> int | None:
    """Return the firmware's throttling bits; None where it reports none.

    Source: Raspberry Pi's documentation of `vcgencmd get_throttled`: 0 under-voltage, 1 frequency
    capped, 2 throttled, 3 soft temperature limit; the same plus 16: since it was started.
    """
    paths = machine.find("sys/devices/platform/soc*/*firmware/get_throttled")
    text = paths[0].read_text() if paths else machine.ask(["vcgencmd", "get_throttled"]) or ""
    found = re.search(r"\b(?:0x)?([0-9a-f]+)\s*$", text.strip())
    return int(found[1], 16) if found and (paths or "throttled=" in text) else None


def check_power(subject: Subject) -> Finding | None:
    """Whether the supply holds 5 V."""
    bits = throttled(subject.machine) if subject.pi else None
    if bits is None:
        return None
    do = "take the Pi's own power supply and a short cable; power motors and servos separately"
    if bits & 1:
        return Finding("power", "wrong", "under-voltage right now: less than 4.63 V arrive", do)
    if bits & 1 << 16:
        return Finding("power", "warning", "there was under-voltage since it was started", do)
    return ok("power", "enough, ever since it was started")


def check_heat(subject: Subject) -> Finding | None:
    """Whether it must go slower because it is hot."""
    machine = subject.machine
    told = machine.read("sys/class/thermal/thermal_zone0/temp") if subject.pi else None
    if told is None or not told.isdigit():
        return None
    degrees = int(told) / 1000
    bits = throttled(machine) or 0
    do = "give it air, a heat sink or a fan; it slows down from 80 °C on"
    # 2 and 3 also come with under-voltage, which has a check of its own.
    if degrees >= 80 or bits & 1 << 3:
        return Finding("heat", "wrong", f"{degrees:.0f} °C: it is slowed down right now", do)
    if bits & 0b110 and not bits & 1:
        return Finding("heat", "wrong", f"it is slowed down right now, at {degrees:.0f} °C", do)
    if degrees >= 70 or bits & 1 << 19:
        before = "" if degrees >= 70 else "; it was slowed down since it was started"
        return Finding("heat", "warning", f"{degrees:.0f} °C{before}", do)
    return ok("heat", f"{degrees:.0f} °C")


# --- Camera


def check_camera(subject: Subject) -> Finding | None:
    """Whether the camera that is wanted is there, and why not."""
    if subject.source == "pi":
        return _check_pi_camera(subject)
    if subject.source.startswith("webcam"):
        return _check_webcam(subject)
    return None


def _check_pi_camera(subject: Subject) -> Finding:
    machine = subject.machine
    if not subject.pi:
        do = '--source webcam:0, or source = "webcam:0" in edge.toml'
        return Finding("camera", "wrong", "source is pi, and this is none", do)
    commands = ("rpicam-hello", "libcamera-hello")  # its name before 2024
    told = next(filter(None, (machine.ask([name, "--list-cameras"]) for name in commands)), None)
    if told is None:
        return Finding(
            "camera", "warning", "no rpicam-hello here to ask for cameras",
            "sudo apt install rpicam-apps-lite",
        )  # fmt: skip
    cameras = re.findall(r"^\s*(\d+) : (\S+)(?: \[([^\]]*)\])?", told, re.MULTILINE)
    if not cameras:
        return _why_no_camera(machine)
    number = subject.config.camera.number if subject.config else 0
    listed = "; ".join(" ".join(filter(None, one)) for one in cameras)
    if number >= len(cameras):
        do = f"in edge.toml, [camera]: number = 0 to {len(cameras) - 1}, or look at its cable"
        return Finding("camera", "wrong", f"there is no camera {number}, only: {listed}", do)
    return ok("camera", listed)


def _why_no_camera(machine: Machine) -> Finding:
    paths = ("boot/firmware/config.txt", "boot/config.txt")  # from Bookworm on, and before
    path = next((path for path in paths if machine.read(path) is not None), paths[0])
    lines = [line.partition("#")[0].strip() for line in (machine.read(path) or "").splitlines()]
    overlays = [
        found[1] for line in lines if (found := re.match(rf"dtoverlay\s*=\s*({SENSORS})", line))
    ]
    automatic = any(re.fullmatch(r"camera_auto_detect\s*=\s*1", line) for line in lines)
    if any(re.fullmatch(r"start_x\s*=\s*1", line) for line in lines):
        do = f"take start_x=1 out of /{path}, write camera_auto_detect=1, and restart"
        return Finding("camera", "wrong", "none found: the legacy camera is switched on", do)
    if not automatic and not overlays:
        do = f"write camera_auto_detect=1 into /{path} (or its module's dtoverlay), and restart"
        return Finding("camera", "wrong", "none found: the Pi is told not to look for one", do)
    log = machine.ask(["dmesg"]) or machine.ask(["journalctl", "--dmesg", "--boot"]) or ""
    silent = re.search(rf"({SENSORS}) [\d-]+: .*(?:chip id|-121|-5\b|EREMOTEIO)", log)
    seat = (
        "switch the Pi off; push the cable in straight at both ends, contacts towards the board's, "
        "latch closed (a Pi 5 or Zero needs the narrow cable); it is looked for at start only"
    )
    if overlays:
        name = overlays[0]
        why = "does not answer" if silent else "is not found"
        do = f"is it a {name}? if not: camera_auto_detect=1 instead, in /{path}; if so: {seat}"
        return Finding("camera", "wrong", f"the {name} that dtoverlay= names {why}", do)
    if silent:
        return Finding("camera", "wrong", f"the {silent[1]} does not answer: its cable", seat)
    return Finding("camera", "wrong", "none found: most often its cable", seat)


def _check_webcam(subject: Subject) -> Finding | None:
    machine = subject.machine
    if not machine.find("proc/version"):
        return None  # no Linux: a Mac tells of its camera only when it is opened
    there = [machine.show(path) for path in machine.find("dev/video[0-9]*")]
    number = subject.source.partition(":")[2]
    if number and f"/dev/video{number}" not in there:
        listed = ", ".join(there) or "no other"
        do = f"plug it in, or choose another: there is {listed}"
        return Finding("camera", "wrong", f"there is no webcam {number}", do)
    if not there:
        do = "plug in a webcam, or use --source with a folder or a video"
        return Finding("camera", "warning", "none found: hands are drawn instead", do)
    return ok("camera", f"{len(there)} video devices, the first is {there[0]}")


# --- Rights and libraries


def check_video_rights(subject: Subject) -> Finding | None:
    """Whether this user may use the camera's devices."""
    patterns = (
        "dev/video[0-9]*",
        "dev/media[0-9]*",
        "dev/dma_heap/vidbuf_cached",
        "dev/dma_heap/linux,cma",
    )
    return _check_rights(subject, "video", patterns)


def check_gpio_rights(subject: Subject) -> Finding | None:
    """Whether this user may use the pins."""
    if not subject.pi:
        return None
    if not subject.machine.find("dev/gpiochip*"):
        do = "is this Raspberry Pi OS? sudo apt update && sudo apt full-upgrade, and restart"
        return Finding("gpio", "wrong", "there is no /dev/gpiochip*: the system knows no pins", do)
    return _check_rights(subject, "gpio", ("dev/gpiochip*",))


def _check_rights(subject: Subject, group: str, patterns: tuple[str, ...]) -> Finding | None:
    machine = subject.machine
    devices = [path for pattern in patterns for path in machine.find(pattern)]
    closed = [path for path in devices if not machine.usable(path)]
    if not devices:
        return None
    if not closed:
        return ok(group, f"{machine.user} may use {machine.show(devices[0])}")
    text = f"{machine.user} may not use {machine.show(closed[0])}"
    if group in machine.groups:
        do = f"{machine.user} is in the group {group}, but the device is not: restart the Pi"
    elif machine.user in _members(machine, group):
        do = f"log out and in again: {machine.user} has joined the group {group} since"
    else:
        do = f"sudo usermod --append --groups {group} {machine.user}, and log in again"
    return Finding(group, "wrong", text, do)


def _members(machine: Machine, group: str) -> list[str]:
    for line in (machine.read("etc/group") or "").splitlines():
        name, *_, members = line.split(":")
        if name == group:
            return members.split(",")
    return []


def check_libraries(subject: Subject) -> Finding | None:
    """Camera and pins come from apt, and a venv sees those only if told to."""
    machine = subject.machine
    wanted = {"gpiozero": "python3-gpiozero", "lgpio": "python3-lgpio"}
    if subject.source == "pi":
        wanted["picamera2"] = "python3-picamera2"
    if not subject.pi:
        return None
    missing = [name for name in wanted if not machine.importable(name)]
    if not missing:
        return ok("libraries", ", ".join(wanted))
    text = f"missing: {', '.join(missing)}"
    system = "usr/lib/python3/dist-packages"
    if machine.separate and all(machine.find(f"{system}/{name}*") for name in missing):
        do = "installed, but this venv does not see it: make it with --system-site-packages"
        return Finding("libraries", "wrong", text, do)
    do = f"sudo apt install {' '.join(wanted[name] for name in missing)}"
    if machine.separate:
        do += "; and make the venv with --system-site-packages"
    return Finding("libraries", "wrong", text, do)


# --- The service


def check_service(subject: Subject) -> Finding | None:
    """How the service is."""
    properties = "--property=LoadState,ActiveState,SubState,NRestarts"
    told = subject.machine.ask(["systemctl", "show", "handwave.service", properties]) or ""
    state = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    if state.get("LoadState") != "loaded":
        return ok("service", "not installed; deploy setup does that") if subject.pi else None
    active, restarts = state.get("ActiveState", ""), state.get("NRestarts", "0")
    look = "what it says: journalctl --unit handwave --lines 20"
    if active == "active":
        if restarts in {"", "0"}:
            return ok("service", "running")
        text = f"running, but it was restarted {restarts} times"
        return Finding("service", "warning", text, look)
    if active == "inactive":
        do = "sudo systemctl enable --now handwave"
        return Finding("service", "warning", "installed, but not started", do)
    text = f"it does not run: {active} ({state.get('SubState', '')}), restarted {restarts} times"
    return Finding("service", "wrong", text, look)


def check_files(subject: Subject) -> Finding | None:
    """Whether files that only the device has can be read; `edge check` on a laptop cannot tell."""
    config = subject.config
    if config is None:
        return None
    parts: list[tuple[str, Kind | Section]] = [
        *((f"[when.{label}] {name}: ", output) for label, name, output in config.outputs()),
        *((f"[{name}] ", section) for name, section in config.sections.items()),
    ]
    for place, part in parts:
        try:
            part.read_secrets(config.path.parent)
        except HandwaveError as problem:
            text = f"{config.path}: {place}{problem}"
            if "Permission denied" in text:  # as a file for none but the service should be
                return Finding(
                    "files", "warning", text, "look as the service may: sudo edge doctor"
                )
            do = "mend that: the service would not start"
            return Finding("files", "wrong" if subject.pi else "warning", text, do)
    return None


CHECKS: tuple[Check, ...] = (
    check_machine,
    check_bits,
    check_packages,
    check_numpy,
    check_libraries,
    check_camera,
    check_video_rights,
    check_gpio_rights,
    check_power,
    check_heat,
    check_memory,
    check_disk,
    check_read_only,
    check_clock,
    check_files,
    check_service,
)


def run_checks(subject: Subject, checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """Return the findings of all checks; a check that raises becomes a warning."""
    findings = []
    for check in checks:
        try:
            finding = check(subject)
        except Exception as problem:  # noqa: BLE001  (a doctor who faints is of no help)
            name = check.__name__.removeprefix("check_")
            text = f"cannot be looked at: {type(problem).__name__}: {problem}".partition("\n")[0]
            finding = Finding(name, "warning", text)
        if finding is not None:
            findings.append(finding)
    return findings


def check_project(path: Path) -> tuple[Config | None, list[Finding]]:
    """Return the `edge.toml`, if it can be read, and what is to be said of it and its model."""
    from edge.classifier import Classifier
    from edge.config import read_config
    from edge.device import Project

    try:
        config = read_config(path)
    except HandwaveError as problem:
        return None, [Finding("edge.toml", "wrong", str(problem))]
    labels = len({label for label, _, _ in config.outputs()})
    busy = "1 label does" if labels == 1 else f"{labels} labels do"
    findings = [ok("edge.toml", f"{path}: {busy} something")]
    try:
        classifier = Project.of(config, Classifier(config.model)).classifier
    except HandwaveError as problem:
        return config, [*findings, Finding("model", "wrong", str(problem))]
    count = len(classifier.card.golden)
    return config, [*findings, ok("model", f"{config.model}: its {count} golden frames agree")]
