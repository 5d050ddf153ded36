"""A Raspberry Pi's header on a machine that has none, and a model that knows two gestures."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from edge.sources.virtual import Scene, draw
from trainer.dataset import read_dataset
from trainer.export import export
from trainer.features import make_features
from trainer.recipe import teach

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LABELS = ("background", "palm", "fist")
SIZE = (160, 120)
"""`(width, height)` of every picture, pixels."""
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine; far more than it ever needs."""
LINES = 54
POWER_ON = f"{'0' * LINES}\n{'i' * LINES}\n{'u' * 9}{'d' * (LINES - 9)}\n"
"""What fakes/gpiochip.c keeps, as on a Pi at power-on: every line an input, no level high."""
MODEL = b"Raspberry Pi 4 Model B Rev 1.4\0"
REVISION = bytes.fromhex("00c03114")


def until(what, *, patience=PATIENCE, every=0.01):
    """Wait until `what()` is true, and return that; fail if it never is."""
    end = time.monotonic() + patience
    while not (found := what()):
        if time.monotonic() > end:
            pytest.fail(f"not so after {patience:g} s: {what.__name__}")
        time.sleep(every)
    return found


class Header:
    """The pins as somebody with a multimeter sees them; fakes/gpiochip.c keeps them in a file."""

    def __init__(self, path):
        self.path = path
        self.power_up()

    def power_up(self):
        """Make it the header of a Pi that has just got power; nothing may be using it."""
        self.path.write_text(POWER_ON)
        self.log.write_text("")

    @property
    def log(self):
        """The file with each change that a program made."""
        return self.path.with_name(self.path.name + ".log")

    @property
    def high(self):
        """The lines that are high now."""
        return {line for line in range(LINES) if self.path.read_text()[line] == "1"}

    @property
    def outputs(self):
        """The lines that are outputs now."""
        row = self.path.read_text().splitlines()[1]
        return {line for line in range(LINES) if row[line] == "o"}

    def drive(self, line, level):
        """Put a level on an input, as a button does."""
        with self.path.open("r+") as file:
            file.seek(line)
            file.write(str(level))

    def history(self, line):
        """The levels that programs gave a line, in turn."""
        rows = [row.split() for row in self.log.read_text().splitlines()]
        return [int(level) for _, number, level in rows if int(number) == line]

    def wait(self, line, level):
        """Wait for a level, and fail if it never comes."""
        until(lambda: (line in self.high) == bool(level))


@dataclass
class Pi:
    """This machine as a Raspberry Pi: real programs, real lgpio, the header a file."""

    header: Header
    environment: dict[str, str]
    folder: Path

    def start(self, *words, **options):
        """Start a Python with these words."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        command = [sys.executable, *map(str, words)]
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, **options)

    def run(self, *words):
        """Run a Python with these words to its end; return the exit code, stdout and stderr."""
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


@pytest.fixture(scope="session")
def fakes(tmp_path_factory):
    """Compile what is to be preloaded; return the folder."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler (sudo apt install gcc libc6-dev)")
    folder = tmp_path_factory.mktemp("fakes")
    for source in sorted((HERE / "fakes").glob("*.c")):
        compile_fake(compiler, source, folder / f"{source.stem}.so")
    return folder


def compile_fake(compiler, source, library):
    """Compile one of fakes/*.c."""
    options = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", str(library), str(source)], check=True)


def write_device_tree(folder):
    """Write what says that this is a Raspberry Pi, for fakes/devicetree.c to show."""
    (folder / "device-tree" / "system").mkdir(parents=True)
    (folder / "device-tree" / "model").write_bytes(MODEL)
    (folder / "device-tree" / "system" / "linux,revision").write_bytes(REVISION)


@pytest.fixture(scope="session")
def new_pi():
    """Return functions that make a header and a device tree in a folder."""
    return SimpleNamespace(header=Header, device_tree=write_device_tree, until=until)


@pytest.fixture
def pi(fakes, tmp_path):
    """Make this machine a Raspberry Pi with nothing wired to it, for the programs it starts."""
    if importlib.util.find_spec("lgpio") is None:
        pytest.skip("lgpio has no wheel for this Python and processor; on x86-64: Python 3.11")
    write_device_tree(tmp_path)
    header = Header(tmp_path / "pins")
    environment = os.environ | {
        "LD_PRELOAD": f"{fakes / 'gpiochip.so'} {fakes / 'devicetree.so'}",
        "FAKE_GPIO": str(header.path),
        "FAKE_PROC": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    return Pi(header, environment, tmp_path)


@pytest.fixture(scope="session")
def scene():
    """Return the room and the person whose gestures are taught and shown."""
    return Scene.random(6, SIZE)


@pytest.fixture(scope="session")
def model(tmp_path_factory, scene):
    """Teach a model the two gestures; return its path."""
    folder = tmp_path_factory.mktemp("taught")
    for label in LABELS:
        for session in range(3):
            for number in range(8):
                path = folder / "data" / label / str(session) / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw(label, scene, 10 * session + number)).save(path)
    path = folder / "model.onnx"
    export(teach(read_dataset(folder / "data"), make_features("edges")), path)
    return path


@pytest.fixture(scope="session")
def shown(scene):
    """Return a function that writes pictures of labels, in turn, as `0.png` and so on."""

    def show(folder, *labels, each=12, suffix="png"):
        folder.mkdir(parents=True, exist_ok=True)
        for number, label in enumerate(label for label in labels for _ in range(each)):
            picture = Image.fromarray(draw(label, scene, 100 + number))
            picture.save(folder / f"{number}.{suffix}", quality=95)
        return folder

    return show


@pytest.fixture(scope="session")
def endless(tmp_path_factory, shown):
    """Return a folder that shows a palm for longer than a test takes."""
    folder = tmp_path_factory.mktemp("endless")
    few = sorted(shown(folder / "few", "palm").iterdir())
    (folder / "many").mkdir()
    for number in range(30_000):
        os.link(few[number % len(few)], folder / "many" / f"{number:06}.png")
    return folder / "many"
