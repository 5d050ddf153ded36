"""The header: drawn as it is, and each pin used once."""

from __future__ import annotations

import re

import click
import gpiozero
import pytest
from click.testing import CliRunner
from gpiozero.pins.mock import MockFactory
from hypothesis import given
from hypothesis import strategies as st

import edge.outputs.wiring
from edge.config import read_config
from edge.console import Group
from edge.errors import ConfigError, HandwaveError, OutputError
from edge.outputs import header
from edge.outputs.header import HEADER_PINS, PLACE_OF, PLACES, check_held, describe, draw, held_pins
from edge.outputs.wiring import Wiring

ROW = re.compile(
    r"  (?P<left>.*?) *(?P<mark>---|==>|   ) +(?P<name>\w+) +\((?P<odd>\d+)\) +\((?P<even>\d+)\) +"
    r"(?P<other>\w+) *(?P<sign>---|<==)? *(?P<right>.*)"
)


@pytest.fixture
def refuse(tmp_path):
    """Return the error that an edge.toml gives."""

    def refuse(text):
        (tmp_path / "edge.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_config(tmp_path / "edge.toml")
        return caught.value

    return refuse


def rows(picture):
    return [ROW.fullmatch(line) for line in picture.splitlines()]


def marked(picture):
    """Return the places that a drawing points at."""
    left = [int(row["odd"]) for row in rows(picture) if row["mark"] == "==>"]
    return left + [int(row["even"]) for row in rows(picture) if row["sign"] == "<=="]


def test_the_places_are_those_that_gpiozero_knows():
    gpiozero.Device.pin_factory = MockFactory()
    theirs = gpiozero.Device.pin_factory.board_info.headers["J8"].pins
    names = {place: pin.name for place, pin in theirs.items()}
    assert names | {27: "ID_SD", 28: "ID_SC"} == PLACES  # GPIO0 and 1, but the HAT's


def test_all_of_the_header_is_drawn_in_two_columns():
    got = rows(draw({}))
    assert [int(row["odd"]) for row in got] == list(range(1, 41, 2))
    assert {int(row["odd"]): row["name"] for row in got} | {
        int(row["even"]): row["other"] for row in got
    } == PLACES


def test_notes_stand_beside_their_pins_and_arrows_point_at_places():
    picture = draw({17: "[when.rock] led", 18: "[when.palm] led"}, [3, 12])
    row = rows(picture)[5]
    assert (row["left"], row["mark"], row["name"]) == ("[when.rock] led", "---", "GPIO17")
    assert (row["other"], row["sign"], row["right"]) == ("GPIO18", "<==", "[when.palm] led")
    assert marked(picture) == [3, 12]


def test_the_page_draws_the_header_as_we_do():
    page = (header.Path(__file__).parents[3] / "docs" / "wiring.md").read_text()
    drawn = re.findall(r"^ *(\w+) +\((\d+)\) +\((\d+)\) +(\w+)$", page, re.MULTILINE)
    assert {int(odd): name for name, odd, _, _ in drawn} | {
        int(even): name for _, _, even, name in drawn
    } == PLACES


def test_the_page_wires_every_pin_where_it_is():
    page = (header.Path(__file__).parents[3] / "docs" / "wiring.md").read_text()
    wired = re.findall(r"\b(GPIO\d+|GND|3V3|5V) +\((\d+)\)", page)
    assert len(wired) > 50
    assert [(name, place) for name, place in wired if PLACES[int(place)] != name] == []


@given(st.dictionaries(st.integers(-5, 45), st.text(max_size=60)), st.sets(st.integers(-5, 45)))
def test_any_notes_give_a_drawing_of_twenty_rows(notes, at):
    lines = draw({pin: note.replace("\n", " ") for pin, note in notes.items()}, at).split("\n")
    assert len(lines) == 20
    assert max(map(len, lines)) <= 100


def test_pins_in_words():
    assert describe([17, 2]) == "GPIO17 (place 11), GPIO2 (place 3)"


# --- edge.toml


def test_a_pin_taken_twice_is_shown_with_all_the_others(refuse):
    problem = refuse("[when.rock]\nled = [17, 27]\n[when.palm]\nbuzzer = 17\n")
    assert str(problem).endswith(
        "[when.palm] buzzer: pin 17 is already used by [when.rock] led; take another"
    )
    assert marked(problem.picture) == [PLACE_OF[17]]
    assert "[when.rock] led --- GPIO27 (13)" in problem.picture


def test_a_place_in_stead_of_a_bcm_number_is_shown(refuse):
    assert marked(refuse("[when.rock]\nled = 40\n").picture) == [40]
    assert marked(refuse("[when.rock]\nled = 39\n").picture) == []  # ground


RGB = "rgb_led = { pins = [5, 6, 13] }"


@pytest.mark.parametrize(
    ("rock", "palm", "words"),
    [
        ("led = 17", "led = 17", "pin 17 is already used by [when.rock] led"),
        ("led = 17", "relay = 17", "pin 17 is already used by [when.rock] led"),
        (RGB, "led = 6", "pin 6 is already used by [when.rock] rgb_led"),
        (RGB, "rgb_led = { pins = [6, 5, 13] }", "pin 6 is already used by [when.rock] rgb_led"),
        (
            RGB,
            "rgb_led = { pins = [5, 6, 13], active_high = false }",
            "shares its pins with [when.rock] rgb_led, so active_high must be the same in both",
        ),
        (
            "servo = { pin = 5, rest = 0 }",
            "servo = { pin = 5 }",
            "shares its pins with [when.rock] servo, so rest must be the same in both",
        ),
        (
            "motor = { forward = 20, backward = 21 }",
            "motor = { forward = 21, backward = 20 }",
            "pin 21 is already used by [when.rock] motor",
        ),
    ],
)
def test_labels_share_only_the_very_same_device(refuse, rock, palm, words):
    assert words in str(refuse(f"[when.rock]\n{rock}\n[when.palm]\n{palm}\n"))


def test_one_label_cannot_want_two_things_of_one_device(refuse):
    assert "pin 5 is already used" in str(
        refuse("[when.rock]\nservo = [{ pin = 5, angle = 0 }, { pin = 5, angle = 9 }]\n")
    )


def test_the_button_has_its_pin_for_itself(refuse):
    problem = refuse("[button]\npin = 3\n[when.rock]\nled = 3\n")
    assert "[when.rock] led: pin 3 is already used by [button] pin" in str(problem)
    assert marked(problem.picture) == [PLACE_OF[3]]
    assert "28 is not a BCM pin" in str(refuse("[button]\npin = 28\n"))


kinds = st.one_of(
    st.builds("led = {}".format, st.integers(2, 8)),
    st.builds("buzzer = {}".format, st.integers(2, 8)),
    st.builds("servo = {{ pin = {}, angle = {} }}".format, st.integers(2, 8), st.integers(0, 9)),
    st.builds(
        "rgb_led = {{ pins = {} }}".format, st.permutations(range(2, 8)).map(lambda p: p[:3])
    ),
    st.builds("motor = {{ forward = {}, backward = {} }}".format, *[st.integers(2, 8)] * 2),
)


@given(st.dictionaries(st.sampled_from(["rock", "palm", "fist"]), st.lists(kinds, max_size=3)))
def test_whatever_is_accepted_opens_each_pin_once(tmp_path_factory, when):
    path = tmp_path_factory.getbasetemp() / "pins.toml"
    text = ""
    for label, lines in when.items():
        unlike = {line.split()[0]: line for line in lines}  # TOML refuses a key twice
        text += f"[when.{label}]\n" + "\n".join(unlike.values()) + "\n"
    path.write_text(text)
    try:
        config = read_config(path)
    except ConfigError:
        return
    with Wiring(config, "mock") as wiring:  # gpiozero refuses a pin that is in use
        opened = [pin for pins in wiring._devices for pin in pins]
        assert len(opened) == len(set(opened))
        assert set(opened) <= set(HEADER_PINS)


# --- What a Pi's buses hold


@pytest.fixture
def root(tmp_path):
    """A file system on which parts of a Pi can be switched on."""
    root = tmp_path / "root"
    for name in ("dev", "sys/class/tty/console"):
        (root / name).mkdir(parents=True)
    return root


def console(root, primary, active):
    (root / "dev" / primary).touch()
    (root / "dev/serial0").symlink_to(primary)
    (root / "sys/class/tty/console/active").write_text(active)


def test_a_plain_pi_has_all_its_pins(root):
    assert held_pins(root) == {}
    check_held(HEADER_PINS, root)


@pytest.mark.parametrize(
    ("sign", "pins", "words"),
    [
        ("dev/i2c-1", {2, 3}, "pin 2 belongs to I2C, which is on on this Pi; .*do_i2c 1$"),
        ("dev/spidev0.0", {8, 9, 10, 11}, "pin 8 belongs to SPI, .*do_spi 1$"),
        ("dev/spidev0.1", {7, 9, 10, 11}, "pin 7 belongs to SPI, "),
        ("dev/spidev1.2", {16, 19, 20, 21}, "pin 16 belongs to SPI1, .*config.txt$"),
    ],
)
def test_a_bus_that_is_on_has_its_pins(root, sign, pins, words):
    (root / sign).touch()
    assert set(held_pins(root)) == pins
    check_held(set(HEADER_PINS) - pins, root)
    with pytest.raises(OutputError, match=words) as caught:
        check_held([min(pins)], root)
    assert marked(caught.value.picture) == [PLACE_OF[min(pins)]]


@pytest.mark.parametrize(
    ("primary", "active", "held"),
    [
        ("ttyAMA0", "tty1 ttyAMA0\n", True),
        ("ttyS0", "tty1 ttyS0\n", True),
        ("ttyS0", "tty1\n", False),  # switched on, but nobody is there
        ("ttyAMA10", "tty1 ttyAMA10\n", False),  # a Pi 5's own plug
        ("ttyAMA10", "ttyAMA0\n", True),
    ],
)
def test_the_serial_console_has_its_pins_where_it_is_on_the_header(root, primary, active, held):
    console(root, primary, active)
    assert set(held_pins(root)) == ({14, 15} if held else set())


def test_real_pins_that_a_bus_holds_are_not_opened(tmp_path, monkeypatch):
    (tmp_path / "edge.toml").write_text("[when.rock]\nled = 3\n")
    config = read_config(tmp_path / "edge.toml")  # fine: this may be a laptop
    monkeypatch.setattr(edge.outputs.wiring, "is_raspberry_pi", lambda: True)
    monkeypatch.setattr(header, "held_pins", lambda _root: {3: header.BUSES[0]})
    gpiozero.Device.pin_factory = MockFactory()
    with pytest.raises(OutputError, match="pin 3 belongs to I2C"):
        Wiring(config, "real")
    Wiring(config, "mock").close()


# --- On a terminal


def test_a_command_draws_below_its_one_line():
    @click.command
    def command():
        raise HandwaveError("what, where", picture="  a\x1b[31m\n  b")

    group = Group("edge")
    group.add_command(group.command("draw")(command.callback))
    done = CliRunner().invoke(group, ["draw"], prog_name="edge")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == ["edge: what, where", "  a?[31m", "  b"]
