"""A push that dies at any point: the host has the old release or the new one, whole.

`deploy.remote.push` runs here in a process of its own which kills itself at its first, second,
third ... act on the world (Python's own audit events tell of them), until it gets to its end. Then
the power comes back, without what lay in memory, or only the next push comes. What systemd would do
is played by a few lines; the real one has its turn in tests/rig.
"""

import io
import os
import resource
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.bundle import Bundle
from deploy.remote import push as remote

ACTS = (
    "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.symlink", "os.truncate", "fcntl.flock",
    "shutil.rmtree", "shutil.copyfile", "systemctl",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR
CODE = {f"edge/{name}.py": name.encode() for name in ("__init__", "cli", "frame")}
OLD, NEW, BAD = (
    Bundle({**CODE, "edge.toml": b"", "model.onnx": content})
    for content in (b"old", b"new", b"bad")
)
LIMIT = 100_000
STEPS = ["upload", "verify", "check", "restart", "activate"]


@dataclass
class Machine:
    """A host of two folders and a note of what its service runs."""

    folder: Path

    @property
    def place(self):
        trial = str(self.folder / "trial")
        return remote.Place(str(self.folder / "root"), "x.service", "x-check.service", trial)

    @property
    def runs(self):
        return (self.folder / "runs").read_text()

    def systemctl(self, verb, unit, _seconds):
        """Play systemd: `restart` runs what the unit would start, if that gets ready."""
        sys.audit("systemctl")
        if unit == "x-check.service":
            return ""
        named = remote._trial(self.place) or self.place.current
        model = self.place.releases / str(named) / "model.onnx"
        ready = verb == "restart" and model.is_file() and model.read_bytes() != b"bad"
        (self.folder / "runs").write_text(named if ready else "nothing")
        return "" if ready or verb == "stop" else "Job for x.service failed"

    def boot(self):
        """Cut the power, and let it come back: what lay in memory is gone."""
        shutil.rmtree(self.folder / "trial")
        (self.folder / "trial").mkdir()
        self.systemctl("restart", "x.service", 0)

    def push(self, bundle, *, dies_at=None):
        """Push in a process of its own, which may die; return its exit status."""
        child = os.fork()
        if child == 0:
            os._exit(self._push(bundle, dies_at))
        return os.waitpid(child, 0)[1]

    def _push(self, bundle, dies_at):
        try:
            if dies_at is not None:
                sys.addaudithook(_dying(dies_at))
            answer = remote.apply(
                self.place,
                STEPS,
                release=bundle.release,
                digest=bundle.digest,
                limit=LIMIT,
                who="a",
            )
        except BaseException:  # noqa: BLE001  (whatever it is, no test may go on in this process)
            return 3
        return bool(answer)


def _dying(at):
    """Return a hook that ends this process, as a cut of the power would, at its n-th act."""
    left = [at]

    def hook(event, arguments):
        if event in ACTS or (event == "open" and arguments[2] & WRITES):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    return hook


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a machine that runs the old release."""
    machine = Machine(tmp_path / "machine")
    (machine.folder / "trial").mkdir(parents=True)
    (machine.folder / "root").mkdir()
    monkeypatch.setattr(remote, "_systemctl", machine.systemctl)
    monkeypatch.setattr(remote, "_journal", lambda *_which, tries: [])
    monkeypatch.setattr(remote, "emit", lambda **_event: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    send(machine, monkeypatch, OLD)
    assert machine.push(OLD) == 0
    assert machine.runs == OLD.release
    return machine


def send(machine, monkeypatch, bundle):
    """Let the next push bring a bundle: only what is not there."""
    has = remote.known(machine.place, set(remote.read_manifest(bundle.manifest.decode()).values()))
    wanted = set(remote.read_manifest(bundle.manifest.decode()).values()) - set(has)
    stream = io.TextIOWrapper(io.BytesIO(bundle.tar(bundle.lacking(wanted))))
    monkeypatch.setattr(sys, "stdin", stream)


def deaths(machine, monkeypatch, bundle):
    """Push again and again from the same state, dying ever later; yield after each death."""
    before = machine.folder.with_name("before")
    shutil.copytree(machine.folder, before, symlinks=True)
    for at in range(1000):
        shutil.rmtree(machine.folder)
        shutil.copytree(before, machine.folder, symlinks=True)
        send(machine, monkeypatch, bundle)
        status = machine.push(bundle, dies_at=at)
        if not os.WIFSIGNALED(status):
            assert at > 25  # it did die, at every act before
            return
        yield at
    pytest.fail("it never got to its end")


def whole(machine):
    """Check what is current, byte by byte, and return it."""
    current = machine.place.current
    remote.verify(machine.place.releases / current, current)
    return current


@pytest.mark.parametrize("bundle", [NEW, BAD], ids=["good", "bad"])
def test_after_a_power_cut_at_any_point_a_whole_good_release_runs(machine, monkeypatch, bundle):
    seen = set()
    for _ in deaths(machine, monkeypatch, bundle):
        machine.boot()
        assert machine.runs == whole(machine)
        assert machine.runs != BAD.release
        seen.add(machine.runs)
    assert seen == ({OLD.release, NEW.release} if bundle is NEW else {OLD.release})


def test_mending_what_runs_leaves_it_whole_enough_to_boot_at_any_point(machine, monkeypatch):
    extra = machine.place.releases / OLD.release / "edge" / "extra.pyc"
    extra.touch()  # nobody sent it: the release counts as damaged, and is sent again
    for _ in deaths(machine, monkeypatch, OLD):
        machine.boot()
        assert machine.runs == machine.place.current == OLD.release
        assert (machine.place.releases / OLD.release / "model.onnx").read_bytes() == b"old"


@pytest.mark.parametrize("bundle", [NEW, BAD], ids=["good", "bad"])
def test_after_a_death_at_any_point_the_next_push_succeeds(machine, monkeypatch, bundle):
    for _ in deaths(machine, monkeypatch, bundle):
        send(machine, monkeypatch, NEW)
        assert machine.push(NEW) == 0
        assert machine.runs == whole(machine) == NEW.release
        assert not machine.place.incoming.exists()
        assert not machine.place.on_trial.exists()


def full_at(number):
    """Return a hook that says the disk is full at the n-th file opened for writing."""
    left = [number]

    def hook(event, arguments):
        opens = event == "open" and arguments[2] & WRITES and Path(arguments[0]).name != "runs"
        if opens or event in {"os.mkdir", "os.symlink"}:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device", str(arguments[0]))

    return hook


def test_a_disk_that_is_full_at_any_write_leaves_the_old_running(machine, monkeypatch):
    """The hook is as near as this machine comes without a disk: tests/rig has a real one."""
    before = machine.folder.with_name("before")
    shutil.copytree(machine.folder, before, symlinks=True)
    for number in range(1000):
        shutil.rmtree(machine.folder)
        shutil.copytree(before, machine.folder, symlinks=True)
        send(machine, monkeypatch, NEW)
        child = os.fork()
        if child == 0:
            sys.addaudithook(full_at(number))
            os._exit(machine._push(NEW, None))
        failed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not failed:
            assert number > 10
            return
        assert machine.runs == whole(machine) == OLD.release
        machine.boot()
        assert machine.runs == OLD.release


def test_a_disk_that_takes_no_more_bytes_leaves_the_old_running(machine, monkeypatch):
    """The kernel refuses to write further than so many bytes, in the middle of whatever file."""
    before, history = machine.folder.with_name("before"), remote.history(machine.place)
    shutil.copytree(machine.folder, before, symlinks=True)
    refused = 0
    for most in range(0, 2000, 20):
        shutil.rmtree(machine.folder)
        shutil.copytree(before, machine.folder, symlinks=True)
        send(machine, monkeypatch, NEW)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            os._exit(machine._push(NEW, None))
        if not os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            break
        refused += 1
        assert machine.runs == whole(machine) == OLD.release
        assert remote.history(machine.place) == history
    assert refused > 2
    assert machine.runs == whole(machine) == NEW.release
