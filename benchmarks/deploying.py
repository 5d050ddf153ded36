"""What a push takes, beside what anybody would type instead, and for many hosts beside one.

    trainer train DATA -o model.onnx
    python benchmarks/deploying.py model.onnx [--turns 9] [--hosts 50] [--line 0.025]

Real `ssh`, `scp` and sshds of this machine, a host each; the tests' stand-in for systemd starts
the real `edge` (`benchmarks/many_hosts.py`). Every figure is from a whole process, from its start
to its end, as a user waits for it. What is compared takes turns, so that a slow moment of the
machine meets all of it; a ratio is one of medians. Tables of Markdown come out:

one host    a push with nothing to do beside `ssh HOST true`; a push of a model alone beside
            `scp` and `systemctl restart`, which checks nothing and goes back to nothing; and each
            through pyinfra as well
many        the same push to many hosts and to one of them; beside it what is typed instead, for
            all of them at once
far away    the same with `--line` seconds each way to every host (`benchmarks/line.py`)
memory      the peak of `deploy`, and of all ssh that it keeps

All hosts share this machine's processors with the laptop's side, as a shelf of Pis does not:
`processor` is what the laptop's side alone takes of them. So that it is `deploy` that is
measured with many hosts, and not so many onnxruntimes starting at a time, a program of ten lines
stands for `edge` there: it sleeps for as long as the real one takes alone, in the same run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from many_hosts import Pi, many_hosts

from edge.seal import seal

if TYPE_CHECKING:
    from collections.abc import Callable

UNIT = "handwave.service"
LIGHT_EDGE = """
import os, signal, socket, sys, time
time.sleep({seconds}[sys.argv[1]])
if sys.argv[1] == "run":
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    signal.pause()
"""
PYINFRA = """
import sys
from pathlib import Path
import edge
from deploy import fleet
from deploy.bundle import make_bundle
from deploy.inventory import Fleet
from deploy.target import Target
config, ssh_config, *hosts = sys.argv[1:]
bundle = make_bundle(Path(config), Path(edge.__path__[0]))
act = lambda wave: wave.push(bundle, Target(), dry_run=False)
outcomes = fleet.in_waves(Fleet(tuple(hosts)), act, ssh_config=Path(ssh_config))
sys.exit(not all(outcome.well for outcome in outcomes))
"""
LIGHT = """
import sys
from pathlib import Path
import deploy.commands.push
deploy.commands.push.PACKAGE = Path(sys.argv.pop(1))
from deploy.cli import main
main(prog_name="deploy")
"""


class Took(NamedTuple):
    """What a process took."""

    seconds: float
    megabytes: float
    """At its peak, or that of the largest of its children."""
    processor: float
    """Seconds of a processor, its own and its children's: what the laptop does, not what it waits
    for."""


def run(*command: object) -> Took:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    words = [str(word) for word in command]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise RuntimeError(f"{shlex.join(words[:4])}: {process.returncode}\n{said}")
    return Took(took, usage.ru_maxrss / 1000, usage.ru_utime + usage.ru_stime)


class Laptop:
    """What a user types, of one project."""

    def __init__(self, folder: Path, config: Path, light: Path | None = None) -> None:
        self.ssh_config = folder / "ssh_config"
        self._config, self._light = config, light
        self._model = config.with_name("model.onnx")
        self._original = self._model.read_bytes()
        self._numbers = count()

    def change(self) -> None:
        """Let the model be another one, which works as well: a new word in its `doc_string`."""
        words = b"%012d" % next(self._numbers)
        if self._light:
            self._model.write_bytes(self._original + words)
        else:
            self._model.write_bytes(seal(self._original + b"\x32\x0c" + words))

    def ssh(self, host: str, *words: str) -> Took:
        """Run a command there, over a connection of its own."""
        return run("ssh", "-F", self.ssh_config, host, *words)

    def push(self, *hosts: str) -> Took:
        """Type `deploy push`."""
        program = ["-c", LIGHT, self._light] if self._light else ["-m", "deploy"]
        options = ["--config", self._config, "-F", self.ssh_config, "--wave", len(hosts)]
        return run(sys.executable, *program, "push", *options, *hosts)

    def push_by_pyinfra(self, *hosts: str) -> Took:
        """Push as to many, though it may be one."""
        return run(sys.executable, "-c", PYINFRA, self._config, self.ssh_config, *hosts)

    def scp_and_restart(self, pi: Pi) -> Took:
        """Do what anybody would who has no `deploy`."""
        place = pi.root / "current" / "model.onnx"
        scp = run("scp", "-q", "-F", self.ssh_config, self._model, f"{pi.name}:{place}")
        ssh = self.ssh(pi.name, "systemctl", "restart", UNIT)
        largest = max(scp.megabytes, ssh.megabytes)
        return Took(scp.seconds + ssh.seconds, largest, scp.processor + ssh.processor)


def turns(number: int, subjects: dict[str, Callable[[], Took]]) -> dict[str, list[Took]]:
    """Let each subject have its turn, `number` times, after one that is not counted."""
    took: dict[str, list[Took]] = {name: [] for name in subjects}
    for turn in range(number + 1):
        for name, go in subjects.items():
            one = go()
            if turn:
                took[name].append(one)
    return took


def row(name: str, took: list[Took], base: list[Took] | None) -> str:
    """Return a row: median, quartiles, how many times the base, processor, memory."""
    seconds = sorted(one.seconds for one in took)
    median = statistics.median(seconds)
    low, _, high = statistics.quantiles(seconds, n=4)
    times = median / statistics.median(one.seconds for one in base) if base else 1
    processor, memory = (
        statistics.median(getattr(one, name) for one in took) for name in ("processor", "megabytes")
    )
    spread = f"{low:.2f} to {high:.2f}"
    return f"| {name} | {median:.2f} | {spread} | {times:.1f} | {processor:.2f} | {memory:.0f} |"


def table(title: str, took: dict[str, list[Took]], base: str) -> None:
    """Print a table of Markdown."""
    print(f"\n| {title} | seconds | quartiles | times | processor | MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, one in took.items():
        print(row(name, one, None if name == base else took[base]), flush=True)


def one_host(model: Path, number: int) -> None:
    """Measure pushes to one host, with the real `edge` there."""
    with tempfile.TemporaryDirectory(prefix="deploying-") as name:
        folder = Path(name)
        config = project(folder, model.read_bytes())
        with many_hosts(folder, 3) as (pi, plain, third):
            laptop = Laptop(folder, config)
            for host in (pi, plain, third):
                laptop.push(host.name)
            nothing = {
                "`ssh HOST true`": lambda: laptop.ssh(pi.name, "true"),
                "`deploy push HOST`": lambda: laptop.push(pi.name),
                "the same, through pyinfra": lambda: laptop.push_by_pyinfra(third.name),
            }
            table("nothing to do", turns(number, nothing), "`ssh HOST true`")

            def new(push: Callable[[], Took]) -> Callable[[], Took]:
                def go() -> Took:
                    laptop.change()
                    return push()

                return go

            naive = "`scp`, `ssh HOST systemctl restart`"
            changed = {
                naive: new(lambda: laptop.scp_and_restart(plain)),
                "`deploy push HOST`": new(lambda: laptop.push(pi.name)),
                "the same, through pyinfra": new(lambda: laptop.push_by_pyinfra(third.name)),
            }
            table("a new model", turns(number, changed), naive)


def all_at_once(go: Callable[[Pi], Took], pis: list[Pi]) -> Took:
    """Do to all hosts at the same time what is done to one."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(pis)) as pool:
        took = list(pool.map(go, pis))
    largest = max(one.megabytes for one in took)
    return Took(time.perf_counter() - began, largest, sum(one.processor for one in took))


