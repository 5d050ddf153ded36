"""Tier 1: real lgpio below real gpiozero, on a GPIO chip that is a file."""

import shutil
import signal

import pytest

from edge.config import read_config

pytestmark = pytest.mark.tier1

LED, BUZZER = 17, 22
TOML = f"[when.palm]\nled = {LED}\n[when.fist]\nbuzzer = {BUZZER}\n"

HOLDS_A_PIN = f"""
import gpiozero
led = gpiozero.LED({LED})
print("held", flush=True)
input()
"""

BREAKS = f"""
import gpiozero
from edge import watch
from edge.frame import Source
from edge.sources.opening import Folder

class Breaks(Source):
    def __iter__(self):
        yield from Folder("palms")
        raise ZeroDivisionError("a mistake of ours")

watch("model.onnx", {{"palm": gpiozero.LED({LED})}}, source=Breaks())
"""


@pytest.fixture
def project(pi, model):
    """Put an edge.toml and its model where the Pi's programs start."""
    shutil.copy(model, pi.folder)
    (pi.folder / "edge.toml").write_text(TOML)
    return read_config(pi.folder / "edge.toml")


@pytest.fixture
def lit(pi, project, endless):
    """Start `edge run` and return it once the LED is lit."""
    running = pi.start("-m", "edge", "run", "--pins", "real", "--source", endless)
    pi.header.wait(LED, 1)
    yield running
    running.kill()
    running.communicate()


def test_each_gesture_switches_its_pin(pi, project, shown):
    show = shown(pi.folder / "show", "background", "palm", "background", "fist", "background")
    code, _, err = pi.run("-m", "edge", "run", "--pins", "real", "--source", show)
    assert code == 0, err
    assert pi.header.history(LED) == [1, 0]
    assert pi.header.history(BUZZER) == [1, 0]


def test_pins_that_nobody_named_are_never_touched(pi, project, shown):
    show = shown(pi.folder / "show", "palm", "fist")
    pi.run("-m", "edge", "run", "--pins", "real", "--source", show)
    touched = {int(row.split()[1]) for row in pi.header.log.read_text().splitlines()}
    assert touched == {LED, BUZZER}


def test_the_header_is_the_default_on_a_pi(pi, project, shown):
    show = shown(pi.folder / "show", "palm")
    _, _, err = pi.run("-m", "edge", "run", "--source", show)
    assert "real pins" in err
    assert pi.header.history(LED) == [1, 0]


def test_what_is_wired_to_an_ended_program_floats(pi, project, shown):
    show = shown(pi.folder / "show", "palm")
    pi.run("-m", "edge", "run", "--pins", "real", "--source", show)
    assert pi.header.outputs == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_switches_all_off(pi, lit, number):
    lit.send_signal(number)
    _, err = lit.communicate()
    assert lit.returncode == 0, err
    assert pi.header.high == set()


def test_a_mistake_of_ours_switches_all_off(pi, project, shown):
    shown(pi.folder / "palms", "palm")
    code, _, err = pi.run("-c", BREAKS)
    assert code == 1
    assert "ZeroDivisionError" in err
    assert pi.header.history(LED) == [1, 0]


def test_a_killed_program_leaves_its_pins_as_they_were(pi, lit):
    # So it is on a Pi, and so somebody else must switch them off.
    lit.kill()
    lit.wait()
    assert pi.header.high == {LED}
    assert LED in pi.header.outputs


def test_a_pin_that_another_program_holds_is_one_clear_line(pi, project, endless):
    other = pi.start("-c", HOLDS_A_PIN, stdin=-1)
    assert other.stdout.readline() == "held\n"
    code, _, err = pi.run("-m", "edge", "run", "--pins", "real", "--source", endless)
    other.communicate("\n")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("edge: a pin is held by another program")
    assert "GPIO busy" in line


def test_pins_are_free_again_once_their_program_is_killed(pi, lit, shown):
    lit.kill()
    lit.wait()
    show = shown(pi.folder / "show", "fist")
    code, _, err = pi.run("-m", "edge", "run", "--pins", "real", "--source", show)
    assert code == 0, err
    assert pi.header.high == set()


def test_edge_off_after_a_kill_switches_all_off(pi, lit):
    # What the unit's stop step does.
    lit.kill()
    lit.wait()
    assert pi.header.high == {LED}
    code, _, err = pi.run("-m", "edge", "off", "--pins", "real")
    assert code == 0, err
    assert pi.header.high == set()
