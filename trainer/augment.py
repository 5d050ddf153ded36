"""Copies of a picture as the same fixed camera might have taken it a moment later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge.frame import Image

ROTATION = 15.0
"""Degrees, either way."""
SCALE = 0.2
SHIFT = 0.1
"""Of the picture's sides."""
GAMMA = 1.6
TINT = 0.1
NOISE = 8.0
"""Standard deviation, of 255."""


def augment(image: Image, rng: np.random.Generator) -> Image:
    """Return a changed copy: turned, scaled, shifted, in another light, with noise.

    Never mirrored: left and right are different gestures to a fixed camera.

    Args:
        image: uint8 `[height, width, 3]`.
        rng: where the randomness comes from.

    Returns:
        uint8, of the same shape.
    """
    return _relight(_move(image, rng), rng)


def _move(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    turn = rng.uniform(-ROTATION, ROTATION)
    scale = rng.uniform(1 - SCALE, 1 + SCALE)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    matrix[:, 2] += rng.uniform(-SHIFT, SHIFT, 2) * np.array([width, height])
    moved = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, dtype=np.uint8)


def _relight(image: Image, rng: np.random.Generator) -> Image:
    gamma = GAMMA ** rng.uniform(-1, 1)
    curve = np.float32(255) * np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(gamma)
    tint = rng.uniform(1 - TINT, 1 + TINT, 3).astype(np.float32)
    table = curve[:, None] * tint  # (256, 3): one look-up a channel
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, NOISE))
    lit = np.stack([table[image[..., c], c] for c in range(3)], axis=-1) + noise
    changed: Image = np.clip(lit, 0, 255).astype(np.uint8)
    return changed
