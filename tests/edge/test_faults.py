"""Faults that belong to no single module: memory, clocks, other people's outputs."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import gpiozero
import pytest
from click.testing import CliRunner

import edge
from edge.cli import main
from edge.config import read_config
from edge.errors import ConfigError, OutputError
from edge.outputs import Kind, kind

EDGE = Path(edge.__file__).parent


def run(project, clips, *options):
    words = ["run", "--pins", "mock", "--config", project, "--source", clips, *options]
    return CliRunner().invoke(main, [str(word) for word in words])


HUNGRY = """
import resource, sys
import numpy as np
from edge import Frame, Source, watch

class Greedy(Source):
    def __iter__(self):
        for number in range(20):
            yield Frame(np.full((48, 64, 3), 100 + number, np.uint8), number / 10)
        pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (pages + 4_000_000, pages + 4_000_000))
        yield Frame(np.zeros((8000, 8000, 3), np.uint8), 2.0)

class Lamp:
    def on(self): print("on")
    def off(self): print("off")
    def close(self): print("close", flush=True)

try:
    watch(sys.argv[1], when={"rock": Lamp()}, source=Greedy())
except MemoryError:
    print("out of memory")
"""


def test_out_of_memory_ends_with_the_outputs_closed(taught):
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY, str(taught.path)],
        capture_output=True, text=True, check=False, cwd=EDGE.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["close", "out of memory"]


def test_out_of_memory_is_one_line(project, clips, monkeypatch):
    def starve(*_):
        raise MemoryError

    monkeypatch.setattr("edge.classifier.Classifier.predict", starve)
    done = run(project, clips)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "edge: out of memory; stop other programs, or teach with smaller features"
    )


INTERRUPTED = """
import signal, sys
import edge.startup
edge.startup.hurry = lambda: signal.raise_signal(signal.SIGINT)
from edge.__main__ import main
main()
"""


def test_ctrl_c_while_it_loads_is_no_traceback():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True, text=True, check=False, timeout=60, cwd=EDGE.parent,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


def test_nothing_that_decides_asks_for_the_time_of_day():
    """A Pi without a battery clock jumps by months when it meets a time server."""
    allowed = {
        "platform.py",
        "webhook.py",
        "page",
    }  # these tell it to people, or ask if it is right
    asked = {
        path.relative_to(EDGE).as_posix()
        for path in EDGE.rglob("*.py")
        if not allowed & set(path.relative_to(EDGE).parts)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"time.time", "datetime.now"}
    }
    assert asked == set()


JUMPING = """
import itertools, sys, time
steps = itertools.cycle([0, 1e8, -1e8, 3e7])
real = time.time
time.time = lambda: real() + next(steps)
from edge.__main__ import main
sys.argv = ["edge", *sys.argv[1:]]
main()
"""


def test_a_clock_that_jumps_by_years_changes_no_decision(project, clips):
    words = ["run", "--config", str(project), "--source", str(clips), "--pins", "mock", "--json"]

    def decisions(code):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True, text=True, check=False, timeout=60, cwd=EDGE.parent,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        frames = [json.loads(line) for line in done.stdout.splitlines()]
        return [frame["pins"]["17"] for frame in frames]

    quiet = JUMPING.replace("next(steps)", "0")
    assert set(decisions(quiet)) == {False, True}
    assert decisions(JUMPING) == decisions(quiet)


@pytest.fixture
def two_releases(project, tmp_path, monkeypatch):
    """What ran before, and beside it a newer one with another lamp; return the newer."""
    newer = tmp_path / "newer"
    newer.mkdir()
    for name in ("edge.toml", "model.onnx"):
        (newer / name).write_bytes((project.parent / name).read_bytes())
    project.write_text("[when.rock]\nled = 5\n")
    (newer / "edge.toml").write_text("[when.rock]\nled = 17\n")
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("HANDWAVE_BEFORE", str(project))
    return newer


def lit(done):
    return {
        pin
        for line in done.stdout.splitlines()
        for pin, on in json.loads(line)["pins"].items()
        if on
    }


@pytest.mark.parametrize("name", ["edge.toml", "model.onnx"])
def test_a_release_that_spoils_on_the_card_gives_way_to_the_one_before(two_releases, clips, name):
    toml = two_releases / "edge.toml"
    assert lit(run(toml, clips, "--json", "--forever")) == {"17"}
    content = (two_releases / name).read_bytes()
    (two_releases / name).write_bytes(content[:20] + b"\0" + content[21:])
    done = run(toml, clips, "--json", "--forever")
    assert lit(done) == {"5"}
    said = json.loads((two_releases.parent / "run" / "status.json").read_text())["spoiled"]
    assert str(two_releases / name) in said
    assert f"{said}; running what ran before: " in done.stderr
    off = CliRunner().invoke(main, ["off", "--config", str(toml), "--pins", "mock"])
    assert "GPIO5" in off.stdout  # also what was on of the one before


def test_on_trial_or_without_one_before_a_spoiled_release_is_an_error(
    two_releases, project, clips, monkeypatch
):
    (two_releases / "model.onnx").write_bytes(b"spoiled")
    toml = two_releases / "edge.toml"
    assert run(toml, clips).exit_code == 1  # by hand
    project.write_text("[when.rock")
    neither = run(toml, clips, "--forever")
    assert neither.exit_code == 1
    assert str(two_releases / "model.onnx") in neither.stderr
    monkeypatch.setenv("HANDWAVE_BEFORE", "")
    assert run(toml, clips, "--forever").exit_code == 1


class Bomb(Kind, frozen=True):
    """Somebody's output, which fails whenever it is used."""

    short = "fuse"
    fuse: str

    def open(self, _wiring):
        def explode():
            raise RuntimeError(self.fuse)

        return explode


