"""How fast does the network learn beside others, and does its memory stay flat as data grows?

    python benchmarks/training.py [--shape ROWS FEATURES HIDDEN CLASSES BATCH]... [--rows N ...]

First table: the same network, data, batch size and epochs for `trainer.training.fit`,
scikit-learn's MLPClassifier and PyTorch (where it is installed), each with Adam in float32 on one
thread, and the bare matrix products of an epoch, which no network of these shapes can do without.
All take turns; a time is the median of the turns, a ratio the median of each turn's own ratio,
since on a busy machine all of a turn slow down together.

Second table: learning from more and more rows that lie in a `trainer.rows.RowFile`, each size in a
process of its own. The rows are drawn at random: it shows time and memory, nothing about accuracy.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from trainer.network import Network, one_hot
from trainer.rows import RowFile, in_turn, mean_and_spread
from trainer.training import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trainer.network import Array

SHAPES = (
    (2000, 1500, 64, 6, 32),
    (2000, 1500, 64, 6, 16),
    (2000, 1500, 64, 6, 128),
    (2000, 1500, 256, 6, 32),
    (2000, 500, 64, 6, 32),
    (2000, 64, 64, 10, 32),
)
ROWS = (100, 1000, 10_000, 100_000)
FEATURES, HIDDEN, CLASSES = 1500, 64, 6
"""Of the rows that grow in number."""


class Lesson(NamedTuple):
    """What each learns."""

    X: Array
    """float32 `[rows, features]`."""
    classes: NDArray[np.int64]
    """`[rows]`."""
    hidden: int
    batch: int
    epochs: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", nargs=5, type=int, action="append", metavar="N")
    parser.add_argument("--rows", nargs="*", type=int, default=ROWS, help="sizes to grow through")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)  # what a child is to do
    options = parser.parse_args(arguments)
    with threadpool_limits(1):
        if options.grow is not None:
            print(json.dumps(grow(options.grow, options.epochs)))
            return
        compare(options.shape or SHAPES, options.epochs, options.turns)
    if options.rows:
        growth(options.rows, options.epochs)


def compare(shapes: Sequence[Sequence[int]], epochs: int, turns: int) -> None:
    """Print milliseconds an epoch, side by side."""
    kernels = {str(info.get("architecture")) for info in threadpool_info()} - {"None"}
    print(f"Milliseconds an epoch: {epochs} epochs, {turns} turns, one thread, ", end="")
    print(f"BLAS kernels: {', '.join(sorted(kernels))}.\n")
    print("| rows x features, hidden, classes; batch |", " | ".join(LEARNERS), end=" | ")
    print("products alone | of the faster peer | of the products | right |")
    print("| --- |" + " ---: |" * (len(LEARNERS) + 4))
    for rows, features, hidden, classes, batch in shapes:
        lesson = Lesson(*clouds(rows, features, classes), hidden, batch, epochs)
        times, right = take_turns(lesson, turns)
        title = f"{rows} x {features}, {hidden}, {classes}; {batch}"
        print("|", " | ".join([title, *cells(times), right]), "|", flush=True)


def take_turns(lesson: Lesson, turns: int) -> tuple[dict[str, list[float]], str]:
    """Return each one's milliseconds an epoch, turn by turn, and how much each gets right."""
    times: dict[str, list[float]] = {name: [] for name in (*LEARNERS, "products")}
    right: dict[str, float] = {}
    for _ in range(turns):
        for name, learn in LEARNERS.items():
            if learn is not None:
                began = time.perf_counter()
                predict = learn(lesson)
                times[name].append((time.perf_counter() - began) / lesson.epochs * 1e3)
                right[name] = float((predict(lesson.X) == lesson.classes).mean())
        times["products"].append(products(lesson) / lesson.epochs * 1e3)
    return times, f"{min(right.values()):.3f} to {max(right.values()):.3f}"


def cells(times: dict[str, list[float]]) -> list[str]:
    """Format the medians, and ours over the faster peer's and over the products'."""
    shown = [f"{median(each):.1f}" if each else "not installed" for each in times.values()]
    faster = min((times[name] for name in PEERS if times[name]), key=median)
    for other in (faster, times["products"]):
        ratios = [a / b for a, b in zip(times["handwave"], other, strict=True)]
        shown.append(f"{median(ratios):.2f}")
    return shown


