"""What stands behind drawn hands: noise, stripes, bars, shapes, and people that are not hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from trainer.features.drawn_hands import WALL, any_skin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]


def draw_clutter(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a background, uint8 `[WALL, WALL, 3]`; one in four is plain."""
    wall: Floats = np.tile(_colour(rng).astype(np.float32), (WALL, WALL, 1))
    if rng.random() < 0.7:
        wall += _blotches(rng)[..., None] * rng.uniform(0, 30)
    if rng.random() < 0.75:
        wall = _furnished(wall, rng)
    if sharpness := rng.choice([0, 0, 0.7, 1.5, 3]):
        wall = cv2.GaussianBlur(wall, (0, 0), float(sharpness))
    if rng.random() < 0.5:  # light from one side
        way = np.linspace(-1, 1, WALL)
        light = 1 + rng.uniform(-0.4, 0.4) * way[:, None] + rng.uniform(-0.4, 0.4) * way
        wall = wall * light[..., None]
    return np.asarray(np.clip(wall, 0, 255), np.uint8)


def _furnished(wall: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.35:
        wall = wall + _stripes(rng)
    wall = np.ascontiguousarray(wall, np.float32)
    if rng.random() < 0.7:
        _shapes(wall, rng, int(rng.integers(1, 25)))
    for _ in range(rng.integers(0, 3)):
        _bars(wall, rng)
    if rng.random() < 0.4:
        wall += _blotches(rng)[..., None] * rng.uniform(0, 25)
    if rng.random() < 0.5:
        _person(wall, rng)
    if rng.random() < 0.2:
        _shapes(wall, rng, 3)
    return wall


def _colour(rng: np.random.Generator) -> Floats:
    """Return any colour, half of them near grey."""
    if rng.random() < 0.5:
        return rng.uniform(0, 255, 3)
    return np.asarray(np.clip(rng.uniform(10, 250) + rng.normal(0, 15, 3), 0, 255))


def _blotches(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise of several sizes, `[WALL, WALL]`."""
    total = np.zeros((WALL, WALL), np.float32)
    for grid in (2, 4, 8, 16, 32, 64):
        if rng.random() < 0.6:
            noise = rng.standard_normal((grid, grid), np.float32)
            stretched = cv2.resize(noise, (WALL, WALL), interpolation=cv2.INTER_CUBIC)
            total += stretched * np.float32(grid ** -rng.uniform(0.2, 1))
    return total


def _stripes(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return stripes, checks or a weave, perhaps crumpled, `[WALL, WALL, 3]`."""
    down, right = np.mgrid[:WALL, :WALL].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    along = right * np.cos(turn) + down * np.sin(turn)
    across = down * np.cos(turn) - right * np.sin(turn)
    one, other = np.sin(along * rng.uniform(0.05, 0.9)), np.sin(across * rng.uniform(0.05, 0.9))
    kinds = (one, np.sign(one), np.sign(one * other), np.maximum(one, other))
    wave = kinds[rng.integers(4)].astype(np.float32)
    if rng.random() < 0.5:
        at = right + _blotches(rng) * 6, down + _blotches(rng) * 6
        wave = cv2.remap(wave, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    tint = rng.uniform(5, 60) * (1 + rng.normal(0, 0.3, 3))
    return np.asarray(wave[..., None] * tint, np.float32)


def _shapes(wall: NDArray[np.float32], rng: np.random.Generator, count: int) -> None:
    for _ in range(count):
        colour = (any_skin(rng) if rng.random() < 0.25 else _colour(rng)).tolist()
        filled = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
        middle = rng.uniform(-0.1, 1.1, 2) * WALL
        kind = rng.random()
        if kind < 0.35:
            turn = rng.uniform(0, 180) if rng.random() < 0.4 else 0.0
            sides = rng.uniform(0.02, 0.6, 2) * WALL
            corners = cv2.boxPoints((middle.tolist(), sides.tolist(), turn)).astype(np.int32)
            cv2.drawContours(wall, [corners], -1, colour, filled)
        elif kind < 0.6:
            end = rng.uniform(-0.1, 1.1, 2) * WALL
            cv2.line(wall, _pixel(middle), _pixel(end), colour, int(rng.integers(1, 14)))
        elif kind < 0.85:
            radii = _pixel(rng.uniform(0.02, 0.35, 2) * WALL)
            cv2.ellipse(wall, _pixel(middle), radii, rng.uniform(0, 180), 0, 360, colour, filled)
        else:
            around = middle + rng.normal(0, 0.15 * WALL, (rng.integers(3, 9), 2))
            cv2.fillPoly(wall, [around.astype(np.int32)], colour)


def _bars(wall: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Paint a row of bars: books, blinds, railings; what is most easily taken for fingers."""
    turn, gap, length = rng.uniform(0, np.pi), rng.uniform(3, 18), rng.uniform(0.1, 1) * WALL
    along = np.array([np.cos(turn), np.sin(turn)])
    start = rng.uniform(0, 1, 2) * WALL
    base = any_skin(rng) if rng.random() < 0.3 else _colour(rng)
    uneven = 20 * (rng.random() < 0.7)
    width = max(1, int(gap * rng.uniform(0.3, 0.9)))
    for number in range(rng.integers(3, 15)):
        first = start + along[::-1] * (-1, 1) * gap * number
        last = first + along * length * rng.uniform(0.7, 1)
        colour = np.clip(base + rng.normal(0, uneven, 3), 0, 255).tolist()
        cv2.line(wall, _pixel(first), _pixel(last), colour, width)


def _person(wall: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Paint somebody from the waist up: skin that is no hand."""
    head = rng.uniform(0.08, 0.22) * WALL
    middle = np.array([rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.6)]) * WALL
    skin, cloth = any_skin(rng), _colour(rng)
    hair = rng.uniform(0, 120) * np.array([1, 0.8, 0.6])

    def oval(right: float, down: float, wide: float, high: float, colour: Floats) -> None:
        at = _pixel(middle + head * np.array([right, down]))
        radii = max(1, int(head * wide)), max(1, int(head * high))
        cv2.ellipse(wall, at, radii, 0, 0, 360, colour.tolist(), -1)

    oval(0, 3.4, rng.uniform(1.6, 2.4), rng.uniform(1.8, 2.6), cloth)
    for side in (-1, 1):
        if rng.random() < 0.4:  # an arm, without its hand
            shoulder = middle + head * np.array([side * 1.8, 2])
            elbow = middle + head * np.array([side * rng.uniform(2, 4), rng.uniform(0, 5)])
            colour = cloth if rng.random() < 0.6 else skin
            width = int(head * 0.7) + 1
            cv2.line(wall, _pixel(shoulder), _pixel(elbow), colour.tolist(), width)
    oval(0, 1.0, 0.45, 0.8, skin * 0.85)
    oval(0, -0.2, 1.08, 1.3, hair)
    oval(0, 0.1, 0.9, 1.2, skin)
    for side in (-1, 1):
        oval(side * 0.38, -0.1, 0.17, 0.09, skin * 0.35)
        oval(side * 0.38, -0.32, 0.2, 0.06, hair)
    oval(0.03, 0.2, 0.06, 0.25, skin * 0.75)
    oval(0, 0.7, 0.3, 0.08, skin * np.array([0.8, 0.5, 0.5]))


def _pixel(point: Floats) -> tuple[int, int]:
    return int(point[0]), int(point[1])
