"""What runs on the host, here as plain functions on folders."""

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from types import SimpleNamespace

import pytest

from deploy import Facts
from deploy.bundle import Bundle
from deploy.remote import push as remote
from deploy.ssh import REMOTE, boot

BUNDLE = Bundle({"edge/__init__.py": b"", "edge.toml": b"x = 1", "model.onnx": b"weights"})
LIMIT = 10_000


def tar_of(*members):
    """Return a tar of (name, content, type) as a stream."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


@pytest.fixture
def place(tmp_path):
    """Return a host's folders."""
    trial = tmp_path / "trial"
    trial.mkdir()
    root = tmp_path / "handwave"
    (root / "releases").mkdir(parents=True)
    return remote.Place(str(root), "handwave.service", "handwave-check.service", str(trial))


@pytest.fixture
def incoming(place):
    """Return an upload of the bundle."""
    place.incoming.mkdir()
    remote.unpack(io.BytesIO(BUNDLE.tar()), place.incoming, LIMIT)
    return place.incoming


def job(place, release, *, before=None, incoming=False, goes_back=False):
    return remote.Job(
        place, release=release, digest=BUNDLE.digest, limit=LIMIT, who="anna@laptop",
        before=before, incoming=incoming, goes_back=goes_back,
    )  # fmt: skip


def keep(place, release, *, goes_back=False):
    """Let a release be there and current."""
    (place.releases / release).mkdir(exist_ok=True)
    remote.activate(job(place, release, before=place.current, goes_back=goes_back))


def test_an_upload_is_unpacked_and_verified(incoming):
    remote.verify(incoming, BUNDLE.digest)
    remote.verify(incoming, BUNDLE.release)
    assert (incoming / "model.onnx").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "model.onnx").write_bytes(b"wrights"), "model.onnx: damaged"),
        (lambda f: (f / "model.onnx").unlink(), "model.onnx: missing"),
        (lambda f: (f / "edge" / "extra.py").touch(), "extra.py: nobody sent it"),
        (lambda f: (f / "link").symlink_to("edge"), "link: nobody sent it"),
        (lambda f: (f / "edge" / "__pycache__").symlink_to(f), "__pycache__: nobody sent it"),
        (lambda f: (f / "MANIFEST").unlink(), "MANIFEST did not arrive"),
        (lambda f: (f / "MANIFEST").write_text(""), "MANIFEST: damaged"),
    ],
)
def test_anything_not_as_sent_is_found(incoming, spoil, says):
    spoil(incoming)
    with pytest.raises(remote.RemoteError, match=says):
        remote.verify(incoming, BUNDLE.digest)


@pytest.mark.parametrize(
    "member",
    [
        ("../escaped", b"x", tarfile.REGTYPE),
        ("/tmp/escaped", b"x", tarfile.REGTYPE),
        ("a/../../escaped", b"x", tarfile.REGTYPE),
        ("link", b"", tarfile.SYMTYPE),
        ("link", b"", tarfile.LNKTYPE),
        ("fifo", b"", tarfile.FIFOTYPE),
        ("device", b"", tarfile.CHRTYPE),
        ("huge", b"x" * (LIMIT + 1), tarfile.REGTYPE),
    ],
)
def test_an_upload_of_anything_but_plain_files_leaves_nothing(tmp_path, member):
    stream = tar_of(("fine", b"x", tarfile.REGTYPE), member)
    with pytest.raises(remote.RemoteError, match="refused"):
        remote.unpack(stream, tmp_path, LIMIT)
    assert [path.name for path in tmp_path.rglob("*")] == ["fine"]


def test_a_file_sent_twice_is_refused(tmp_path):
    stream = tar_of(("a", b"x", tarfile.REGTYPE), ("a", b"y", tarfile.REGTYPE))
    with pytest.raises(FileExistsError):
        remote.unpack(stream, tmp_path, LIMIT)


def test_an_upload_in_which_nothing_comes_any_more_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "STALL", 1)
    reading, writing = os.pipe()
    tar = BUNDLE.tar()
    os.write(writing, tar[:1000])
    begun = time.monotonic()
    with open(reading, "rb") as stream, pytest.raises(remote.RemoteError, match="nothing arrived"):  # noqa: PTH123
        remote.unpack(stream, tmp_path, LIMIT)
    os.close(writing)
    assert time.monotonic() - begun < 20  # not pytest's own alarm


def test_an_upload_that_comes_slowly_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "STALL", 1)
    reading, writing = os.pipe()
    tar = BUNDLE.tar()

    def drip():
        with open(writing, "wb", buffering=0) as end:  # noqa: PTH123
            for start in range(0, len(tar), 1000):
                end.write(tar[start : start + 1000])
                time.sleep(0.3)  # 3 s in all

    dripping = threading.Thread(target=drip)
    dripping.start()
    with open(reading, "rb") as stream:  # noqa: PTH123
        remote.unpack(stream, tmp_path, LIMIT)
        dripping.join()
    assert (tmp_path / "model.onnx").read_bytes() == b"weights"


