"""The service's own socket: who may open it, what it costs until then, and what is behind it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import edge.cli
from edge.classifier import Prediction
from edge.decider import Decision
from edge.door import Door
from edge.frame import Frame
from edge.loop import Step
from edge.page import Page, server
from edge.status import Status

WIRING = SimpleNamespace(names={17: "rock: led"}, states=lambda: {17: True})
ROOT = Path(edge.cli.__file__).parents[1]


def turn():
    return Step(
        Frame(np.full((480, 640, 3), 90, np.uint8), 1.0),
        Prediction(("palm", "rock"), np.array([0.1, 0.9], np.float32), 0.4, 1.0),
        Decision("rock", 0.9, 0.5, 1.0, changed=False),
        None,
        True,
        0.01,
        0.06,
    )


def ask(path, what="/healthz", *, method="GET", host="localhost"):
    """Return the status and the content of an answer at a unix socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(path))
        line.sendall(f"{method} {what} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        parts = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, content = parts.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


@pytest.fixture(autouse=True)
def _quick_end(monkeypatch):
    monkeypatch.setattr(server, "WAKE", 0.02)


@pytest.fixture
def folder():
    """A short one: a socket's path holds 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="door-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def opened():
    """Which pages were opened."""
    return []


@pytest.fixture
def door(folder, opened):
    def open_page(listener):
        opened.append(Page(Status(), 0, listener=listener))
        return opened[-1]

    door = Door(folder / "live.sock", open_page)
    yield door
    door.close()


@pytest.fixture
def looping(door):
    """A frame loop that shows its turns."""
    stop = threading.Event()

    def run():
        while not stop.wait(0.01):
            door.show(turn(), WIRING)

    thread = threading.Thread(target=run)
    thread.start()
    yield door
    stop.set()
    thread.join()


# --- who may come


def test_only_owner_and_group_may_open_it(door, folder):
    mode = (folder / "live.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_the_units_umask_does_not_shut_the_group_out(folder):
    before = os.umask(0o077)
    try:
        door = Door(folder / "live.sock", lambda _: None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "live.sock").stat().st_mode) == 0o660
    door.close()


def test_no_other_file_is_left(door, folder):
    assert [path.name for path in folder.iterdir()] == ["live.sock"]
    door.close()
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_replaced(folder, opened):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "live.sock"))
    left.close()
    (folder / "live.new").touch()
    door = Door(folder / "live.sock", lambda one: Page(Status(), 0, listener=one))
    try:
        assert ask(folder / "live.sock")[0] == 503
    finally:
        door.close()


def test_the_socket_of_the_process_that_follows_is_left_alone(door, folder):
    following = Door(folder / "live.sock", lambda one: Page(Status(), 0, listener=one))
    door.close()
    assert ask(folder / "live.sock")[0] == 503
    following.close()


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost"])
def test_a_socket_forwarded_to_a_laptops_port_answers(door, folder, host):
    assert ask(folder / "live.sock", "/status.json", host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example:8080", "localhost.evil.example", ""])
def test_a_name_that_somebody_points_at_that_laptop_is_refused(door, folder, host):
    assert ask(folder / "live.sock", "/live.json", host=host)[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_changed_through_it(door, folder, method):
    assert ask(folder / "live.sock", "/", method=method)[0] == 405


# --- what is behind it


def test_the_first_who_comes_is_answered(looping, folder):
    status, content = ask(folder / "live.sock", "/")
    assert status == 200
    assert b"<title>handwave: live" in content


def test_a_look_has_all_the_page_shows(looping, folder):
    look = json.loads(ask(folder / "live.sock", "/live.json")[1])["look"]
    assert look["label"] == "rock"
    assert look["pins"] == [{"pin": 17, "name": "rock: led", "on": True}]


def test_a_terminal_gets_a_smaller_picture_or_none(looping, folder):
    sizes = []
    for query in ("", "?side=96", "?side=5000"):
        look = json.loads(ask(folder / "live.sock", f"/live.json{query}")[1])["look"]
        sizes.append(len(look["picture"]))
    assert sizes[1] < sizes[0] / 2
    assert sizes[2] == sizes[0]
    assert json.loads(ask(folder / "live.sock", "/live.json?side=0")[1])["look"]["picture"] is None


def test_until_somebody_comes_no_page_is_made(looping, opened):
    time.sleep(0.1)
    assert opened == []


def test_closing_ends_the_waiting(door):
    door.close()
    assert not door._thread.is_alive()
    door.close()


def test_a_page_that_cannot_be_made_stops_nothing(folder, caplog):
    def broken(_listener):
        raise OSError(24, "Too many open files")

    door = Door(folder / "live.sock", broken)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(folder / "live.sock"))
        with suppress(ConnectionResetError):
            assert line.recv(10) == b""
    door.show(turn(), WIRING)
    door.close()
    assert "Too many open files" in caplog.text


# --- in the service


@pytest.fixture
def run(project, clips, monkeypatch):
    def run(*words):
        arguments = ["run", "--config", str(project), "--source", str(clips), "--pins", "mock"]
        return CliRunner().invoke(edge.cli.main, [*arguments, *words])

    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    return run


def test_the_service_has_one_and_takes_it_away(run, folder, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    seen = []
    monkeypatch.setattr(
        "edge.device.Status.write", lambda _: seen.append((folder / "live.sock").exists())
    )
    assert run("--forever").exit_code == 0
    assert seen
    assert all(seen)
    assert not (folder / "live.sock").exists()


@pytest.mark.parametrize("words", [[], ["--forever"]])
def test_without_a_folder_of_the_services_there_is_none(run, words, monkeypatch):
    monkeypatch.setattr("edge.door.Door.__init__", lambda *_: pytest.fail("a door"))
    assert run(*words).exit_code == 0


def test_a_run_by_hand_has_none(run, folder, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    run()
    assert not (folder / "live.sock").exists()


def test_where_there_can_be_none_the_service_watches_all_the_same(run, folder, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / ("x" * 100)))
    done = run("--forever")
    assert done.exit_code == 0


def test_until_somebody_comes_nothing_of_the_page_is_loaded(project, clips, folder):
    code = (
        "import sys, edge.cli\n"
        "try: edge.cli.main(['run', '--forever', '--config', sys.argv[1], '--source', sys.argv[2],"
        " '--pins', 'mock', '--frames', '5'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'edge.door' in sys.modules\n"
        "assert not {'edge.page', 'http.server', 'ssl'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project), str(clips)],
        env=os.environ | {"RUNTIME_DIRECTORY": str(folder)},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
