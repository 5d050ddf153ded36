"""One person in one place: everything that stays the same in one session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import SourceError
from edge.sources.virtual.hands import Look
from edge.sources.virtual.rooms import random_colour, random_room
from edge.sources.virtual.shading import Light

if TYPE_CHECKING:
    from edge.sources.virtual.planes import Plane

# Skin from the lightest to the darkest, in the Monk scale's ten even steps; sRGB.
SKIN = np.array(
    [
        (244, 219, 204), (238, 207, 187), (231, 193, 166), (221, 177, 146), (202, 155, 120),
        (170, 122, 88), (140, 97, 69), (108, 73, 53), (80, 54, 42), (60, 42, 35),
    ],
    np.float32,
)  # fmt: skip
FLESH = np.array([0.70, 0.42, 0.34], np.float32)  # a palm's own colour under any skin; linear light
SPARE = 24  # pixels that the noise is larger than the frame


@dataclass(frozen=True)
class Scene:
    """One person in one place: everything that stays the same in one session."""

    seed: int
    size: tuple[int, int]
    """Width and height in pixels."""
    look: Look = field(repr=False, compare=False)
    light: Light = field(repr=False, compare=False)
    reach: float = field(repr=False, compare=False)
    """Frame heights a millimetre: how near the hand is held."""
    shadow: float = field(repr=False, compare=False)
    """How dark the hand's shadow on the room is, 0 to 1."""
    room: Plane = field(repr=False, compare=False)
    """The empty place, `[height, width, 3]`, 0 to 255, without noise."""
    grain: Plane = field(repr=False, compare=False)
    """The sensor's noise, `SPARE` larger than the frame: each picture cuts out its own part."""

    @classmethod
    def random(cls, seed: int, size: tuple[int, int] = (320, 240)) -> Scene:
        """Make up a person and a place; a function of the seed and the size only."""
        if seed < 0:
            raise SourceError(f"virtual: seed {seed} is below 0; give 0, 1, 2, ...")
        width, height = size
        if not (16 <= width <= 4096 and 16 <= height <= 4096):
            raise SourceError(f"virtual: size {width}x{height}; give 16x16 to 4096x4096")
        rng = np.random.default_rng([seed, 0])
        light = _random_light(rng)
        return cls(
            seed,
            size,
            look=_random_look(rng),
            light=light,
            reach=rng.uniform(0.0034, 0.0040),
            shadow=rng.uniform(0.0, 0.45),
            grain=rng.uniform(1.0, 5.0) * _random_grain(np.random.default_rng([seed, 4]), size),
            room=random_room(np.random.default_rng([seed, 1]), size, light),
        )


def _random_light(rng: np.random.Generator) -> Light:
    towards = np.array([rng.uniform(-0.8, 0.8), rng.uniform(0.1, 0.8), 0.75])
    warm = rng.uniform(-1, 1)  # from a cloudy sky to a light bulb
    tint = np.array([1 + 0.12 * warm, 1.0, 1 - 0.16 * warm])
    cool = np.array([1 - 0.05 * warm, 1.0, 1 + 0.06 * warm])
    lamp, ambient = tint * rng.uniform(0.55, 0.8), cool * rng.uniform(0.22, 0.36)
    towards /= np.linalg.norm(towards)
    return Light(*(part.astype(np.float32) for part in (towards, lamp, ambient)))


def _random_look(rng: np.random.Generator) -> Look:
    steps = np.arange(len(SKIN))
    step = rng.uniform(0, steps[-1])  # even over the whole range
    back = np.array([np.interp(step, steps, tone) for tone in SKIN.T], np.float32)
    back = np.square(back / 255)
    paler = np.float32(0.12 + 0.3 * step / steps[-1])
    return Look(
        back=back,
        front=back + paler * (FLESH - back),
        cloth=np.square(random_colour(rng, (0.05, 0.7), (0.12, 0.85))),
        cuff=rng.uniform(25, 90),
        stripes=float(rng.choice([0.0, 0.0, 0.0, 0.45])),
        width=rng.uniform(0.92, 1.1),
        length=rng.uniform(0.92, 1.06),
        left=bool(rng.random() < 0.5),
    )


def _random_grain(rng: np.random.Generator, size: tuple[int, int]) -> Plane:
    shape = (size[1] + SPARE, size[0] + SPARE)
    brightness = rng.standard_normal((*shape, 1), np.float32)
    colour = rng.standard_normal((*shape, 3), np.float32)
    return 0.8 * brightness + 0.6 * colour
