"""The button: each press is one thing done."""

from __future__ import annotations

import subprocess
import threading

import gpiozero
import pytest

from edge.button import ButtonSettings, open_button, power_off
from edge.config import read_config
from edge.errors import ConfigError, OutputError
from edge.outputs.wiring import Wiring


@pytest.fixture
def opened(tmp_path):
    """Open a `[button]` on mock pins; return its pin and what it does, in order."""
    closing = []

    def opened(fail=None, **settings):
        (tmp_path / "edge.toml").write_text("")
        wiring = Wiring(read_config(tmp_path / "edge.toml"), "mock")
        closing.append(wiring)
        done = []
        said = threading.Event()

        def act(what):
            done.append(what)
            said.set()
            if fail is not None:
                raise fail

        settings = {"pin": 3, "seconds": 0.001, **settings}
        open_button(
            ButtonSettings(**settings), wiring,
            on_pause=lambda: act("pause"), on_shutdown=lambda: act("shutdown"),
        )  # fmt: skip
        return gpiozero.Device.pin_factory.pin(3), done, said

    yield opened
    for wiring in closing:
        wiring.close()


def test_everything_that_can_be_said(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[button]\npin = 3\npress = 'nothing'\nhold = 'shutdown'\nseconds = 5\n")
    assert read_config(path).button == ButtonSettings(
        pin=3, press="nothing", hold="shutdown", seconds=5
    )
    path.write_text("[button]\npin = 3\n")
    assert read_config(path).button == ButtonSettings(pin=3, press="pause", hold="nothing")
    path.write_text("")
    assert read_config(path).button is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pin = 'x'", r"\[button\] pin: expected a whole number"),
        ("pres = 'pause'", r"\[button\] unknown key 'pres'; did you mean 'press'"),
        ("pin = 3\npress = 'reboot'", r"\[button\] press: there is no 'reboot'; there is: pause, "),
        ("pin = 3\nseconds = 0", r"\[button\] seconds: expected a number >= 0.5"),
        ("", r"\[button\] object missing required field `pin`"),
    ],
)
def test_each_mistake_is_named(tmp_path, text, words):
    path = tmp_path / "edge.toml"
    path.write_text(f"[button]\n{text}\n")
    with pytest.raises(ConfigError, match=words):
        read_config(path)


def test_a_press_counts_at_once_where_holding_does_nothing(opened):
    pin, done, _ = opened()
    pin.drive_low()
    assert done == ["pause"]
    pin.drive_high()
    pin.drive_low()
    assert done == ["pause", "pause"]


def test_a_short_press_counts_when_it_is_let_go_of(opened):
    pin, done, _ = opened(hold="shutdown", seconds=60)
    pin.drive_low()
    assert done == []
    pin.drive_high()
    assert done == ["pause"]


def test_a_long_press_is_that_and_nothing_else(opened):
    pin, done, said = opened(hold="shutdown")
    pin.drive_low()
    assert said.wait(10)
    pin.drive_high()
    assert done == ["shutdown"]


def test_a_button_that_is_down_from_the_start_does_nothing_until_let_go_of(opened, monkeypatch):
    make = gpiozero.Button.__init__

    def down(self, pin, **options):
        make(self, pin, **options)
        self.pin.drive_low()

    monkeypatch.setattr(gpiozero.Button, "__init__", down)
    pin, done, said = opened(hold="shutdown")
    assert not said.wait(0.3)  # gpiozero looks ten times a second
    pin.drive_high()
    assert done == []
    pin.drive_low()
    assert said.wait(10)
    assert done == ["shutdown"]


def test_an_action_that_fails_leaves_the_button_working(opened, caplog):
    pin, done, _ = opened(fail=OSError("not now"))
    for _ in range(2):
        pin.drive_low()
        pin.drive_high()
    assert done == ["pause", "pause"]
    assert caplog.messages == ["button: not now"] * 2


def test_a_button_is_no_output(tmp_path):
    (tmp_path / "edge.toml").write_text("[when.rock]\nled = 17\n")
    with Wiring(read_config(tmp_path / "edge.toml"), "mock") as wiring:
        open_button(ButtonSettings(pin=3), wiring, on_pause=print, on_shutdown=print)
        assert wiring.states() == {17: False}
    assert gpiozero.Device.pin_factory.pin(3).function == "input"


# --- Shutting down


def test_shutting_down_asks_systemd_and_no_password(monkeypatch):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command))
    power_off()
    assert asked == [["systemctl", "--no-ask-password", "poweroff"]]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (FileNotFoundError(2, "No such file"), "No such file"),
        (
            subprocess.CalledProcessError(1, "systemctl", stderr="Access denied\nmore"),
            r"\(Access denied\); docs/wiring.md",
        ),
        (subprocess.TimeoutExpired("systemctl", 30), "timed out"),
    ],
)
def test_without_the_right_it_says_where_to_read_on(monkeypatch, problem, words):
    def fail(*_, **__):
        raise problem

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(OutputError, match=words):
        power_off()
