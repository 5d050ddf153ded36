"""Make the README's pictures: the demo's terminal as SVG, and the hands it watches as JPEG.

python docs/pictures.py
"""

from __future__ import annotations

import re
from contextlib import chdir
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import PIL.Image
from rich.console import Console
from rich.text import Text

from edge.sources.virtual import LABELS, Scene, draw
from trainer.demo import run_demo

HERE = Path(__file__).resolve().parent


class Screenshot(Console):
    """A console that remembers what it shows, but for the frames at which nothing happens."""

    def print(self, *objects: Any, **options: Any) -> None:
        row = objects[0] if objects else None
        text = row.plain if isinstance(row, Text) else ""
        if "GPIO" in text or not re.match(r" +\d+\.\d\d s ", text):
            super().print(*objects, **options)


def terminal() -> None:
    screen = Screenshot(record=True, width=82, file=StringIO(), highlight=False)
    with TemporaryDirectory() as folder, chdir(folder):
        run_demo(None, Path("demo"), screen)
    svg = screen.export_svg(title="make demo")
    # No fonts from the internet: a reader's own monospaced one will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (HERE / "demo.svg").write_text(svg.replace("Fira Code", "monospace"))


def hands() -> None:
    rows = [
        np.hstack([draw(label, Scene.random(room, (240, 180)), room) for label in LABELS])
        for room in (1, 6)
    ]
    PIL.Image.fromarray(np.vstack(rows)).save(HERE / "hands.jpg", quality=85)


if __name__ == "__main__":
    hands()
    terminal()
