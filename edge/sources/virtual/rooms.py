"""Paints empty places: a wall, things before it, perhaps a desk.

A thing is a function that paints itself into a picture, `[height, width, 3]`, 0 to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.sources.virtual.planes import blur, stretched

if TYPE_CHECKING:
    from edge.sources.virtual.planes import Plane
    from edge.sources.virtual.shading import Light

BINDING = np.array([1.0, 0.9, 0.78], np.float32)  # books are browner than rainbows


def random_room(rng: np.random.Generator, size: tuple[int, int], light: Light) -> Plane:
    """Make up a place: painted, blurred, lit, shaded; `[height, width, 3]`, 0 to 255."""
    width, height = size
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = random_colour(rng, (0.0, 0.22), (0.5, 0.95))
    picture *= np.array([1.0, 0.97, 0.92], np.float32)  # most walls are cream
    things = (_window, _door, _pictures, _shelf, _curtain, _lamps, _plant)  # back to front
    for index in sorted(rng.permutation(len(things))[: rng.integers(1, 4)]):
        things[index](picture, rng)
    if rng.random() < 0.5:
        _desk(picture, rng)
    _mottle(picture, rng, 0.12, (6, 7))
    _mottle(picture, rng, 0.06, (41, 42))
    picture = blur(picture, rng.uniform(0.002, 0.014) * height)  # the lens looks at the hand
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    shade = 1 + np.float32(0.25) * (x * light.towards[0] - y * light.towards[1])
    shade = shade * (1 - np.float32(rng.uniform(0.05, 0.3)) * (x * x + y * y) / 2)
    both = light.lamp + light.ambient
    colour = np.sqrt(both / both.max()) * np.float32(rng.uniform(0.8, 1.05))
    lit: Plane = np.clip(picture * shade[..., None] * colour, 0, 1)
    return lit * np.float32(255)


def random_colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> Plane:
    """Return any hue, `[3]`, 0 to 1."""
    hue = np.abs((rng.uniform(0, 6) + np.array([0, 4, 2])) % 6 - 3) - 1
    pale = 1 - rng.uniform(*saturation) * (1 - np.clip(hue, 0, 1))
    return np.asarray(pale * rng.uniform(*value), np.float32)


def _wood(rng: np.random.Generator) -> Plane:
    brown = np.array([1.0, rng.uniform(0.7, 0.92), rng.uniform(0.45, 0.8)], np.float32)
    return brown * np.float32(rng.uniform(0.25, 0.85))


def _mottle(part: Plane, rng: np.random.Generator, depth: float, grid: tuple[int, int]) -> None:
    """Lighten and darken a part of the picture in soft blotches."""
    blotches = stretched(rng.uniform(-1, 1, grid).astype(np.float32), *part.shape[:2])
    part *= 1 + np.float32(depth) * blotches[..., None]


def _box(picture: Plane, x: float, y: float, width: float, height: float) -> Plane:
    """Return the part of the picture at shares (0 to 1) of its width and height."""
    rows, columns = picture.shape[:2]
    top, left = max(0, round(y * rows)), max(0, round(x * columns))
    bottom, right = round((y + height) * rows), round((x + width) * columns)
    return picture[top : max(top, bottom), left : max(left, right)]


def _disc(
    picture: Plane, x: float, y: float, radius: float, colour: Plane, *, squeeze: float = 1.0
) -> None:
    """Paint a soft disc; x, y and radius in picture heights; squeeze flattens it."""
    rows, columns = picture.shape[:2]
    down = (np.arange(rows, dtype=np.float32)[:, None] / rows - y) / squeeze
    right = np.arange(columns, dtype=np.float32) / rows - x
    ink = np.clip((radius - np.hypot(right, down)) * np.float32(rows / 2), 0, 1)[..., None]
    picture += ink.astype(np.float32) * (colour - picture)


def _window(picture: Plane, rng: np.random.Generator) -> None:
    x, y = rng.uniform(0, 0.6), rng.uniform(0, 0.2)
    width, height = rng.uniform(0.25, 0.5), rng.uniform(0.4, 0.65)
    _box(picture, x - 0.02, y - 0.02, width + 0.04, height + 0.04)[:] = 0.92
    outside = _box(picture, x, y, width, height)
    outside[:] = (0.86, 0.93, 1.0)
    hill = outside[round(outside.shape[0] * rng.uniform(0.35, 0.7)) :]
    hill[:] = np.array([0.47, 0.56, 0.38], np.float32) * np.float32(rng.uniform(0.6, 1.3))
    _mottle(hill, rng, 0.35, (7, 8))
    _box(picture, x + width / 2 - 0.008, y, 0.016, height)[:] = 0.88
    _box(picture, x, y + height * 0.45, width, 0.02)[:] = 0.88


def _door(picture: Plane, rng: np.random.Generator) -> None:
    x, paint = rng.uniform(0, 0.7), random_colour(rng, (0.0, 0.4), (0.4, 0.95))
    _box(picture, x - 0.015, 0.05, 0.33, 1)[:] = paint * np.float32(0.8)
    _box(picture, x, 0.08, 0.3, 1)[:] = paint
    for top in (0.15, 0.58):
        _box(picture, x + 0.05, top, 0.2, 0.34)[:] = paint * np.float32(0.88)
        _box(picture, x + 0.058, top + 0.012, 0.192, 0.328)[:] = paint * np.float32(0.97)


def _pictures(picture: Plane, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(0, 0.8), rng.uniform(0.03, 0.4)
        width, height = rng.uniform(0.1, 0.25), rng.uniform(0.15, 0.35)
        _box(picture, x, y, width, height)[:] = random_colour(rng, (0.0, 0.4), (0.1, 0.9))
        _box(picture, x + 0.015, y + 0.02, width - 0.03, height - 0.04)[:] = 0.9
        inner = _box(picture, x + 0.03, y + 0.04, width - 0.06, height - 0.08)
        fade = np.linspace(0, 1, inner.shape[0], dtype=np.float32)[:, None, None]
        above, below = (random_colour(rng, (0.2, 0.7), (0.3, 0.9)) for _ in range(2))
        inner[:] = above + fade * (below - above)


def _shelf(picture: Plane, rng: np.random.Generator) -> None:
    wood = _wood(rng)
    left, width = rng.uniform(-0.15, 0.7), rng.uniform(0.3, 0.55)
    boards = int(rng.integers(3, 6))
    _box(picture, left, 0, width, 1)[:] = wood * np.float32(0.55)
    for row in range(boards):
        floor, x = (row + 1) / boards, left + 0.01
        while x < left + width - 0.03:
            thick, tall = rng.uniform(0.012, 0.035), rng.uniform(0.55, 0.88) / boards
            if rng.random() < 0.9:
                book = random_colour(rng, (0.05, 0.6), (0.2, 0.9)) * BINDING
                _box(picture, x, floor - tall, thick, tall)[:] = book
                _box(picture, x, floor - tall, 0.003, tall)[:] *= 0.6
            x += thick
        _box(picture, left, floor - 0.012, width, 0.024)[:] = wood


def _curtain(picture: Plane, rng: np.random.Generator) -> None:
    cloth = random_colour(rng, (0.1, 0.6), (0.3, 0.85))
    width = rng.uniform(0.15, 0.4)
    part = _box(picture, float(rng.choice([0.0, 1 - width])), 0, width, 1)
    x = np.linspace(0, 1, part.shape[1], dtype=np.float32)[:, None]
    wave = np.sin(x * np.float32(rng.uniform(20, 50)) + 2 * np.sin(x * 9))
    part[:] = cloth * (np.float32(0.8) + np.float32(0.2) * wave)


def _lamps(picture: Plane, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(3, 9)):
        x, y, radius = rng.uniform(0, 1.4), rng.uniform(0, 0.7), rng.uniform(0.02, 0.07)
        warm = np.array([1.0, rng.uniform(0.7, 0.95), rng.uniform(0.4, 0.85)], np.float32)
        _disc(picture, x, y, radius, warm)


def _plant(picture: Plane, rng: np.random.Generator) -> None:
    x, y = rng.uniform(0.1, 1.2), rng.uniform(0.55, 0.8)
    _disc(picture, x, y + 0.2, 0.12, random_colour(rng, (0.3, 0.7), (0.3, 0.8)), squeeze=1.4)
    for _ in range(26):
        green = np.array([0.2, 0.42, 0.18], np.float32) * np.float32(rng.uniform(0.5, 1.5))
        at = rng.normal(0, 0.13, 2)
        radius, squeeze = rng.uniform(0.03, 0.07), rng.uniform(0.5, 1.6)
        _disc(picture, x + at[0], y - 0.1 + at[1], radius, green, squeeze=squeeze)


def _desk(picture: Plane, rng: np.random.Generator) -> None:
    wood, top = _wood(rng), rng.uniform(0.72, 0.9)
    desk = _box(picture, 0, top, 1, 1)
    desk[:] = wood
    _mottle(desk, rng, 0.1, (24, 4))
    _box(picture, 0, top, 1, 0.015)[:] = wood * np.float32(0.7)
