"""What runs on the host, here as plain functions on folders."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time

import pytest

from deploy import remote
from deploy.bundle import Bundle
from deploy.ssh import BOOT, REMOTE

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
def root(tmp_path):
    """Return a root folder with the bundle as an upload, `.incoming-a`."""
    remote.upload(str(tmp_path), ".incoming-a", LIMIT, io.BytesIO(BUNDLE.tar()))
    return tmp_path


@pytest.fixture
def incoming(root):
    return root / "releases" / ".incoming-a"


def test_an_upload_is_unpacked_and_verified(incoming):
    remote.verify(str(incoming), BUNDLE.digest)
    assert (incoming / "model.onnx").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "model.onnx").write_bytes(b"wrights"), "model.onnx: damaged"),
        (lambda f: (f / "model.onnx").unlink(), "model.onnx: missing"),
        (lambda f: (f / "edge" / "extra.py").touch(), "extra.py: nobody sent it"),
        (lambda f: (f / "link").symlink_to("edge"), "link: nobody sent it"),
        (lambda f: (f / "MANIFEST").unlink(), "MANIFEST did not arrive"),
        (lambda f: (f / "MANIFEST").write_text(""), "MANIFEST: damaged"),
    ],
)
def test_anything_not_as_sent_is_found(incoming, spoil, says):
    spoil(incoming)
    with pytest.raises(remote.RemoteError, match=says):
        remote.verify(str(incoming), BUNDLE.digest)


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
        remote.upload(str(tmp_path), ".incoming-b", LIMIT, stream)
    assert [path.name for path in tmp_path.rglob("*")] == ["releases"]


def test_a_file_sent_twice_leaves_nothing(tmp_path):
    stream = tar_of(("a", b"x", tarfile.REGTYPE), ("a", b"y", tarfile.REGTYPE))
    with pytest.raises(FileExistsError):
        remote.upload(str(tmp_path), ".incoming-b", LIMIT, stream)
    assert list((tmp_path / "releases").iterdir()) == []


def test_uploads_abandoned_long_ago_are_swept_and_fresh_ones_left(root, incoming):
    fresh = root / "releases" / ".incoming-fresh"
    fresh.mkdir()
    long_ago = time.time() - 2 * remote.STALE
    os.utime(incoming, (long_ago, long_ago))
    remote.upload(str(root), ".incoming-b", LIMIT, io.BytesIO(BUNDLE.tar()))
    names = {path.name for path in (root / "releases").iterdir()}
    assert names == {".incoming-fresh", ".incoming-b"}


def test_activating_switches_current_and_keeps_the_others(root):
    remote.activate(str(root), "one", ".incoming-a")
    assert (root / "current").readlink().name == "one"
    remote.upload(str(root), ".incoming-a", LIMIT, io.BytesIO(BUNDLE.tar()))
    remote.activate(str(root), "two", ".incoming-a")
    assert (root / "current").resolve() == root / "releases" / "two"
    remote.activate(str(root), "one", None)
    assert (root / "current").resolve() == root / "releases" / "one"
    assert sorted(path.name for path in (root / "releases").iterdir()) == ["one", "two"]


def test_current_is_there_at_every_moment_of_a_switch(root, monkeypatch):
    remote.activate(str(root), "one", ".incoming-a")
    seen = []
    replace = remote.Path.replace
    monkeypatch.setattr(
        remote.Path,
        "replace",
        lambda fresh, path: seen.append((path.resolve().name, replace(fresh, path))),
    )
    remote.point(str(root), "current", "two")
    assert [name for name, _ in seen] == ["one"]  # until the one rename, the old
    assert (root / "current").readlink().name == "two"


def test_facts_say_what_is_there(root):
    remote.activate(str(root), BUNDLE.release, ".incoming-a")
    remote.point(str(root), "healthy", "gone")
    facts = remote.facts(str(root), "handwave.service", BUNDLE.digest)
    assert facts["releases"] == [facts["current"]] == [BUNDLE.release]
    assert facts["intact"]
    assert facts["healthy"] is None
    (root / "current" / "model.onnx").write_bytes(b"wrights")
    assert not remote.facts(str(root), "handwave.service", BUNDLE.digest)["intact"]


def test_facts_of_an_empty_machine_are_no_error(tmp_path):
    facts = remote.facts(str(tmp_path / "none"), "handwave.service", BUNDLE.digest)
    assert not any(facts[key] for key in ("root", "writable", "venv", "current", "releases"))


def run_there(step, arguments, stdin=b""):
    command = [sys.executable, "-I", "-c", BOOT, str(len(REMOTE)), step, json.dumps(arguments)]
    return subprocess.run(command, input=REMOTE + stdin, capture_output=True, check=False)


def test_the_file_runs_by_itself_as_it_is_sent(tmp_path):
    arguments = {"root": str(tmp_path), "incoming": ".incoming-b", "limit": LIMIT}
    done = run_there("upload", arguments, BUNDLE.tar())
    assert (done.returncode, done.stderr) == (0, b"")
    folder = tmp_path / "releases" / ".incoming-b"
    assert run_there("verify", {"folder": str(folder), "digest": BUNDLE.digest}).returncode == 0
    done = run_there("verify", {"folder": str(folder), "digest": "0" * 64})
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)


@pytest.mark.parametrize("text", ["xyz  a\n", f"{'0' * 64}  ../a\n", f"{'0' * 64} a\n"])
def test_a_manifest_that_cannot_be_read_is_refused(text):
    with pytest.raises(remote.RemoteError, match="cannot read the line"):
        remote.read_manifest(text)
