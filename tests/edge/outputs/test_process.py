"""Other programs: ended on time, with all that they started, and nothing is left of them."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from edge.outputs import process
from edge.outputs.process import Once, environment, last_line, run

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def never():
    return threading.Event()


def is_running(pid):
    """Whether a process is there, and no zombie that somebody else has yet to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_does_well_has_nothing_to_say():
    ended = run(["sh", "-c", "echo fine"], cut=never())
    assert (ended.code, ended.well, ended.words) == (0, True, "fine")


def test_one_that_fails_says_why_in_its_last_line():
    ended = run(["sh", "-c", "echo no; echo 'disk full' >&2; echo; exit 3"], cut=never())
    assert not ended.well
    assert str(ended) == "exit code 3: disk full"


def test_one_that_is_killed_says_by_what():
    assert str(run(["sh", "-c", "kill -9 $$"], cut=never())) == "ended by SIGKILL"


def test_nothing_is_read_from_our_own_stdin():
    assert run(["cat"], cut=never()).well


def test_one_that_talks_without_end_is_not_held_up_and_fills_no_memory():
    ended = run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"], cut=never())
    assert (ended.code, ended.words) == (0, "end")


def test_a_missing_program_is_an_error_and_leaves_nothing_open(open_files):
    before = open_files()
    with pytest.raises(FileNotFoundError):
        run(["no-such-program"], cut=never())
    assert open_files() == before


def test_one_that_takes_too_long_is_ended():
    ended = run(["sleep", "1000"], cut=never(), seconds=0.01)
    assert ended.late
    assert ended.code == -signal.SIGTERM


def test_one_that_will_not_listen_is_ended_as_well(monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.05)
    words = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    ended = run(words, cut=never(), seconds=0.3)
    assert (ended.late, ended.code) in [(True, -signal.SIGKILL), (True, -signal.SIGTERM)]


@linux
def test_what_it_started_is_ended_with_it(tmp_path, wait_for):
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    cut = threading.Event()
    runner = threading.Thread(target=run, args=(["sh", "-c", script],), kwargs={"cut": cut})
    runner.start()
    wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    cut.set()
    runner.join(60)
    wait_for(lambda: not is_running(pid))


@linux
@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_what_it_leaves_running_when_it_ends_by_itself_is_ended_as_well(
    tmp_path, wait_for, monkeypatch, trap
):
    monkeypatch.setattr(process, "GRACE", 0.2)
    script = f"({trap}while :; do sleep 1; done) & echo $! > {tmp_path}/pid; echo fine"
    ended = run(["sh", "-c", script], cut=never())
    assert (ended.code, ended.words) == (0, "fine")
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(pid))


def test_it_is_in_a_session_of_its_own_so_that_ctrl_c_passes_it_by():
    code = "import os; print(os.getsid(0) == os.getpid())"
    assert run([sys.executable, "-c", code], cut=never()).words == "True"


def test_what_systemd_says_to_us_is_not_for_others(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert "NOTIFY_SOCKET" not in environment()
    assert "WATCHDOG_USEC" not in environment()
    assert environment()["XDG_RUNTIME_DIR"] == "/run/user/1"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"\x1b[31mred\x07\n", "[31mred"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        (b"x" * 1000, "x" * 200),
    ],
)
def test_the_last_line_that_says_something(said, line):
    assert last_line(said) == line


def test_the_same_trouble_is_said_once_until_it_is_over(caplog):
    once = Once()
    for text in ["gone", "gone", "other", None, "other"]:
        once.over() if text is None else once.trouble(text)
    assert caplog.messages == ["gone", "other", "other"]