def seconds_of_edge(model: Path) -> dict[str, float]:
    """Return how long the real `edge` takes to check a model, and to decide its first frame."""
    with tempfile.TemporaryDirectory() as folder:
        config = project(Path(folder), model.read_bytes())
        frame = ["--source", "virtual", "--pins", "mock", "--frames", "1"]
        edge = [sys.executable, "-m", "edge"]
        return {
            verb: statistics.median(
                run(*edge, verb, "--config", config, *more).seconds for _ in range(3)
            )
            for verb, more in (("check", []), ("run", frame))
        }


def many(number: int, hosts: int, light_edge: str, line: float = 0.0) -> None:
    """Measure pushes to many hosts beside one, with a light program in place of `edge`."""
    with tempfile.TemporaryDirectory(prefix="deploying-") as name:
        folder = Path(name)
        light = folder / "edge"
        light.mkdir()
        (light / "__init__.py").touch()  # or the laptop's own goes before it
        (light / "__main__.py").write_text(light_edge)
        config = project(folder, b"a model of a megabyte" * 50_000)
        where = f", {1000 * line:g} ms away" if line else ""
        with many_hosts(folder, hosts, line=line) as pis:
            laptop = Laptop(folder, config, light)
            all_of_them = [pi.name for pi in pis]
            laptop.push(*all_of_them)
            nothing = {
                "1 host": lambda: laptop.push(all_of_them[0]),
                f"{hosts} hosts": lambda: laptop.push(*all_of_them),
                f"`ssh HOST true`, {hosts} at once": lambda: all_at_once(
                    lambda pi: laptop.ssh(pi.name, "true"), pis
                ),
                f"`ssh HOST python3 -c ''`, {hosts} at once": lambda: all_at_once(
                    lambda pi: laptop.ssh(pi.name, "python3 -I -S -c ''"), pis
                ),
            }
            table(f"nothing to do{where}", turns(number, nothing), "1 host")

            def new(*names: str) -> Took:
                laptop.change()
                return laptop.push(*names)

            changed = {
                "1 host": lambda: new(all_of_them[0]),
                f"{hosts} hosts": lambda: new(*all_of_them),
                f"`scp` and restart, {hosts} at once": lambda: all_at_once(
                    laptop.scp_and_restart, pis
                ),
            }
            table(f"a new model{where}", turns(number, changed), "1 host")
            if not line:
                laptop.push(*all_of_them)
                memory(laptop, all_of_them)


