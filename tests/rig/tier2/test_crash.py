"""Tier 2: pushes that are cut at each step, for real: the laptop, the connection, the power.

What happens between two steps is enumerated in tests/deploy/remote/test_crash.py.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import deploy
import edge
from deploy.remote import push as remote

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(300)]

CUTS = int(os.environ.get("CUTS", "4"))
"""How many pushes are cut at a random moment; more by hand."""
SLOW = """
import os, socket, sys, threading, time

def carry(read, write):  # 150 ms each way, a few kilobytes at a time, and now and then a hiccup
    count = 0
    while data := read(4096):
        time.sleep(0.15 if count % 20 else 1.0)
        count += 1
        write(data)

sock = socket.create_connection(("127.0.0.1", 22))
up = lambda size: os.read(0, size)
threading.Thread(target=carry, args=(up, sock.sendall), daemon=True).start()
carry(sock.recv, lambda data: os.write(1, data))
"""


@pytest.fixture
def old(pi, push):
    """Let the machine run a pushed release; return its name."""
    done = push()
    assert done.returncode == 0, done.stderr
    pi.header.wait(27, 1)
    return current(pi)


def current(pi):
    """Return the release that is current, after a look at every byte of it."""
    folder = pi.root / "opt/handwave"
    name = (folder / "current").readlink().name
    remote.verify(folder / "releases" / name, name)
    return name


@pytest.fixture
def begin(pi, project, laptop):
    """Return a function that starts the push of something new, and waits for one of its steps."""
    running = []

    def start(step=None, pin=23, environment=None, cwd=None):
        new = f"# {project.name} {len(running)}\n[when.palm]\nled = {pin}\n"  # nowhere there yet
        (project / "edge.toml").write_text(new)
        words = ["nsenter", f"--target={pi.leader}", "--net", "--", *laptop("push")]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env=os.environ | (environment or {}), cwd=cwd,
        )  # fmt: skip
        running.append(process)
        if step:
            assert any(f"pi: {step}: " in line for line in process.stdout), "it never got there"
        return process

    yield start
    for process in running:
        kill(process)


def kill(process):
    """Kill the laptop's side: deploy and its ssh, which is in a session of its own."""
    ours = connections(process)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for pid in ours:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def connections(process):
    """Return the ssh of a push: those in its network; other people's are not ours to kill."""
    found = []
    with suppress(OSError):  # it has ended, and closed them
        network = Path(f"/proc/{process.pid}/ns/net").readlink()
        if network == Path("/proc/self/ns/net").readlink():
            return []  # it has hardly begun
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command, inside = (folder / "cmdline").read_bytes(), folder / "ns" / "net"
                if b"ControlPath=/tmp/handwave-" in command and inside.readlink() == network:
                    found.append(int(folder.name))
    return found


def settled(pi):
    """Wait until no push is under way there."""
    lock = pi.root / "opt/handwave/lock"
    give_up = time.monotonic() + 100
    while pi.run("flock", "--nonblock", "/opt/handwave/lock", "true", check=False).returncode:
        assert time.monotonic() < give_up, lock.read_text()
        time.sleep(0.1)


STEPS = ["upload", "verify", "check", "restart", "activate"]


@pytest.mark.parametrize("step", STEPS)
def test_the_laptop_is_killed(pi, old, begin, push, step):
    kill(begin(step))
    settled(pi)
    pi.until(ActiveState="active")
    pi.header.wait(23 if current(pi) != old else 27, 1)
    done = push()
    assert done.returncode == 0, done.stderr
    pi.header.wait(23, 1)


@pytest.mark.parametrize("step", STEPS)
def test_the_connection_is_cut(pi, old, begin, push, step):
    process = begin(step)
    pi.run("pkill", "-KILL", "-u", "pi", "-f", "sshd", check=False)
    process.wait(60)
    assert process.returncode in {0, 1}  # it may have been done just before
    settled(pi)
    pi.until(ActiveState="active")
    pi.header.wait(23 if current(pi) != old else 27, 1)
    done = push()
    assert done.returncode == 0, done.stderr
    pi.header.wait(23, 1)


@pytest.mark.parametrize("step", STEPS)
def test_the_power_is_cut(pi, old, begin, push, step):
    process = begin(step)
    pi.cut()
    kill(process)
    pi.header.power_up()
    pi.boot()
    pi.until(ActiveState="active")
    pi.header.wait(23 if current(pi) != old else 27, 1)
    done = push()
    assert done.returncode == 0, done.stderr
    pi.header.wait(23, 1)


