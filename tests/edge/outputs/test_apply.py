"""Outputs: on while decided, off however it ends; with gpiozero's real devices on its mock pins."""

from __future__ import annotations

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from edge.decider import Decision
from edge.errors import OutputError
from edge.outputs import Outputs


def decision(label, *, changed=True):
    return Decision(label, 0.9, 0.0, 0.0, changed)


class Lamp:
    """Writes down what happens to it, and fails where told to."""

    def __init__(self, log=None, name="lamp", fail=()):
        self.log = [] if log is None else log
        self.name, self.fail, self.lit = name, fail, False

    def _do(self, what, lit):
        self.log.append(f"{self.name}.{what}")
        if what in self.fail:
            raise OSError(f"{what} is broken")
        self.lit = lit

    def on(self):
        self._do("on", True)

    def off(self):
        self._do("off", False)

    def close(self):
        self._do("close", False)


@pytest.fixture
def pins():
    gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    return gpiozero.Device.pin_factory


def test_a_real_led_and_buzzer_follow_their_labels(pins):
    led, buzzer = gpiozero.LED(17), gpiozero.Buzzer(22)
    outputs = Outputs({"rock": led, "palm": buzzer})
    got = []
    for label in ["rock", "palm", "background", "rock", None]:
        outputs.apply(decision(label))
        got.append((pins.pin(17).state, pins.pin(22).state))
    assert got == [(1, 0), (0, 1), (0, 0), (1, 0), (0, 0)]


def test_closing_leaves_the_pins_off_and_free(pins):
    with Outputs({"rock": [gpiozero.LED(17), gpiozero.Buzzer(22)]}) as outputs:
        outputs.apply(decision("rock"))
        assert (pins.pin(17).state, pins.pin(22).state) == (1, 1)
    assert (pins.pin(17).state, pins.pin(22).state) == (0, 0)
    gpiozero.LED(17).close()  # would be in use otherwise
    outputs.close()


