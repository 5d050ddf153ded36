"""How hosts are: what an answer means, and `deploy status` over real SSH connections."""

import json
import os
import re
import time

import pytest
from click.testing import CliRunner

from deploy import Target
from deploy.cli import main
from deploy.remote import status as remote_status
from deploy.remote.push import locked
from deploy.status import Answer, Word, describe, judge, throttling

TARGET = Target()
REPORT = {
    "release": "aaaabbbbcccc", "pid": 77, "uptime": 5000.0, "state": "watching", "state_for": 90.0,
    "label": "rock", "confidence": 0.98, "label_for": 3.0, "frames": 900, "last_frame": 0.05,
    "fps": 14.9, "latency_ms": {"p50": 23.4, "p99": 41.0}, "process_ms": None,
    "output_failures": 0, "temperature": 54.0, "undervoltage": False, "throttled": False,
    "memory_mb": 120.0, "written": 9999.5,
}  # fmt: skip
UNIT = {
    "LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success",
    "NRestarts": "0", "MainPID": "77", "ExecMainStatus": "0",
    "StateChangeTimestampMonotonic": "5000000000",
}  # fmt: skip


def said(*, unit=None, report=None, **changes):
    """Return the judgement of a host that is well, but for the changes."""
    answer = {
        "user": "pi", "root": True, "venv": True, "current": "aaaabbbbcccc", "current_for": 7200.0,
        "trial": None, "trial_for": None, "cut": False,
        "unit": None if unit is False else UNIT | (unit or {}),
        "status": json.dumps(REPORT | (report or {})), "status_problem": None, "last_words": None,
        "kept": ["aaaabbbbcccc"], "lately": None, "uptime": 90000.0, "temperature": 54.3,
        "throttled": 0, "disk_free": 12_300_000_000, "monotonic": 10000.0, "clock": 0.0,
    }  # fmt: skip
    return judge("pi", Answer(**answer | changes), TARGET)


def test_a_host_that_watches_is_well():
    health = said()
    assert (health.well, health.state, health.problem, health.notes) == (True, "watching", None, [])
    assert (health.release, health.release_for) == ("aaaabbbbcccc", 7200.0)
    assert dict(describe(health)) == {
        "state": "watching, for 1 min 30 s",
        "release": "aaaabbbbcccc, for 2 h",
        "shown": "rock, for 3.0 s, 98% sure",
        "frames": "14.9 a second",
        "latency": "23.4 ms (half), 41 ms (99 in 100), frame to pin",
        "restarts": "0",
        "machine": "54 °C, power fine, 12.3 GB of disk free, up for 1 d 1 h",
    }


def test_the_last_error_counts_and_what_systemd_says_of_starts(monkeypatch):
    lines = ["edge: watching pi", "edge: first", "systemd: x", "edge: last", "edge: ended, all off"]
    asked = []

    def run(*words):
        asked.append(words)
        return "\n".join(lines)

    monkeypatch.setattr(remote_status, "_run", run)
    assert remote_status._last_words("x.service") == "edge: last"
    assert remote_status._lately("x.service") == 5
    assert f"MESSAGE_ID={remote_status.RESTARTED}" in asked[-1]
    monkeypatch.setattr(remote_status, "_run", lambda *_: "")
    assert remote_status._lately("x.service") is None


def test_what_one_may_go_back_to_is_listed():
    health = said(kept=["aaaabbbbcccc", "ddddeeeeffff"])
    assert dict(describe(health))["kept"] == "aaaabbbbcccc, ddddeeeeffff"


def test_the_releases_that_are_there_are_told_the_last_pushed_first(tmp_path):
    for release in ("one", "two"):
        (tmp_path / "releases" / release).mkdir(parents=True)
    rows = ["2026 one anna@laptop", "2026 gone anna@laptop", "2026 two anna@laptop", ""]
    (tmp_path / "history").write_text("\n".join(rows))
    assert remote_status._kept(tmp_path) == ["two", "one"]
    assert remote_status._kept(tmp_path / "none") == []