def clouds(rows: int, features: int, classes: int) -> tuple[Array, NDArray[np.int64]]:
    """Draw clouds of points that a network can tell apart, and each one's class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, rows)
    centres = rng.standard_normal((classes, features)) * 3 / features**0.5
    return (centres[y] + rng.standard_normal((rows, features))).astype(np.float32), y


def ours(lesson: Lesson) -> Callable[[Array], Any]:
    X, y, hidden, batch, epochs = lesson
    classes = int(y.max()) + 1
    network = Network(X.shape[1], hidden, classes)
    fit(network, X, one_hot(y, classes), batch=batch, epochs=epochs)
    return lambda X: network.forward(X).argmax(axis=1)


def scikit_learn(lesson: Lesson) -> Callable[[Array], Any]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    X, y, hidden, batch, epochs = lesson
    patient = {"tol": 0, "n_iter_no_change": epochs + 1}  # all epochs, like the others
    network = MLPClassifier((hidden,), batch_size=batch, max_iter=epochs, alpha=0, **patient)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X, y)
    predict: Callable[[Array], Any] = network.predict
    return predict


def pytorch(lesson: Lesson, *, fused: bool | None = None) -> Callable[[Array], Any]:
    """Learn with PyTorch's defaults; or `fused`: one compiled loop for all of Adam."""
    import torch

    torch.set_num_threads(1)
    X, y, hidden, batch, epochs = lesson
    network = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], hidden),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden, int(y.max()) + 1),
    )
    loss = torch.nn.CrossEntropyLoss()
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=fused)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(batch):  # a DataLoader takes several times as long
            adam.zero_grad()
            loss(network(inputs[rows]), targets[rows]).backward()
            adam.step()
    return lambda X: network(torch.from_numpy(X)).argmax(dim=1).numpy()


TORCH = find_spec("torch") is not None
LEARNERS: dict[str, Callable[[Lesson], Callable[[Array], Any]] | None] = {
    "handwave": ours,
    "scikit-learn": scikit_learn,
    "PyTorch": pytorch if TORCH else None,
    "PyTorch, fused Adam": partial(pytorch, fused=True) if TORCH else None,
}
PEERS = ("scikit-learn", "PyTorch")
"""Eager and with their defaults; a compiled Adam is shown, and compared with by eye."""


def products(lesson: Lesson) -> float:
    """Return seconds for the matrix products, forward and backward, of all epochs."""
    X, y, hidden, batch, epochs = lesson
    rng = np.random.default_rng(0)
    W1 = rng.standard_normal((X.shape[1], hidden)).astype(np.float32)
    W2 = rng.standard_normal((hidden, int(y.max()) + 1)).astype(np.float32)
    dW1, dW2 = np.empty_like(W1), np.empty_like(W2)
    began = time.perf_counter()
    for _ in range(epochs):
        for start in range(0, len(X), batch):
            x = X[start : start + batch]
            H = x @ W1
            logits = H @ W2
            np.matmul(H.T, logits, out=dW2)
            dZ = logits @ W2.T
            np.matmul(x.T, dZ, out=dW1)
    return time.perf_counter() - began


def growth(sizes: Sequence[int], epochs: int) -> None:
    """Print time and memory for each number of rows, each in a fresh process."""
    print(f"\nGrowing: {FEATURES} features, {HIDDEN} hidden, {CLASSES} classes, batch 32, ", end="")
    print("one thread, dropout, weight decay, validation on a tenth as many rows.\n")
    print("| rows | file, MB | seconds an epoch | microseconds a row | memory before, MB |", end="")
    print(" peak memory, MB |\n| ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in sizes:
        command = [sys.executable, __file__, "--grow", str(size), "--epochs", str(epochs)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        row = [f"{found[name]:.{digits}f}" for name, digits in FIGURES.items()]
        print(f"| {size:,} |", " | ".join(row), "|", flush=True)


FIGURES = {"file": 0, "seconds": 3, "microseconds": 0, "before": 0, "peak": 0}
"""What a child measures, and how many digits of it are shown."""


def grow(n: int, epochs: int) -> dict[str, float]:
    """Learn from n rows in a file, and return time and memory."""
    before = peak_memory()
    rng = np.random.default_rng(0)
    with RowFile(FEATURES) as rows, RowFile(FEATURES) as unseen:
        for file, length in ((rows, n), (unseen, -(-n // 10))):
            for some in in_turn(length):
                file.append(rng.standard_normal((len(some), FEATURES), np.float32))
        mean, spread = mean_and_spread(rows)
        middle, scale = mean.astype(np.float32), (1 / spread).astype(np.float32)

        def prepare(x: Array) -> Array:
            x -= middle
            x *= scale
            return x

        Y, unseen_Y = (
            one_hot(rng.integers(0, CLASSES, len(file)), CLASSES) for file in (rows, unseen)
        )
        history = fit(
            Network(FEATURES, HIDDEN, CLASSES),
            rows,
            Y,
            validation=(unseen, unseen_Y),
            prepare=prepare,
            epochs=epochs,
            dropout=0.3,
            weight_decay=0.01,
            label_smoothing=0.1,
        )
    seconds = history.seconds / epochs
    megabytes = n * FEATURES * 2 / 1e6
    return {
        "file": megabytes,
        "seconds": seconds,
        "microseconds": seconds / n * 1e6,
        "before": before,
        "peak": peak_memory(),
    }


def peak_memory() -> float:
    """Return the most memory that this process ever held, in MB.

    Linux's own figure for this program; getrusage's would count what the parent held as it forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts in bytes


if __name__ == "__main__":
    main()