def test_an_error_leaves_the_pins_off(pins):
    def broken():
        with Outputs({"rock": gpiozero.LED(17)}) as outputs:
            outputs.apply(decision("rock"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert pins.pin(17).state == 0


def test_a_board_of_leds_is_one_switch_though_it_can_be_iterated(pins):
    board = gpiozero.LEDBoard(17, 18)
    with Outputs({"rock": board}) as outputs:
        outputs.apply(decision("rock"))
        assert board.value == (1, 1)
    assert board.closed


def test_an_inverted_led_is_dark_when_off(pins):
    led = gpiozero.LED(17, active_high=False)
    outputs = Outputs({"rock": led})
    outputs.apply(decision("rock"))
    assert pins.pin(17).state == 0
    outputs.apply(decision(None))
    assert pins.pin(17).state == 1


def test_while_the_decision_lasts_nothing_is_switched():
    lamp, calls = Lamp(), []
    outputs = Outputs({"rock": [lamp, lambda: calls.append(1)]})
    outputs.apply(decision("rock"))
    for _ in range(5):
        outputs.apply(decision("rock", changed=False))
    assert lamp.log == ["lamp.on"]
    assert calls == [1]


def test_a_function_fires_once_each_time_its_label_is_decided():
    calls = []
    outputs = Outputs({"rock": lambda: calls.append("rock"), "palm": lambda: calls.append("palm")})
    for label in ["rock", None, "palm", "rock", "background"]:
        outputs.apply(decision(label))
    assert calls == ["rock", "palm", "rock"]


@pytest.mark.parametrize("label", [None, "background", "palm", "no such label"])
def test_any_other_label_switches_off(label):
    lamp = Lamp()
    outputs = Outputs({"rock": lamp})
    outputs.apply(decision("rock"))
    assert lamp.lit
    outputs.apply(decision(label))
    assert not lamp.lit


def test_one_lamp_for_two_labels_stays_usable():
    lamp = Lamp()
    outputs = Outputs({"rock": lamp, "palm": lamp})
    outputs.apply(decision("rock"))
    outputs.apply(decision("palm"))
    assert lamp.lit
    outputs.apply(decision(None))
    assert not lamp.lit


@pytest.mark.parametrize("first", [True, False])
def test_an_output_that_fails_to_switch_on_is_off_and_the_others_go_on(caplog, first):
    log = []
    good, bad = Lamp(log, "good"), Lamp(log, "bad", fail=["on"])
    outputs = Outputs({"rock": [bad, good] if first else [good, bad]})
    outputs.apply(decision("rock"))
    assert good.lit
    assert "bad.off" in log, "a half switched output is switched off"
    assert caplog.messages == ["output of 'rock' failed: on is broken"]
    assert outputs.failures == 1
    outputs.apply(decision(None))
    assert not good.lit


def test_a_function_that_fails_leaves_the_others_on(caplog):
    lamp = Lamp()
    outputs = Outputs({"rock": [lamp, lambda: 1 / 0]})
    outputs.apply(decision("rock"))
    assert lamp.lit
    assert caplog.messages == ["output of 'rock' failed: division by zero"]


def test_one_that_fails_to_switch_off_does_not_keep_the_others_on(caplog):
    log = []
    lamps = [Lamp(log, "a"), Lamp(log, "b", fail=["off"]), Lamp(log, "c")]
    outputs = Outputs({"rock": lamps})
    outputs.apply(decision("rock"))
    outputs.apply(decision(None))
    assert caplog.messages == ["an output failed: off is broken"]
    assert [lamp.lit for lamp in lamps] == [False, True, False]
    assert [line for line in log if line.endswith("off")] == ["c.off", "b.off", "a.off"]


class Dimmer(Lamp):
    def follow(self, decision):
        self.log.append(decision.confidence)


def test_a_follower_is_told_of_every_frame_while_it_is_on_the_first_included():
    dimmer = Dimmer()
    outputs = Outputs({"rock": dimmer})
    outputs.apply(decision("palm"))
    outputs.apply(decision("palm", changed=False))
    outputs.apply(decision("rock"))
    outputs.apply(decision("rock", changed=False))
    outputs.apply(decision(None))
    outputs.apply(decision(None, changed=False))
    assert dimmer.log == ["lamp.on", 0.9, 0.9, "lamp.off"]


@pytest.mark.parametrize("first", [True, False])
def test_a_follower_that_fails_is_off_and_silent_until_its_label_comes_anew(caplog, first):
    class Broken(Lamp):
        def follow(self, decision):
            if first or not decision.changed:
                raise OSError("bus\n\x1b[2Jgone")

    broken, dimmer = Broken(), Dimmer(name="dimmer")
    outputs = Outputs({"rock": [broken, dimmer]})
    outputs.apply(decision("rock"))
    for _ in range(5):
        outputs.apply(decision("rock", changed=False))
    assert caplog.messages == ["output of 'rock' failed: bus??[2Jgone"]
    assert broken.log == ["lamp.on", "lamp.off"]
    assert dimmer.lit
    assert dimmer.log.count(0.9) >= 5, "the others go on"
    outputs.apply(decision(None))
    outputs.apply(decision("rock"))
    assert broken.log.count("lamp.on") == 2


def test_what_fires_may_want_the_decision():
    class Shot:
        def __init__(self):
            self.seen = []

        def fire(self, decision):
            self.seen.append(decision.label)

    shot = Shot()
    outputs = Outputs({"rock": shot})
    for label, changed in [("rock", True), ("rock", False), (None, True), ("rock", True)]:
        outputs.apply(decision(label, changed=changed))
    assert shot.seen == ["rock", "rock"]


def test_an_observer_is_told_of_every_change_and_closed():
    class Diary(Lamp):
        def decided(self, decision):
            self.log.append(decision.label)

    diary = Diary()
    with Outputs({}, [diary]) as outputs:
        for label, changed in [("rock", True), ("rock", False), (None, True)]:
            outputs.apply(decision(label, changed=changed))
    assert diary.log == ["rock", None, "lamp.close"]


def test_one_that_fails_to_close_does_not_keep_the_others_open():
    log = []
    Outputs({"rock": Lamp(log, "a", fail=["close"]), "palm": Lamp(log, "b")}).close()
    assert log == ["a.close", "b.close"]


def test_a_signal_in_the_middle_of_switching_off_leaves_it_to_close():
    class Interrupted(Lamp):
        def off(self):
            if "lamp.interrupted" not in self.log:
                self.log.append("lamp.interrupted")
                raise KeyboardInterrupt
            super().off()

    class Plain(Interrupted):
        close = None  # an output need not have one

    lamp = Plain()

    def run():
        with Outputs({"rock": lamp}) as outputs:
            outputs.apply(decision("rock"))
            outputs.apply(decision(None))

    with pytest.raises(KeyboardInterrupt):
        run()
    assert not lamp.lit


def test_a_signal_in_the_middle_of_switching_on_is_switched_off():
    class Slow(Lamp):
        def on(self):
            super().on()
            raise KeyboardInterrupt

    lamp = Slow()
    with pytest.raises(KeyboardInterrupt), Outputs({"rock": lamp}) as outputs:
        outputs.apply(decision("rock"))
    assert not lamp.lit


def test_background_is_refused():
    with pytest.raises(OutputError, match="'background' never triggers"):
        Outputs({"background": Lamp()})


@pytest.mark.parametrize("bad", [17, None, "lamp", [17], [Lamp(), None], [[Lamp()]], object()])
def test_what_is_no_output_is_refused_at_once(bad):
    with pytest.raises(OutputError, match=r"^output of 'rock' has neither on\(\) and off\(\)"):
        Outputs({"rock": bad})


def test_only_on_without_off_is_no_switch():
    class Half:
        def on(self): ...

    with pytest.raises(OutputError, match="neither"):
        Outputs({"rock": Half()})


def test_no_outputs_at_all_is_fine():
    outputs = Outputs({"rock": []})
    for label in ["rock", "palm", None]:
        outputs.apply(decision(label))
    outputs.close()


def test_a_generator_of_outputs_is_kept():
    log = []
    outputs = Outputs({"rock": (Lamp(log, name) for name in "ab")})
    outputs.apply(decision("rock"))
    outputs.apply(decision(None))
    outputs.apply(decision("rock"))
    assert log == ["a.on", "b.on", "b.off", "a.off", "a.on", "b.on"]


def test_closing_twice_closes_each_output_once():
    lamp = Lamp()
    outputs = Outputs({"rock": lamp})
    outputs.close()
    outputs.close()
    assert lamp.log == ["lamp.close"]


def test_a_class_is_no_output_but_its_objects_are():
    with pytest.raises(OutputError, match=r"is a class; make one: Lamp\(17\)"):
        Outputs({"rock": Lamp})


def test_what_answers_to_on_and_off_by_proxy_is_a_switch():
    class Proxy:
        def __init__(self):
            self.said = []

        def __getattr__(self, name):
            if name not in {"on", "off", "close"}:
                raise AttributeError(name)
            return lambda: self.said.append(name)

    proxy = Proxy()
    outputs = Outputs({"rock": proxy})
    outputs.apply(decision("rock"))
    outputs.apply(decision(None))
    assert proxy.said == ["on", "off"]
