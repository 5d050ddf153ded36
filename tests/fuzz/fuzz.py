"""Try the doors through which other people's bytes come in: model, edge.toml, pictures, videos.

    python tests/fuzz/fuzz.py                        # a few seconds each
    python tests/fuzz/fuzz.py model --minutes 10     # by hand
    python tests/fuzz/fuzz.py model --first 4711 --cases 1 --keep bad/

Each case is made from its number, so that one which fails does so again. A broken file may be taken
or refused with one line. What it must not: crash, hang, raise anything else, take a gigabyte, write
or delete a file, print, or leave one open. docs/decisions/0023-fuzzing.md has more.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import media
from doors import DOORS, make

from edge.sources.virtual import LABELS, Scene, draw
from trainer.dataset import read_dataset
from trainer.export import export
from trainer.features import make_features
from trainer.recipe import teach

HERE = Path(__file__).parent
HANG = 60.0
"""Seconds without a word after which a case hangs; the slowest take one or two."""
CHUNK = 2000
"""Cases a process: what little each leaves behind must not add up to a finding."""


def main():
    options = read_options()
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder) / "seeds"
        for door in options.doors:
            plant(door, seeds / door)
            if options.keep:
                keep(door, seeds, options)
            found += len(Trial(door, seeds, Path(folder) / "work", options).run())
    sys.exit(found > 0)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("doors", nargs="*", default=[], metavar="DOOR", help=", ".join(DOORS))
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=300, help="how many, of each door")
    parser.add_argument("--minutes", type=float, help="so long for each door, instead")
    parser.add_argument("--keep", type=Path, help="a folder to write the cases to")
    options = parser.parse_args()
    options.doors = options.doors or list(DOORS)
    if unknown := set(options.doors) - set(DOORS):
        parser.error(f"there is no door {', '.join(unknown)}; there is: {', '.join(DOORS)}")
    return options


def plant(door, folder):
    """Write sound files for a door: what is broken starts from these."""
    folder.mkdir(parents=True)
    if door == "model":
        teach_model(folder / "model.onnx")
    elif door == "config":
        (folder / "edge.toml").write_text("[when.rock]\nled = 17\n")
    else:
        made = media.pictures() if door == "picture" else media.films(folder)
        for name, content in made.items():
            (folder / name).write_bytes(content)


def teach_model(path):
    """Teach a small real model, from drawn hands."""
    with tempfile.TemporaryDirectory() as folder:
        for label in LABELS[:3]:
            for number in range(6):
                place = Path(folder) / label / f"s{number // 2}"
                place.mkdir(parents=True, exist_ok=True)
                image = draw(label, Scene.random(number, (64, 48)), 0)
                media.Image.fromarray(image).save(place / f"{number}.png")
        export(teach(read_dataset(Path(folder)), make_features("pixels"), hidden=8), path)


def keep(door, seeds, options):
    """Write the cases to a folder, to look at."""
    options.keep.mkdir(parents=True, exist_ok=True)
    for number in range(options.first, options.first + options.cases):
        name, content = make(door, seeds, number)
        (options.keep / f"{door}-{number}-{name}").write_bytes(content)


class Trial:
    """A door's cases, in as many processes as it takes."""

    def __init__(self, door, seeds, work, options):
        self.door, self.seeds, self.work, self.options = door, seeds, work, options
        self.found = []
        self.answers = Counter()
        self._next = options.first
        self._start = time.monotonic()

    def run(self):
        """Try them all; print and return what was found."""
        while self._goes_on():
            self._one_process()
        seconds = time.monotonic() - self._start
        print(
            f"{self.door}: {self._next - self.options.first} cases in {seconds:.0f} s, "
            f"{self.answers['taken']} taken, {len(self.found)} found"
        )
        for line in self.found:
            print(f"  {line}")
        return self.found

    def _goes_on(self):
        if self.options.minutes is None:
            return self._next < self.options.first + self.options.cases
        return time.monotonic() - self._start < 60 * self.options.minutes

    def _one_process(self):
        """Try cases in one process, until it ends, dies or hangs."""
        self.work.mkdir(exist_ok=True)
        for old in self.work.iterdir():
            old.unlink()
        left = self.options.first + self.options.cases - self._next
        count = CHUNK if self.options.minutes is not None else min(CHUNK, left)
        command = [sys.executable, "-X", "faulthandler", str(HERE / "doors.py"), self.door]
        command += map(str, [self.seeds, self.work, self._next, count])
        with (self.work.parent / "stderr").open("w+", errors="replace") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, cwd=self.work,
                text=True, errors="replace", env=environment(),
            )  # fmt: skip
            try:
                trying = self._listen(process)
            finally:
                process.kill()
                process.wait()
            errors.seek(0)
            said = errors.read()[-2000:]
        if trying == "hangs":
            self.found.append(f"case {self._next}: hangs")
        elif trying:
            self.found.append(f"case {self._next}: died ({process.returncode}): {said}")
        elif process.returncode > 0:
            raise SystemExit(f"{self.door}: the fuzzer itself fails: {said}")
        self._next += bool(trying)

    def _listen(self, process):
        """Take down what the process says; return how a case was left that it did not end."""
        lines = queue.Queue()
        threading.Thread(target=read_into, args=(process.stdout, lines), daemon=True).start()
        trying = ""
        while True:
            try:
                line = lines.get(timeout=HANG)
            except queue.Empty:
                return "hangs"
            if line is None:
                process.wait(HANG)
                return trying
            if line.startswith("try"):
                trying = "died"
                continue
            answer, *wrong = line.rstrip("\n").split("\t")
            self.answers["taken" if answer.endswith(" 'taken'") else "refused"] += 1
            self.found += [f"case {self._next}: {one}" for one in wrong]
            trying = ""
            self._next += 1
            if not self._goes_on():
                return ""


def read_into(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put(None)


def environment():
    """Return the environment: nothing on the way out, and the repository to import from."""
    proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    return os.environ | proxies | {"PYTHONPATH": str(HERE.parents[1])}


if __name__ == "__main__":
    main()