def test_power_or_connection_or_laptop_end_at_random_moments(pi, old, begin, push, laptop):
    chance = random.Random(20261126)  # the same moments every time
    for number in range(CUTS):
        before = current(pi)
        process = begin(pin=(23, 24)[number % 2])
        time.sleep(chance.uniform(0, 4))
        way = chance.choice(["laptop", "connection", "power"])
        print(number, way)
        if way == "power":
            pi.cut()
            kill(process)
            pi.header.power_up()
            pi.boot()
        elif way == "connection":
            pi.run("pkill", "-KILL", "-u", "pi", "-f", "sshd", check=False)
        kill(process)
        settled(pi)
        pi.until(ActiveState="active")
        runs = current(pi)
        told = json.loads(pi.run(*laptop("status", "--json"), inside=False, check=False).stdout)
        assert [(one["release"], one["trial"]) for one in told["hosts"]] == [(runs, None)]
        assert told["well"], told
        done = push()
        assert done.returncode == 0, (before, done.stderr)
        pi.header.wait((23, 24)[number % 2], 1)


def test_a_release_that_crashes_at_its_first_frame_is_taken_back(pi, old, push, tmp_path):
    done = push(**crashing(tmp_path / "code"))
    assert done.returncode == 1
    assert "did not get ready" in done.stderr
    assert f"went back to {old}, which runs again" in done.stderr
    assert "pi: journal: " in done.stdout
    pi.header.wait(27, 1)
    assert current(pi) == old


def test_a_crashing_release_whose_push_was_killed_does_not_stay(pi, old, begin, tmp_path):
    process = begin("restart", **crashing(tmp_path / "code"))
    pi.run("pkill", "-KILL", "-u", "pi", "python3")
    process.wait(60)
    settled(pi)
    pi.header.wait(27, 1)
    pi.until(ActiveState="active")
    assert current(pi) == old
    assert not (pi.root / "run/handwave-trial/service.env").exists()


def crashing(code):
    """Return how to push an edge that passes its check, and ends with its first frame.

    Only the service has anybody to tell that it is ready.
    """
    for package in (edge, deploy):
        shutil.copytree(package.__path__[0], code / package.__name__)
    path = code / "edge" / "classifier.py"
    head, begins, rest = path.read_text().partition("    def predict(")
    signature, colon, body = rest.partition(":\n")
    assert begins
    crash = "        import os\n        if 'NOTIFY_SOCKET' in os.environ:\n            os.abort()\n"
    path.write_text(head + begins + signature + colon + crash + body)
    return {"environment": {"PYTHONPATH": str(code)}, "cwd": code}


def test_a_model_that_spoils_on_the_card_gives_way_to_what_ran_before(pi, old, push, project):
    (project / "edge.toml").write_text("[when.palm]\nled = 23\n")
    assert push().returncode == 0
    pi.header.wait(23, 1)
    newer = current(pi)
    model = pi.root / f"opt/handwave/releases/{newer}/model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    pi.systemctl("restart", "handwave")
    pi.header.wait(27, 1)  # the lamp of what ran before
    done = push()
    assert done.returncode == 0, done.stderr
    pi.header.wait(23, 1)
    assert current(pi) == newer


def test_a_disk_that_is_full_leaves_what_runs_and_is_no_trouble_later(pi, old, push, project):
    releases = "/opt/handwave/releases"
    pi.run("cp", "-a", releases, "/opt/held")
    pi.run("mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", releases)
    try:
        pi.run("cp", "-a", f"/opt/held/{old}", releases)
        pi.run("chown", "pi:", releases)
        noise = np.random.default_rng(0).bytes(4_000_000)
        (project / "noise.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + noise)
        (project / "edge.toml").write_text('[when.palm]\nled = 23\nsound = "noise.wav"\n')
        done = push()
        assert done.returncode == 1
        full = f"upload: {releases}: its disk is full (0 MB are free); make room"
        assert f"{full}; it still runs {old}" in done.stderr
        assert pi.state == "active"
        assert pi.run("ls", "-A", releases).stdout.split() == [old]
        (project / "edge.toml").write_text("[when.palm]\nled = 23\n")
        done = push()
        assert done.returncode == 0, done.stderr
        pi.header.wait(23, 1)
    finally:
        pi.systemctl("stop", "handwave")
        pi.run("umount", releases)
        pi.run("rm", "-rf", "/opt/held", "/opt/handwave/current")


def test_a_slow_and_bad_line_takes_its_time_and_gets_there(pi, old, push, project):
    (project / "slow.py").write_text(SLOW)
    text = (project / "ssh_config").read_text()
    proxy = f" ProxyCommand {sys.executable} {project}/slow.py\n"
    (project / "ssh_config").write_text(text + proxy)
    (project / "edge.toml").write_text("[when.palm]\nled = 23\n")
    done = push()
    assert done.returncode == 0, done.stderr
    pi.header.wait(23, 1)
