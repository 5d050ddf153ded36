"""What a picture that the device was unsure about takes as JPEG, and as PNG: bytes and time.

    python benchmarks/kept.py ../shared/data/rooms

Every hundredth picture of a folder, as `edge.unsure` keeps it, beside Pillow's PNG.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image

from edge.pictures import find_pictures, read_picture
from edge.unsure import _encode

if TYPE_CHECKING:
    from edge.frame import Image


def as_png(image: Image) -> bytes:
    """Return a picture as PNG."""
    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def main(root: Path) -> None:
    """Print a row a format, and their ratio."""
    rows = []
    images = [read_picture(path) for path in find_pictures(root)[::100]]
    for name, encode in (("JPEG", _encode), ("PNG", as_png)):
        sizes, times = [], []
        for image in images:
            began = time.perf_counter()
            sizes.append(len(encode(image)))
            times.append(time.perf_counter() - began)
        rows.append((statistics.mean(sizes) / 1e3, statistics.mean(times) * 1e3))
        print(f"{name:5} {rows[-1][0]:7.1f} kB {rows[-1][1]:7.2f} ms, of {len(images)} pictures")
    (size, ms), (png_size, png_ms) = rows
    print(f"PNG / JPEG: {png_size / size:.1f} times the bytes, {png_ms / ms:.1f} times the time")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
