"""One door, tried with many broken files in a process that may die of it: fuzz.py starts this.

Prints a line before each case and one after it; what it finds is part of the line.
"""

from __future__ import annotations

import gc
import logging
import random
import resource
import sys
import threading
from itertools import islice
from pathlib import Path

import configs
import media
import models
import numpy as np

from edge import classifier as classifiers
from edge.classifier import Classifier
from edge.config import read_config
from edge.errors import HandwaveError
from edge.frame import Frame
from edge.pictures import read_picture, taken_at
from edge.sources.opening import Folder, Video

MEMORY = 700_000_000
"""Bytes that a process may grow by, whatever it is given."""
LINE = 3000
"""Characters that an error may have: a key of the file may be in it."""
PICTURE = np.full((48, 64, 3), 90, np.uint8)


def through_model(path):
    """Open it and look at a picture."""
    Classifier(path).predict(Frame(PICTURE, 0.0))


def through_picture(path):
    """Read it, by itself and in a folder."""
    taken_at(path)
    assert path.parent.is_dir()
    try:
        image = read_picture(path)
    finally:
        for frame in Folder(path.parent):
            assert frame.image.dtype == np.uint8
    assert image.shape[2] == 3
    assert 0 < max(image.shape) <= 640


def through_video(path):
    """Play the first frames."""
    with Video(path) as video:
        for frame in islice(video, 60):
            assert frame.image.shape[2] == 3


DOORS = {
    "model": (through_model, models.broken, "model.onnx"),
    "config": (read_config, configs.broken, "edge.toml"),
    "picture": (through_picture, media.broken_picture, None),
    "video": (through_video, media.broken_film, None),
}


def make(door, seeds, number):
    """Return case `number` of a door: a file's name and bytes. Always the same ones."""
    _, break_it, _ = DOORS[door]
    rng = random.Random(f"{door} {number}")
    seed = rng.choice(sorted((seeds / door).iterdir()))
    return seed.name, break_it(rng, seed.read_bytes())


def what_is_wrong(door, path):
    """Return what the door did that it must not, and how it answered."""
    go, _, _ = DOORS[door]
    before = state(path.parent)
    wrong, answer = [], "taken"
    inside.set()
    try:
        go(path)
    except HandwaveError as problem:
        answer = str(problem)
        if "\n" in answer or not answer or len(answer) > LINE:
            wrong.append(f"no line: {answer[:300]!r}")
    except BaseException as problem:  # noqa: BLE001  (whatever it is, it is wrong)
        answer = type(problem).__name__
        wrong.append(f"{answer}: {problem}"[:300])
    finally:
        inside.clear()
    gc.collect()
    for what, was, now in zip(
        ("wrote", "handles", "files"), before, state(path.parent), strict=True
    ):
        if was != now:
            wrong.append(f"{what}: {was} before, {now} after")
    return wrong, answer


def state(folder):
    """Return what must not change: bytes written anywhere, open handles, files around."""
    written = next(
        (line for line in Path("/proc/self/io").read_text().splitlines() if "wchar" in line), ""
    )
    return written, len(list(Path("/proc/self/fd").iterdir())), sorted(folder.iterdir())


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


inside = threading.Event()
"""A door is being tried."""


def forbid(event, _arguments):
    """Stop sockets, processes and deletions of Python's own; others' bytes written are counted."""
    if inside.is_set() and event.startswith(
        ("socket.", "subprocess.", "os.remove", "os.rename", "shutil.")
    ):
        raise RuntimeError(f"must not: {event}")


def main(door, seeds, work, first, count):
    """Try `count` cases from `first` on."""
    logging.disable()
    classifiers.TRIAL_SECONDS = 1.0  # else a fuzzer of loops does nothing but wait
    soft = 8 * MEMORY  # of addresses: a fault of ours must not take the whole machine with it
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    calm(door, seeds, work)
    sys.addaudithook(forbid)
    most = peak() + MEMORY
    for number in range(first, first + count):
        name, content = make(door, seeds, number)
        path = work / name
        path.write_bytes(content)
        print(f"try {number}", flush=True)
        wrong, answer = what_is_wrong(door, path)
        path.unlink()
        if peak() > most:
            wrong.append(f"memory: {(peak() - most + MEMORY) // 1_000_000} MB more")
            most = peak() + MEMORY // 10
        print(f"end {number} {answer!r}", *wrong, sep="\t", flush=True)


def calm(door, seeds, work):
    """Do once what is done but once: libraries load, and open what they keep open."""
    go, _, _ = DOORS[door]
    for seed in sorted((seeds / door).iterdir()):
        path = work / seed.name
        path.write_bytes(seed.read_bytes())
        go(path)
        path.unlink()
    gc.collect()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
