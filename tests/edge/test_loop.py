"""The loop: frames to outputs, and everything off however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import gpiozero
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

import edge
from edge.classifier import Classifier
from edge.config import Decide
from edge.decider import Decider
from edge.errors import ConfigError, HandwaveError, ModelError, OutputError, SourceError
from edge.frame import Frame, Source
from edge.loop import make_decider, steps, watch
from edge.outputs import Outputs


class Lamp:
    def __init__(self):
        self.log = []

    def on(self):
        self.log.append("on")

    def off(self):
        self.log.append("off")

    def close(self):
        self.log.append("close")


class Film(Source):
    """Shows labels, ten frames a second; an exception among them is raised."""

    live = False

    def __init__(self, pattern, *shots):
        self.frames = [shot for shot in shots for _ in range(8)]
        self.pattern, self.closed = pattern, 0

    def __iter__(self):
        for number, shot in enumerate(self.frames):
            if isinstance(shot, BaseException):
                raise shot
            yield Frame(self.pattern(shot, number), number / 10, shot)

    def close(self):
        self.closed += 1


@pytest.fixture
def lamp():
    return Lamp()


def test_a_gesture_lights_its_lamp_and_nothing_else_does(taught, pattern, lamp):
    said = []
    film = Film(pattern, "background", "rock", "background", "palm")
    watch(taught.path, when={"rock": lamp, "palm": lambda: said.append("hi")}, source=film)
    assert lamp.log == ["on", "off", "close"]
    assert said == ["hi"]
    assert film.closed


def test_the_first_line_of_the_readme_works_on_real_gpiozero(taught, pattern):
    gpiozero.Device.pin_factory = MockFactory()
    led = gpiozero.LED(17)
    pin, seen = led.pin, []

    class Peeking(Film):
        def __iter__(self):
            for frame in super().__iter__():
                yield frame
                seen.append((frame.truth, pin.state))

    edge.watch(str(taught.path), when={"rock": led}, source=Peeking(pattern, "background", "rock"))
    assert ("rock", 1) in seen
    assert ("background", 1) not in seen
    assert pin.state == 0
    assert led.closed


def test_the_source_may_be_a_word(taught, clips, lamp):
    watch(taught.path, when={"rock": lamp}, source=str(clips))
    assert lamp.log == ["on", "off", "close"]


def test_a_lamp_that_is_on_at_the_end_goes_off(taught, pattern, lamp):
    watch(taught.path, when={"rock": lamp}, source=Film(pattern, "rock"))
    assert lamp.log == ["on", "off", "close"]


@pytest.mark.parametrize("problem", [SourceError("unplugged"), ZeroDivisionError()])
def test_an_error_in_the_source_passes_on_with_the_lamp_off(taught, pattern, lamp, problem):
    film = Film(pattern, "rock", problem)
    with pytest.raises(type(problem)):
        watch(taught.path, when={"rock": lamp}, source=film)
    assert lamp.log == ["on", "off", "close"]
    assert film.closed


def test_an_error_in_an_output_is_said_and_the_others_go_on(taught, pattern, lamp, caplog):
    film = Film(pattern, "rock")
    watch(taught.path, when={"rock": [lamp, lambda: 1 / 0]}, source=film)
    assert caplog.messages == ["output of 'rock' failed: division by zero"]
    assert lamp.log == ["on", "off", "close"]
    assert film.closed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly_with_the_lamp_off(taught, pattern, lamp, number):
    class Forever(Film):
        def __iter__(self):
            yield from super().__iter__()
            os.kill(os.getpid(), number)
            time.sleep(10)

    film = Forever(pattern, "rock")
    watch(taught.path, when={"rock": lamp}, source=film)
    assert lamp.log == ["on", "off", "close"]
    assert film.closed


def test_a_second_signal_does_not_stop_the_switching_off(taught, pattern):
    class Slow(Lamp):
        def off(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
            super().off()

        def close(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
            super().close()

    class Forever(Film):
        def __iter__(self):
            yield from super().__iter__()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    lamp = Slow()
    watch(taught.path, when={"rock": lamp}, source=Forever(pattern, "rock"))
    assert lamp.log == ["on", "off", "close"]


def test_nor_does_it_while_the_model_is_still_being_loaded(taught, monkeypatch):
    class Slow(Lamp):
        def close(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
            super().close()

    def load(_model):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setitem(watch.__globals__, "Classifier", load)
    lamp = Slow()
    try:
        watch(taught.path, when={"rock": lamp}, source="/nowhere")
    except KeyboardInterrupt:  # as it is, it would end all of pytest
        pytest.fail("the second signal interrupted the clean-up")
    assert lamp.log == ["close"]


def test_an_unknown_label_is_one_line_before_anything_is_opened(taught, lamp):
    with pytest.raises(ConfigError, match=r"has no class 'rok'; did you mean 'rock'\?$"):
        watch(taught.path, when={"rok": lamp}, source="/nowhere")
    assert lamp.log == ["close"]


def test_background_is_refused(taught, lamp):
    with pytest.raises(OutputError, match="never triggers"):
        watch(taught.path, when={"background": lamp}, source="/nowhere")


@pytest.mark.parametrize(
    ("model", "source", "kind"),
    [("none.onnx", "virtual", ModelError), (None, "/nowhere", SourceError)],
)
def test_what_cannot_be_opened_lets_go_of_the_outputs(taught, lamp, model, source, kind):
    with pytest.raises(kind) as caught:
        watch(model or taught.path, when={"rock": lamp}, source=source)
    assert isinstance(caught.value, HandwaveError)
    assert lamp.log == ["close"]


SCRIPT = """
import sys, time
import numpy as np
from edge import Frame, Source, watch

