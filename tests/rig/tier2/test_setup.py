"""Tier 2: `deploy setup` and `deploy remove` on a Pi as it comes from its card.

The machine has no network. Most tests give its apt and pip archives of its own, as a Pi has the
internet; those of `--offline` leave it with lists of a far archive that it cannot reach.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
CANNOT = 3
NEAR = "deb [trusted=yes] file:/opt/debian ./\ndeb [trusted=yes] file:/opt/pi ./\n"
SSH_CONFIG = """
Host pi
 HostName 127.0.0.1
 User pi
 ProxyCommand nsenter --net --target={leader} -- {python} {folder}/plug.py
 IdentityFile {folder}/key
 IdentitiesOnly yes
 IdentityAgent none
 UserKnownHostsFile {folder}/known_hosts
 GlobalKnownHostsFile none
"""
PLUG = """
import os, socket, sys, threading
sock = socket.create_connection(("127.0.0.1", 22))
def send():
    while data := os.read(0, 65536):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := sock.recv(65536):
    os.write(1, data)
"""
VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/log", "/var/lib/systemd", "/rig")
"""What a machine writes by running."""
APT = ("/var/lib/apt", "/var/cache/apt", "/var/lib/dpkg", "/var/cache/debconf")


@pytest.fixture(scope="session")
def fresh_tree():
    return made()


def made(*words):
    """Return the tree that fresh.py makes."""
    command = [sys.executable, str(HERE / "fresh.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture
def start(new_machine, tmp_path):
    """Return what boots a tree, with the rig's hardware, and logs in to it."""

    def start(tree):
        machine = new_machine(tree)
        machine.boot()
        machine.plug_in()
        log_in(machine, tmp_path)
        return machine

    return start


@pytest.fixture
def fresh(fresh_tree, start):
    """Boot a Pi as it comes from its card."""
    return start(fresh_tree)


