"""The `edge` command: exit codes 0, 1 and 2, one line for an error, JSON lines for scripts."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from itertools import pairwise
from pathlib import Path

import gpiozero
import pytest
from click.testing import CliRunner

import edge.commands.check
import edge.commands.run
import edge.loop
from edge.cli import main
from edge.errors import HandwaveError
from edge.sources.virtual import Virtual

RUN = ["run", "--pins", "mock"]

ENDED = "edge: ended, every output is off\n"


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="edge")


def complaint(*arguments):
    """The one line on stderr of a command that fails with exit code 1."""
    done = invoke(*arguments)
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if not line.startswith("edge: watching")]
    lines = [line for line in said if line[:1] not in {"", " "}]  # below it may be a drawing
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("edge: ")
    return lines[0].removeprefix("edge: ")


def start(*arguments, **options):
    """Start the real command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "edge", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


# --- check


def test_check_says_what_is_there(project):
    done = invoke("check", "--config", project)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{project}: 2 of 2 gestures do something\n"
        f"{project.parent / 'model.onnx'}: background, palm, rock (pixels features)\n"
        "golden frames: 3 of 3 agree with the trainer's\n"
        "accuracy when taught: 100.0%, measured on 36 pictures of 3 sessions not trained on\n"
    )


def test_check_names_a_library_that_is_not_here(project, monkeypatch):
    text = '[mqtt]\nhost = "x"\n[when.palm]\nmqtt = "a"\nwebhook = "http://x/y"\nled = 17\n'
    project.write_text('model = "model.onnx"\n' + text)
    assert invoke("check", "--config", project).stderr == ""
    here = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "urllib3" else here(name)
    )
    done = invoke("check", "--config", project)
    assert done.exit_code == 0
    assert done.stderr == (
        f"edge: {project}: webhook needs urllib3, which is not in this Python: "
        "here `edge run` would stop\n"
    )


def test_check_names_a_program_and_a_source_that_are_not_here(project, monkeypatch, tmp_path):
    text = (
        '[when.palm]\nsay = "Hi"\ncommand = ["sh", "-c", "true"]\n[when.rock]\ncommand = ["x-y"]\n'
    )
    project.write_text(f'model = "model.onnx"\nsource = "./film.mp4"\n{text}')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("sh", "aplay"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.touch(mode=0o755)
    done = invoke("check", "--config", project)
    assert done.exit_code == 0
    assert [line.partition("edge.toml: ")[2] for line in done.stderr.splitlines()] == [
        (
            "say needs the program 'espeak-ng', which is not here (sudo apt install espeak-ng): "
            "it does nothing"
        ),
        "command needs the program 'x-y', which is not here: it does nothing",
        "source: there is no './film.mp4' here: `edge run` would stop",
    ]
    (project.parent / "film.mp4").touch()
    assert "film.mp4" not in invoke("check", "--config", project).stderr


def test_an_edge_toml_that_does_nothing_is_told_what_to_write(project):
    project.write_text('model = "model.onnx"\n[when.palm]\n')
    done = invoke("check", "--config", project)
    assert done.exit_code == 0
    assert "[when.palm] and below it led = 17" in done.stderr
    assert "0 of 2 gestures do something" in done.stdout


def test_check_finds_edge_toml_in_the_current_folder(project, monkeypatch):
    monkeypatch.chdir(project.parent)
    assert invoke("check").exit_code == 0


@pytest.mark.parametrize("command", [["check"], [*RUN, "--source", "virtual"]])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[when.rok]\nled = 17",
            r"\[when\.rok\]: the model has no class 'rok'; did you mean 'rock'",
        ),
        ("[when.rock]\nled = 40", "40 is not a BCM pin .* place 40 of the header is BCM 21"),
        ("[decide]\nleave = 0.99", r"edge\.toml: \[decide\] leave: 0\.99 is above enter, "),
        ("[when.rock\n", "not valid TOML: .*line 1"),
        ("[when.background]\nled = 1", "'background' never triggers anything"),
        ("[when.rock]\nled = 17\nbuzzer = 17", "pin 17 is already used by"),
        ('model = "none.onnx"', "none.onnx: no such model; make one with: trainer train"),
        ('model = "edge.toml"', "not a model that runs here"),
        ('model = "a\\u0000b"', "cannot be read: "),
        ('"a\\nb" = 1', "unknown key 'a b'"),  # still one line
    ],
)
def test_each_mistake_is_one_line_and_exit_code_1(project, command, text, words):
    project.write_text(text)
    assert re.search(words, complaint(*command, "--config", project))


