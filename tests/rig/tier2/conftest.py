"""Tier 2: a Debian of its own, booted, with our service in it, a camera and a header.

`tree.py` makes the Debian. Here it is booted by systemd-nspawn, with a network of its own that
leads nowhere, above an overlay: whatever is written in there is in a folder that is thrown away.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

import edge
from deploy import Target, make_bundle
from deploy.units import check_unit, service_unit

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CANNOT = 3  # how tree.py says that this machine cannot have one
FAKES = ("gpiochip", "devicetree", "dmaheap")
VIRTUAL_CAMERA = "usr/share/libcamera/pipeline/virtual/virtual.yaml"
CAMERA = """
"Virtual0":
  supported_formats:
    - width: 160
      height: 120
      frame_rates:
        - 30
        - 30
  frames:
    path: "/rig/shown"
  location: "CameraLocationFront"
  model: "a camera of the rig"
"""

# What makes this machine's hardware, and nothing that the service itself is judged by. The times
# are shorter: a test that waits for a watchdog waits long enough.
HARDWARE = (
    f"LD_PRELOAD={':'.join(f'/rig/{name}.so' for name in FAKES)}",
    "FAKE_GPIO=/rig/pins",
    "FAKE_PROC=/rig",
)
DROP_IN = f"""
[Service]
Environment={" ".join(HARDWARE)}
ReadWritePaths=/rig
TimeoutStartSec=20
WatchdogSec=5
"""

SSH_CONFIG = """
Host pi
 HostName 127.0.0.1
 User pi
 IdentityFile {folder}/key
 IdentitiesOnly yes
 IdentityAgent none
 UserKnownHostsFile {folder}/known_hosts
 GlobalKnownHostsFile none
 {more}
