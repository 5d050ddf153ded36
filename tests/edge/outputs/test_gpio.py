"""gpiozero itself: which pins it drives, and what its errors mean to a person."""

from __future__ import annotations

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from edge.outputs import gpio
from edge.outputs.gpio import advice, all_off, find_tone, is_lgpio, load_gpiozero


def test_mock_pins_can_do_all_that_real_ones_can():
    assert load_gpiozero("mock") is gpiozero
    assert gpiozero.Device.pin_factory.pin_class is MockPWMPin


def test_only_lgpios_pins_are_mended():
    gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    load_gpiozero("real")
    assert gpiozero.Device.pin_factory.pin_class is MockPWMPin
    assert not is_lgpio(gpiozero.Device.pin_factory)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (OSError("GPIO busy"), "a pin is held by another program (GPIO busy); stop that one first"),
        (gpiozero.GPIOPinInUse("pin 17"), "sudo systemctl stop handwave"),
        (PermissionError("no\nmore"), "cannot use the GPIO pins (PermissionError: no); on a Pi: "),
    ],
)
def test_each_error_says_what_to_do(monkeypatch, problem, words):
    monkeypatch.setattr(gpio, "is_raspberry_pi", lambda: True)
    said = advice(problem, "real")
    assert words in said
    assert "\n" not in said


def test_on_no_pi_it_advises_mock_pins(monkeypatch):
    monkeypatch.setattr(gpio, "is_raspberry_pi", lambda: False)
    assert advice(OSError("x"), "real").endswith("add --pins mock")


@pytest.mark.parametrize(
    ("note", "hertz"), [("A4", 440), ("C4", 261.63), ("F#4", 369.99), ("Bb4", 466.16), ("A1", 55)]
)
def test_a_note_is_a_tone_that_gpiozeros_buzzer_plays(note, hertz):
    tone = find_tone(note)
    assert tone == pytest.approx(hertz, abs=0.01)
    gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    with gpiozero.TonalBuzzer(17, octaves=gpio.OCTAVES) as buzzer:
        buzzer.play(tone)
        assert buzzer.pwm_device.pin.frequency == pytest.approx(hertz, abs=0.01)


@pytest.mark.parametrize(
    ("note", "error"),
    [("H4", ValueError), ("C4 ", ValueError), ("G#1", OverflowError), ("A#7", OverflowError)],
)
def test_what_is_no_note_or_out_of_range(note, error):
    with pytest.raises(error):
        find_tone(note)


def test_all_off_drives_each_pin_to_its_level_and_lets_go():
    assert all_off({5: True, 6: False}, "mock") == []
    pins = [gpiozero.Device.pin_factory.pin(number) for number in (5, 6)]
    assert [pin.states[-1].state for pin in pins] == [0, 0]  # mock inputs fall low
    assert 1 in [state.state for state in pins[1].states]
    assert [pin.function for pin in pins] == ["input", "input"]