@pytest.mark.parametrize("command", [["check"], [*RUN, "--source", "virtual"]])
def test_without_edge_toml(tmp_path, command):
    assert "no such file" in complaint(*command, "--config", tmp_path / "edge.toml")


def test_a_damaged_model_is_one_line(project):
    path = project.parent / "model.onnx"
    path.write_bytes(path.read_bytes()[:5000])
    assert "not a model that runs here" in complaint("check", "--config", project)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "/nowhere",
            "no such source; a source is pi, webcam:0, a folder, a video file, virtual, or ssh:",
        ),
        ("ssh://pi@robot/x", "say ssh://user@host"),
        ("webcam:97", "no such camera"),
        ("pi", "no picamera2 here|no camera found"),
    ],
)
def test_a_source_that_is_not_there(project, source, words):
    assert re.search(words, complaint(*RUN, "--config", project, "--source", source))


def test_real_pins_that_are_not_there_advise_mock_ones(project, monkeypatch):
    monkeypatch.setattr(edge.outputs.gpio, "is_raspberry_pi", lambda: False)

    def fail(*_, **__):
        raise OSError("no chip")

    monkeypatch.setattr(gpiozero, "LED", fail)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    line = complaint("run", "--pins", "real", "--config", project, "--source", "virtual")
    assert line == "no GPIO pins here (no chip); on a computer that is no Pi, add --pins mock"