@pytest.fixture
def plugin(monkeypatch):
    """Return a function that installs an entry point."""

    def install(value):
        point = EntryPoint("bomb", value, kind.ENTRY_POINTS)
        monkeypatch.setattr(
            "importlib.metadata.entry_points", lambda **by: EntryPoints([point]).select(**by)
        )

    return install


def test_somebody_elses_output_that_fails_does_not_stop_the_device(
    project, clips, plugin, caplog, monkeypatch
):
    monkeypatch.setitem(sys.modules, "their_bomb", sys.modules[__name__])
    plugin("their_bomb:Bomb")
    project.write_text("[when.rock]\nled = 17\nbomb = 'fizz'\n")
    done = run(project, clips, "--json")
    assert done.exit_code == 0
    assert any(json.loads(line)["pins"]["17"] for line in done.stdout.splitlines()), (
        "the LED beside it is lit"
    )
    assert "edge: output of 'rock' failed: fizz" in done.stderr.splitlines()
    assert gpiozero.Device.pin_factory.pin(17).state == 0


class Quitter(Kind, frozen=True):
    """Somebody's output, which thinks that it is a program."""

    short = "when"
    when: str

    def open(self, wiring):
        if self.when == "open":
            sys.exit(5)
        return self

    def on(self):
        sys.exit(3)

    def off(self):
        sys.exit(4)

    def close(self):
        sys.exit(6)


@pytest.mark.parametrize("when", ["on", "open"])
def test_an_output_that_ends_the_program_does_not(project, clips, plugin, monkeypatch, when):
    monkeypatch.setitem(sys.modules, "their_quitter", sys.modules[__name__])
    plugin("their_quitter:Quitter")
    project.write_text(f"[when.rock]\nled = 17\nbomb = '{when}'\n")
    done = run(project, clips, "--json")
    assert done.exit_code == (0 if when == "on" else 1)
    assert ("output of 'rock' failed: 3" in done.stderr) == (when == "on")
    assert (f"{project}: [when.rock] bomb: 5" in done.stderr) == (when == "open")


@pytest.mark.parametrize(
    ("value", "words"),
    [("no_such_module:Bomb", "cannot be loaded"), ("pathlib:Path", "is no edge.outputs.Kind")],
)
def test_an_entry_point_that_leads_nowhere_is_one_line(project, plugin, value, words):
    plugin(value)
    project.write_text("[when.rock]\nbomb = 'fizz'\n")
    with pytest.raises(ConfigError, match=words) as caught:
        read_config(project)
    assert str(caught.value).startswith(f"{project}: [when.rock] ")


class Picky(Bomb, frozen=True):
    def check(self, folder):
        raise KeyError(self.fuse)


class Impatient(Bomb, frozen=True):
    def check(self, folder):
        sys.exit(self.fuse)


class Unready(Bomb, frozen=True):
    def __post_init__(self):
        sys.exit(self.fuse)


class Pinless(Bomb, frozen=True):
    def pins(self):
        raise KeyError(self.fuse)


class Pin(Bomb, frozen=True):
    def pins(self):
        return 17


class Unprogrammed(Bomb, frozen=True):
    def programs(self):
        sys.exit(self.fuse)


class Worded(Bomb, frozen=True):
    def check(self, folder):
        raise ConfigError(f"no {self.fuse} there")


class Unshortened(kind.Kind, frozen=True):
    fuse: str


class Shared(kind.Section, frozen=True):
    """What somebody's outputs share, and which fails at whichever door it is told to."""

    door: str

    def check(self, folder):
        if self.door == "check":
            sys.exit(7)

    def open(self, _wiring):
        if self.door == "open":
            sys.exit(8)
        if self.door == "words":
            raise OutputError("nobody answers")
        raise KeyError(self.door)


class Sharing(Bomb, frozen=True):
    section = Shared


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Picky", "bomb: fails (KeyError: 'fizz'); tell who wrote it"),
        ("Impatient", "bomb: fails (SystemExit: fizz); tell who wrote it"),
        ("Unready", "bomb: fails (SystemExit: fizz); tell who wrote it"),
        ("Pinless", "bomb: fails (KeyError: 'fizz'); tell who wrote it"),
        ("Pin", "bomb: fails (TypeError: pins() gives no tuple); tell who wrote it"),
        ("Unprogrammed", "bomb: fails (SystemExit: fizz); tell who wrote it"),
        ("Worded", "bomb: no fizz there"),
        ("Unshortened", "bomb: write its settings as a table: { ... }"),
    ],
)
def test_a_mistake_in_somebody_elses_output_is_told_as_its_own(
    project, plugin, monkeypatch, name, line
):
    monkeypatch.setitem(sys.modules, "their_bomb", sys.modules[__name__])
    plugin(f"their_bomb:{name}")
    project.write_text("[when.rock]\nbomb = 'fizz'\n")
    with pytest.raises(ConfigError) as caught:
        read_config(project)
    assert str(caught.value) == f"{project}: [when.rock] {line}"


@pytest.mark.parametrize(
    ("door", "line"),
    [
        ("check", "[bomb] fails (SystemExit: 7); tell who wrote it"),
        ("open", "[bomb]: 8"),
        ("words", "[bomb]: nobody answers"),
        ("fuse", "[bomb]: KeyError: 'fuse'"),
    ],
)
def test_a_mistake_in_what_somebody_elses_outputs_share_is_one_line(
    project, clips, plugin, monkeypatch, *, door, line
):
    monkeypatch.setitem(sys.modules, "their_bomb", sys.modules[__name__])
    plugin("their_bomb:Sharing")
    project.write_text(f"[when.rock]\nbomb = 'fizz'\n\n[bomb]\ndoor = '{door}'\n")
    done = run(project, clips)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"edge: {project}: {line}"
