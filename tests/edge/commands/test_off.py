"""`edge off`: what a killed `edge run` left on is switched off."""

from __future__ import annotations

import gpiozero
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edge.commands import off as module
from edge.config import read_outputs_anyway
from edge.console import Group
from edge.outputs import gpio


@pytest.fixture
def off(tmp_path, monkeypatch):
    """Run `edge off` on an edge.toml; return its exit code, lines, and each pin's last level."""
    group = Group("edge")
    group.add_command(module.off)
    levels = {}
    make = gpiozero.DigitalOutputDevice

    def remember(pin, **options):
        device = make(pin, **options)
        levels[pin] = device.pin.state
        return device

    def run(text):
        (tmp_path / "edge.toml").write_text(text)
        arguments = ["off", "--config", str(tmp_path / "edge.toml"), "--pins", "mock"]
        done = CliRunner().invoke(group, arguments, prog_name="edge")
        return done.exit_code, done.stdout, done.stderr, levels

    monkeypatch.setattr(gpiozero, "DigitalOutputDevice", remember)
    return run


def test_every_pin_goes_to_the_level_at_which_it_is_off(off):
    code, out, err, levels = off(
        "[when.rock]\nled = 17\nrelay = { pin = 5, active_high = false }\n"
        "[when.palm]\nmotor = { forward = 20, backward = 21, enable = 26 }\n"
        "rgb_led = { pins = [6, 13, 19], active_high = false }\n[button]\npin = 3\n"
    )
    assert (code, err) == (0, "")
    assert levels == {17: 0, 5: 1, 20: 0, 21: 0, 26: 0, 6: 1, 13: 1, 19: 1}
    assert out == "off: GPIO17, GPIO5, GPIO20, GPIO21, GPIO26, GPIO6, GPIO13, GPIO19 (mock pins)\n"


def test_nothing_named_is_nothing_to_do(off):
    assert off("")[:3] == (0, "off: there are no pins\n", "")


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("[when.rock]\nled = 17\nbuzzer = 'x'\n[when.palm]\nled = [99, 27]\n", {17: 0, 27: 0}),
        ("[when.rock]\nled = 17\nbuzzer = 17\n", {17: 0}),
        ("[when.rock]\nled = 17\n[when.rock]\n", {}),  # a table twice: no TOML
        ("modle = 3\n[when.rock]\nled = 17\n", {17: 0}),
        ("when = 3\n", {}),
        ("[when]\nrock = 17\n", {}),
        ("[[[", {}),
    ],
)
def test_of_a_broken_edge_toml_it_takes_what_can_be_read(off, text, levels):
    code, said, err, got = off(text)
    assert code == 1
    assert ("no pin can be read out of it" in said) == (not levels)
    assert err.startswith("edge: ")
    assert "a mistake of ours" not in err
    assert got == levels


def test_a_missing_edge_toml_is_one_line(tmp_path):
    done = CliRunner().invoke(module.off, ["--config", str(tmp_path / "x"), "--pins", "mock"])
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_pin_that_cannot_be_had_does_not_keep_the_others_on(off, monkeypatch):
    make = gpiozero.DigitalOutputDevice

    def fail(pin, **options):
        if pin == 17:
            raise OSError("GPIO busy")
        return make(pin, **options)

    monkeypatch.setattr(gpiozero, "DigitalOutputDevice", fail)
    code, _, err, levels = off("[when.rock]\nled = [17, 27]\n")
    assert code == 1
    assert err.startswith("edge: pin 17: a pin is held by another program (GPIO busy); stop that")
    assert levels == {27: 0}


def test_without_gpiozero_it_says_so(off, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gpiozero", None)
    code, _, err, _ = off("[when.rock]\nled = 17\n")
    assert code == 1
    assert err == f"edge: {gpio.MISSING}\n"


lines = st.sampled_from(
    ["[when.rock]", "[when]", "led = 17", "led = [5, 'x', {}]", "motor = 3", "rock = 1", "[["]
) | st.text(max_size=10)


@given(st.lists(lines, max_size=8).map("\n".join))
def test_of_any_text_it_takes_what_can_be_read(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    for _, _, output in read_outputs_anyway(path):
        assert output.pins()
