"""The standing device: what it goes through, and what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import gpiozero
import numpy as np
import pytest

from edge import card
from edge import device as device_module
from edge.classifier import Classifier
from edge.config import read_config
from edge.decider import Decider
from edge.device import Device, Patient, Project
from edge.errors import ConfigError, HandwaveError, ModelError, SourceError
from edge.frame import Frame, Source
from edge.loop import steps
from edge.outputs import Outputs


class Camera(Source):
    """Shows labels at 10 frames a second of the real clock; what is an exception is raised."""

    def __init__(self, pattern, clock, shots):
        self.pattern, self.clock, self.shots, self.closed = pattern, clock, shots, 0

    def __iter__(self):
        for shot in self.shots:
            if isinstance(shot, Exception):
                raise shot
            self.clock[0] += 0.1
            number = round(10 * self.clock[0])
            image = shot if isinstance(shot, np.ndarray) else self.pattern(shot, number)
            yield Frame(image, self.clock[0])

    def close(self):
        self.closed += 1


@pytest.fixture
def stage(project, pattern, monkeypatch):
    """Return a function that plays films, each until its end or error, and tells what was seen.

    A film may also be an exception: then there is no camera.
    """
    monkeypatch.setattr(device_module, "PAUSES", (0.01,))
    told = []
    monkeypatch.setattr("edge.service.notify", told.append)
    clock = [0.0]

    def play(*films, forever=True, frames=None, on_step=lambda _number: None, before=None):
        rest, lit = list(films), []
        cameras = []

        def open_source(_project):
            film = rest.pop(0) if rest else []
            if isinstance(film, Exception):
                raise film
            cameras.append(Camera(pattern, clock, film))
            return cameras[-1]

        def load(toml=project):
            config = read_config(toml)
            return Project.of(config, Classifier(config.model))

        def show(_step, wiring):
            lit.append({pin for pin, on in wiring.states().items() if on})
            on_step(len(lit))

        load_before = None if before is None else lambda: load(before)
        device = Device(load, open_source, "mock", load_before=load_before, forever=forever)
        play.status = device.status
        device.run(show, frames)
        assert all(camera.closed for camera in cameras)
        return lit

    play.told = told
    return play


def low(pin):
    return not gpiozero.Device.pin_factory.pin(pin).state


BLACK = np.zeros((48, 64, 3), np.uint8)


def test_a_camera_that_is_unplugged_and_comes_back_goes_on_by_itself(stage, caplog):
    lit = stage(["rock"] * 8 + [SourceError("unplugged")], SourceError("not there"), ["rock"] * 8)
    assert lit[7] == {17}
    assert lit[8] == set(), "what was decided before is forgotten"
    assert lit[-1] == {17}
    assert low(17)
    assert caplog.messages == [
        "unplugged; every output is off",
        "not there; every output is off",
        "all is well again",
    ]


def test_the_pin_is_low_while_the_camera_is_away(stage, monkeypatch):
    seen = []

    original = device_module.Patient

    class Watching(original):
        def __init__(self, opener, lost, wait):
            super().__init__(opener, lost, lambda pause: (seen.append(low(17)), wait(pause))[1])

    monkeypatch.setattr(device_module, "Patient", Watching)
    lit = stage(["rock"] * 8 + [SourceError("gone")], ["palm"] * 8)
    assert lit[7] == {17}
    assert seen == [True]


def test_a_camera_that_is_absent_at_boot_is_waited_for_and_not_ready_before(stage):
    absent = [SourceError("no camera")] * 3
    stage(*absent, ["rock"] * 3)
    assert stage.told[0] == "STATUS=no camera"
    assert stage.told.index("READY=1\nWATCHDOG=1") == 1


def test_without_forever_a_failing_camera_is_an_error(stage):
    with pytest.raises(SourceError, match="unplugged"):
        stage(["rock"] * 8 + [SourceError("unplugged")], forever=False)
    assert low(17)
    with pytest.raises(SourceError, match="no camera"):
        stage(SourceError("no camera"), forever=False)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (BLACK, "the picture is black"),
        (BLACK + 30, "too dark"),
        (BLACK + 255, "the picture is white"),
    ],
)
def test_a_camera_that_sees_nothing_switches_off_says_so_and_recovers(
    stage, caplog, picture, words
):
    lit = stage(["rock"] * 8 + [picture] * 10 + ["rock"] * 20)
    assert lit[7] == {17}
    assert lit[17] == set()
    assert lit[-1] == {17}
    assert words in caplog.messages[0]
    assert caplog.messages[1:] == ["all is well again"]


def test_a_frozen_camera_switches_off_and_starves_the_watchdog(stage, pattern, caplog, monkeypatch):
    monkeypatch.setattr("edge.service.HEARTBEAT", 0.0)
    frozen = pattern("rock", 1)
    lit = stage(["rock"] * 8 + [frozen] * 40 + ["rock"] * 20)
    assert lit[7] == {17}
    assert lit[40] == set()
    assert lit[-1] == {17}
    assert "the same picture again and again" in caplog.messages[0]
    beats = sum("WATCHDOG=1" in line for line in stage.told)
    assert beats <= 8 + 1 + 20, "only fresh frames feed the watchdog"
    assert beats > 20


def test_nothing_stays_on_while_a_reload_takes_its_time(stage, project, monkeypatch):
    monkeypatch.setattr(device_module, "BLIND", 0.02)
    meanwhile = []
    of = Project.of

    def slow(config, classifier):
        meanwhile.append(low(17))
        time.sleep(0.3)
        meanwhile.append(low(17))
        return of(config, classifier)

    def reload(number):
        if number == 8:
            monkeypatch.setattr(Project, "of", slow)
            os.kill(os.getpid(), signal.SIGHUP)

    lit = stage(["rock"] * 16, ["rock"] * 8, on_step=reload)
    assert lit[7] == {17}
    assert meanwhile[1]


def test_a_reload_takes_what_is_on_disk_now(stage, project):
    def rewire(number):
        if number == 8:
            project.write_text("[when.rock]\nled = 5\n")
            os.kill(os.getpid(), signal.SIGHUP)

    lit = stage(["rock"] * 16, ["rock"] * 8, on_step=rewire)
    assert lit[7] == {17}
    assert lit[-1] == {5}
    assert len(lit) == 8 + 8
    assert low(17)
    assert low(5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[when.rock", "not valid TOML"),
        ("[when.rok]\nled = 5", "no class 'rok'"),
        ("model = 'gone.onnx'", "no such model"),
        ("[when.rock]\nled = 99", "not a BCM pin"),
    ],
)
def test_a_reload_of_something_broken_goes_on_as_before(stage, project, caplog, text, words):
    def damage(number):
        if number == 8:
            project.write_text(text)
            os.kill(os.getpid(), signal.SIGHUP)

    lit = stage(["rock"] * 16, on_step=damage)
    assert lit[7:] == [{17}] * 9
    (line,) = caplog.messages
    assert words in line
    assert line.startswith("not reloaded: ")


def test_a_damaged_model_is_not_taken_at_a_reload(stage, project, caplog):
    def damage(number):
        if number == 8:
            model = project.parent / "model.onnx"
            model.write_bytes(model.read_bytes()[:-100])
            os.kill(os.getpid(), signal.SIGHUP)

    lit = stage(["rock"] * 16, on_step=damage)
    assert lit[7:] == [{17}] * 9
    assert caplog.messages[0].startswith("not reloaded: ")


def test_a_reload_whose_pins_are_taken_goes_back_to_what_ran(stage, project, caplog, monkeypatch):
    holder = []

    def rewire(number):
        if number == 8:
            holder.append(gpiozero.LED(5))  # somebody else's
            project.write_text("[when.rock]\nled = 5\n")
            os.kill(os.getpid(), signal.SIGHUP)

    real = device_module.Wiring

    def wiring(config, pins, labels):
        if holder and any(output.pins() == (5,) for _, _, output in config.outputs()):
            raise HandwaveError("a pin is held by another program")
        return real(config, pins, labels)

    monkeypatch.setattr(device_module, "Wiring", wiring)
    lit = stage(["rock"] * 16, ["rock"] * 8, on_step=rewire)
    assert lit[-1] == {17}
    assert "going back to what ran before" in caplog.messages[-1]


def test_what_has_spoiled_is_told_until_a_reload_finds_it_mended(stage, project):
    before = project.with_name("before.toml")
    before.write_text("[when.rock]\nled = 5\n")
    project.write_text("[when.rock")
    told = []

    def reload_twice(number):
        told.append(stage.status.spoiled)
        if number == 20:
            project.write_text("[when.rock]\nled = 17\n")
        if number in {10, 20}:
            os.kill(os.getpid(), signal.SIGHUP)

    lit = stage(["rock"] * 30, ["rock"] * 10, on_step=reload_twice, before=before)
    assert lit[9] == lit[19] == {5}
    assert lit[-1] == {17}
    assert all("not valid TOML" in one for one in told[:20]), "the first reload changed nothing"
    assert told[20:] == [None] * 10


def test_a_reload_is_taken_while_the_camera_is_away(stage, project, monkeypatch):
    monkeypatch.setattr(device_module, "PAUSES", (60.0,))

    def rewire(told):
        if "gone" in told:  # a moment later it waits for the camera
            project.write_text("[when.rock]\nled = 5\n")
            main = threading.main_thread().ident
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGHUP)).start()

    monkeypatch.setattr("edge.service.notify", rewire)
    began = time.monotonic()
    lit = stage(["rock"] * 8 + [SourceError("gone")], ["rock"] * 8)
    assert time.monotonic() - began < 30, "not after a minute"
    assert (lit[7], lit[-1]) == ({17}, {5})


def test_a_button_pauses_and_goes_on(stage, project):
    project.write_text("[when.rock]\nled = 17\n[button]\npin = 3\n")

    def press(number):
        if number in {8, 16}:
            pin = gpiozero.Device.pin_factory.pin(3)
            pin.drive_low()
            pin.drive_high()

    lit = [pins & {17} for pins in stage(["rock"] * 30, on_step=press)]
    assert lit[7] == {17}
    assert lit[8:16] == [set()] * 8
    assert lit[-1] == {17}
    assert "STATUS=paused" in stage.told


def test_a_reload_that_takes_the_button_away_ends_the_pause(stage, project):
    project.write_text("[when.rock]\nled = 17\n[button]\npin = 3\n")

    def press(number):
        if number == 8:
            pin = gpiozero.Device.pin_factory.pin(3)
            pin.drive_low()
            pin.drive_high()
        if number == 12:
            project.write_text("[when.rock]\nled = 5\n")
            os.kill(os.getpid(), signal.SIGHUP)

    lit = stage(["rock"] * 30, ["rock"] * 30, on_step=press)
    assert lit[9] == set()
    assert lit[-1] == {5}


def test_a_melody_ends_with_the_pause(stage, project):
    project.write_text(
        "[when.rock]\ntone = { pin = 17, melody = 'C5:60', tempo = 120 }\n[button]\npin = 3\n"
    )
    playing = []

    def press(number):
        playing.append(any(t.name == "handwave tone" for t in threading.enumerate()))
        if number == 8:
            pin = gpiozero.Device.pin_factory.pin(3)
            pin.drive_low()
            pin.drive_high()

    stage(["rock"] * 20, on_step=press)
    assert playing[7]
    assert not any(playing[10:])


def test_how_it_is_doing_is_written_where_systemd_says(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    stage(["rock"] * 8 + [SourceError("unplugged")], ["rock"])
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "watching"
    assert status["frames"] > 0


def test_a_step_knows_how_old_its_frame_was(taught, pattern):
    class Late(Camera):
        def now(self):
            return self.clock[0] + 0.07

    decider, outputs = Decider(), Outputs({})
    turns = steps(Late(pattern, [0.0], ["rock"] * 3), Classifier(taught.path), decider, outputs)
    assert [step.latency for step in turns] == pytest.approx([0.07] * 3)


def test_a_camera_that_came_back_says_how_it_takes_pictures():
    class Camera(Source):
        def __init__(self, taken):
            self.taken = taken

        def __iter__(self):
            yield Frame(np.zeros((2, 2, 3), np.uint8), 0.0)

    taken = card.Camera(size=(2, 2), exposure=0.01)
    patient = Patient(lambda: Camera(taken), lambda _problem: None, lambda _seconds: True)
    assert patient.taken is None
    next(iter(patient))
    assert patient.taken == taken


def test_a_recording_that_stands_still_is_no_camera_that_froze(pattern, taught):
    class Film(Camera):
        live = False

    still = [pattern("rock", 0)] * 60
    patient = Patient(lambda: Film(pattern, [0.0], still), lambda _: None, lambda _: True)
    classifier = Classifier(taught.path)
    turns = list(steps(patient, classifier, Decider(), Outputs({})))
    assert len(turns) == 60
    assert {turn.trouble for turn in turns} == {None}


def test_pauses_between_tries_grow_and_stay():
    waited = []

    def fail():
        raise SourceError("no")

    patient = Patient(fail, lambda _problem: None, lambda s: waited.append(s) or len(waited) == 8)
    assert list(patient) == []
    assert waited == [1, 2, 4, 8, 15, 15, 15, 15]


def test_a_label_the_model_has_not_is_an_error_at_the_start(taught, project):
    project.write_text("[when.rok]\nled = 1\n")
    with pytest.raises(ConfigError, match="pin"):
        read_config(project)
    project.write_text("[when.rok]\nled = 5\n")
    with pytest.raises(ConfigError, match="did you mean 'rock'"):
        Project.of(read_config(project), Classifier(taught.path))


def test_a_broken_model_at_the_start_is_an_error(stage, project):
    (project.parent / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        stage(["rock"])


def test_the_service_reloads_on_a_real_hangup(project):
    command = [sys.executable, "-m", "edge", "run", "--pins", "mock", "--forever"]
    with subprocess.Popen(
        [*command, "--config", str(project), "--source", "virtual"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        assert "watching" in process.stderr.readline()
        time.sleep(0.5)
        project.write_text("[when.rock\n")
        process.send_signal(signal.SIGHUP)
        assert "not reloaded" in process.stderr.readline()
        project.write_text("[when.rock]\nled = 5\n")
        process.send_signal(signal.SIGHUP)
        assert "reloaded" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err.splitlines()[-1] == "edge: ended, every output is off"
