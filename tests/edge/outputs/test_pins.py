"""Each kind of output on pins, with gpiozero's real devices on its mock pins."""

from __future__ import annotations

import threading
import time

import gpiozero
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError
from edge.outputs import Outputs, pins
from edge.outputs.wiring import Wiring

EACH = {
    "led": "led = 17",
    "led, low": "led = { pin = 17, active_high = false }",
    "pwm_led": "pwm_led = 18",
    "pwm_led, low": "pwm_led = { pin = 18, active_high = false }",
    "pwm_led, pulse": 'pwm_led = { pin = 18, effect = "pulse", seconds = 0.2 }',
    "rgb_led": 'rgb_led = { pins = [5, 6, 13], colour = "orange" }',
    "rgb_led, low": "rgb_led = { pins = [5, 6, 13], active_high = false }",
    "buzzer": "buzzer = 22",
    "buzzer, beeps": "buzzer = { pin = 22, beeps = 20 }",
    "tone": 'tone = { pin = 23, melody = "A4:20" }',
    "tone, repeat": 'tone = { pin = 23, melody = "A4", repeat = true }',
    "servo": "servo = { pin = 19, angle = 45 }",
    "servo, rest": "servo = { pin = 19, angle = 45, rest = -90 }",
    "relay": "relay = 16",
    "relay, low": "relay = { pin = 16, active_high = false }",
    "motor": "motor = { forward = 20, backward = 21 }",
    "motor, enable": "motor = { forward = 20, backward = 21, enable = 26, speed = 0.5 }",
    "motor, backward": 'motor = { forward = 20, backward = 21, direction = "backward" }',
}
"""A line of each kind."""


def decision(label, confidence=0.9, *, changed=True):
    return Decision(label, confidence, 0.0, 0.0, changed)


@pytest.fixture
def wire(tmp_path):
    """Open what an edge.toml says, on mock pins: its wiring and its outputs."""
    opened = []

    def wire(text):
        (tmp_path / "edge.toml").write_text(text)
        wiring = Wiring(read_config(tmp_path / "edge.toml"), "mock")
        outputs = Outputs(wiring.when, wiring.observers)
        opened.append((wiring, outputs))
        return wiring, outputs

    yield wire
    for wiring, outputs in opened:
        outputs.close()
        wiring.close()


@pytest.fixture
def refuse(tmp_path):
    """Return the complaint about an edge.toml."""

    def refuse(line):
        (tmp_path / "edge.toml").write_text(f"[when.rock]\n{line}\n")
        with pytest.raises(ConfigError) as caught:
            read_config(tmp_path / "edge.toml")
        return str(caught.value).removeprefix(f"{tmp_path}/edge.toml: [when.rock] ")

    return refuse


def pin(number):
    return gpiozero.Device.pin_factory.pin(number)


def until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)


# --- What holds for every kind


@pytest.mark.parametrize("line", EACH.values(), ids=EACH)
def test_it_is_on_while_decided_and_off_after(wire, line):
    wiring, outputs = wire(f"[when.rock]\n{line}\n")
    assert not any(wiring.states().values()) or "rest" in line  # a servo turns to its rest first
    outputs.apply(decision("rock"))
    until(lambda: any(wiring.states().values()))
    outputs.apply(decision(None))
    if "A4:20" not in line and "rest" not in line:  # those end by themselves
        assert not any(wiring.states().values())
    assert outputs.failures == 0


@pytest.mark.parametrize("line", EACH.values(), ids=EACH)
def test_closing_in_the_middle_leaves_it_off_and_free_and_no_thread(wire, line):
    threads = threading.active_count()
    wiring, outputs = wire(f"[when.rock]\n{line}\n")
    numbers = list(wiring.states())
    outputs.apply(decision("rock"))
    outputs.close()
    wiring.close()
    low = "low" in next(name for name, one in EACH.items() if one == line)
    assert [pin(one).function for one in numbers] == ["input"] * len(numbers)
    until(lambda: threading.active_count() <= threads)
    if not low:  # what is on while low was driven high before it was let go
        assert not any(pin(one).state for one in numbers)
    for one in numbers:
        gpiozero.LED(one).close()  # would be in use otherwise
    outputs.close()
    wiring.close()


