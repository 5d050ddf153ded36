"""Tier 3: a virtual Raspberry Pi 4, arm64, with a kernel of its own and that kernel's GPIO chip.

`machine.py` makes its disk. Here QEMU boots it; what is written goes into a file of its own, which
is thrown away at the end and stays when the power is cut.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CANNOT = 3  # how machine.py says that this machine cannot have one
PATIENCE = 300.0
"""Seconds that anything may take on so slow a processor, were others busy as well."""
CHIP = "/sys/devices/platform/gpio-sim/gpiochip0"
"""Where the kernel's simulated chip shows its lines, and takes what a wire would do."""
SSH_CONFIG = """
Host pi board
 HostName 127.0.0.1
 HostKeyAlias raspberrypi
 Port {port}
 IdentityFile {made}/key
 IdentitiesOnly yes
 IdentityAgent none
 UserKnownHostsFile {made}/known_hosts
 GlobalKnownHostsFile none
 ConnectTimeout 30
 ServerAliveInterval 5
Host pi
 User pi
Host board
 User root
 ControlMaster auto
 ControlPath {folder}/line
 ControlPersist yes
"""
QEMU = (
    "-accel tcg,thread=multi -display none -monitor none -serial file:{folder}/console "
    "-netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22 "
    "-device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci "
    "-dtb {made}/pi.dtb -kernel {made}/kernel -initrd {made}/initrd "
    "-drive if=virtio,format=qcow2,cache=unsafe,file={folder}/disk"
)
"""QEMU's words, besides the board itself."""
KERNEL = "root=/dev/vda rw console=ttyAMA0 mitigations=off quiet net.ifnames=0"


class Board:
    """The virtual Pi 4.

    Attributes:
        folder: where its files are, on this machine.
    """

    def __init__(self, made, folder, until):
        self.folder, self._made, self._until = folder, made, until
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._places = {"made": made, "folder": folder, "port": free.getsockname()[1]}
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text(SSH_CONFIG.format(**self._places))
        self._emulate("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
                      "-b", made / "pi.ext4", folder / "disk").wait()  # fmt: skip
        self._qemu = None

    def _emulate(self, program, *words):
        """Start one of the programs that machine.py has kept, with the libraries it needs."""
        there = self._made / "emulator"
        loader = [there / "ld-linux-x86-64.so.2", "--library-path", there, there / program]
        # Nice: whatever else is tested here meanwhile has its own times to keep.
        return subprocess.Popen(["nice", *map(str, [*loader, *words])], stdin=subprocess.DEVNULL)

    def boot(self):
        """Give it power; return once its systemd has started all it starts."""
        words = [(self._made / "board").read_text(), QEMU.format(**self._places)]
        words = " ".join(words).split()
        self._qemu = self._emulate("qemu-system-aarch64", *words, "-append", KERNEL)
        self.wait_for_boot()

    def wait_for_boot(self, *, not_before=""):
        """Wait until it has booted; `not_before` is the boot that was, as `boot_id` tells."""

        def booted():
            assert self._qemu.poll() is None, (self.folder / "console").read_text()
            done = self.run("cat /proc/sys/kernel/random/boot_id", check=False)
            return done.returncode == 0 and done.stdout.strip() != not_before

        self.until(booted)
        self.run("systemctl is-system-running --wait", check=False)  # a failed unit is no matter
        self.run("udevadm settle")  # whom the chip is for, too

    @property
    def boot_id(self):
        """What the kernel calls this boot."""
        return self.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()

    def cut(self):
        """Cut its power, in whatever it is doing."""
        self._qemu.kill()
        self._qemu.wait()
        self.hang_up()

    def hang_up(self):
        """Forget the connection that the tests use."""
        self._ssh("-O", "exit", "board")
        (self.folder / "line").unlink(missing_ok=True)

    def close(self):
        """Throw it away."""
        if self._qemu is not None:
            self.cut()
        (self.folder / "disk").unlink()

    def _ssh(self, *words, **options):
        options = {
            "check": False,
            "capture_output": True,
            "text": True,
            "timeout": PATIENCE,
        } | options
        options |= {} if "input" in options else {"stdin": subprocess.DEVNULL}
        command = ["ssh", "-F", str(self.ssh_config), *words]
        return subprocess.run(command, **options)  # noqa: PLW1510  (it is among the options)

    def run(self, command, *, check=True, user="root", **options):
        """Run a shell's command in it."""
        host = "board" if user == "root" else "pi"
        return self._ssh(host, command, check=check, **options)

    def deploy(self, verb, *words, folder, check=True):
        """Run `deploy VERB pi` on this machine, in a user's folder."""
        command = [sys.executable, "-m", "deploy", verb, "pi", "-F", self.ssh_config, *words]
        done = subprocess.run(
            list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=2 * PATIENCE,
        )  # fmt: skip
        print(done.stdout, done.stderr)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def until(self, what, *, patience=PATIENCE):
        """Wait until something is so."""
        return self._until(what, patience=patience, every=0.2)

    def high(self):
        """Return the lines that are high now."""
        rows = self.run(f"cd {CHIP}; grep -l 1 sim_gpio*/value || true").stdout.split()
        return {int(row.removeprefix("sim_gpio").partition("/")[0]) for row in rows}

    def wait(self, *lines):
        """Wait until these lines are high, and no others."""

        def so():
            return self.high() == set(lines)

        so.__name__ = f"high: {lines}"
        self.until(so)

    def press(self, line, *, down):
        """Press the button at a line, which connects it to ground; or let go of it."""
        self.run(f"echo pull-{'down' if down else 'up'} > {CHIP}/sim_gpio{line}/pull")

    def show(self, name):
        """Return a property of our service."""
        return self.run(f"systemctl show --property {name} --value handwave").stdout.strip()

    @property
    def journal(self):
        """What the service has said since the board was booted."""
        return self.run("journalctl -u handwave -o cat --no-pager").stdout

    @property
    def status(self):
        """What the service says of itself."""
        return json.loads(self.run("cat /run/handwave/status.json").stdout)

    def send(self, folder, to):
        """Copy a folder into it."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(folder, ".")
        command = f"mkdir -p {to} && tar -x --no-same-owner -C {to}"
        self.run(command, input=packed.getvalue(), text=False)


@pytest.fixture(scope="session")
def made():
    """Make the machine's parts, or find those made before; return their folder."""
    command = [sys.executable, str(HERE / "machine.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def board(made, new_pi, tmp_path_factory):
    """Boot a virtual Pi 4 as it comes from its card."""
    board = Board(made, tmp_path_factory.mktemp("board"), new_pi.until)
    try:
        board.boot()
        yield board
    finally:
        board.close()


LINKS = """
import os, pathlib
few = sorted(pathlib.Path("/rig/few").iterdir())
os.mkdir("/rig/palm")
for number in range(8000):
    os.link(few[number % len(few)], f"/rig/palm/{number:05}.png")
"""
TOML = """
source = "/rig/palm"
[button]
pin = 26
[when.palm]
led = 17
[when.fist]
buzzer = 22
"""


@pytest.fixture(scope="session")
def project(board, model, shown, tmp_path_factory):
    """Return a user's folder; what is to be seen lies in the board, which has no camera."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(model, folder)
    (folder / "edge.toml").write_text(TOML)
    board.send(shown(folder / "palm", "palm"), "/rig/few")
    board.run("python3 -", input=LINKS)
    return folder
