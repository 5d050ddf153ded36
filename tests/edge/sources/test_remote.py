"""A Pi's camera over SSH: the service lends it and has it back, however it ends.

The other side is this machine: an `ssh` that runs its last word here, and a systemctl that notes
what it was told. tests/deploy/live has the real sshd, tests/rig the real systemd.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edge.sources.remote
from edge import card
from edge.errors import SourceError
from edge.frame import Frame
from edge.sources.lending import HEADER, JPEG, PICTURE, RAW, Opened, Wanted, encoder, packed
from edge.sources.opening import open_source
from edge.sources.remote import BOOT, RemoteCamera, pack, read_frame

SSH = """
while [ $# -gt 1 ]; do shift; done
exec sh -c "$1"
"""
SYSTEMCTL = """
echo "$1" >> {folder}/said
case $1 in
    show) test ! -e {folder}/silent && printf ActiveState= && cat {folder}/state ;;
    stop) test ! -e {folder}/refuses && echo inactive > {folder}/state ;;
    restart) test ! -e {folder}/breaks && echo active > {folder}/state ;;
esac || {{ echo "Job for handwave.service failed" >&2; exit 1; }}
"""


def until(true, seconds=30.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class There:
    """The Pi as this machine plays it."""

    def __init__(self, folder):
        self.folder = folder
        self.wanted = Wanted(str(folder / "handwave"), "handwave.service", "virtual")

    @property
    def said(self):
        path = self.folder / "said"
        return (
            [word for word in path.read_text().split() if word != "show"] if path.exists() else []
        )

    @property
    def state(self):
        return (self.folder / "state").read_text().strip()

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def python(self, text='exec {python} "$@"'):
        path = self.folder / "handwave" / "venv" / "bin" / "python"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + text.format(python=sys.executable) + "\n")
        path.chmod(0o755)

    def push(self, project):
        (self.folder / "handwave" / "current").symlink_to(project.parent)


@pytest.fixture
def there(tmp_path, monkeypatch):
    there = There(tmp_path)
    (tmp_path / "bin").mkdir()
    there.program("ssh", SSH)
    there.program("systemctl", SYSTEMCTL.format(folder=tmp_path))
    there.program("sudo", 'shift; exec "$@"\n')
    there.python()
    (tmp_path / "state").write_text("active\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return there


@pytest.fixture
def open_it(there):
    cameras = []

    def open_it(**changes):
        wanted = {name: getattr(there.wanted, name) for name in ("root", "unit", "source")}
        cameras.append(RemoteCamera("ssh://pi@robot", Wanted(**wanted | changes)))
        return cameras[-1]

    yield open_it
    for camera in cameras:
        camera.close()


# --- pictures


def test_pictures_come_with_the_times_of_their_own_clock(open_it):
    with open_it() as camera:
        frames = [frame for frame, _ in zip(camera, range(4), strict=False)]
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))
    assert {frame.image.shape for frame in frames} == {(480, 640, 3)}
    assert {frame.image.dtype for frame in frames} == {np.dtype(np.uint8)}


def test_it_is_set_as_the_service_has_it(open_it, there, project, caplog):
    project.write_text("[camera]\nwhite_balance = 'daylight'\nexposure = 0.01\n")
    there.push(project)
    with open_it() as camera:
        frame = next(iter(camera))
    assert frame.image.shape == (48, 64, 3)  # the model's
    assert "64x48, white balance daylight, exposure 0.01; as the service has it" in caplog.text


def test_how_its_pictures_are_taken_travels_and_an_older_pi_says_nothing_of_it():
    taken = card.Camera(size=(64, 48), white_balance="daylight", vertical_flip=True)
    sent = msgspec.json.encode(Opened("pi", "64x48", True, taken))
    assert msgspec.json.decode(sent, type=Opened).taken == taken
    older = b'{"source": "pi", "settings": "64x48", "stopped": true}'
    assert msgspec.json.decode(older, type=Opened).taken is None


def test_the_services_own_source_is_taken(open_it, there, project, caplog):
    project.write_text("source = 'virtual:7'\n")
    there.push(project)
    open_it(source=None).close()
    assert "virtual:7, 64x48" in caplog.text


def test_before_the_first_push_it_is_there_as_well(open_it, caplog):
    open_it().close()
    assert "640x480" in caplog.text
    assert "nothing is pushed yet" in caplog.text


def test_a_slow_reader_gets_new_pictures(open_it):
    with open_it() as camera:
        frames = iter(camera)
        first = next(frames)
        time.sleep(1.0)
        next(frames)
        then = next(frames)
    assert then.time - first.time > 0.3  # a queue would have given the third frame


def test_without_pillow_there_they_come_as_they_are(monkeypatch):
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    monkeypatch.setitem(sys.modules, "PIL", None)
    sent = packed(Frame(image, 4.5), encoder())
    frame = read_frame(io.BytesIO(sent))
    assert frame.time == 4.5
    assert (frame.image == image).all()


def test_with_pillow_they_are_smaller_and_nearly_the_same(pattern):
    image = np.kron(pattern("rock"), np.ones((4, 4, 1), np.uint8))
    sent = packed(Frame(image, 4.5), encoder())
    assert len(sent) < image.nbytes / 2
    assert np.abs(read_frame(io.BytesIO(sent)).image.astype(int) - image).mean() < 6


@pytest.mark.parametrize(
    "sent",
    [
        HEADER.pack(b"HTTP", 3, 2, RAW, 0.0, 18) + bytes(18),
        HEADER.pack(PICTURE, 3, 2, 7, 0.0, 18) + bytes(18),
        HEADER.pack(PICTURE, 3, 3, RAW, 0.0, 18) + bytes(18),
        HEADER.pack(PICTURE, 0, 2, RAW, 0.0, 0),
        HEADER.pack(PICTURE, 3, 2, RAW, 0.0, 4_000_000_000),
    ],
)
def test_what_is_no_picture_is_refused(sent):
    with pytest.raises(SourceError):
        read_frame(io.BytesIO(sent))


def test_a_damaged_jpeg_is_refused():
    with pytest.raises(OSError, match="cannot identify"):
        read_frame(io.BytesIO(HEADER.pack(PICTURE, 3, 2, JPEG, 0.0, 18) + bytes(18)))


@pytest.mark.parametrize("length", [0, 5, HEADER.size, HEADER.size + 4])
def test_a_stream_that_is_cut_ends(length):
    sent = HEADER.pack(PICTURE, 3, 2, RAW, 0.0, 18) + bytes(18)
    assert read_frame(io.BytesIO(sent[:length])) is None


# --- the service


def test_the_service_lends_its_camera_and_has_it_back(open_it, there):
    with open_it() as camera:
        next(iter(camera))
        assert there.state == "inactive"
    assert there.state == "active"
    assert there.said == ["stop", "restart"]


@pytest.mark.parametrize("state", ["activating", "reloading"])
def test_a_service_that_waits_for_its_camera_runs_as_well(open_it, there, state):
    (there.folder / "state").write_text(state)
    open_it().close()
    assert there.said == ["stop", "restart"]


@pytest.mark.parametrize("state", ["inactive", "failed", ""])
def test_a_service_that_did_not_run_is_left_alone(open_it, there, state):
    (there.folder / "state").write_text(state)
    open_it().close()
    assert there.said == []


def test_closing_twice_is_fine(open_it, there):
    camera = open_it()
    camera.close()
    camera.close()
    assert there.said == ["stop", "restart"]
    assert list(camera) == []


def test_a_camera_that_fails_gives_the_service_back(open_it, there):
    with pytest.raises(SourceError, match=r"^ssh://pi@robot: nowhere: no such source"):
        open_it(source="nowhere")
    assert there.state == "active"


def test_a_source_that_ends_gives_the_service_back(open_it, there, clips):
    with open_it(source=str(clips)) as camera, pytest.raises(SourceError, match="the camera ended"):
        list(camera)
    assert there.state == "active"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_connection_that_is_cut_gives_the_service_back(open_it, there, number):
    there.program("ssh", SSH.replace("exec sh", "sh"))  # what is killed is the line alone
    camera = open_it()
    next(iter(camera))
    assert there.state == "inactive"
    os.kill(camera._ssh.pid, number)
    camera._ssh.stdin.close()
    camera._ssh.stdout.close()
    until(lambda: there.state == "active")


def test_a_laptop_that_falls_silent_gives_the_service_back(there):
    """As where the network goes away: no end of stdin is ever seen."""
    changed = (
        "import edge.sources.lending as s\ns.SILENCE = s.GRACE = 0.3\nfrom edge.sources.lending"
    )
    code = BOOT.replace("from edge.sources.lending", changed)
    sent = pack()
    words = [sys.executable, "-I", "-c", code, str(len(sent)), _json(there.wanted)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(sent)
        process.stdin.flush()
        until(lambda: there.said == ["stop", "restart"])
        process.stdout.read()
    assert there.state == "active"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_pi_that_ends_its_sessions_has_the_service_back(there, number):
    sent = pack()
    words = [sys.executable, "-I", "-c", BOOT, str(len(sent)), _json(there.wanted)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(sent)
        process.stdin.flush()
        process.stdout.read(10)
        process.send_signal(number)
        process.stdout.read()
    assert there.said == ["stop", "restart"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_process_there_that_is_killed_gives_the_service_back(open_it, there, which):
    camera = open_it()
    frames = iter(camera)
    next(frames)
    os.kill(pythons_below(camera._ssh.pid)[which], signal.SIGKILL)
    with pytest.raises(SourceError, match="the camera ended"):
        list(frames)
    until(lambda: there.state == "active")
    assert there.said == ["stop", "restart"]


def pythons_below(number):
    """Return the processes that run Python below one, parents first."""
    found = []
    for child in map(int, Path(f"/proc/{number}/task/{number}/children").read_text().split()):
        name = Path(f"/proc/{child}/comm").read_text()
        found += [child] if name.startswith("python") else []
        found += pythons_below(child)
    return found


def _json(wanted):
    return msgspec.json.encode(wanted).decode()


# --- what can be wrong


def test_a_service_that_may_not_be_stopped_is_one_line(open_it, there):
    (there.folder / "refuses").touch()
    with pytest.raises(SourceError, match=r"systemctl stop handwave.service: Job for"):
        open_it()


def test_a_service_that_nobody_knows_of_is_not_fought_with(open_it, there):
    (there.folder / "silent").touch()
    with pytest.raises(SourceError, match=r"systemctl show handwave.service: Job for"):
        open_it()
    assert there.said == []


def test_a_service_that_does_not_start_again_is_said(open_it, there, caplog):
    (there.folder / "breaks").touch()
    with open_it() as camera:
        next(iter(camera))
    assert "systemctl restart handwave.service: Job for handwave.service failed" in caplog.text


def test_a_host_without_handwave_is_one_line(open_it, there):
    with pytest.raises(SourceError, match=r"no handwave there: .*; deploy setup pi@robot$"):
        open_it(root=str(there.folder / "none"))


def test_a_host_that_lacks_a_package_is_one_line(open_it, there):
    there.python("echo \"ModuleNotFoundError: No module named 'msgspec'\" >&2; exit 1")
    with pytest.raises(SourceError, match="No module named 'msgspec'"):
        open_it()


def test_a_host_that_talks_of_other_things_is_one_line(open_it, there):
    there.python(
        'exec {python} -c "import time; print(200000 * chr(120)); print(); time.sleep(60)"'
    )
    with pytest.raises(SourceError, match="the camera ended"):
        open_it()


def test_a_shell_that_greets_is_no_trouble(open_it, there):
    there.python('echo Welcome to Pi; exec {python} "$@"')
    with open_it() as camera:
        next(iter(camera))


@pytest.mark.parametrize(
    ("says", "code", "line"),
    [
        ("Host key verification failed.", 255, "its host key is unknown to you"),
        ("@ IDENTIFICATION HAS CHANGED! @", 255, "is not the one you know"),
        ("pi@robot: Permission denied (publickey).", 255, "does not accept your key"),
        ("connect to host robot port 22: No route to host", 255, "no connection"),
    ],
)
def test_what_ssh_says_is_one_line(open_it, there, says, code, line):
    there.program("ssh", f"echo '{says}' >&2; exit {code}\n")
    with pytest.raises(SourceError, match=line):
        open_it()


def test_without_ssh_it_is_one_line(open_it, there, monkeypatch):
    monkeypatch.setenv("PATH", str(there.folder / "none"))
    with pytest.raises(SourceError, match="install the OpenSSH client"):
        open_it()


@pytest.mark.parametrize(
    "name",
    [
        "ssh://", "ssh://-oProxyCommand=x", "ssh://pi:word@host", "ssh://pi@host/x", "ssh://a b",
        "ssh://pi@host?x", "ssh://pi@host:", "ssh://pi@@host", "ssh://pi@host;x", "ssh://$(x)",
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_refused_before_anything_runs(name, monkeypatch):
    monkeypatch.setattr(
        edge.sources.remote.subprocess, "Popen", lambda *_, **__: pytest.fail("ran")
    )
    with pytest.raises(SourceError, match="say ssh://user@host"):
        open_source(name)


@pytest.mark.parametrize(
    "name", ["ssh://pi@robot.local", "ssh://robot", "ssh://pi@10.0.0.7:2222", "ssh://pi@[::1]:22"]
)
def test_names_that_ssh_knows_are_taken(there, name):
    there.program("ssh", 'echo "$@" >&2; exit 9\n')
    with pytest.raises(SourceError, match=r"^ssh://"):
        open_source(name)


def test_it_asks_nothing_and_accepts_no_unknown_host(there):
    there.program("ssh", f'echo "$@" > {there.folder}/words; exit 9\n')
    with pytest.raises(SourceError):
        RemoteCamera("ssh://pi@robot", there.wanted)
    words = (there.folder / "words").read_text()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ClearAllForwardings=yes"):
        assert option in words
    assert "-- ssh://pi@robot " in words


def test_what_is_sent_is_this_package_without_a_page():
    with zipfile.ZipFile(io.BytesIO(pack())) as archive:
        names = archive.namelist()
    assert {"edge/__init__.py", "edge/sources/lending.py", "edge/outputs/kind.py"} <= set(names)
    assert all(name.startswith("edge/") and name.endswith(".py") for name in names)


def test_files_dated_before_zips_were_are_sent_as_well(monkeypatch, tmp_path):
    module = tmp_path / "edge" / "__init__.py"
    module.parent.mkdir()
    module.touch()
    os.utime(module, (0, 0))  # as in images that are built alike each time
    monkeypatch.setattr(edge, "__file__", str(module))
    with zipfile.ZipFile(io.BytesIO(pack())) as archive:
        assert archive.namelist() == ["edge/__init__.py"]