@pytest.mark.parametrize("line", EACH.values(), ids=EACH)
def test_it_can_be_decided_again_and_again(wire, line):
    wiring, outputs = wire(f"[when.rock]\n{line}\n")
    for _ in range(3):
        outputs.apply(decision("rock"))
        outputs.apply(decision("rock", changed=False))
        outputs.apply(decision(None))
    outputs.apply(decision("rock"))
    until(lambda: any(wiring.states().values()))
    assert outputs.failures == 0


@given(st.data())
def test_every_accepted_setting_opens_and_ends_off(tmp_path_factory, data):
    numbers = data.draw(st.permutations(range(2, 28)))
    lines = data.draw(st.lists(st.sampled_from(list(EACH.values())), unique=True, max_size=6))
    folder = tmp_path_factory.getbasetemp()
    text = "[when.rock]\n"
    for kind in {line.partition(" ")[0] for line in lines}:
        ours = [line.partition(" = ")[2] for line in lines if line.startswith(f"{kind} ")]
        text += f"{kind} = [{', '.join(ours)}]\n"
    for number in (17, 18, 5, 6, 13, 22, 23, 19, 16, 20, 21, 26):  # some clash, most do not
        text = text.replace(f" {number}", f" {numbers[number - 2]}")
    (folder / "edge.toml").write_text(text)
    try:
        config = read_config(folder / "edge.toml")
    except ConfigError:
        return
    with Wiring(config, "mock") as wiring, Outputs(wiring.when) as outputs:
        assert sorted(wiring.states()) == sorted(
            {p for *_, o in config.outputs() for p in o.pins()}
        )
        outputs.apply(decision("rock"))
        outputs.off()
        assert outputs.failures == 0
    assert wiring.states() == {}


# --- What each does


@pytest.mark.parametrize("kind", ["led", "relay", "buzzer"])
def test_what_is_on_while_low_is_high_from_the_first_moment(wire, kind):
    wire(f"[when.palm]\n{kind} = {{ pin = 16, active_high = false }}\n")
    assert [state.state for state in pin(16).states][1:] == [1]  # the first is from before


@pytest.mark.parametrize(("confidence", "light"), [(1.0, 1.0), (0.7, 0.49), (7.0, 1.0), (-1, 0.0)])
def test_brightness_follows_confidence(wire, confidence, light):
    _wiring, outputs = wire("[when.rock]\npwm_led = 18\n")
    outputs.apply(decision("rock", 1.0))
    assert pin(18).state == 1
    outputs.apply(decision("rock", confidence, changed=False))
    assert pin(18).state == pytest.approx(light)
    outputs.apply(decision(None))
    assert pin(18).state == 0


def test_a_pulse_fades_in_and_out_until_it_is_off(wire):
    _wiring, outputs = wire(
        '[when.rock]\npwm_led = { pin = 18, effect = "pulse", seconds = 0.2 }\n'
    )
    outputs.apply(decision("rock"))
    until(lambda: len({state.state for state in pin(18).states}) > 3)
    outputs.apply(decision(None))
    seen = len(pin(18).states)
    assert pin(18).state == 0
    time.sleep(0.1)
    assert len(pin(18).states) == seen, "the thread has ended"


def test_labels_share_an_rgb_led_each_with_its_colour(wire):
    _wiring, outputs = wire(
        '[when.rock]\nrgb_led = { pins = [5, 6, 13], colour = "red" }\n'
        '[when.palm]\nrgb_led = { pins = [5, 6, 13], colour = "#0080ff" }\n'
        "[when.fist]\nrgb_led = { pins = [5, 6, 13] }\n"
    )
    seen = []
    for label in ("rock", "palm", "fist", None):
        outputs.apply(decision(label))
        seen.append(tuple(round(pin(one).state, 2) for one in (5, 6, 13)))
    assert seen == [(1, 0, 0), (0, 0.5, 1), (1, 1, 1), (0, 0, 0)]


def test_beeps_are_counted_and_then_it_is_quiet(wire, monkeypatch):
    monkeypatch.setattr(pins, "BEEP", 0.001)
    _wiring, outputs = wire("[when.rock]\nbuzzer = { pin = 22, beeps = 3 }\n")
    outputs.apply(decision("rock"))
    until(lambda: len(pin(22).states) == 7)
    time.sleep(0.02)
    assert [state.state for state in pin(22).states] == [0, 1, 0, 1, 0, 1, 0]


