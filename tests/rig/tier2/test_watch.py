"""Tier 2: what comes from the booted Debian to the laptop, over its real sshd: figures, pictures.

The service is the shipped unit, with all that it may not do; the camera is real libcamera's.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(300)]

SOCKET = "/run/handwave/live.sock"
SSHD = "etc/ssh/sshd_config.d/rig.conf"


@pytest.fixture
def start(pi, project):
    """Start a command of ours in the machine's own network; `ssh` is the one that knows its key."""
    folder = project / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {project}/ssh_config "$@"\n')
    (folder / "ssh").chmod(0o755)
    started = []

    def start(*words, **options):
        command = ["nsenter", f"--target={pi.leader}", "--net", "--", *map(str, words)]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
                env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}, **options,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def session_with_camera(machine):
    """Let programs that come over SSH find the machine's camera, as the unit's drop-in does."""
    hardware = "LD_PRELOAD=/rig/devicetree.so:/rig/dmaheap.so FAKE_PROC=/rig"
    (machine.root / SSHD).write_text(f"SetEnv {hardware}\n")
    machine.systemctl("reload", "ssh")
    yield
    (machine.root / SSHD).unlink()
    machine.systemctl("reload", "ssh")


# --- the socket


def test_the_socket_is_for_the_services_group_and_no_port_is_open(lit):
    said = lit.run("stat", "--format=%a %U %G", "/run/handwave", SOCKET).stdout.splitlines()
    assert said == ["750 handwave handwave", "660 handwave handwave"]
    ports = lit.run("ss", "--listening", "--tcp", "--udp", "--numeric", "--no-header").stdout
    assert {row.split()[4].rpartition(":")[2] for row in ports.splitlines()} == {"22"}


def test_a_killed_service_leaves_none_that_the_next_cannot_replace(lit, start, laptop):
    number = lit.pid
    lit.run("kill", "-KILL", number)
    lit._until(lambda: lit.pid not in {0, number} and lit.state == "active")
    assert start(*laptop("watch")).stdout.readline().startswith("pi: ")


# --- watch


def test_the_figures_are_live(lit, start, laptop):
    watching = start(*laptop("watch"))
    first = watching.stdout.readline()
    assert first.startswith("pi: palm; ")
    assert "frames a second; frame to pin " in first
    lit.look_at("fist")
    lit.systemctl("restart", "handwave")  # its camera reads its pictures once
    seen = [watching.stdout.readline()]
    while not seen[-1].startswith("pi: fist; "):
        seen.append(watching.stdout.readline())
        assert seen[-1], (seen, watching.stderr.read())


def test_a_stop_is_told_and_waited_out(lit, start, laptop):
    watching = start(*laptop("watch"))
    assert watching.stdout.readline().startswith("pi: palm")
    lit.systemctl("stop", "handwave")
    said = watching.stdout.readline()
    assert "does not run there" in said or "does not answer" in said
    lit.systemctl("start", "handwave")
    while not (line := watching.stdout.readline()).startswith("pi: palm"):
        assert line


def test_ctrl_c_ends_it_and_nothing_of_it_stays_there(lit, start, laptop):
    watching = start(*laptop("watch"), start_new_session=True)
    watching.stdout.readline()
    assert "python3 -I" in lit.run("ps", "-eo", "args").stdout
    os.killpg(watching.pid, signal.SIGINT)
    assert watching.wait(30) == 0
    lit._until(lambda: "python3 -I" not in lit.run("ps", "-eo", "args").stdout)


def test_somebody_who_is_not_of_the_group_sees_nothing(lit, start, laptop):
    lit.run("gpasswd", "--delete", "pi", "handwave")
    try:
        done = start(*laptop("watch"))
        out, errors = done.communicate(timeout=60)
    finally:
        lit.run("gpasswd", "--add", "pi", "handwave")
    assert (done.returncode, out) == (1, "")
    assert "usermod -aG handwave $USER" in errors


# --- pull


def test_what_it_was_unsure_about_comes_and_is_written_nowhere_there(pi, push, project, laptop):
    pi.look_at(*["palm", "fist"] * 6, each=1)  # neither: every other frame is the other
    keep = "[decide]\nenter = 0.9\n[keep]\nunsure = 5\n"
    (project / "edge.toml").write_text(f"[when.palm]\nled = 27\n{keep}")
    done = push()
    assert done.returncode == 0, done.stderr
    to = project / "pulled"

    def pulled():
        done = pi.run(*laptop("pull", "--to", to), inside=False, check=False)
        assert done.returncode == 0, done.stderr
        return list(to.rglob("*.jpg"))

    pi._until(pulled)
    (path, *_) = pulled()
    assert path.relative_to(to).parts[1].startswith("pi-2")
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
    assert [p for p in pi.written.rglob("*.jpg") if "rig" not in p.parts] == []
    assert "unsure" not in pi.run("cat", "/run/handwave/status.json").stdout


def test_where_none_are_kept_it_says_how(lit, project, laptop):
    done = lit.run(*laptop("pull"), inside=False, check=False)
    assert done.returncode == 1
    assert "unsure = 50" in done.stderr


# --- capture


@pytest.fixture
def capture(start, project, session_with_camera):
    def capture(*words):
        trainer = (sys.executable, "-m", "trainer", "capture", "palm", "--countdown", "0")
        return start(*trainer, "--source", "ssh://pi", "--data", project / "data", *words)

    return capture


def kept(project):
    return sorted(Path(project / "data").rglob("*.jpg"))


def test_the_camera_is_lent_and_given_back(lit, capture, project):
    number = lit.pid
    done = capture("-n", "5")
    out, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    assert "kept 5 pictures of 'palm'" in out
    assert "as the service has it; handwave.service is stopped until this ends" in errors
    assert len(kept(project)) == 5
    assert lit.state == "active"
    assert lit.pid != number
    lit.header.wait(17, 1)


def test_a_connection_that_is_cut_gives_it_back(lit, capture, project):
    recording = capture()
    lit._until(lambda: len(kept(project)) > 3)
    assert lit.state == "inactive"
    lit.run("pkill", "-KILL", "-u", "pi", "sshd")
    _, errors = recording.communicate(timeout=60)
    assert recording.returncode == 1
    assert errors.strip().splitlines()[-1].startswith("trainer: ssh://pi: ")
    lit.until(ActiveState="active")
    lit.header.wait(17, 1)


def test_a_laptop_that_is_killed_gives_it_back(lit, capture, project):
    recording = capture()
    lit._until(lambda: len(kept(project)) > 3)
    recording.kill()
    lit.until(ActiveState="active")
    lit.header.wait(17, 1)


def test_a_service_that_was_stopped_stays_stopped(pi, capture, project):
    done = capture("-n", "2")
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    assert "is stopped until" not in errors
    assert pi.state == "inactive"
