"""Tier 2: the service as it is shipped, on a booted Debian, and what happens to it in a year."""

import pytest
from PIL import Image

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(300)]

LED, BUZZER = 17, 22


def test_it_is_ready_once_the_first_frame_is_decided(pi):
    pi.unplug()
    pi.systemctl("start", "--no-block", "handwave")
    pi.says("no camera", since=pi.before)
    assert pi.state == "activating"
    pi.plug_in()
    pi.until(ActiveState="active")
    pi.header.wait(LED, 1)


@pytest.mark.parametrize(("label", "pin"), [("palm", LED), ("fist", BUZZER)])
def test_what_the_camera_sees_switches_its_pin(pi, label, pin):
    pi.look_at(label)
    pi.systemctl("start", "handwave")
    pi.header.wait(pin, 1)
    assert pi.header.high == {pin}


def test_it_runs_as_a_user_of_its_own_in_no_more_groups_than_it_needs(lit):
    status = lit.run("cat", f"/proc/{lit.pid}/status").stdout
    rows = dict(row.split(":", 1) for row in status.splitlines())
    user = lit.id_of("passwd", "handwave")
    groups = {lit.id_of("group", name) for name in ("handwave", "video", "gpio", "audio")}
    assert set(rows["Uid"].split()) == {str(user)}
    assert {int(number) for number in rows["Groups"].split()} == groups
    assert int(rows["CapEff"], 16) == 0


def test_stopped_it_switches_off(lit):
    lit.systemctl("stop", "handwave")
    assert lit.show("Result") == "success"
    assert lit.header.high == set()


def test_killed_its_pins_end_low_and_it_starts_again(lit):
    lit.systemctl("kill", "--signal=KILL", "handwave")
    lit.until(NRestarts="1", ActiveState="active")
    lit.header.wait(LED, 1)
    assert lit.header.history(LED) == [1, 0, 1]


def test_hung_it_is_killed_by_the_watchdog_and_starts_again(lit):
    lit.systemctl("kill", "--signal=STOP", "handwave")
    lit.until(NRestarts="1", ActiveState="active")
    lit.says("Watchdog timeout", since=lit.before)
    lit.header.wait(LED, 1)
    assert lit.header.history(LED) == [1, 0, 1]


def test_a_camera_that_shows_one_picture_for_ever_is_started_again(lit):
    lit.look_at("palm", each=1)
    lit.systemctl("restart", "handwave")
    lit.says("Watchdog timeout", since=lit.before)
    lit.look_at("palm")
    lit.until(ActiveState="active", SubState="running")
    lit.header.wait(LED, 1)


def test_a_covered_camera_switches_nothing_and_says_so(pi):
    for number in range(6):
        shade = Image.new("RGB", (160, 120), (number, number, number))
        shade.save(pi.share / "shown" / f"{number}.jpg")
    for path in (pi.share / "shown").iterdir():
        if int(path.stem) >= 6:
            path.unlink()
    pi.systemctl("start", "handwave")
    pi.says("black", since=pi.before)
    assert pi.header.high == set()
    assert pi.state == "active"


def test_pins_that_another_program_holds_are_waited_for(pi):
    holds = "import gpiozero; led = gpiozero.LED(17); print('held', flush=True); input()"
    other = pi.start("/opt/handwave/venv/bin/python", "-c", holds)
    assert other.stdout.readline() == "held\n"
    pi.systemctl("start", "--no-block", "handwave")
    pi.says("a pin is held by another program", since=pi.before)
    other.communicate("\n")
    pi.until(ActiveState="active")
    pi.header.wait(LED, 1)


def test_a_broken_edge_toml_is_not_taken_at_a_reload(lit, release):
    number = lit.pid
    text = (release / "edge.toml").read_text()
    (release / "edge.toml").write_text("[when.palmm]\nled = 17\n")
    lit.systemctl("reload", "handwave")
    lit.says("did you mean 'palm'?", since=lit.before)
    assert (lit.state, lit.pid) == ("active", number)
    assert lit.header.high == {LED}
    (release / "edge.toml").write_text(text.replace("17", "27"))
    lit.systemctl("reload", "handwave")
    lit.header.wait(27, 1)
    assert (lit.pid, lit.restarts) == (number, 0)
    assert lit.header.high == {27}


def test_without_its_model_it_is_tried_for_ever(pi, release):
    model = (release / "model.onnx").read_bytes()
    (release / "model.onnx").unlink()
    pi.systemctl("start", "--no-block", "handwave")
    pi.until(NRestarts="4")
    (release / "model.onnx").write_bytes(model)
    pi.until(ActiveState="active")
    pi.header.wait(LED, 1)


def test_a_power_cut_is_a_start_like_any_other(lit):
    lit.cut()
    lit.header.power_up()
    lit.boot()
    lit.header.wait(LED, 1)
    lit.until(ActiveState="active")


def test_its_exposure_is_below_3(pi):
    rows = pi.run("systemd-analyze", "security", "--no-pager", "handwave").stdout.splitlines()
    (overall,) = (row for row in rows if "Overall exposure level" in row)
    assert float(overall.split(":")[1].split()[0]) < 3


def test_in_steady_state_nothing_is_written(pi, new_pi):
    pi.look_at("palm", "background", each=30)
    pi.systemctl("start", "handwave")
    pi.header.wait(LED, 1)

    def files():
        return {path: path.lstat().st_mtime_ns for path in pi.written.rglob("*")}

    before, switched = files(), len(pi.header.history(LED))
    new_pi.until(lambda: len(pi.header.history(LED)) > switched + 6)
    assert files() == before


def test_no_traceback_has_ever_reached_the_journal(pi):
    assert "Traceback" not in pi.journal


def test_the_service_can_write_nowhere_but_in_memory(lit):
    """As its user, in its own view of the file system; /rig is the rig's, for the pins."""
    search = "find / ( -path /proc -o -path /sys -o -path /rig ) -prune -o ( -type d -o -type f )"
    user = ("setpriv", "--reuid=handwave", "--regid=handwave", "--init-groups")
    inside = ("nsenter", f"--target={lit.pid}", "--mount", "--", *user)
    found = lit.run(*inside, *search.split(), "-writable", "-print", check=False).stdout.split()
    allowed = ("/run/handwave", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock")
    assert "/run/handwave" in found
    below = tuple(f"{path}/" for path in allowed)
    assert [path for path in found if path not in allowed and not path.startswith(below)] == []