def test_labels_share_a_buzzer_each_with_its_beeps(wire):
    _wiring, outputs = wire(
        "[when.rock]\nbuzzer = { pin = 22, beeps = 2 }\n[when.palm]\nbuzzer = 22\n"
    )
    outputs.apply(decision("rock"))
    outputs.apply(decision("palm"))
    assert pin(22).state == 1
    outputs.apply(decision(None))
    assert pin(22).state == 0


class Buzzer:
    """gpiozero's, which writes down its tones."""

    def __init__(self, monkeypatch):
        self.tones = []
        play = gpiozero.TonalBuzzer.play

        def remember(buzzer, tone):
            self.tones.append(tone and round(tone))
            return play(buzzer, tone)

        monkeypatch.setattr(gpiozero.TonalBuzzer, "play", remember)


def test_a_melody_is_played_once_through_though_the_gesture_has_ended(wire, monkeypatch):
    heard = Buzzer(monkeypatch).tones
    wiring, outputs = wire(
        '[when.rock]\ntone = { pin = 23, melody = "C4 - C#4:2 A1 A7", tempo = 1000 }\n'
    )
    outputs.apply(decision("rock"))
    outputs.apply(decision(None))
    until(lambda: len(heard) == 5)
    until(lambda: not wiring.states()[23])
    assert heard == [262, None, 277, 55, 3520]


def test_two_equal_notes_are_heard_as_two(wire, monkeypatch):
    heard = Buzzer(monkeypatch).tones
    wiring, outputs = wire('[when.rock]\ntone = { pin = 23, melody = "A4 A4", tempo = 1000 }\n')
    outputs.apply(decision("rock"))
    until(lambda: len(heard) == 3 and not wiring.states()[23])
    assert heard == [440, None, 440]


def test_a_melody_that_repeats_ends_at_once_with_its_gesture(wire, monkeypatch):
    heard = Buzzer(monkeypatch).tones
    wiring, outputs = wire(
        '[when.rock]\ntone = { pin = 23, melody = "A4 C5", tempo = 1000, repeat = true }\n'
    )
    outputs.apply(decision("rock"))
    until(lambda: len(heard) > 4)
    outputs.apply(decision(None))
    assert wiring.states() == {23: False}
    assert heard[:4] == [440, 523, 440, 523]


def test_a_new_melody_takes_the_place_of_the_one_that_is_playing(wire, monkeypatch):
    heard = Buzzer(monkeypatch).tones
    wiring, outputs = wire(
        '[when.rock]\ntone = { pin = 23, melody = "A4:100" }\n'
        '[when.palm]\ntone = { pin = 23, melody = "C5", tempo = 1000 }\n'
    )
    outputs.apply(decision("rock"))
    until(lambda: heard == [440])
    outputs.apply(decision("palm"))
    until(lambda: heard == [440, 523] and not wiring.states()[23])


def test_a_melody_that_fails_is_named_in_the_log(wire, monkeypatch, caplog):
    _wiring, outputs = wire("[when.rock]\ntone = 23\n")

    def fail(_buzzer, _tone):
        raise OSError("unplugged")

    monkeypatch.setattr(gpiozero.TonalBuzzer, "play", fail)
    outputs.apply(decision("rock"))
    until(lambda: caplog.messages == ["tone: unplugged"])


def angle(device):
    """The angle that a servo's pulses mean."""
    now = device.angle
    return None if now is None else round(now, 3)


def test_labels_share_a_servo_which_is_left_alone_when_none_is_decided(wire):
    wiring, outputs = wire(
        "[when.rock]\nservo = { pin = 19, angle = 45 }\n[when.palm]\nservo = { pin = 19 }\n"
    )
    (servo,) = wiring._devices.values()
    seen = [angle(servo)]
    for label in ("rock", "palm", None):
        outputs.apply(decision(label))
        seen.append(angle(servo))
    assert seen == [None, 45, 90, None]


def test_a_servo_turns_back_to_its_rest_and_is_then_left_alone(wire, monkeypatch):
    monkeypatch.setattr(pins, "SETTLE", 0.001)
    wiring, outputs = wire("[when.rock]\nservo = { pin = 19, angle = 45, rest = -90 }\n")
    (servo,) = wiring._devices.values()
    until(lambda: angle(servo) is None)  # at the start, too
    outputs.apply(decision("rock"))
    time.sleep(0.02)
    assert angle(servo) == 45, "while decided it is held"
    outputs.apply(decision(None))
    until(lambda: angle(servo) is None)
    last = [round(state.state, 4) for state in pin(19).states][-3:]
    assert last == [0.0875, 0.05, 0]  # 45, -90, nothing


