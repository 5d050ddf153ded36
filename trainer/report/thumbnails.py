"""Small pictures inside a page: read, shrunk, and written as `data:` addresses."""

from __future__ import annotations

import base64
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from edge.errors import PictureError
from trainer.features.points import look_at
from trainer.report.explain import COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.frame import Image

SIDE = 96
"""Pixels of the longer side; about 3 kB."""


def thumbnails(paths: Iterable[Path], *, side: int = SIDE) -> dict[Path, str]:
    """Return the address of each picture that can be read, on all cores."""

    def one(path: Path) -> str | None:
        try:
            return as_address(look_at(path, max_side=side))
        except PictureError:
            return None  # gone since it was learned: its name will do

    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = zip(wanted, pool.map(one, wanted), strict=True)
        return {path: address for path, address in made if address is not None}


def as_address(image: Image, *, exact: bool = False) -> str:
    """Return a uint8 `[height, width, 3]` picture as a `data:` address.

    Args:
        image: the picture.
        exact: as PNG, for drawings; else as JPEG.
    """
    file = io.BytesIO()
    options: dict[str, Any] = {"format": "PNG"} if exact else {"format": "JPEG", "quality": 75}
    PIL.Image.fromarray(image).save(file, **options)
    kind = str(options["format"]).lower()
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def heated(path: Path, heat: NDArray[Any], *, side: int = 2 * SIDE) -> str | None:
    """Return a picture's address with warmth laid over it; None where it cannot be read.

    Args:
        path: the picture.
        heat: `[rows, columns]`, any scale: the largest is warmest, and nothing below 0 is shown.
        side: pixels of the longer side.
    """
    try:
        image = look_at(path, max_side=side)
    except PictureError:
        return None
    warm = PIL.Image.fromarray((heat.clip(0) / max(float(heat.max()), 1e-9)).astype("float32"))
    spread = warm.resize((image.shape[1], image.shape[0]), PIL.Image.Resampling.BICUBIC)
    share = 0.75 * np.asarray(spread).clip(0, 1)[:, :, None]
    grey = image.mean(axis=2, keepdims=True)  # so that warmth is the only colour
    return as_address((grey * (1 - share) + COLOURS[-1] * share).astype(np.uint8))