# --- Wrong usage, help


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run", "--pins", "pretend"],
        ["run", "--frames", "0"],
        ["run", "--frames", "many"],
        ["run", "--colour"],
        ["run", "--source", ""],
        ["check", "surplus"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", sorted(main.commands))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_an_example(command, flag):
    done = invoke(command, flag)
    assert done.exit_code == 0
    assert f"Example: edge {command}" in done.stdout


def test_help_names_every_command_and_the_version_is_known():
    done = invoke("--help")
    assert done.exit_code == 0
    assert all(f"  {command}" in done.stdout for command in main.commands)
    assert re.fullmatch(r"edge, version \d+\.\d+\.\d+\n", invoke("--version").stdout)


# --- --debug, and mistakes of ours


def test_debug_shows_where_an_error_came_from(tmp_path):
    done = invoke("check", "--debug", "--config", tmp_path / "none.toml")
    assert done.exit_code == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("edge: ")


@pytest.mark.parametrize(("arguments", "traced"), [((), False), (("--debug",), True)])
def test_debug_shows_where_an_output_failed_too(project, monkeypatch, arguments, traced):
    def fails(_config):
        log = logging.getLogger("edge.outputs.apply")
        try:
            Path("/no loudspeaker").read_bytes()
        except OSError as problem:  # as outputs log what happens later, in their threads
            log.error("sound: %s", problem, exc_info=log.isEnabledFor(logging.DEBUG))
        raise HandwaveError("enough")

    monkeypatch.setattr(edge.commands.check, "open_project", fails)
    done = invoke("check", *arguments, "--config", project)
    assert "edge: sound: [Errno 2]" in done.stderr
    assert (', in fails\n    Path("/no loudspeaker").read_bytes()' in done.stderr) is traced


def test_a_bug_is_one_line_too(project, monkeypatch):
    def bug(_config):
        raise KeyError("oh\nno")

    monkeypatch.setattr(edge.commands.check, "open_project", bug)
    line = complaint("check", "--config", project)
    assert line.startswith("a mistake of ours (KeyError: 'oh")
    assert line.endswith("please report it with what --debug shows")


# --- run


def lines_of(done):
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def lines(taught, clips, tmp_path_factory):
    """What `edge run --json` says about pictures that the model has not seen."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "model.onnx").write_bytes(taught.content)
    toml = folder / "edge.toml"
    toml.write_text("[when.rock]\nled = 17\n[when.palm]\nbuzzer = [22, 23]\n")
    return lines_of(invoke(*RUN, "--config", toml, "--source", clips, "--json"))


def test_each_frame_is_one_json_object(lines):
    assert len(lines) == 60
    assert [line["frame"] for line in lines] == list(range(60))
    for line in lines:
        assert set(line) == {
            "frame", "time", "label", "confidence", "novelty", "decision", "changed", "trouble",
            "pins", "ms", "truth", "name",
        }  # fmt: skip
        assert 0 <= line["confidence"] <= 1
        assert line["ms"] > 0
        assert line["name"].startswith(line["truth"] + "/s0/")


def test_the_right_pin_is_lit_and_nothing_for_background(lines):
    expected = {
        None: (False, False, False),
        "background": (False, False, False),
        "rock": (True, False, False),
        "palm": (False, True, True),
    }
    for line in lines:
        assert tuple(line["pins"].values()) == expected[line["decision"]]
        assert list(line["pins"]) == ["17", "22", "23"]
    for truth in ("background", "palm", "rock"):
        decided = {line["decision"] for line in lines if line["truth"] == truth}
        assert truth in decided
    late = [line for line in lines if line["name"].endswith("/19.png")]
    assert [line["decision"] for line in late] == ["background", "palm", "rock"]


def test_changed_marks_each_change_once(lines):
    decisions = [None, *(line["decision"] for line in lines)]
    changes = [one != other for one, other in pairwise(decisions)]
    assert [line["changed"] for line in lines] == changes


def test_at_the_end_every_pin_is_off(project, clips):
    done = invoke(*RUN, "--config", project, "--source", clips, "--json")
    assert lines_of(done)[-1]["pins"] == {"17": True, "22": False}
    factory = gpiozero.Device.pin_factory
    assert [factory.pin(number).state for number in (17, 22)] == [0, 0]
    assert [factory.pin(number).function for number in (17, 22)] == ["input", "input"]


def test_an_error_half_way_leaves_every_pin_off(project, clips, monkeypatch):
    seen = []

    def fail(step, board):
        seen.append(board.states())
        if board.states()[17]:
            raise ZeroDivisionError

    monkeypatch.setattr(edge.commands.run, "_json_printer", lambda: fail)
    done = invoke(*RUN, "--config", project, "--source", clips, "--json")
    assert done.exit_code == 1
    assert seen[-1][17] is True
    assert gpiozero.Device.pin_factory.pin(17).state == 0


def test_frames_ends_it_after_so_many(project, clips):
    done = invoke(*RUN, "--config", project, "--source", clips, "--json", "--frames", 7)
    assert len(lines_of(done)) == 7


def test_without_json_only_changes_are_printed(project, clips):
    done = invoke(*RUN, "--config", project, "--source", clips)
    assert done.exit_code == 0
    assert "\033" not in done.stdout, "no terminal here"
    words = [line.split() for line in done.stdout.splitlines()]
    gestures = [line for line in words if line[2] in {"rock", "palm"}]
    assert [line[2] for line in gestures] == ["palm", "rock"]
    assert [line[-1] for line in gestures] == ["GPIO22", "GPIO17"]
    assert (
        done.stderr
        == f"edge: watching {clips}, mock pins; Ctrl-C ends it\nedge: ended, every output is off\n"
    )


def test_the_source_may_be_in_edge_toml_and_the_option_wins(project, clips):
    project.write_text(f'source = "{clips}"\n')
    done = invoke(*RUN, "--config", project, "--json", "--frames", 1)
    assert lines_of(done)[0]["name"].startswith("background/")
    drawn = invoke(*RUN, "--config", project, "--json", "--frames", 1, "--source", "virtual:1")
    assert lines_of(drawn)[0]["name"] is None


def test_a_truth_that_is_no_label_of_the_model_is_none(project, clips):
    done = invoke(*RUN, "--config", project, "--source", clips / "rock", "--json", "--frames", 1)
    (line,) = lines_of(done)
    assert (line["truth"], line["name"]) == (None, "s0/0.png")


def test_an_unreadable_picture_is_one_line_on_stderr(project, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "1.png").write_text("nothing")
    done = invoke(*RUN, "--config", project, "--source", tmp_path / "clips", "--json")
    assert done.stdout == ""
    assert "edge: skipped: " in done.stderr
    assert "Traceback" not in done.stderr


# --- The real command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_real_command_with_exit_code_0(project, number):
    source = ["--source", "virtual", "--json"]
    with start(*RUN, "--config", project, *source) as process:
        first = json.loads(process.stdout.readline())
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert first["frame"] == 0
    assert all(json.loads(line) for line in out.splitlines())
    assert (
        err
        == "edge: watching virtual, mock pins; Ctrl-C ends it\nedge: ended, every output is off\n"
    )


def test_a_reader_that_leaves_causes_no_traceback(project):
    source = ["--source", "virtual", "--fast", "--json"]
    with start(*RUN, "--config", project, *source) as process:  # edge run --json | head -1
        json.loads(process.stdout.readline())
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=20)
    assert err == "edge: watching virtual, mock pins; Ctrl-C ends it\n"


@pytest.mark.parametrize(
    ("words", "where", "code", "told"),
    [
        ("{run}", ">&-", 0, "edge: watching virtual, mock pins; Ctrl-C ends it\n" + ENDED),
        ("{run}", ">&- 2>&-", 0, ""),
        ("--help", ">&-", 0, ""),
        ("--help", ">/dev/full", 1, "edge: No space left on device\n"),
        ("{check}", ">/dev/full", 1, "edge: No space left on device\n"),
    ],
)
def test_where_nobody_can_be_told_it_does_its_work_or_says_so_in_one_line(
    project, words, where, code, told
):
    run = f"run --pins mock --config {project} --source virtual --fast --frames 2"
    line = words.format(run=run, check=f"check --config {project}")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -W error -m edge {line} {where}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, "", told)


def test_systemd_hears_that_it_is_ready_once_frames_come(project, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "n"))
        systemd.settimeout(20)
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "n")}
        with start(
            *RUN, "--config", project, "--source", "virtual", "--frames", "2", env=environment
        ) as process:
            assert systemd.recv(100) == b"READY=1\nWATCHDOG=1"
            process.communicate(timeout=20)
        assert process.returncode == 0
        assert systemd.recv(100) == b"STATUS=watching: undecided"
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


def test_the_live_page_shows_what_runs(project):
    source = ["--source", "virtual", "--json", "--serve", "0"]
    with start(*RUN, "--config", project, *source) as process:
        said = [process.stderr.readline() for _ in range(2)]
        (address,) = re.findall(r"live page at (http://127\.0\.0\.1:\d+/)", "".join(said))
        process.stdout.readline()  # the first frame
        with urllib.request.urlopen(f"{address}status.json", timeout=20) as answer:
            status = json.load(answer)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert status["state"] == "watching"
    assert status["frames"] > 0


def test_others_see_the_page_only_with_a_token(project, monkeypatch):
    monkeypatch.delenv("HANDWAVE_TOKEN", raising=False)
    words = ["--source", "virtual", "--serve", "0", "--serve-host", "0.0.0.0"]
    assert "token" in complaint(*RUN, "--config", project, *words)


# --- what loads while the model is opened


@pytest.mark.parametrize(
    ("source", "wired", "expected"),
    [
        ("pi", True, {"gpiozero", "picamera2"}),
        ("pi", False, {"picamera2"}),
        ("virtual", True, {"gpiozero"}),
    ],
)
def test_the_libraries_of_outputs_and_camera_load_meanwhile(
    project, monkeypatch, source, wired, expected
):
    begun = set()
    monkeypatch.setattr(edge.commands.run, "import_module", begun.add)
    monkeypatch.setattr("edge.sources.camera.load_picamera2", lambda: begun.add("picamera2"))
    monkeypatch.setattr(edge.commands.run, "preload", lambda *loads: [load() for load in loads])
    monkeypatch.setattr(edge.commands.run, "open_source", lambda *_, **__: Virtual())
    if not wired:
        project.write_text(project.read_text().partition("[when")[0])
    assert invoke(*RUN, "--config", project, "--source", source, "--frames", 1).exit_code == 0
    assert begun == expected