def test_a_servo_that_is_wanted_again_is_not_let_go_of(wire, monkeypatch):
    monkeypatch.setattr(pins, "SETTLE", 0.02)
    wiring, outputs = wire("[when.rock]\nservo = { pin = 19, angle = 45, rest = 0 }\n")
    (servo,) = wiring._devices.values()
    outputs.apply(decision("rock"))
    time.sleep(0.06)
    assert angle(servo) == 45


def test_a_servo_turns_back_before_it_is_let_go_of_for_good(wire, monkeypatch):
    monkeypatch.setattr(pins, "SETTLE", 0.2)
    wiring, outputs = wire("[when.rock]\nservo = { pin = 19, angle = 45, rest = -90 }\n")
    (servo,) = wiring._devices.values()
    outputs.apply(decision("rock"))
    begun = time.monotonic()
    outputs.close()
    assert time.monotonic() - begun > 0.15, "pulses, as long as it takes"
    assert servo.closed
    assert [round(state.state, 4) for state in pin(19).states][-2:] == [0.05, 0]  # -90, nothing


def test_a_servo_at_rest_keeps_no_end(wire, monkeypatch):
    monkeypatch.setattr(pins, "SETTLE", 0.05)
    wiring, outputs = wire("[when.rock]\nservo = { pin = 19, angle = 45, rest = -90 }\n")
    (servo,) = wiring._devices.values()
    until(lambda: angle(servo) is None)
    monkeypatch.setattr(pins, "SETTLE", 60)
    begun = time.monotonic()
    outputs.close()
    assert time.monotonic() - begun < 30


def test_a_servos_pulses_can_be_set(wire):
    _wiring, outputs = wire(
        "[when.rock]\nservo = { pin = 19, angle = 90, min_pulse = 0.5, max_pulse = 2.5 }\n"
    )
    outputs.apply(decision("rock"))
    assert pin(19).state == pytest.approx(2.5 / 20)


def test_a_motor_turns_as_long_as_its_label_is_decided(wire):
    both = "forward = 20, backward = 21, enable = 26"
    _wiring, outputs = wire(
        f"[when.rock]\nmotor = {{ {both}, speed = 0.25 }}\n"
        f'[when.palm]\nmotor = {{ {both}, direction = "backward" }}\n'
        f'[when.fist]\nmotor = {{ {both}, direction = "stop" }}\n'
    )
    seen = [tuple(pin(one).state for one in (20, 21, 26))]
    for label in ("rock", "palm", "fist", "rock", None):
        outputs.apply(decision(label))
        seen.append(tuple(pin(one).state for one in (20, 21, 26)))
    off, slow = (0, 0, 0), (0.25, 0, 1)
    assert seen == [off, slow, (0, 1, 1), off, slow, off]


def test_a_motors_two_pins_are_never_on_together(wire):
    both = "forward = 20, backward = 21"
    _wiring, outputs = wire(
        f"[when.rock]\nmotor = {{ {both} }}\n"
        f'[when.palm]\nmotor = {{ {both}, direction = "backward" }}\n'
    )
    seen = []
    for number in (20, 21):
        change = pin(number)._change_state
        pin(number)._change_state = lambda value, change=change: (
            change(value),
            seen.append((pin(20).state, pin(21).state)),
        )
    for label in ("rock", "palm", "rock", None):
        outputs.apply(decision(label))
    assert (1, 1) not in seen
    assert {(1, 0), (0, 1), (0, 0)} <= set(seen)