def memory(laptop: Laptop, hosts: list[str]) -> None:
    """Print what `deploy` and its ssh take together at their peak (PSS: shared pages once)."""
    print("\n| memory of all processes of `deploy push`, nothing to do | MB at the peak |")
    print("| --- | --- |")
    for names in (hosts[:1], hosts):
        with Watching(str(laptop.ssh_config)) as watching:
            laptop.push(*names)
        print(f"| {len(names)} host{'s' * (len(names) > 1)} | {watching.peak:.0f} |", flush=True)


class Watching:
    """Adds up, again and again, the memory of all processes with a word in their command."""

    def __init__(self, word: str) -> None:
        self.peak = 0.0
        self._word, self._done = word.encode(), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, sum(self._sizes()) / 1000)

    def _sizes(self) -> list[int]:
        sizes = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended
                if self._word in (process / "cmdline").read_bytes():
                    lines = (process / "smaps_rollup").read_text().splitlines()
                    sizes += [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
        return sizes


def project(folder: Path, model: bytes) -> Path:
    """Write a user's folder; return its edge.toml."""
    config = folder / "gestures" / "edge.toml"
    config.parent.mkdir()
    config.write_text('model = "model.onnx"\n')
    config.with_name("model.onnx").write_bytes(model)
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="a model file of `trainer train`")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--line", type=float, default=0.025, help="seconds to a host far away")
    options = parser.parse_args()
    one_host(options.model, options.turns)
    light_edge = LIGHT_EDGE.format(seconds=seconds_of_edge(options.model))
    for line in (0.0, options.line):
        many(max(options.turns // 3, 2), options.hosts, light_edge, line)


if __name__ == "__main__":
    main()
