"""Augmented copies of a picture, and scrambled ones that show no gesture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.frame import Image

VERSION = "3"
"""Changes whenever the code below does, so that features cached from older copies are not used."""
ROTATION = 20.0
"""Degrees, either way."""
SCALE = 0.25
SHIFT = 0.15
"""Of the picture's sides."""
SLANT = 0.05
"""Of the picture's sides: how far each corner may move by itself, as seen from elsewhere."""
GAMMA = 2.0
CONTRAST = 0.25
BRIGHTNESS = 16.0
"""Of 255, either way."""
TINT = 0.2
BLUR = 1.5
"""Standard deviation, pixels; one copy in three."""
NOISE = 8.0
"""Standard deviation, of 255."""


def augment(image: Image, rng: np.random.Generator) -> Image:
    """Return a changed copy: turned, scaled, shifted, slanted, in another light, with noise.

    Never mirrored: left and right are different gestures, unless `trainer train --mirror` says so.

    Args:
        image: uint8 `[height, width, 3]`.
        rng: where the randomness comes from.

    Returns:
        uint8, of the same shape.
    """
    moved = _move(image, rng)
    if rng.random() < 1 / 3:
        moved = np.asarray(cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.3, BLUR)), np.uint8)
    return _relight(moved, rng)


def scramble(image: Image, rng: np.random.Generator) -> Image:
    """Return a picture that shows nothing taught, in the same room and light.

    Either its tiles are shuffled, which leaves no gesture; or one of its corners is enlarged, which
    mostly shows only the room. A network that has to tell these from the gestures learns what
    unknown things look like: outlier exposure, Hendrycks et al.,
    "Deep Anomaly Detection with Outlier Exposure", ICLR 2019; tiles in disorder, Noroozi and
    Favaro, "Unsupervised Learning by Solving Jigsaw Puzzles", ECCV 2016.

    Args:
        image: uint8 `[height, width, 3]`.
        rng: where the randomness comes from.

    Returns:
        uint8, of the same shape.
    """
    changed = _shuffle_tiles(image, rng) if rng.random() < 2 / 3 else _enlarge_corner(image, rng)
    return augment(changed, rng)


def _move(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    turn = rng.uniform(-ROTATION, ROTATION)
    scale = (1 + SCALE) ** rng.uniform(-1, 1)
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    matrix[:2, 2] += rng.uniform(-SHIFT, SHIFT, 2) * np.array([width, height])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    slant = rng.uniform(-SLANT, SLANT, (4, 2)) * np.array([width, height])
    matrix = matrix @ cv2.getPerspectiveTransform(corners, (corners + slant).astype(np.float32))
    moved = cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, dtype=np.uint8)


def _relight(image: Image, rng: np.random.Generator) -> Image:
    gamma = GAMMA ** rng.uniform(-1, 1)
    curve = np.float32(255) * np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(gamma)
    contrast, brightness = rng.uniform(1 - CONTRAST, 1 + CONTRAST), rng.uniform(-1, 1) * BRIGHTNESS
    curve = (curve - 127.5) * np.float32(contrast) + np.float32(127.5 + brightness)
    tint = rng.uniform(1 - TINT, 1 + TINT, 3).astype(np.float32)
    table = curve[:, None] * tint  # (256, 3): one look-up a channel
    noise: NDArray[np.float32] = rng.standard_normal(image.shape, dtype=np.float32)
    lit = np.stack([table[image[..., c], c] for c in range(3)], axis=-1)
    lit += noise * np.float32(rng.uniform(0, NOISE))
    changed: Image = np.clip(lit, 0, 255).astype(np.uint8)
    return changed


def _shuffle_tiles(image: Image, rng: np.random.Generator) -> Image:
    """Cut a picture into 2 x 2 to 6 x 6 tiles and put them back in another order."""
    side = int(rng.choice([2, 3, 4, 6]))
    height, width = image.shape[:2]
    if min(height, width) < side:
        return image
    tall, wide = height // side, width // side
    changed = image.copy()
    places = [(row * tall, column * wide) for row in range(side) for column in range(side)]
    for (to_y, to_x), index in zip(places, rng.permutation(len(places)), strict=True):
        y, x = places[index]
        changed[to_y : to_y + tall, to_x : to_x + wide] = image[y : y + tall, x : x + wide]
    return changed


def _enlarge_corner(image: Image, rng: np.random.Generator) -> Image:
    """Return one corner, a quarter to a half of the picture's sides, enlarged to its size."""
    height, width = image.shape[:2]
    share = rng.uniform(0.25, 0.45)
    tall, wide = max(1, round(height * share)), max(1, round(width * share))
    y, x = rng.choice([0, height - tall]), rng.choice([0, width - wide])
    corner = image[y : y + tall, x : x + wide]
    return np.asarray(cv2.resize(corner, (width, height)), np.uint8)