def test_a_damaged_copy_that_cannot_be_removed_makes_way(place, incoming, monkeypatch):
    damaged = place.releases / BUNDLE.release
    damaged.mkdir()
    (damaged / "extra").touch()
    monkeypatch.setattr(remote, "_remove", lambda _folder: None)  # it belongs to root
    monkeypatch.setattr(remote, "_systemctl", lambda *_: "")
    remote.check(job(place, BUNDLE.release, before=BUNDLE.release, incoming=True))
    remote.verify(damaged, BUNDLE.digest)
    assert not incoming.exists()
    (aside,) = place.releases.glob(".damaged-*")
    assert (aside / "extra").exists()


def test_activating_switches_current_and_ends_the_trial(place):
    keep(place, "one")
    place.on_trial.write_text("RELEASE=two")
    keep(place, "two")
    assert place.current == "two"
    assert not place.on_trial.exists()
    keep(place, "one")
    assert sorted(path.name for path in place.releases.iterdir()) == ["one", "two"]


def test_what_ran_before_is_pointed_to_for_the_day_on_which_the_current_one_spoils(place):
    previous = place.releases.parent / "previous"
    keep(place, "one")
    assert not previous.is_symlink()
    for release, before in (("two", "one"), ("two", "one"), ("three", "two"), ("two", "three")):
        keep(place, release)
        assert previous.readlink().name == before
        assert previous.is_dir()


def test_a_release_on_trial_never_gives_way(place, monkeypatch):
    monkeypatch.setattr(remote, "_systemctl", lambda *_: "")
    remote.restart(job(place, "one", before="two"))
    assert "HANDWAVE_BEFORE=\n" in place.on_trial.read_text()


def test_current_is_there_at_every_moment_of_a_switch(place, monkeypatch):
    keep(place, "one")
    seen = []
    replace = remote.Path.replace

    def look(fresh, path):
        seen.append(place.current)
        return replace(fresh, path)

    monkeypatch.setattr(remote.Path, "replace", look)
    keep(place, "two")
    assert seen[0] == "one"  # until the one rename, the old
    assert place.current == "two"


def test_the_history_knows_who_pushed_and_when_and_going_back_changes_no_order(place):
    for release in ("one", "two"):
        keep(place, release)
    keep(place, "one", goes_back=True)
    rows = remote.history(place)
    assert [row["release"] for row in rows] == ["one", "two"]
    assert rows[0]["who"] == "anna@laptop"
    assert rows[0]["time"].startswith("20")


def test_the_release_that_runs_is_never_swept_away(place):
    for number in range(5):
        keep(place, f"r{number}")
    keep(place, "r0", goes_back=True)
    for number in (5, 6):
        keep(place, f"r{number}")
        keep(place, "r0", goes_back=True)
    assert sorted(path.name for path in place.releases.iterdir()) == ["r0", "r3", "r4", "r5", "r6"]


def names(place):
    return [row["release"] for row in remote.history(place)]


def test_what_ran_until_a_push_is_what_one_goes_back_to(place):
    for release in ("a", "b", "a"):
        keep(place, release)
    assert names(place) == ["b", "a"]
    keep(place, "c")
    assert names(place) == ["b", "a", "c"]
    keep(place, "a", goes_back=True)
    keep(place, "d")
    assert names(place) == ["b", "c", "a", "d"], "c was left: a ran until then"


def test_a_release_that_was_pushed_again_is_not_the_oldest(place):
    for release in ("r0", "r1", "r2", "r3", "r4", "r0", "r5"):
        keep(place, release)
    assert names(place) == ["r2", "r3", "r4", "r0", "r5"]


@pytest.mark.parametrize(
    "text", ["", "nonsense\n", "a b\n", "2026 gone anna\n", "\0\n", "\udcff\n"]
)
def test_a_history_that_somebody_spoiled_is_no_obstacle(place, text):
    (place.releases.parent / "history").write_text(text, errors="surrogateescape")
    keep(place, "one")
    assert [row["release"] for row in remote.history(place)] == ["one"]


def test_what_ran_stays_to_go_back_to_where_its_push_found_no_room_for_the_note(place):
    keep(place, "one")
    blocked = place.releases.parent / ".history"
    blocked.mkdir()
    keep(place, "two")  # runs, and is not in the history
    blocked.rmdir()
    keep(place, "three")
    assert [row["release"] for row in remote.history(place)] == ["one", "two", "three"]
    assert (place.releases / "two").is_dir()


def test_a_small_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "history"
    remote.write(path, "old")
    seen = []

    def full(_):
        seen.append(path.read_text())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        remote.write(path, "new")
    assert seen == ["old"]  # on the disk before it has its name
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("history", "old")]