def test_a_service_that_was_started_again_long_ago_is_well():
    """The second time in weeks is no crash loop; systemd's own count goes on for ever."""
    unit = {"NRestarts": "4", "StateChangeTimestampMonotonic": "9980000000"}
    assert said(unit=unit, lately=1).state == "watching"
    assert said(unit=unit, lately=2).state == "crash-looping"
    again = {"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "7"}
    assert said(unit=again, lately=1).state == "restarting"


GONE = {"status": None, "status_problem": "No such file or directory"}
CUT = {"trial": "ddddeeeeffff", "trial_for": 4.0, "cut": True}
LOOP = {"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "7"}


@pytest.mark.parametrize(
    ("state", "says", "changes"),
    [
        ("not set up", "there is no folder /opt/handwave, no handwave.service; run: deploy setup",
         {"root": False, "venv": False, "unit": {"LoadState": "not-found"}}),
        ("not set up", "there is no /opt/handwave/venv", {"venv": False, "unit": LOOP}),
        ("another's", "belongs to /opt/two, not to /opt/handwave: say both --root and --unit",
         {"unit": {"ExecStart": "{ path=/opt/two/venv/bin/python ; argv[]=/opt/two/ven"}, **CUT}),
        ("masked", "systemctl unmask", {
            "unit": {"LoadState": "masked", "ActiveState": "inactive"}}),
        ("never pushed", "run: deploy push pi", {"current": None, "current_for": None,
                                                 "unit": LOOP}),
        ("broken", "/opt/handwave/current names is gone", {"current": None, "unit": LOOP}),
        ("stopped", "for 1 h 23 min; on it: sudo systemctl start handwave.service",
         {"unit": {"ActiveState": "inactive", "SubState": "dead"}}),
        ("failed", "it failed (exit code 3)", {"unit": {
            "ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}}),
        ("crash-looping", "again and again (exit code 1, 7 times); it said: edge: no camera; see",
         {"unit": LOOP | {"Result": "exit-code", "ExecMainStatus": "1"},
          "last_words": "edge: no camera"}),
        ("restarting", "it ended (watchdog) and is started again", {"unit": {
            "ActiveState": "deactivating", "SubState": "stop-post", "Result": "watchdog"}}),
        ("crash-looping", "started again 4 times, the last 20 s ago",
         {"unit": {"NRestarts": "4", "StateChangeTimestampMonotonic": "9980000000"}}),
        ("restarting", "it ended (signal) and is started again", {
            "unit": LOOP | {"NRestarts": "1", "Result": "signal"}}),
        ("starting", "it has been starting for 20 s", {"unit": {
            "ActiveState": "activating", "SubState": "start",
            "StateChangeTimestampMonotonic": "9980000000"}}),
        ("stopping", "ask again", {"unit": {"ActiveState": "deactivating"}}),
        ("silent", "says nothing of itself (/run/handwave/status.json: No such file", GONE),
        ("silent", "pi may not read /run/handwave/status.json",
         {"status": None, "status_problem": "Permission denied"}),
        ("silent", "not what this handwave knows", {"status": "{}"}),
        ("silent", "another process's", {"report": {"pid": 76}}),
        ("silent", "has said nothing for 45 s: it hangs", {"report": {"written": 9955.0}}),
        ("silent", "has said nothing", {"report": {"written": 10050.0}}),  # before the last boot
        ("starting", "has not spoken yet", {
            "report": {"pid": 76}, "unit": {"StateChangeTimestampMonotonic": "9999000000"}}),
        ("camera absent", "camera absent: is the cable", {
            "report": {"state": "camera absent: is the cable in?"}}),
        ("watching", "it runs ddddeeeeffff, but would start aaaabbbbcccc next time",
         {"report": {"release": "ddddeeeeffff"}}),
        ("watching", "a push was cut while ddddeeeeffff was on trial; push again",
         {"report": {"release": "ddddeeeeffff"}, **CUT}),
        ("crash-looping", "a push was cut while ddddeeeeffff was on trial; push again; it ends ag",
         {"unit": LOOP, **CUT}),
    ],
)  # fmt: skip
def test_each_thing_that_can_be_wrong_is_said(state, says, changes):
    health = said(**changes)
    assert (health.state, health.well) == (state, False)
    assert says in health.problem


def test_a_host_without_systemd_is_not_set_up():
    health = said(unit=False, status=None, root=False)
    assert "there is no folder /opt/handwave, no systemd; run" in health.problem


def test_paused_is_well_and_a_push_under_way_is_told():
    assert said(report={"state": "paused", "label": None}).well
    health = said(report={"release": "ddddeeeeffff"}, trial="ddddeeeeffff", trial_for=5.0)
    assert (health.well, health.release, health.release_for) == (True, "ddddeeeeffff", None)
    assert health.notes == ["a push has ddddeeeeffff on trial"]


def test_a_service_that_does_not_run_is_told_with_the_release_that_systemd_starts():
    health = said(unit=LOOP, **CUT)
    assert (health.release, health.release_for) == ("ddddeeeeffff", 4.0)
    assert (health.trial, health.notes) == (None, [])  # nobody is trying it any more
    assert said(unit=LOOP).release == "aaaabbbbcccc"
    assert said(**CUT).release == "aaaabbbbcccc"  # it runs, and says itself what


def test_one_restart_or_old_ones_are_no_crash_loop():
    assert said(unit={"NRestarts": "1", "StateChangeTimestampMonotonic": "9990000000"}).well
    assert said(unit={"NRestarts": "9"}).restarts == 9
    assert said(unit={"NRestarts": "9"}).well


def test_what_is_worth_a_word_is_said_of_a_host_that_is_well():
    health = said(throttled=0x50005, disk_free=100_000_000, report={"output_failures": 2})
    assert health.well
    assert health.notes == [
        "outputs failed 2 times; see its logs",
        "power and heat: too little power now, slowed down now",
        "its disk is nearly full: 100 MB left",
    ]


def test_a_release_that_gave_way_is_a_problem_though_the_host_watches():
    health = said(report={"spoiled": "model.onnx: damaged"})
    assert not health.well
    assert "its release has spoiled: model.onnx: damaged; push again" in health.problem


def test_throttling_is_said_in_words_and_once():
    assert throttling(None) is None  # no Raspberry Pi
    assert throttling(0) == []
    assert throttling(0x50000) == ["too little power at times", "slowed down at times"]
    assert throttling(0x80008) == ["nearly too hot now"]


def test_words_of_the_host_cannot_command_a_terminal():
    health = said(report={"state": "camera\x1b]0;x\x07", "label": "\x1b[2J"})
    assert "\x1b" not in health.problem + str(describe(health))


def test_every_field_that_is_believed_is_one_that_edge_writes():
    from edge.status import Report

    assert set(Word.__struct_fields__) <= set(Report.__struct_fields__)


# --- What runs there


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "No such file or directory"),
        (lambda p: p.mkdir(), "not a plain file"),
        (os.mkfifo, "not a plain file"),
        (lambda p: p.symlink_to("/etc/passwd"), "Too many levels of symbolic links"),
        (lambda p: p.write_bytes(b"x" * 64_001), "too large"),
    ],
)
def test_a_status_file_that_is_none_is_neither_followed_nor_waited_for(tmp_path, make, says):
    make(tmp_path / "status.json")
    assert remote_status._read(tmp_path / "status.json") == (None, says)


def test_a_trial_is_named_by_the_settings_of_the_service(tmp_path):
    settings = tmp_path / "service.env"
    assert remote_status._trial(settings) is None
    settings.write_text("RELEASE=/opt/handwave/releases/abc\nPYTHONPATH=/opt/x\n")
    assert remote_status._trial(settings) == "abc"


def test_a_trial_is_cut_where_nobody_holds_the_lock(tmp_path):
    settings, lock = tmp_path / "service.env", tmp_path / "lock"
    assert not remote_status._cut(settings, lock)
    settings.touch()
    assert remote_status._cut(settings, lock)
    with locked(lock, "anna@laptop"):
        assert not remote_status._cut(settings, lock)
    assert remote_status._cut(settings, lock)
    lock.unlink()
    lock.symlink_to(lock)  # it cannot be looked at: then nobody knows
    assert not remote_status._cut(settings, lock)


def test_what_the_firmware_says_is_read(tmp_path, monkeypatch):
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x50005\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert remote_status._throttled() == 0x50005


def test_a_machine_that_has_nothing_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no systemctl, no vcgencmd
    found = remote_status.look(*(str(tmp_path / x) for x in ("root", "unit", "run", "trial")))
    assert (found["root"], found["unit"], found["current"], found["trial"]) == (False, *[None] * 3)
    Answer(**found)


# --- The command


@pytest.fixture
def there(sshd, pi):
    """Return a function that says what `systemctl show` says on the host."""
    program = sshd / "bin" / "systemctl"
    before, mode = program.read_bytes(), program.stat().st_mode

    def say(**changes):
        lines = "".join(f"{key}={value}\n" for key, value in (UNIT | changes).items())
        program.unlink()
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
        program.chmod(mode)

    yield say
    program.unlink()
    program.write_bytes(before)
    program.chmod(mode)


@pytest.fixture
def status(sshd, pi):
    def run(*words):
        options = ["--root", str(pi.root), "--unit", pi.unit, "-F", str(sshd / "ssh_config")]
        return CliRunner().invoke(main, ["status", *options, *words])

    return run


@pytest.fixture
def well(there, pi, tmp_path, monkeypatch):
    """Let the host be well."""
    release = pi.root / "releases" / "aaaabbbbcccc"
    release.mkdir(parents=True)
    (pi.root / "current").symlink_to("releases/aaaabbbbcccc")
    monkeypatch.setattr(Target, "runtime", str(tmp_path))
    (tmp_path / "status.json").write_text(json.dumps(REPORT | {"written": time.monotonic()}))
    there()


def test_one_host_that_is_well_is_a_block_and_exit_code_0(status, well):
    result = status("pi")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["release"].startswith("aaaabbbbcccc, for ")
    assert lines["shown"] == "rock, for 3.0 s, 98% sure"
    assert "clock right" in lines["machine"]


def test_a_host_that_is_not_well_is_said_and_exit_code_1(status, well, there):
    there(ActiveState="inactive")
    result = status("pi")
    assert result.exit_code == 1
    assert "state     stopped" in result.stdout
    assert result.stderr.startswith("deploy: pi: it was stopped")


def test_a_host_never_set_up_says_so(status, pi, there):
    there(LoadState="not-found", ActiveState="inactive")
    assert "it is not set up, there is no handwave-" in status("pi").stderr


@pytest.mark.parametrize(
    ("host", "says"), [("off", "no connection"), ("stranger", "its host key is unknown to you")]
)
def test_a_host_that_cannot_be_asked_is_unreachable(status, host, says):
    result = status(host)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
    assert result.stderr.count(f"{host}: ") == 1


def test_several_hosts_are_a_table_that_fits_80_columns(status, well, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = status("pi", "off")
    assert result.exit_code == 1
    header, pi, off = result.stdout.splitlines()
    assert max(map(len, (header, pi, off))) <= 80
    assert header.split()[:4] == ["host", "state", "release", "shown"]
    assert pi.split()[:6] == ["pi", "watching", "aaaabbbbcccc", "rock", "14.9", "23/41"]
    assert off.split() == ["off", "unreachable"]
    assert result.stderr.startswith("deploy: off: no connection")


@pytest.mark.parametrize(("columns", "shown"), [(120, "1234"), (80, "thumbs"), (60, "watching")])
def test_whose_row_it_is_comes_before_how_it_is_in_detail(monkeypatch, capsys, columns, shown):
    from deploy.commands.status import _table

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    long = said(unit={"NRestarts": "1234"}, report={"label": "thumbs-up-both"})
    long.host = "somebody@raspberrypi.in-the-attic.example"
    _table([long, long])
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert [len(line) <= columns for line in lines] == [True] * 3
    assert lines[1].startswith("somebody@raspberrypi.in-the-attic.example watching")
    assert shown in lines[1]


def test_in_a_file_nothing_is_cut(monkeypatch, capsys):
    from deploy.commands.status import _table

    monkeypatch.setenv("COLUMNS", "40")
    _table([said(report={"label": "thumbs"})] * 2)
    assert capsys.readouterr().out.splitlines()[1].split()[-2:] == ["0", "12.3"]


def test_json_is_one_object(status, well):
    result = status("off", "pi", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["well"] is False
    assert [host["host"] for host in found["hosts"]] == ["off", "pi"]
    assert [host["well"] for host in found["hosts"]] == [False, True]
    assert found["hosts"][1]["latency_ms"] == {"p50": 23.4, "p99": 41.0}
    assert result.stderr == ""


def test_a_clock_that_is_off_is_told(status, well, monkeypatch):
    import deploy.status

    real = time.time
    monkeypatch.setattr(deploy.status.time, "time", lambda: real() + 3 * 365 * 86400)
    result = status("pi")
    assert result.exit_code == 0  # a Pi without a network is well all the same
    assert "its clock is 1094 d 23 h behind" in result.stdout or "1095 d" in result.stdout
