"""The systemd unit, the page that installs it, and our stand-in for systemd."""

import re
import shlex
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

import deploy
from deploy import Target
from deploy.remote.push import locked
from deploy.units import check_unit, service_unit
from edge.sight import FROZEN

UNIT = Path(deploy.__file__).with_name("handwave.service")
GROWING = "RestartSteps|RestartMaxDelaySec"
PAGE = Path(deploy.__file__).parents[1] / "docs" / "setup.md"


LINES = UNIT.read_text().splitlines()
SETTINGS = dict(line.split("=", 1) for line in LINES if "=" in line and not line.startswith("#"))
STOP_STEPS = [line.partition("=")[2] for line in LINES if line.startswith("ExecStopPost=")]
ENVIRONMENT = " ".join(line for line in LINES if line.startswith("Environment="))


def test_the_unit_runs_what_a_push_puts_there():
    root = Target().root
    assert SETTINGS["ExecStart"].startswith(f"{root}/venv/bin/python ")
    assert "${RELEASE}/edge.toml" in SETTINGS["ExecStart"]
    assert f"RELEASE={root}/current PYTHONPATH={root}/current " in ENVIRONMENT
    assert SETTINGS["EnvironmentFile"] == f"-{Target().trial}/service.env"
    assert f"Environment=HANDWAVE_BEFORE={root}/previous/edge.toml" in LINES
    assert UNIT.name == Target().unit


def test_the_unit_avoids_the_known_traps():
    assert "GPIOZERO_PIN_FACTORY=lgpio" in ENVIRONMENT
    assert "ORT_DISABLE_TELEMETRY=1" in ENVIRONMENT
    assert SETTINGS["WorkingDirectory"] == f"/run/{SETTINGS['RuntimeDirectory']}"  # .lgd-nfy*
    assert SETTINGS["StartLimitIntervalSec"] == "0"  # or going back could be refused
    assert SETTINGS["Type"] == "notify"
    assert "ProtectClock" not in SETTINGS  # these two hide the camera and the pins
    assert "PrivateDevices" not in SETTINGS


@pytest.mark.parametrize("make", [service_unit, check_unit])
def test_both_units_may_write_nowhere_but_in_memory_and_gain_nothing(make):
    lines = make(Target()).splitlines()
    for locked_in in (
        "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "NoNewPrivileges=yes",
        "CapabilityBoundingSet=", "SystemCallFilter=@system-service", "RestrictNamespaces=yes",
    ):  # fmt: skip
        assert locked_in in lines
    assert not [line for line in lines if line.startswith(("ReadWritePaths=", "StateDirectory="))]


def test_the_page_names_what_the_unit_and_a_push_need():
    text = PAGE.read_text()
    for need in (SETTINGS["User"], *SETTINGS["SupplementaryGroups"].split(), Target().root):
        assert need in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("make", [service_unit, check_unit])
def test_systemd_knows_every_line_of_the_units(make, tmp_path):
    path = tmp_path / "handwave.service"
    path.write_text(make(Target()))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    # Debian 12's systemd knows no growing pauses, says so, and goes on without.
    lines = [line for line in done.stderr.splitlines() if not re.search(GROWING, line)]
    assert not re.search("Unknown|Failed to parse|Invalid", "\n".join(lines)), done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_little_that_the_service_could_do_wrong():
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (level,) = re.findall(r"Overall exposure level for handwave.service: (\S+)", done.stdout)
    assert float(level) < 3


def test_a_check_is_held_by_all_that_holds_the_service():
    text = check_unit(Target())
    held = dict(line.split("=", 1) for line in LINES if line.startswith(("Protect", "Restrict")))
    for name in ("User", "SupplementaryGroups", "MemoryMax", "CapabilityBoundingSet", *held):
        assert f"\n{name}={SETTINGS[name]}\n" in text
    assert "/current/edge.toml" not in text
    for name in ("Restart", "WatchdogSec", "ExecStopPost", "RuntimeDirectory"):
        assert f"\n{name}=" not in text


def test_no_push_is_refused_for_the_one_before():
    """systemd refuses the sixth start in ten seconds, unless told not to."""
    assert "StartLimitIntervalSec=0" in check_unit(Target()).splitlines()


@pytest.fixture
def after_a_crash(tmp_path):
    """Return a folder with a trial, and what the unit does there after the service has ended."""
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "service.env").touch()
    text = service_unit(Target(root=str(tmp_path))).replace(Target().trial, f"{tmp_path}/trial")
    (step,) = (line for line in text.splitlines() if line.startswith("ExecStopPost=-+"))
    words = shlex.split(step.removeprefix("ExecStopPost=-+"))
    return tmp_path, lambda: subprocess.run(words, stderr=subprocess.DEVNULL, check=False)


@pytest.mark.skipif(not shutil.which("flock"), reason="no flock here (util-linux)")
@pytest.mark.parametrize("pushing", [True, False])
def test_a_trial_ends_with_a_crash_where_no_push_is_left_to_end_it(after_a_crash, pushing):
    folder, end = after_a_crash
    with locked(folder / "lock", "anna@laptop") if pushing else nullcontext():
        (folder / "lock").touch()
        end()
    assert (folder / "trial" / "service.env").exists() == pushing
    end()  # with no trial there it holds no lock, for a push may begin
    assert (folder / "lock").exists()


def test_a_crash_makes_no_lock_that_the_pusher_could_not_write(after_a_crash):
    folder, end = after_a_crash
    end()
    assert not (folder / "lock").exists()


def test_the_units_can_have_other_names():
    target = Target("/srv/waver", "waver.service")
    for text in (service_unit(target), check_unit(target)):
        lines = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
        assert "/opt/handwave" not in lines
        assert "/run/handwave" not in lines
        assert "/srv/waver/venv/bin/python" in lines
        assert "/run/waver-trial/" in lines


def test_the_service_outlives_what_happens_to_it():
    assert SETTINGS["Restart"] == "always"
    assert SETTINGS["ExecStart"].endswith(" --forever")
    assert " edge off " in STOP_STEPS[0]  # after SIGKILL, too
    assert SETTINGS["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(SETTINGS["WatchdogSec"]) > 2 * FROZEN
    assert SETTINGS["WatchdogSignal"] == "SIGKILL"  # what hangs may well not hear another


@pytest.mark.skipif(not shutil.which("systemctl"), reason="no systemctl here")
def test_the_stand_in_is_called_as_the_real_programs_are():
    def usage(program):
        done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)

    for word in ("--property=", "--value", "show ", "start ", "restart ", "stop "):
        assert word in usage("systemctl")
    for word in ("--unit=", "--lines", "--no-pager", "--output=", "--quiet"):
        assert word in usage("journalctl")