# --- Settings that are refused when edge.toml is read


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('pwm_led = { pin = 18, effect = "blink" }', "effect: there is no 'blink'; there is: conf"),
        ("pwm_led = { pin = 18, seconds = 0 }", "seconds: expected a number >= 0.2"),
        ("rgb_led = { pins = [5, 6] }", "pins: expected a list of length 3"),
        ("rgb_led = { pin = [5, 6, 7] }", "unknown key 'pin'; did you mean 'pins'?"),
        ("rgb_led = { pins = [5, 5, 6] }", "names a pin twice"),
        (
            'rgb_led = { pins = [5, 6, 7], colour = "rde" }',
            "colour: there is no 'rde'; a name such as orange, or '#ff8800'",
        ),
        (
            'rgb_led = { pins = [5, 6, 7], color = "red" }',
            "unknown key 'color'; did you mean 'colour'?",
        ),
        ("buzzer = { pin = 5, beeps = 0 }", "beeps: expected"),
        ("buzzer = { pin = 5, beeps = 21 }", "beeps: expected"),
        ('tone = { pin = 5, melody = "" }', "melody: expected"),
        ('tone = { pin = 5, melody = "- -" }', "melody: has no note"),
        ('tone = { pin = 5, melody = "C4 H4" }', "melody: 'H4' is no note; write C4, F#4 or Bb4"),
        ('tone = { pin = 5, melody = "C4x" }', "melody: 'C4x' is no note"),
        ('tone = { pin = 5, melody = "C4:" }', "melody: 'C4:' is no note"),
        ('tone = { pin = 5, melody = "C4:0" }', "melody: 'C4:0' does not last 0.1 to 100 beats"),
        ('tone = { pin = 5, melody = "C4:nan" }', "melody: 'C4:nan' does not last"),
        ('tone = { pin = 5, melody = "G1" }', "melody: 'G1' is out of a buzzer's range, A1 to A7"),
        ('tone = { pin = 5, melody = "C8" }', "melody: 'C8' is out of a buzzer's range"),
        ('tone = { pin = 5, melody = "C4:50 C5:80" }', "melody: takes 32 s, 30 s is the most"),
        ("tone = { pin = 5, tempo = 0 }", "tempo: expected a number >= 20"),
        ("servo = { pin = 5, angle = 91 }", "angle: expected a number <= 90"),
        ("servo = { pin = 5, angle = nan }", "angle: expected a number"),
        ("servo = { pin = 5, rest = -91 }", "rest: expected"),
        ("servo = { pin = 5, min_pulse = 2 }", "min_pulse: expected a number <= 1.4"),
        ("motor = 20", "motor: object missing required field `backward`"),
        ("motor = { forward = 20, backward = 20 }", "names a pin twice"),
        ("motor = { forward = 20, backward = 21, speed = 1.5 }", "speed: expected a number <= 1"),
        (
            'motor = { forward = 20, backward = 21, direction = "left" }',
            "there is no 'left'; there is: f",
        ),
        ('relay = { pin = 5, active_high = "no" }', "active_high: expected true or false"),
    ],
)
def test_each_wrong_setting_is_named(refuse, line, words):
    assert words in refuse(line)


words = st.sampled_from(["C4", "Bb4:2", "-", "A1:0.5", "G#6", "C4:1e9"]) | st.text(max_size=6)


@given(st.lists(words, max_size=6).map(" ".join))
def test_any_melody_is_played_or_refused(melody):
    try:
        notes = pins.Tone(pin=5, melody=melody)._notes()
    except ValueError:
        return
    assert all(seconds > 0 for _, seconds in notes)
    assert all(tone is None or 54 < tone < 3521 for tone, _ in notes)


@given(st.text(max_size=12) | st.from_regex(r"#[0-9a-f]{3,6}", fullmatch=True))
def test_any_colour_is_shown_or_refused(colour):
    try:
        levels = pins.RgbLed(legs=(5, 6, 7), colour=colour)._levels()
    except ValueError:
        return
    assert len(levels) == 3
    assert all(0 <= level <= 1 for level in levels)


@pytest.mark.parametrize("line", ['colour = "red"', 'melody = "A4"'])
def test_without_gpiozero_the_way_to_get_it(refuse, monkeypatch, line):
    monkeypatch.setitem(__import__("sys").modules, "colorzero", None)
    monkeypatch.setitem(__import__("sys").modules, "gpiozero.tones", None)
    kind = "rgb_led = { pins = [5, 6, 7]," if "colour" in line else "tone = { pin = 5,"
    assert "gpiozero is missing; on a Pi: sudo apt install" in refuse(f"{kind} {line} }}")


def test_a_servo_on_real_pins_says_that_it_may_tremble(monkeypatch, caplog):
    monkeypatch.setattr(pins, "is_lgpio", lambda _factory: True)
    gpiozero.Device.pin_factory = gpiozero.pins.mock.MockFactory(
        pin_class=gpiozero.pins.mock.MockPWMPin
    )
    pins.Servo(pin=18)._make(gpiozero).close()
    assert caplog.messages[0].startswith("servo on pin 18 may tremble: its pulses are timed by")