def test_a_disk_too_full_for_the_lock_is_said_with_its_place(place, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote, "locked", full)
    given = {
        "place": vars(place),
        "steps": [],
        "release": "x",
        "digest": "x",
        "limit": 1,
        "who": "a",
    }
    assert remote.main("apply", json.dumps(given)) == 1
    assert re.match(
        r"/.*: its disk is full \(\d+ MB are free\); make room$", capsys.readouterr().err
    )


def test_an_upload_leaves_the_release_on_trial_and_those_of_history(place, monkeypatch):
    keep(place, "kept")
    for release in ("trial", "failed"):
        (place.releases / release).mkdir()
    place.on_trial.write_text(f"RELEASE={place.releases}/trial\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(BUNDLE.tar())))
    remote.upload(job(place, "new", before="kept", incoming=True))
    assert {path.name for path in place.releases.iterdir()} == {"kept", "trial", ".incoming"}


def test_the_fullest_of_the_places_is_said_with_what_is_free(place, monkeypatch):
    def statvfs(folder):
        free = 3000 if folder == full else 9000
        return SimpleNamespace(f_bavail=free, f_frsize=1000)

    monkeypatch.setattr(os, "statvfs", statvfs)
    problem = OSError(errno.ENOSPC, "No space left on device")
    for full in (place.root, place.trial):
        why = remote._why(problem, place)
        assert why == f"{full}: its disk is full (3 MB are free); make room"


def test_a_read_only_disk_is_told_from_a_lack_of_rights(place, monkeypatch):
    assert remote._read_only(place) is None
    here = os.statvfs
    flags = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda x: flags if x == place.root else here(x))
    assert remote._read_only(place) == place.root


def test_a_file_in_trouble_is_named_and_the_folder_that_is_gone_is_not(place):
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/y")
    assert remote._why(missing, place) == "/x/y: No such file or directory"
    refused = remote.RemoteError(f"edge check: {place.incoming}/model.onnx: not a model")
    assert remote._why(refused, place) == "edge check: model.onnx: not a model"


@pytest.mark.parametrize("name", ["handwave", "lock", "releases"])
def test_what_another_login_made_is_not_ours_to_write(place, monkeypatch, name):
    (place.releases.parent / "lock").touch()
    assert remote._is_ours(place)
    monkeypatch.setattr(remote.os, "access", lambda path, _mode: path.name != name)
    assert not remote._is_ours(place)


def test_what_other_releases_hold_is_found_if_it_is_sound(place, incoming):
    incoming.rename(place.releases / "one")
    wanted = set(remote.read_manifest(BUNDLE.manifest.decode()).values())
    assert set(remote.known(place, wanted)) == wanted
    (place.releases / "one" / "model.onnx").write_bytes(b"wrights")
    assert len(remote.known(place, wanted)) == len(wanted) - 1


def test_a_lock_is_held_by_one_and_goes_with_it(tmp_path):
    lock = tmp_path / "lock"
    assert remote._busy(lock) is None
    with remote.locked(lock, "anna@laptop"):
        assert remote._busy(lock).startswith("anna@laptop (since 20")
        with pytest.raises(remote.RemoteError, match="anna@laptop"), remote.locked(lock, "ben"):
            pass
    assert remote._busy(lock) is None


def run_there(step, place, stdin, **arguments):
    command = boot(REMOTE, step, {"place": vars(place), **arguments})
    command[0] = sys.executable
    return subprocess.run(command, input=REMOTE + stdin, capture_output=True, check=False)


def look(place):
    done = run_there("look", place, BUNDLE.manifest)
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


def test_it_runs_by_itself_as_it_is_sent_and_says_what_is_there(place, incoming):
    incoming.rename(place.releases / BUNDLE.release)
    keep(place, BUNDLE.release)
    facts = look(place)
    assert Facts(**facts).current == BUNDLE.release
    assert facts["intact"]
    assert facts["missing"] == []
    (place.releases / BUNDLE.release / "model.onnx").write_bytes(b"wrights")
    facts = look(place)
    assert not facts["intact"]
    assert facts["missing"] == [hashlib.sha256(b"weights").hexdigest()]


def test_looking_at_an_empty_machine_is_no_error(tmp_path):
    place = remote.Place(str(tmp_path / "none"), "x.service", "y.service", str(tmp_path / "none"))
    facts = look(place)
    assert not any(facts[key] for key in ("root", "writable", "venv", "current", "history", "busy"))


def test_what_fails_there_is_one_line(place):
    (place.releases.parent / "lock").mkdir()
    done = run_there("apply", place, b"", steps=[], release="", digest="", limit=0, who="")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)


@pytest.mark.parametrize("text", ["xyz  a\n", f"{'0' * 64}  ../a\n", f"{'0' * 64} a\n"])
def test_a_manifest_that_cannot_be_read_is_refused(text):
    with pytest.raises(remote.RemoteError, match="cannot read the line"):
        remote.read_manifest(text)
