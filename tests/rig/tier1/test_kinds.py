"""Tier 1: every kind of output, `edge wiggle`, `edge off` and a button, on real lgpio."""

import signal

import pytest

pytestmark = pytest.mark.tier1

EACH = """
[when.palm]
led = 17
pwm_led = [{ pin = 18 }, { pin = 24, effect = "pulse", seconds = 0.2 }]
rgb_led = { pins = [14, 15, 13], colour = "#884422" }
buzzer = { pin = 22, beeps = 2 }
tone = [{ pin = 23, melody = "A4", repeat = true }, { pin = 25, melody = "A4:20" }]
servo = [{ pin = 19, angle = 45 }, { pin = 12, angle = 45, rest = 0 }]
relay = 16
motor = { forward = 20, backward = 21, enable = 26, speed = 0.5 }
"""
PINS = {17, 18, 24, 14, 15, 13, 22, 23, 25, 19, 12, 16, 20, 26}

WIGGLE = "from edge.commands.wiggle import wiggle; wiggle(['--seconds', '0.15'])"
OFF = "from edge.commands.off import off; off([])"
ANGLE = """
import lgpio
from edge.config import read_config
from edge.outputs.wiring import Wiring
pwm, asked = lgpio.tx_pwm, []
lgpio.tx_pwm = lambda *words: (asked.append(words[2:]), pwm(*words))[1]
with Wiring(read_config("edge.toml"), "real") as wiring:
    asked.clear()
    wiring.when["palm"][0].on()
    print(*asked[-1])
"""
BUTTON = """
import threading
from edge.button import open_button
from edge.config import read_config
from edge.outputs.wiring import Wiring
config, done = read_config("edge.toml"), threading.Event()
with Wiring(config, "real") as wiring:
    open_button(config.button, wiring, on_pause=lambda: print("paused", flush=True),
                on_shutdown=done.set)
    print("ready", flush=True)
    done.wait()
print("shut down")
"""


@pytest.fixture
def says(pi):
    """Return a function that writes the edge.toml."""
    return (pi.folder / "edge.toml").write_text


def test_every_kind_moves_its_pins_and_leaves_them_low(pi, says):
    says(EACH)
    code, out, err = pi.run("-c", WIGGLE)
    assert code == 0, err
    assert "11 of 11 outputs did as they were told" in out
    assert {line for line in range(28) if 1 in pi.header.history(line)} == PINS
    assert pi.header.high == set()
    assert pi.header.outputs == set()


@pytest.mark.parametrize("kind", ["relay", "led", "buzzer"])
def test_what_is_on_while_low_does_not_click_when_it_is_opened(pi, says, kind):
    says(f"[when.palm]\n{kind} = {{ pin = 5, active_high = false }}\n")
    pi.header.drive(5, 1)  # as the board's own resistor holds it
    code, _, err = pi.run("-c", WIGGLE)
    assert code == 0, err
    assert pi.header.history(5) == [0, 1]  # on once, and off


@pytest.mark.parametrize(("angle", "share"), [(-90, 5), (-10, 7.2222), (45, 8.75), (90, 10)])
def test_a_servo_turns_to_the_very_angle(pi, says, angle, share):
    says(f"[when.palm]\nservo = {{ pin = 18, angle = {angle} }}\n")
    code, out, err = pi.run("-c", ANGLE)
    assert code == 0, err
    rate, width = map(float, out.split())
    assert (rate, width) == (50, pytest.approx(share, abs=0.001))


def test_a_servo_says_what_its_pulses_are(pi, says):
    says("[when.palm]\nservo = 18\n")
    assert "may tremble: its pulses are timed by software" in pi.run("-c", WIGGLE)[2]


def test_what_a_kill_left_on_is_switched_off(pi, says):
    says("[when.palm]\nled = 17\nrelay = { pin = 5, active_high = false }\n")
    pi.header.drive(5, 1)
    wiggle = pi.start("-c", WIGGLE.replace("0.15", "60"))
    pi.header.wait(17, 1)
    wiggle.send_signal(signal.SIGKILL)
    wiggle.communicate()
    assert 17 in pi.header.high, "a kill alone switches nothing off"
    pi.header.drive(5, 0)  # the relay is on as well
    code, out, err = pi.run("-c", OFF)
    assert (code, out, err) == (0, "off: GPIO17, GPIO5\n", "")
    assert pi.header.high == {5}


def test_off_says_which_pins_are_still_held(pi, says):
    says("[when.palm]\nled = [17, 27]\n")
    wiggle = pi.start("-c", WIGGLE.replace("0.15", "60"))
    pi.header.wait(17, 1)
    code, _, err = pi.run("-c", OFF)
    wiggle.kill()
    wiggle.communicate()
    assert code == 1
    assert len(err.splitlines()) in {1, 2}
    assert "sudo systemctl stop handwave" in err


def test_a_button_that_is_held_shuts_down(pi, says):
    says('[button]\npin = 26\nhold = "shutdown"\nseconds = 0.5\n')
    pi.header.drive(26, 1)
    running = pi.start("-c", BUTTON)
    assert running.stdout.readline() == "ready\n"
    pi.header.drive(26, 0)
    out, err = running.communicate(timeout=60)
    assert out == "shut down\n", err