class Lamp:
    def say(self, word):
        with open("log", "a") as file:
            file.write(word + "\\n")
    def on(self): self.say("on")
    def off(self): self.say("off")

class Camera(Source):
    def __iter__(self):
        image = np.load("rock.npy")
        for number in range(10**6):
            yield Frame(image, number / 10)
            time.sleep(0.01)
    def close(self):
        Lamp().say("closed")

watch("model.onnx", when={"rock": Lamp()}, source=Camera())
Lamp().say("behind")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_script_of_a_dozen_lines_survives_a_real_signal(model, pattern, number):
    folder = model.parent
    np.save(folder / "rock.npy", pattern("rock"))
    log = folder / "log"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 20
        while not log.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    lines = log.read_text().split()
    assert lines[0] == "on"
    assert sorted(lines[1:3]) == ["closed", "off"]
    assert lines[3:] == ["behind"]


# --- steps


def test_steps_carry_frame_prediction_and_decision(taught, pattern):
    film = Film(pattern, "rock")
    turns = list(steps(film, Classifier(taught.path), Decider(0.5, 0.4, hold=0), Outputs({})))
    assert [turn.frame.time for turn in turns] == [turn.decision.time for turn in turns]
    assert {turn.prediction.label for turn in turns} == {"rock"}
    assert turns[-1].decision.label == "rock"
    assert all(turn.seconds > 0 for turn in turns)


def test_steps_left_half_way_switch_off_when_closed(taught, pattern, lamp):
    film = Film(pattern, "rock")
    turns = steps(film, Classifier(taught.path), Decider(0.5, 0.4, hold=0), Outputs({"rock": lamp}))
    next(turns)
    assert lamp.log == ["on"]
    turns.close()
    assert lamp.log == ["on", "off", "close"]
    assert film.closed


def test_a_replay_is_decided_as_the_live_run_was(taught, pattern):
    def run():
        film = Film(pattern, "background", "rock", "palm", "rock")
        decider = make_decider(taught.card)
        return [turn.decision for turn in steps(film, classifier, decider, Outputs({}))]

    classifier = Classifier(taught.path)
    assert run() == run()


# --- make_decider


def test_thresholds_come_from_the_card_unless_the_config_says_otherwise(taught):
    limits = taught.card.thresholds
    plain = make_decider(taught.card)
    assert (plain.enter, plain.leave, plain.novelty) == (
        limits.enter, limits.leave, limits.novelty,
    )  # fmt: skip
    own = make_decider(
        taught.card, Decide(enter=0.9, leave=0.2, window=1.0, hold=2.0, cooldown=3.0, novelty=4.0)
    )
    assert (own.enter, own.leave, own.novelty) == (0.9, 0.2, 4.0)
    assert (own.window, own.hold, own.cooldown) == (1.0, 2.0, 3.0)


def test_an_enter_below_the_cards_leave_lowers_both(taught):
    enter = taught.card.thresholds.leave / 2
    decider = make_decider(taught.card, Decide(enter=enter))
    assert decider.enter == decider.leave == enter


def test_a_signal_that_an_output_swallows_ends_it_at_the_next_frame(taught, pattern, lamp):
    class Forever(Film):
        def __iter__(self):
            for number in range(1000):
                yield Frame(pattern("rock"), number / 10)

    def swallow():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except BaseException:  # noqa: BLE001  (what users write)
            lamp.log.append("swallowed")

    film = Forever(pattern, "rock")
    watch(taught.path, when={"rock": [lamp, swallow]}, source=film)
    assert lamp.log == ["on", "swallowed", "off", "close"]


def test_the_lamp_is_off_before_the_camera_is_closed(taught, pattern, lamp):
    class Slow(Film):
        def close(self):
            lamp.log.append("camera closed")
            super().close()

    watch(taught.path, when={"rock": lamp}, source=Slow(pattern, "rock"))
    assert lamp.log[-1] == "camera closed"
    assert "off" in lamp.log