def log_in(machine, folder):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True
    )
    home = machine.root / "home/pi/.ssh"
    home.mkdir(mode=0o700)
    shutil.copy(folder / "key.pub", home / "authorized_keys")
    user = machine.id_of("passwd", "pi")
    for path in (home, home / "authorized_keys"):
        os.chown(path, user, user)
    host_key = (machine.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    (folder / "known_hosts").write_text(f"127.0.0.1 {host_key}")
    machine.run("su", "-", "pi", "-c", "sudo true")  # leaves a mark at home, the first time
    (folder / "plug.py").write_text(PLUG)
    find(machine, folder)


def find(machine, folder):
    """Let ssh know where the machine is since its last boot."""
    config = SSH_CONFIG.format(leader=machine.leader, python=sys.executable, folder=folder)
    (folder / "ssh_config").write_text(config)


@pytest.fixture
def online(fresh):
    """Return the machine with archives it can reach, and no lists of them yet."""
    shutil.rmtree(fresh.root / "var/lib/apt/lists")
    (fresh.root / "var/lib/apt/lists").mkdir()
    (fresh.root / "etc/apt/sources.list").write_text(NEAR)
    (fresh.root / "etc/apt/sources.list.d/pi.list").unlink()
    return fresh


@pytest.fixture
def project(model, tmp_path):
    shutil.copy(model, tmp_path)
    (tmp_path / "edge.toml").write_text("[when.palm]\nled = 27\n")
    return tmp_path


@pytest.fixture
def deploy(tmp_path):
    """Return `deploy VERB pi`, run on this machine in the user's folder."""

    def run(verb, *words, start=subprocess.run, **how):
        command = [sys.executable, "-u", "-m", "deploy", verb, "pi", "-F", tmp_path / "ssh_config"]
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        return start(
            [*map(str, command), *words], cwd=tmp_path, text=True, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how,
        )  # fmt: skip

    return run


def everything(machine):
    """Return every path of the machine but those that it writes by running."""
    start = len(str(machine.root))
    left_out = tuple(str(machine.root) + path for path in VOLATILE)
    found = set()
    for folder, folders, names in os.walk(machine.root):
        folders[:] = [name for name in folders if f"{folder}/{name}" not in left_out]
        found |= {f"{folder}/{name}"[start:] for name in (*folders, *names)}
    return found


def accounts(machine):
    """Return who there is, in which groups."""
    return [machine.run("getent", table).stdout for table in ("passwd", "group")]


def said(done):
    """Return the lines a command said, but for notes."""
    return [line for line in done.stdout.splitlines() if ": note: " not in line]


def test_from_the_card_to_a_lit_led_in_one_command_and_back(online, deploy, project, shown):
    shutil.rmtree(online.share / "shown")
    shown(online.share / "shown", "palm", suffix="jpg")
    before, people = everything(online), accounts(online)

    done = deploy("setup", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert everything(online) == before

    done = deploy("setup")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    online.header.wait(27, 1)
    assert online.state == "active"

    done = deploy("setup", "--no-push")
    assert done.returncode == 0, done.stderr
    assert said(done) == ["pi: nothing to do: it is set up"]

    done = deploy("remove")
    assert (done.returncode, online.state) == (1, "active")
    assert "--yes" in done.stderr
    done = deploy("remove", "--yes")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert accounts(online) == people
    purge = done.stdout.partition("ssh -t pi '")[2].partition("'")[0].split()
    online.run(*purge, "--yes", "--quiet")
    assert without_apt(everything(online) - before) == set()
    assert without_apt(before - everything(online)) == set()

    done = deploy("remove", "--yes")
    assert said(done) == ["pi: nothing to do: `deploy setup` has made nothing there"]


def without_apt(paths):
    """Leave out what apt keeps for itself, and what a login or a boot writes."""
    return {path for path in paths if not path.startswith(APT)}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("what", "step"),
    [("power", "packages"), ("power", "venv"), ("power", "python"), ("laptop", "packages")],
)
def test_a_set_up_that_was_cut_goes_on_with_the_next(online, deploy, tmp_path, what, step):
    begun = deploy("setup", "--no-push", start=subprocess.Popen, process_group=0)
    while f"pi: {step}: " not in begun.stdout.readline():
        assert begun.poll() is None
    time.sleep(1.0)
    if what == "power":
        online.cut()
        online.boot()
        online.plug_in()
        find(online, tmp_path)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()

    done = deploy("setup", "--no-push")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    seen = "import gpiozero, numpy, onnxruntime"
    online.run("/opt/handwave/venv/bin/python", "-c", seen)
    assert online.run("dpkg", "--audit").stdout == ""
    done = deploy("setup", "--no-push")
    assert said(done) == ["pi: nothing to do: it is set up"]


def test_without_the_internet_the_laptop_carries_everything(fresh, deploy, project, shown):
    (fresh.root / "etc/pip.conf").unlink()
    shutil.rmtree(fresh.root / "opt/wheels")
    shutil.rmtree(fresh.root / "opt/debian")
    shutil.rmtree(fresh.share / "shown")
    shown(fresh.share / "shown", "palm", suffix="jpg")

    done = deploy("setup", "--offline")
    assert done.returncode == 1
    assert "apt's packages are missing there: python3-venv python3-numpy" in done.stderr
    assert "--carry-debs" in done.stderr
    assert not (fresh.root / "opt/handwave").exists()

    done = deploy("setup", "--offline", "--carry-debs")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    fresh.header.wait(27, 1)
    for name in (".wheels", ".debs"):
        assert not (fresh.root / "opt/handwave" / name).exists()
    held = (fresh.root / "opt/handwave/venv/constraints.txt").read_text()
    numpy = fresh.run("python3", "-c", "import numpy; print(numpy.__version__)").stdout
    assert held == f"numpy=={numpy}"

    done = deploy("setup", "--offline", "--no-push")
    assert said(done) == ["pi: nothing to do: it is set up"]


def test_debian_12_is_set_up_with_its_own_python_and_numpy(start, deploy, project):
    """Its Python is that of Raspberry Pi OS Bookworm; it has neither picamera2 nor libcamera."""
    machine = start(made("bookworm"))
    (project / "edge.toml").write_text('source = "virtual"\n[when.palm]\nled = 27\n')
    done = deploy("setup", "--offline", "--carry-debs")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    versions = "import sys, numpy; print(*sys.version_info[:2], numpy.__version__)"
    found = machine.run("/opt/handwave/venv/bin/python", "-c", versions).stdout
    assert found.startswith("3 11 1.24.")
    assert json.loads(deploy("status", "--json").stdout)["well"]
    assert said(deploy("push"))[-1].startswith("pi: nothing to do")

    done = deploy("remove", "--yes")
    assert done.returncode == 0, done.stderr
    assert not (machine.root / "opt/handwave").exists()


def test_without_the_internet_and_without_lists_it_says_what_is_missing(online, deploy, project):
    done = deploy("setup", "--offline", "--carry-debs", "--no-push")
    assert done.returncode == 1
    assert "apt has no lists there" in done.stderr
    assert not (online.root / "opt/handwave").exists()


def test_all_that_is_wrong_is_said_before_anything_is_changed(fresh, deploy, project):
    (fresh.root / "etc/sudoers.d/010_pi-nopasswd").unlink()
    done = deploy("setup")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "sudo asks pi for a password" in done.stderr
    assert not (fresh.root / "opt/handwave").exists()
