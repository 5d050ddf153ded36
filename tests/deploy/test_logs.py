"""`deploy logs` over a real SSH connection, of a journalctl that says what a test lets it say."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.logs import SECRETIVE


@pytest.fixture
def journalctl(sshd):
    """Return a function that lets the host's journalctl be a few lines of shell."""
    program = sshd / "bin" / "journalctl"
    before, mode = program.read_bytes(), program.stat().st_mode

    def be(script):
        program.unlink(missing_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" > {sshd}/asked\n{script}\n')
        program.chmod(mode)

    yield be
    program.unlink(missing_ok=True)
    program.write_bytes(before)
    program.chmod(mode)


@pytest.fixture
def logs(sshd, pi):
    def run(*words):
        return CliRunner().invoke(
            main, ["logs", "--unit", pi.unit, "-F", str(sshd / "ssh_config"), *words]
        )

    return run


def test_the_last_lines_are_shown(logs, journalctl, sshd, pi):
    journalctl("echo one; echo two")
    result = logs("pi", "-n", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "one\ntwo\n", "")
    asked = (sshd / "asked").read_text().split()
    assert {f"--unit={pi.unit}", "--lines=7", "--no-pager"} <= set(asked)
    assert "--follow" not in asked


def test_what_a_terminal_would_obey_is_shown_as_question_marks(logs, journalctl):
    journalctl(r"printf 'red \033[31m\ttab \007 \342\200\256 \377\r\n'")
    assert logs("pi").stdout == "red ?[31m       tab ? ? \N{REPLACEMENT CHARACTER}\n"


def test_a_line_without_an_end_takes_no_endless_memory(logs, journalctl):
    journalctl("head -c 20000 /dev/zero | tr '\\0' x")
    assert [len(line) for line in logs("pi").stdout.splitlines()] == [8192, 8192, 3616]


def test_many_complaints_do_not_block_it(logs, journalctl):
    journalctl("head -c 300000 /dev/zero | tr '\\0' '\\n' >&2; echo fine")
    assert logs("pi").stdout == "fine\n"


@pytest.mark.parametrize("words", SECRETIVE)
@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_a_user_who_may_not_read_the_journal_is_told(logs, journalctl, words, follow):
    wait = "exec sleep 60" if follow else "exit 1"
    journalctl(f"echo 'Hint: {words.decode()}' >&2; {wait}")
    result = logs("pi", *follow)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "may not read the journal there; on it: sudo usermod" in result.stderr


def test_nothing_there_is_said(logs, journalctl, pi):
    journalctl("echo '-- No entries --'")
    result = logs("pi")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"pi: the journal there has nothing of {pi.unit}\n"


def test_what_journalctl_complains_about_is_one_line_and_exit_code_1(logs, journalctl):
    journalctl("echo 'Failed to open: no' >&2; exit 1")
    result = logs("pi")
    assert (result.exit_code, result.stderr) == (1, "deploy: pi: journalctl: Failed to open: no\n")


def test_a_host_without_systemd_is_said(logs, journalctl):
    journalctl("exit 127")
    assert "it has no journalctl" in logs("pi").stderr


def test_a_host_that_is_off_is_one_line(logs):
    result = logs("off")
    assert result.exit_code == 1
    assert result.stderr.startswith("deploy: off: no connection")


@pytest.fixture
def following(sshd, pi, journalctl):
    """Start `deploy logs -f` in a process group of its own; return it after the first line."""
    journalctl(f"echo $$ > {sshd}/journalctl_pid; echo first; exec tail -f /dev/null")
    command = [sys.executable, "-m", "deploy", "logs", "pi", "-f", "--unit", pi.unit]
    process = subprocess.Popen(
        [*command, "-F", str(sshd / "ssh_config")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == b"first\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("whole_group", [True, False])  # Ctrl-C, and kill -INT
def test_ctrl_c_ends_following_cleanly(following, whole_group):
    kill = os.killpg if whole_group else os.kill
    kill(following.pid, signal.SIGINT)
    out, err = following.communicate(timeout=20)
    assert (following.returncode, out, err) == (0, b"", b"")


def test_a_lost_connection_ends_following_with_exit_code_1(following, sshd):
    there = int((sshd / "journalctl_pid").read_text())
    for child in _parents(there):  # sshd's process for this connection
        if "sshd" in _name(child):
            os.kill(child, signal.SIGKILL)
            break
    os.kill(there, signal.SIGKILL)
    _, err = following.communicate(timeout=20)
    assert following.returncode == 1
    assert err.startswith(b"deploy: pi: ")
    assert err.count(b"\n") == 1


def _name(pid):
    return Path(f"/proc/{pid}/comm").read_text()


def _parents(pid):
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid
