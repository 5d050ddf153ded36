"""Wiring: gpiozero's devices, and all other outputs, from what edge.toml says."""

from __future__ import annotations

import os
import subprocess
import sys

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from edge.config import read_config
from edge.errors import OutputError
from edge.outputs import gpio
from edge.outputs.header import HEADER_PINS
from edge.outputs.wiring import Wiring

TOML = "[when.rock]\nled = 17\nbuzzer = [22, 23]\n[when.palm]\nled = [5]\n"


@pytest.fixture
def wire(tmp_path):
    """Return a function that opens what an edge.toml says."""

    def wire(text=TOML, pins="mock"):
        (tmp_path / "edge.toml").write_text(text)
        return Wiring(read_config(tmp_path / "edge.toml"), pins)

    return wire


def test_mock_pins_are_gpiozeros_devices_by_label(wire):
    board = wire()
    assert isinstance(gpiozero.Device.pin_factory, MockFactory)
    kinds = {label: [type(d).__name__ for d in devices] for label, devices in board.when.items()}
    assert kinds == {"rock": ["LED", "Buzzer", "Buzzer"], "palm": ["LED"]}
    assert board.states() == {17: False, 22: False, 23: False, 5: False}
    board.close()


def test_states_follow_the_devices(wire):
    board = wire()
    board.when["rock"][0].on()
    assert board.states() == {17: True, 22: False, 23: False, 5: False}
    board.close()


def test_closing_switches_off_frees_the_pins_and_may_be_done_twice(wire):
    board = wire()
    led = board.when["rock"][0]
    pin = led.pin
    led.on()
    assert pin.state == 1
    board.close()
    board.close()
    assert pin.state == 0
    assert led.closed
    assert board.states() == {}
    again = wire()
    again.close()


def test_one_device_that_fails_to_close_does_not_keep_the_others_on(wire):
    board = wire()
    last = board.when["palm"][0]

    class Broken:
        value = 0

        def close(self):
            raise OSError

    board.when = {}
    board._devices = {(17,): Broken(), (5,): last}
    board.close()
    assert last.closed


@pytest.mark.parametrize("kind", ["led", "buzzer"])
def test_every_pin_of_the_header_can_be_either(wire, kind):
    board = wire(f"[when.rock]\n{kind} = {list(HEADER_PINS)}")
    for device in board.when["rock"]:
        device.on()
    assert board.states() == dict.fromkeys(HEADER_PINS, True)
    board.close()


def test_no_actions_no_pins(wire):
    assert wire("").states() == {}


def test_a_pin_that_is_held_is_one_line_and_frees_the_others(wire, monkeypatch):
    monkeypatch.setattr(gpio, "is_raspberry_pi", lambda: True)
    gpiozero.Device.pin_factory = MockFactory()  # the real kind takes whatever factory is set
    holder = gpiozero.LED(23)
    with pytest.raises(
        OutputError, match=r"^a pin is held by another program \([^\n]*GPIO23[^\n]*"
    ) as caught:
        wire(pins="real")
    gpiozero.LED(17).close()  # was closed, not just forgotten: its holder is still in the traceback
    holder.close()
    del caught


def test_a_pin_library_that_fails_is_one_line(wire, monkeypatch):
    monkeypatch.setattr(gpio, "is_raspberry_pi", lambda: True)

    def fail(_pin, **_options):
        raise PermissionError("/dev/gpiochip0\nsecond line")

    monkeypatch.setattr(gpiozero, "LED", fail)
    with pytest.raises(OutputError, match=r"^cannot use the GPIO pins \(Perm[^\n]+group gpio$"):
        wire(pins="real")


def run(code, **environment):
    """Run code in a process of its own: gpiozero remembers what it tried."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GPIOZERO_")} | environment
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, env=clean,
    )  # fmt: skip


@pytest.fixture
def wiring(tmp_path):
    """Return code that wires an LED up: `wiring("real")`."""
    path = tmp_path / "edge.toml"
    path.write_text("[when.rock]\nled = 17")
    return lambda kind: (
        "import os\nfrom edge.config import read_config\n"
        "from edge.errors import OutputError\nfrom edge.outputs.wiring import Wiring\n"
        f"try: Wiring(read_config({str(path)!r}), {kind!r})\n"
        "except OutputError as problem: print(problem)\n"
        "print(os.environ['GPIOZERO_PIN_FACTORY'])\n"
    )


def test_real_pins_on_this_machine_advise_mock_ones(wiring):
    if gpio.is_raspberry_pi():
        pytest.skip("this machine has real pins")
    done = run(wiring("real"))
    assert done.stderr == ""
    line, factory = done.stdout.splitlines()
    assert line.startswith("no GPIO pins here (")
    assert line.endswith("on a computer that is no Pi, add --pins mock")
    assert factory == "lgpio"


def test_a_pin_factory_that_the_user_chose_is_kept(wiring):
    told = run(wiring("real"), GPIOZERO_PIN_FACTORY="pigpio").stdout
    assert told.splitlines()[-1] == "pigpio"


@pytest.mark.parametrize("kind", ["real", "mock"])
def test_without_gpiozero_the_way_to_get_it(wiring, kind):
    code = f"import sys\nsys.modules['gpiozero'] = None\n{wiring(kind)}"
    line = run(code, GPIOZERO_PIN_FACTORY="x").stdout.splitlines()[0]
    assert line == "gpiozero is missing; on a Pi: sudo apt install python3-gpiozero"


def test_pins_are_named_by_what_hangs_on_them(wire):
    assert wire().names == {
        17: "led: rock", 22: "buzzer: rock", 23: "buzzer: rock", 5: "led: palm",
    }  # fmt: skip
    tables = [f"[when.{label}]\nservo = {{ pin = 18, angle = 0 }}\n" for label in ("rock", "palm")]
    shared = wire("".join(tables))
    assert shared.names == {18: "servo: rock, palm"}
