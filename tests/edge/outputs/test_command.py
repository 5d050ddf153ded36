"""Commands: started without a shell, one at a time, never in a frame's way, never left over."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError
from edge.outputs import process
from edge.outputs.command import Command
from edge.outputs.wiring import Wiring

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def decision(label="rock", confidence=0.875):
    return Decision(label, confidence, 0.0, 0.0, changed=True)


@pytest.fixture
def started(tmp_path):
    """Open a command as `edge.toml` would; return what starts it. All are closed in the end."""
    wirings = []

    def start(toml):
        path = tmp_path / "edge.toml"
        path.write_text(f"[when.rock]\ncommand = {toml}\n")
        wirings.append(Wiring(read_config(path), "mock"))
        (output,) = wirings[-1].when["rock"]
        return output

    yield start
    for wiring in wirings:
        wiring.close()


@pytest.fixture
def fire(wait_for):
    """Fire, and wait for the end."""

    def fire(output):
        output.fire(decision())
        wait_for(lambda: not output._running)

    return fire


def our_children():
    """Every child of any of our threads, zombies too."""
    while True:
        found = [task / "children" for task in Path("/proc/self/task").iterdir()]
        with suppress(FileNotFoundError):  # a thread just ended; another has its children now
            return {pid for path in found for pid in path.read_text().split()}


def test_a_command_runs_beside_edge_toml_without_a_shell(started, tmp_path, fire):
    fire(started('["touch", "it; touch never", "$HOME", "*"]'))
    assert {path.name for path in tmp_path.iterdir()} == {
        "edge.toml", "it; touch never", "$HOME", "*",
    }  # fmt: skip


def test_it_is_told_the_label_and_how_sure_and_little_else(started, tmp_path, monkeypatch, fire):
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    fire(started('["sh", "-c", "env > out"]'))
    names = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    assert names["HANDWAVE_LABEL"] == "rock"
    assert names["HANDWAVE_CONFIDENCE"] == "0.875"
    assert names["PATH"] == os.environ["PATH"]
    assert not {"SECRET", "NOTIFY_SOCKET"} & set(names)


def test_it_reads_nothing_and_what_it_says_goes_nowhere(started, capfd, caplog, fire):
    fire(started('["sh", "-c", "cat; echo hello; echo trouble >&2"]'))
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


def test_a_failure_is_said_with_its_last_words(started, caplog, fire):
    output = started('["sh", "-c", "echo first; echo disk full >&2; exit 7"]')
    fire(output)
    fire(output)
    assert caplog.messages == ["command: 'sh': exit code 7: disk full"] * 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_the_commands_trouble_and_not_ours(started, caplog, fire):
    fire(started('["dd", "if=/dev/zero", "of=/dev/full", "count=1"]'))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("command: 'dd': exit code 1")


def test_a_program_that_is_missing_is_said_when_opened_and_does_not_stop_the_device(
    started, caplog, fire
):
    output = started('["no-such-program", "x"]')
    assert caplog.messages == ["command: there is no program 'no-such-program' here; install it"]
    fire(output)
    assert caplog.messages[1:] == [
        "command: 'no-such-program' cannot be started: No such file or directory"
    ]


def test_one_still_running_is_not_started_again(started, tmp_path, caplog, wait_for):
    os.mkfifo(tmp_path / "gate")
    output = started('["sh", "-c", "echo x >> runs; read x < gate"]')
    output.fire(decision())
    wait_for((tmp_path / "runs").exists)
    output.fire(decision())
    assert caplog.messages == ["command: 'sh' is still running; not started again"]
    (tmp_path / "gate").write_text("go\n")
    wait_for(lambda: not output._running)
    assert (tmp_path / "runs").read_text() == "x\n"


def test_one_that_takes_too_long_is_ended_and_may_start_again(started, caplog, fire):
    output = started('{ run = ["sleep", "1000"], seconds = 0.01 }')
    fire(output)
    assert caplog.messages == ["command: 'sleep' took more than 0.01 s and was ended"]
    fire(output)
    assert len(caplog.messages) == 2


def test_firing_never_waits_for_the_program_to_start(started, monkeypatch, wait_for):
    gate = threading.Event()
    run = process.run
    monkeypatch.setattr("edge.outputs.command.run", lambda *a, **k: gate.wait(60) and run(*a, **k))
    output = started('["true"]')
    output.fire(decision())  # would hang
    assert output._running
    gate.set()
    wait_for(lambda: not output._running)


@linux
def test_closing_ends_it_with_all_that_it_started(started, tmp_path, wait_for):
    before = our_children()
    output = started('["sh", "-c", "sleep 1000 & echo $! > pid; wait"]')
    output.fire(decision())
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    output.close()
    assert our_children() == before

    def state():
        path = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
        return path.read_text().rpartition(")")[2].split()[0] if path.exists() else "gone"

    wait_for(lambda: state() in ("gone", "Z"))


@linux
def test_a_thousand_firings_leave_no_process_no_file_and_no_thread(started, open_files, fire):
    output = started('["true"]')
    killed = started('["sh", "-c", "kill -9 $$"]')
    fire(output)
    fire(killed)
    before = (open_files(), our_children(), threading.active_count())
    for _ in range(970):
        fire(output)
    for _ in range(30):
        fire(killed)
    assert (
        open_files(), our_children(), threading.active_count(),
    ) == before  # fmt: skip


# --- What may be said


def complaint(tmp_path, text):
    path = tmp_path / "edge.toml"
    path.write_text(f"[when.rock]\ncommand = {text}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    return str(caught.value).removeprefix(f"{path}: [when.rock] command: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"touch x"', 'no shell takes it apart; write a list: ["touch", "x"]'),
        ("[]", "names no program"),
        ('[""]', "names no program"),
        ('["a", "b\\u0000"]', "a null character cannot be part of a command"),
        (
            '["./party.sh"]',
            "'./party.sh' is no program on the Pi; name the one that runs it first",
        ),
        ('["../party.sh"]', "'../party.sh' is no program on the Pi; name the one that runs it"),
        ("[1]", "[0]: expected text, got a whole number"),
        ("{ run = [], seconds = 1 }", "names no program"),
        ('{ run = ["a"], seconds = 0 }', "seconds: expected a number > 0"),
        ('{ run = ["a"], second = 1 }', "unknown key 'second'; did you mean 'seconds'?"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, line):
    assert complaint(tmp_path, text).startswith(line)


def test_what_may_only_be_on_the_pi_is_no_mistake(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text('[when.rock]\ncommand = ["/opt/only/on/the/pi", "x"]\n')
    (output,) = [one for _, _, one in read_config(path).outputs()]
    assert output == Command(run=("/opt/only/on/the/pi", "x"))


def test_arguments_that_are_files_beside_edge_toml_come_along(tmp_path):
    (tmp_path / "party.py").write_text("")
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "a.txt").write_text("")
    words = ("python3", "party.py", "./songs/a.txt", "songs", "-v", "gone.py", "../x",
             "/etc/passwd", "", ".", "x" * 5000, "a\nb")  # fmt: skip
    assert Command(run=words).files(tmp_path) == ("party.py", "songs/a.txt")
