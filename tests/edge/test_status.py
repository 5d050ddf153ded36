"""How the device is doing: what is gathered, written, and told by `edge status`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from click.testing import CliRunner

from edge.commands import status as status_command
from edge.commands.status import Unit, describe, parse_unit, read_word
from edge.commands.status import status as command
from edge.decider import Decision
from edge.errors import HandwaveError
from edge.status import BOUNDS, Status, Times, find_release, runtime_file

PI = Path("sys/class/hwmon/hwmon1")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def status(clock, tmp_path):
    return Status(tmp_path / "status.json", clock=clock, root=tmp_path)


def turn(label="rock", *, trouble=None, seconds=0.01, changed=False):
    return SimpleNamespace(
        decision=Decision(label, 0.9, 0.0, 0.0, changed=changed), trouble=trouble, seconds=seconds
    )


def feed(status, clock, *labels, each=0.1, **details):
    for label in labels:
        clock.now += each
        status.step(turn(label, **details))


# --- what is gathered


def test_before_the_first_frame_it_is_starting_and_knows_nothing(status, clock):
    clock.now += 3
    report = status.report()
    assert (report.state, report.state_for, report.uptime) == ("starting", 3.0, 3.0)
    assert (report.label, report.confidence, report.frames, report.fps) == (None, None, 0, 0.0)
    assert report.latency_ms is report.process_ms is report.last_frame is None


def test_frames_are_counted_and_their_rate_is_that_of_the_last_seconds(status, clock):
    feed(status, clock, *["rock"] * 30, each=1.0)
    feed(status, clock, *["rock"] * 100, each=0.1)
    report = status.report()
    assert report.frames == 130
    assert report.fps == pytest.approx(10, rel=0.02)


def test_the_rate_falls_while_no_frame_comes_and_is_none_in_the_end(status, clock):
    feed(status, clock, *["rock"] * 50)
    clock.now += 2.5
    assert status.report().fps == pytest.approx(5, rel=0.1)
    assert status.report().last_frame == 2.5
    clock.now += 10
    assert status.report().fps == 0.0


def test_more_frames_than_are_remembered_give_the_right_rate(status, clock):
    feed(status, clock, *["rock"] * 1000, each=0.001)
    assert status.report().fps == pytest.approx(1000, rel=0.01)


def test_a_decision_is_told_with_how_long_it_has_stood(status, clock):
    feed(status, clock, None, "rock", "rock", "rock")
    report = status.report()
    assert (report.label, report.confidence, report.label_for) == ("rock", 0.9, 0.2)


def test_each_decision_counts_once_and_undecided_not_at_all(status, clock):
    feed(status, clock, None, "rock", "rock", None, "palm", "rock")
    assert status.decided == {"rock": 2, "palm": 1}


def test_the_same_gesture_begun_anew_counts_as_the_outputs_take_it(status, clock):
    feed(status, clock, "rock", "rock", "rock")
    feed(status, clock, "rock", changed=True)  # after a second without a frame
    clock.now += 0.5
    assert status.decided == {"rock": 2}
    assert status.report().label_for == 0.5


def test_trouble_is_the_state_and_nothing_is_decided_then(status, clock):
    feed(status, clock, "rock", "rock")
    status.step(turn(None, trouble="picture black"))
    clock.now += 4
    status.step(turn(None, trouble="picture black"))
    report = status.report()
    assert (report.state, report.state_for) == ("picture black", 4.0)
    assert (report.label, report.confidence) == (None, None)
    feed(status, clock, "rock")
    assert status.report().state == "watching"


def test_a_state_may_be_said_without_a_frame(status, clock):
    feed(status, clock, "rock")
    status.say("camera absent")
    clock.now += 2
    status.say("camera absent")
    report = status.report()
    assert (report.state, report.state_for, report.label) == ("camera absent", 2.0, None)


def test_percentiles_are_of_the_times_in_milliseconds(status):
    for number in range(1, 101):
        status.step(turn(seconds=number / 1000), number / 100)
    report = status.report()
    assert (report.process_ms.p50, report.process_ms.p99) == (50.0, 99.0)
    assert (report.latency_ms.p50, report.latency_ms.p99) == (500.0, 990.0)


def test_a_latency_that_nobody_knows_is_left_out(status):
    status.step(turn())
    assert status.report().latency_ms is None
    assert status.report().process_ms is not None


def test_the_last_thousand_times_make_the_percentiles():
    times = Times()
    for _ in range(1000):
        times.add(9.0)
    for _ in range(1000):
        times.add(0.001)
    assert times.spread().p99 == 1.0
    assert times.count == 2000
    assert times.total == pytest.approx(9001)


def test_a_time_on_a_bound_is_in_its_bucket_and_no_time_is_below_zero():
    times = Times()
    for seconds in (-1.0, BOUNDS[0], BOUNDS[1], 99.0):
        times.add(seconds)
    assert times.buckets == [2, 1, *[0] * (len(BOUNDS) - 2), 1]
    assert times.total >= 0


def test_a_hundred_thousand_frames_take_no_more_memory_than_two_thousand(status):
    step, other = turn("rock"), turn(None)
    for _ in range(1000):
        status.step(step, 0.05)
        status.step(other, 0.05)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50_000):
        status.step(step, 0.05)
        status.step(other, 0.05)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


# --- the machine


def pi(root, *, heat="51200", alarm="0"):
    """Lay out what a Raspberry Pi's kernel says."""
    files = {
        "sys/class/thermal/thermal_zone0/temp": heat,
        "sys/class/hwmon/hwmon0/name": "cpu_thermal",
        "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "1",  # somebody else's
        PI / "name": "rpi_volt",
        PI / "in0_lcrit_alarm": alarm,
        "proc/self/statm": "50000 20000 9000 1 0 30000 0",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def test_a_pi_says_how_warm_it_is_and_what_the_process_takes(tmp_path, clock):
    report = Status(clock=clock, root=pi(tmp_path)).report()
    assert (report.temperature, report.undervoltage, report.throttled) == (51.2, False, False)
    assert report.memory_mb == round(20000 * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


@pytest.mark.parametrize(
    ("heat", "alarm", "expected"),
    [("80000", "0", (False, True)), ("40000", "1", (True, True)), ("x", "", (None, None))],
)
def test_heat_and_a_weak_supply_slow_a_pi_down(tmp_path, clock, heat, alarm, expected):
    report = Status(clock=clock, root=pi(tmp_path, heat=heat, alarm=alarm)).report()
    assert (report.undervoltage, report.throttled) == expected


def test_a_machine_that_says_nothing_is_none_of_it(tmp_path, clock):
    report = Status(clock=clock, root=tmp_path).report()
    assert report.temperature is report.undervoltage is report.throttled is None
    assert report.memory_mb is None


def test_the_machine_is_asked_at_most_once_a_second(tmp_path, clock):
    status = Status(clock=clock, root=pi(tmp_path))
    assert status.report().temperature == 51.2
    pi(tmp_path, heat="60000")
    clock.now += 0.9
    assert status.report().temperature == 51.2
    clock.now += 0.2
    assert status.report().temperature == 60.0


def test_this_machine_says_what_this_process_takes():
    if not Path("/proc/self/statm").exists():
        pytest.skip("Linux's")
    assert 5 < Status().report().memory_mb < 5000


# --- the release and the file


def test_the_release_is_what_the_environment_says(monkeypatch):
    monkeypatch.setenv("HANDWAVE_RELEASE", "abc123")
    assert find_release() == "abc123"


def test_the_release_is_the_folder_that_a_push_made(tmp_path, monkeypatch):
    monkeypatch.delenv("HANDWAVE_RELEASE", raising=False)
    assert find_release() is None
    monkeypatch.setattr("edge.status.__file__", str(tmp_path / "releases/0123abcd/edge/status.py"))
    (tmp_path / "releases/0123abcd/edge").mkdir(parents=True)
    assert find_release() == "0123abcd"


@pytest.mark.parametrize(
    ("folder", "expected"),
    [(None, None), ("", None), ("/run/a", "/run/a/status.json"), ("/r:/s", "/r/status.json")],
)
def test_only_a_service_has_a_file(monkeypatch, folder, expected):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    if folder is not None:
        monkeypatch.setenv("RUNTIME_DIRECTORY", folder)
    assert runtime_file() == (expected and Path(expected))


def test_the_file_holds_the_report(status, clock, tmp_path):
    feed(status, clock, "rock", "rock")
    status.write()
    written = json.loads((tmp_path / "status.json").read_text())
    assert written == msgspec.to_builtins(status.report())


def test_everybody_on_the_machine_may_read_the_file(status, tmp_path):
    before = os.umask(0o077)  # as in the unit
    try:
        status.write()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o644


def test_the_file_is_written_once_a_second(status, clock, tmp_path):
    feed(status, clock, "rock")
    status.write()
    feed(status, clock, "rock", each=0.5)
    status.write()
    assert json.loads((tmp_path / "status.json").read_text())["frames"] == 1
    feed(status, clock, "rock", each=0.6)
    status.write()
    assert json.loads((tmp_path / "status.json").read_text())["frames"] == 3


def test_another_state_is_written_at_once(status, clock, tmp_path):
    feed(status, clock, "rock")
    status.write()
    status.say("camera absent")
    status.write()
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "camera absent"


def test_another_label_is_written_at_once(status, clock, tmp_path):
    feed(status, clock, "rock")
    status.write()
    feed(status, clock, "palm", each=0.1)
    status.write()
    assert json.loads((tmp_path / "status.json").read_text())["label"] == "palm"


def test_a_file_that_cannot_be_written_does_not_stop_the_watching(clock, tmp_path):
    status = Status(tmp_path / "nowhere" / "status.json", clock=clock)
    status.write()
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_written(clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Status(None, clock=clock).write()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_file(status, clock, tmp_path):
    feed(status, clock, "rock")
    status.write()
    with (tmp_path / "status.json").open() as before:
        feed(status, clock, "palm", each=2)
        status.write()
        assert json.load(before)["label"] == "rock"  # a new file took its place


# --- edge status


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `edge status` on the file of the fixture `status`, without a systemd."""
    monkeypatch.setattr(status_command, "ask_systemd", lambda unit: None)

    def run(*words):
        return CliRunner().invoke(
            command, ["--file", str(tmp_path / "status.json"), *words], prog_name="edge status"
        )

    return run


@pytest.fixture
def alive(tmp_path):
    """A service that has just written."""
    status = Status(tmp_path / "status.json", root=pi(tmp_path))
    for number in range(20):
        status.step(turn("rock"), 0.05 + number / 1000)
    status.write()
    return status


@pytest.mark.usefixtures("alive")
def test_a_person_is_told_in_lines(run):
    done = run()
    assert done.exit_code == 0
    assert "state     watching, for " in done.stdout
    assert "shown     rock for " in done.stdout
    assert "90% sure" in done.stdout
    assert "latency   59 ms (half), 69 ms (99 in 100)" in done.stdout
    assert "51 °C" in done.stdout


@pytest.mark.usefixtures("alive")
def test_a_program_is_told_in_one_object(run):
    done = run("--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (said["running"], said["problem"], said["label"]) == (True, None, "rock")
    assert said["latency_ms"] == {"p50": 59.0, "p99": 69.0}
    assert said["age"] < 30
    assert said["restarts"] is said["unit"] is None


def test_a_service_that_does_not_run_is_said_to_and_how_to_start_it(run, monkeypatch):
    monkeypatch.setattr(status_command, "ask_systemd", lambda _: Unit("inactive (dead)", 0))
    done = run()
    assert done.exit_code == 1
    assert done.stdout == "service   inactive (dead)\n"
    assert "the service is not running; start it with" in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_no_service_is_set_up_it_says_how_to_ask_a_pi(run, monkeypatch):
    monkeypatch.setattr(status_command, "ask_systemd", lambda _: None)
    done = run()
    assert done.exit_code == 1
    assert "no handwave service runs on this machine; how a Pi's does: deploy status" in done.stderr


def test_a_program_is_told_so_too(run):
    done = run("--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["running"] is False
    assert "no handwave service runs" in said["problem"]


def test_a_service_that_fell_silent_is_said_to_have(alive, run, tmp_path):
    old = msgspec.structs.replace(alive.report(), written=time.monotonic() - 40)
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(old))
    done = run()
    assert done.exit_code == 1
    assert "watching" in done.stdout
    assert "last word 40 s ago" in done.stderr
    assert json.loads(run("--json").stdout)["running"] is False


def test_a_service_that_was_killed_a_moment_ago_is_said_to_be_gone(alive, run, tmp_path):
    child = subprocess.Popen(["true"])
    child.wait()
    dead = msgspec.structs.replace(alive.report(), pid=child.pid)
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(dead))
    done = run()
    assert done.exit_code == 1
    assert f"its process, {child.pid}, is there no more: it ended or was killed; " in done.stderr
    assert json.loads(run("--json").stdout)["running"] is False


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"state": 3}', b"\xff", b"[" * 60_000, b" " * 70_000]
)
def test_a_file_that_is_no_status_is_one_line(run, tmp_path, content):
    (tmp_path / "status.json").write_bytes(content)
    done = run()
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "status.json" in done.stderr
    assert "mistake of ours" not in done.stderr


@pytest.mark.usefixtures("alive")
def test_a_newer_services_file_is_read_as_well(tmp_path):
    path = tmp_path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "fine"}))
    assert read_word(path).report.label == "rock"


def test_what_the_service_says_cannot_write_on_the_screen(alive, run):
    alive.say("camera \x1b[2J absent")
    alive.write()
    done = run()
    assert "\x1b" not in done.stdout
    assert "camera ?[2J absent" in done.stdout


@pytest.mark.usefixtures("alive")
def test_a_word_is_as_old_as_the_clock_says(tmp_path):
    path = tmp_path / "status.json"
    written = json.loads(path.read_text())["written"]
    assert read_word(path, now=written + 12.34).age == 12.3
    assert read_word(path, now=written - 5).age == 0  # never from the future
    with pytest.raises(HandwaveError, match="no handwave service"):
        read_word(tmp_path / "other.json")


def test_failures_and_a_weak_supply_are_told(tmp_path, clock):
    status = Status(clock=clock, root=pi(tmp_path, alarm="1"))
    status.failures = 2
    lines = dict(describe(status.report()))
    assert lines["outputs"] == "failed 2 times; see the log"
    assert "too little power" in lines["machine"]
    hot = Status(clock=clock, root=pi(tmp_path, heat="82000"))
    assert "too hot" in dict(describe(hot.report()))["machine"]


def test_systemd_says_how_often_it_had_to_start_it_again(run, monkeypatch, alive):
    monkeypatch.setattr(
        status_command, "ask_systemd", lambda unit: Unit("active (running)", restarts=1)
    )
    assert run().stdout.startswith("service   active (running), started again once\n")
    assert json.loads(run("--json").stdout)["restarts"] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=3\n",
            Unit("active (running)", 3),
        ),
        (
            "NRestarts=0\nSubState=auto-restart\nActiveState=activating\nLoadState=loaded\n",
            Unit("activating (auto-restart)", 0),
        ),
        ("LoadState=not-found\nActiveState=inactive\nSubState=dead\n", None),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\n", Unit("failed (failed)", None)),
        ("", None),
        ("nonsense", None),
    ],
)
def test_what_systemctl_shows_is_understood(text, expected):
    assert parse_unit(text) == expected


@pytest.mark.parametrize("script", [None, "exit 1", "echo nonsense"])
def test_a_machine_without_systemd_is_no_trouble(tmp_path, monkeypatch, script):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "systemctl").chmod(0o755)
    assert status_command.ask_systemd("handwave.service") is None


@pytest.mark.usefixtures("alive")
def test_watching_goes_on_until_ctrl_c(tmp_path):
    code = "from edge.commands.status import status; status(prog_name='edge status')"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--watch", "--json", "--file", tmp_path / "status.json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        first = json.loads(process.stdout.readline())
        second = json.loads(process.stdout.readline())
        process.send_signal(2)
        _, said = process.communicate(timeout=30)
    assert first["label"] == second["label"] == "rock"
    assert (process.returncode, said) == (0, "")