"""

TOML = """
[when.palm]
led = 17
[when.fist]
buzzer = 22
"""


class Machine:
    """The virtual Pi.

    Attributes:
        root: its file system, as seen from here.
        written: all that was written in there since it was made.
        header: its pins.
    """

    def __init__(self, tree, folder, fakes, new_pi):
        self.folder, self.root, self.written = folder, folder / "root", folder / "written"
        self.share = folder / "rig"  # /rig in there
        self._until = new_pi.until
        for path in (self.root, self.written, folder / "work", self.share / "shown"):
            path.mkdir(parents=True)
        layers = f"lowerdir={tree},upperdir={self.written},workdir={folder}/work"
        subprocess.run(["mount", "-t", "overlay", "rig", "-o", layers, str(self.root)], check=True)
        new_pi.device_tree(self.share)
        for name in FAKES:
            shutil.copy(fakes / f"{name}.so", self.share)
        self.header = new_pi.header(self.share / "pins")
        for path in (self.header.path, self.header.log):  # as udev does with a real chip
            shutil.chown(path, group=self.id_of("group", "gpio"))
            path.chmod(0o660)
        self._nspawn = None
        self.leader = 0  # its systemd, as a process of this machine

    def id_of(self, table, name):
        """Return the number of a user (table `passwd`) or group of the machine."""
        for row in (self.root / "etc" / table).read_text().splitlines():
            if row.startswith(f"{name}:"):
                return int(row.split(":")[2])
        raise KeyError(name)

    def boot(self):
        """Give it power; return once its systemd has started all it starts."""
        words = [
            "systemd-nspawn", "--quiet", "--boot", "--private-network", f"--directory={self.root}",
            f"--bind={self.share}:/rig", f"--machine=handwave-rig-{os.getpid()}",
            "--kill-signal=SIGRTMIN+3", "--console=pipe", "--resolv-conf=off", "--timezone=off",
            "--link-journal=no",
        ]  # fmt: skip
        if not Path("/run/systemd/system").is_dir():  # nobody here whom one could register with
            words += ["--register=no", "--keep-unit"]
        with (self.folder / "console").open("ab") as console:
            self._nspawn = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self._until(self._has_leader)
        self._until(self._is_up)

    def _has_leader(self):
        assert self._nspawn.poll() is None, (self.folder / "console").read_text()
        tasks = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text()
        for number in tasks.split():
            with suppress(OSError):
                if Path(f"/proc/{number}/comm").read_text() == "systemd\n":
                    self.leader = int(number)
                    return True
        return False

    def _is_up(self):
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in {"running", "degraded"}

    def cut(self):
        """Cut its power: with the first process of a machine, the kernel kills all of it."""
        with suppress(ProcessLookupError):
            os.kill(self.leader, signal.SIGKILL)
        self._nspawn.wait()
        self._nspawn = None

    def close(self):
        """Throw it away."""
        if self._nspawn is not None:
            self._nspawn.send_signal(signal.SIGTERM)
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self.cut()
        subprocess.run(["umount", "--lazy", str(self.root)], check=True)

    def run(self, *words, inside=True, check=True, **options):
        """Run a program in it; with `inside=False` one of ours, in its network."""
        options = {"capture_output": True, "text": True, "timeout": 100} | options
        where = "--all" if inside else "--net"
        command = ["nsenter", f"--target={self.leader}", where, "--", *map(str, words)]
        return subprocess.run(command, check=check, stdin=subprocess.DEVNULL, **options)

    def start(self, *words):
        """Start a program in it that sees the header; it should end when its stdin does."""
        variables = ("env", *HARDWARE, "GPIOZERO_PIN_FACTORY=lgpio")
        command = ["nsenter", f"--target={self.leader}", "--all", "--", *variables, *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def systemctl(self, *words, **options):
        """Run systemctl in it."""
        return self.run("systemctl", *words, **options).stdout.strip()

    def show(self, name):
        """Return a property of our service."""
        return self.systemctl("show", "--property", name, "--value", "handwave")

    @property
    def state(self):
        """The service's state: activating, active, and so on."""
        return self.show("ActiveState")

    @property
    def pid(self):
        """The service's process, as the machine numbers it."""
        return int(self.show("MainPID"))

    @property
    def restarts(self):
        """How often systemd has restarted the service by itself."""
        return int(self.show("NRestarts"))

    @property
    def journal(self):
        """What the service has said since the machine was booted."""
        return self.run("journalctl", "-u", "handwave", "-o", "cat", "--no-pager").stdout

    def says(self, words, since=""):
        """Wait until the journal has these words after what it said before."""

        def said():
            return words in self.journal.removeprefix(since)

        said.__name__ = f"the journal says {words!r}"
        self._until(said)

    def until(self, **properties):
        """Wait until the service has these properties."""

        def so():
            return all(self.show(name) == value for name, value in properties.items())

        so.__name__ = str(properties)
        self._until(so)

    def plug_in(self):
        """Connect the camera."""
        path = self.root / VIRTUAL_CAMERA
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CAMERA)

    def unplug(self):
        """Take the camera away from programs that start from now on."""
        (self.root / VIRTUAL_CAMERA).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def tree():
    """Make the Debian tree, or find the one made before; return its folder."""
    command = [sys.executable, str(HERE / "tree.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def machine(tree, fakes, new_pi, tmp_path_factory):
    """Boot a virtual Pi that is set up as docs/deploying.md says, with no release yet."""
    machine = Machine(tree, tmp_path_factory.mktemp("machine"), fakes, new_pi)
    try:
        units = machine.root / "etc/systemd/system"
        (units / "handwave.service").write_text(service_unit(Target()))
        (units / "handwave-check.service").write_text(check_unit(Target()))
        (units / "handwave.service.d").mkdir()
        (units / "handwave.service.d" / "rig.conf").write_text(DROP_IN)
        machine.boot()
        machine.systemctl("enable", "handwave")
        yield machine
    finally:
        machine.close()


@pytest.fixture
def new_machine(fakes, new_pi, tmp_path_factory):
    """Return what makes a machine of a tree, with the hardware of the rig and nothing else."""
    made = []

    def make(tree):
        machine = Machine(tree, tmp_path_factory.mktemp("machine"), fakes, new_pi)
        made.append(machine)
        drop_in = machine.root / "etc/systemd/system/handwave.service.d/rig.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(DROP_IN)
        return machine

    yield make
    for machine in made:
        machine.close()


@pytest.fixture
def release(machine, model, tmp_path):
    """Put a release into the machine, as a push would; return its folder as seen from here."""
    (tmp_path / "edge.toml").write_text(TOML)
    shutil.copy(model, tmp_path)
    bundle = make_bundle(tmp_path / "edge.toml", Path(edge.__path__[0]))
    home = machine.root / "opt/handwave"
    folder = home / "releases" / bundle.release
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(bundle.tar())) as tar:
        tar.extractall(folder, filter="data")
    (home / "current").unlink(missing_ok=True)
    (home / "current").symlink_to(f"releases/{bundle.release}")
    machine.run("chown", "-R", "-h", "pi:", "/opt/handwave")
    return folder


@pytest.fixture
def pi(machine, release, shown):
    """Return the machine, its service stopped, pins as at power-on, the camera seeing a palm."""

    def look_at(*labels, **options):
        shutil.rmtree(machine.share / "shown")
        shown(machine.share / "shown", *labels, suffix="jpg", **options)

    machine.look_at = look_at
    machine.systemctl("stop", "handwave")
    machine.systemctl("reset-failed", "handwave", check=False)
    machine.header.power_up()
    machine.plug_in()
    machine.look_at("palm")
    machine.before = machine.journal
    yield machine
    print(machine.systemctl("status", "handwave", check=False))  # shown if the test fails
    print(machine.journal.removeprefix(machine.before))
    machine.systemctl("stop", "handwave")


@pytest.fixture
def lit(pi):
    """Return the machine with its service watching a palm."""
    pi.systemctl("start", "handwave")
    pi.header.wait(17, 1)
    return pi


@pytest.fixture
def project(pi, model, tmp_path):
    """Return a user's folder on the laptop, whose key the machine's user `pi` accepts."""
    shutil.copy(model, tmp_path)
    (tmp_path / "edge.toml").write_text("[when.palm]\nled = 27\n")
    make_key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    pi.run(*make_key, inside=False)
    home = pi.root / "home/pi/.ssh"
    home.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(tmp_path / "key.pub", home / "authorized_keys")
    user = pi.id_of("passwd", "pi")
    for path in (home, home / "authorized_keys"):
        shutil.chown(path, user, user)
    host_key = (pi.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"127.0.0.1 {host_key}")
    (tmp_path / "ssh_config").write_text(SSH_CONFIG.format(folder=tmp_path, more=""))
    return tmp_path


@pytest.fixture
def laptop(pi, project):
    """Return the words that run `deploy COMMAND` in the machine's own network."""

    def words(command, *more):
        deploy = [sys.executable, "-u", "-m", "deploy", command, "pi", *more]
        if command == "push":
            deploy += ["--config", project / "edge.toml"]
        return [*map(str, deploy), "-F", str(project / "ssh_config")]

    return words


@pytest.fixture
def push(pi, laptop):
    """Return `deploy push pi`, run to its end."""

    def run(*words, environment=None, **options):
        options["env"] = os.environ | (environment or {})
        return pi.run(*laptop("push", *words), inside=False, check=False, **options)

    return run
