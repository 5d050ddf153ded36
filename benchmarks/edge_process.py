"""`edge run` on pictures in memory: the process that `edge_overhead.py` looks at, and no more."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.frame import Frame, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.frame import Image

WIDTH, HEIGHT, RATE = 320, 240, 15.0
FRAMES = 45
"""That a process runs before its memory is looked at: three seconds of a camera."""


class Still(Source):
    """Pictures in memory, a second of each, as a camera would give them: never quite the same."""

    live = True

    def __init__(self, images: list[Image]) -> None:
        self._images = images

    def __iter__(self) -> Iterator[Frame]:
        for number in count():
            self.asked(number)
            image = self._images[number // int(RATE) % len(self._images)]
            image[number % HEIGHT] += 1  # a camera that gives the same again has stopped
            yield Frame(image, number / RATE)

    def asked(self, number: int) -> None:
        """Be told that frame `number` is wanted, and so the one before is done with."""


def edge_run(config: str) -> None:
    """Be `edge run`, command line and all, with pictures in memory for a camera."""
    import edge.cli

    class Watched(Still):
        times = 0.0, 0.0

        def asked(self, number: int) -> None:
            if number == 1:
                self.times = time.process_time(), time.monotonic()
            elif number == FRAMES:
                print(f"\n{resident()} {self.times[0]} {self.times[1]}", flush=True)

    plain = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)]
    # In place of a camera.
    edge.commands.run.open_source = lambda *_, **__: Watched(plain)  # type: ignore[attr-defined]
    edge.cli.main(["run", "--config", config, "--pins", "mock", "--source", "pi",
                   "--frames", str(FRAMES + 1)])  # fmt: skip


def resident() -> int:
    """Return this process's memory, kB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
