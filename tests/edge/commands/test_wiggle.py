"""`edge wiggle`: each output in turn, by name."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import gpiozero
import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.commands import wiggle as module
from edge.console import Group
from edge.outputs import kind as kinds
from edge.outputs import sound
from edge.outputs.kind import Kind

TOML = (
    "[when.rock]\nled = 17\nbuzzer = { pin = 22, beeps = 1 }\n"
    "[when.palm]\nled = 27\ntone = { pin = 23, tempo = 1000 }\n"
)
MOCK = "edge: mock pins: nothing is switched for real; --pins real does"


@pytest.fixture
def wiggle(tmp_path, monkeypatch):
    """Run `edge wiggle` on an edge.toml; what each output did is in `.seen`."""
    group = Group("edge")
    group.add_command(module.wiggle)
    seen = []

    def look(_seconds):
        factory = gpiozero.Device.pin_factory
        pins = factory.pins.values() if factory else ()
        seen.append({pin._number for pin in pins if pin.function == "output"})

    def run(*words, text=TOML):
        (tmp_path / "edge.toml").write_text(text)
        arguments = ["wiggle", "--config", str(tmp_path / "edge.toml"), "--pins", "mock", *words]
        done = CliRunner().invoke(group, arguments, prog_name="edge")
        return SimpleNamespace(
            code=done.exit_code, out=done.stdout, err=done.stderr.splitlines(), seen=seen
        )

    monkeypatch.setattr(module.time, "sleep", look)
    return run


def test_each_output_is_tried_by_itself_in_the_order_of_the_file(wiggle):
    done = wiggle()
    assert (done.code, done.err) == (0, [MOCK])
    assert done.out.splitlines()[20:] == [
        "[when.rock] led: GPIO17 (place 11)",
        "[when.rock] buzzer: GPIO22 (place 15)",
        "[when.palm] led: GPIO27 (place 13)",
        "[when.palm] tone: GPIO23 (place 16)",
        "4 of 4 outputs did as they were told; all are off",
    ]
    assert done.seen == [{17}, {22}, {27}, {23}]


def test_the_header_is_drawn_first_with_what_will_be_tried(wiggle):
    lines = wiggle("rock").out.splitlines()[:20]
    assert "[when.rock] led --- GPIO17 (11)" in lines[5]
    assert not any("palm" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["rock"], [{17}, {22}]),
        (["led"], [{17}, {27}]),
        (["tone", "rock"], [{17}, {22}, {23}]),
    ],
)
def test_labels_and_kinds_choose(wiggle, words, seen):
    assert wiggle(*words).seen == seen


@pytest.mark.parametrize(
    ("words", "text", "line"),
    [
        (["rok"], TOML, "nothing to try for 'rok'; did you mean 'rock'?"),
        (["zzz"], TOML, "nothing to try for 'zzz'; there is: rock, led, buzzer, palm, tone"),
        ([], "[when.rock]\n", "no label does anything yet; docs/wiring.md shows how"),
        (["led"], "", "no label does anything yet; docs/wiring.md shows how"),
    ],
)
def test_what_cannot_be_tried_is_one_line(wiggle, words, text, line):
    done = wiggle(*words, text=text)
    assert done.code == 1
    assert [one.partition("edge.toml: ")[2] for one in done.err] == [line]


def test_words_are_spoken_where_the_section_of_sounds_says(wiggle, monkeypatch):
    devices = []

    class Speaker(sound.Speaker):
        def __init__(self, device):
            devices.append(device)
            super().__init__(device)

    monkeypatch.setattr(sound, "Speaker", Speaker)
    wiggle("--seconds", "0", text='[when.rock]\nsay = "hi"\n[sound]\ndevice = "plughw:1"\n')
    assert devices == ["plughw:1"]


class Broken(Kind, frozen=True):
    """One that cannot be opened, or not be switched on."""

    short = "when"
    when: str

    def open(self, _wiring):
        if self.when == "open":
            raise OSError("no such thing")
        return SimpleNamespace(on=lambda: 1 / 0, off=lambda: None)


@pytest.mark.parametrize(
    ("when", "line"),
    [
        ("open", "edge: {path}: [when.palm] broken: no such thing"),
        ("on", "edge: output of 'palm' failed: division by zero"),
    ],
)
def test_one_that_fails_is_named_and_the_rest_are_tried(wiggle, monkeypatch, tmp_path, when, line):
    real = kinds.built_in()
    monkeypatch.setattr(kinds, "built_in", lambda: {**real, "broken": Broken})
    done = wiggle(text=f'[when.palm]\nbroken = "{when}"\n[when.rock]\nled = 17\n')
    assert done.code == 1
    assert done.err == [MOCK, line.format(path=tmp_path / "edge.toml")]
    assert "[when.palm] broken: no pins" in done.out
    assert done.out.splitlines()[-1] == "1 of 2 outputs did as they were told; all are off"
    assert done.seen[-1] == {17}


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ('webhook = "http://127.0.0.1:9/"', "webhook: http://127.0.0.1:9: Connection refused"),
        ('mqtt = "a/b"\n[mqtt]\nhost = "127.0.0.1"\nport = 9', "mqtt: cannot reach 127.0.0.1:9"),
        ('command = ["false"]', "command: 'false': exit code 1"),
        ("[mqtt]\nhost = '127.0.0.1'\nport = 9", "mqtt: cannot reach 127.0.0.1:9"),
        ('command = ["no-such-program"]', "command: there is no program 'no-such-program' here"),
    ],
)
def test_what_fails_in_a_thread_of_its_own_did_not_do_as_it_was_told(
    wiggle, monkeypatch, toml, line
):
    monkeypatch.setattr(module.time, "sleep", threading.Event().wait)
    done = wiggle("--seconds", "0", text=f"[when.rock]\n{toml}\n")
    assert done.code == 1
    assert done.err[0].startswith(f"edge: {line}")
    assert done.out.splitlines()[-1] == "0 of 1 outputs did as they were told; all are off"


class Advising(Kind, frozen=True):
    """One that has something to say, and works."""

    short = "what"
    what: str

    def open(self, _wiring):
        logging.getLogger("edge.outputs.pins").warning("%s", self.what)
        return lambda: None


def test_advice_in_the_log_is_no_failure(wiggle, monkeypatch):
    monkeypatch.setattr(kinds, "built_in", lambda: {"advising": Advising})
    done = wiggle(text='[when.rock]\nadvising = "it may tremble"\n')
    assert (done.code, done.err) == (0, ["edge: it may tremble"])


def test_ctrl_c_ends_it_with_everything_off(tmp_path):
    (tmp_path / "edge.toml").write_text(TOML)
    code = (
        "import gpiozero\nfrom edge.commands.wiggle import wiggle\n"
        "on = gpiozero.LED.on\n"
        "gpiozero.LED.on = lambda led: (on(led), print('lit'))\n"
        "try: wiggle(['--pins', 'mock', '--seconds', '60'])\n"
        "except SystemExit as end: print(end.code)\n"
        "print([pin.state for pin in gpiozero.Device.pin_factory.pins.values()])\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-u", "-W", "error", "-c", code],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(module.__file__).rpartition("/edge/")[0]},
    )  # fmt: skip
    while running.stdout.readline() != "lit\n":
        pass
    time.sleep(0.2)  # a signal just before Python's own `sleep` does not end that
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    assert out.splitlines() == ["stopped after 0 of 4 outputs; all are off", "0", "[0.0]"]


def test_no_number_of_seconds_is_wrong_usage(tmp_path):
    (tmp_path / "edge.toml").write_text("[when.rock]\nled = 17\n")
    done = CliRunner().invoke(
        main, ["wiggle", "--config", str(tmp_path / "edge.toml"), "--seconds", "nan"]
    )
    assert done.exit_code == 2
    assert "nan is no number of seconds" in done.stderr
