"""Lights a relief: slopes, creases and shadows become a picture of a hand.

Measured at 320x240 on one quiet cloud core: 20 ms a hand; two fifths for cones, a third for light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge.sources.virtual.hands import View, bend, corners
from edge.sources.virtual.planes import blur, shifted
from edge.sources.virtual.relief import Relief

if TYPE_CHECKING:
    from edge.sources.virtual.hands import Look, Pose
    from edge.sources.virtual.planes import Plane

FINE = 2  # drawn this many times finer than the frame, then averaged: smooth edges
SLOPE = 3.0  # the steepest skin that shading knows; steeper is a silhouette
NAIL = np.array([0.86, 0.66, 0.60], np.float32)  # linear light


class Light(NamedTuple):
    """The light in one place; `[3]` each."""

    towards: Plane
    """Where it comes from: right, up, to the viewer; unit length."""
    lamp: Plane
    """Its colour and strength."""
    ambient: Plane
    """Colour and strength of the light from everywhere."""


class Layer(NamedTuple):
    """A drawn hand over a window of the frame."""

    rows: slice
    columns: slice
    colour: Plane
    """`[rows, columns, 3]`, linear light, already multiplied by `cover`."""
    cover: Plane
    """`[rows, columns, 1]`, 0 to 1."""


def render(pose: Pose, look: Look, light: Light, size: tuple[int, int]) -> Layer | None:
    """Draw the hand; None where nothing of it is in the frame of that width and height."""
    fine = size[1] * FINE  # a frame height in fine pixels
    view = View(float(pose.scale[0]) * fine, *(float(v) * fine for v in pose.place))
    forearm, hand, sleeve, marks = bend(pose, look, view)
    low, high = (corner / FINE for corner in corners(forearm + hand + sleeve))
    x0, y0 = (int(v) for v in np.clip(np.floor(low - 2), 0, size))
    x1, y1 = (int(v) for v in np.clip(np.ceil(high + 2), 0, size))
    if x0 >= x1 or y0 >= y1:
        return None
    relief = Relief(view.scale, *(n * FINE for n in (x0, y0, x1 - x0, y1 - y0)))
    for cone in forearm + hand:
        relief.add(cone)
    for mark in marks:
        relief.mark(mark)
    relief.dress(sleeve, look.stripes)
    colour = _coarse(_lit(relief, look, light))
    cover = _coarse(np.clip(0.5 - relief.edge, 0, 1))
    return Layer(slice(y0, y1), slice(x0, x1), np.moveaxis(colour, 0, -1), cover[..., None])


def _coarse(fine: Plane) -> Plane:
    """Average every FINE x FINE pixels of `[..., rows, columns]`."""
    total = np.zeros_like(fine[..., ::FINE, ::FINE])
    for row in range(FINE):
        for column in range(FINE):
            total += fine[..., row::FINE, column::FINE]
    total *= np.float32(1 / FINE**2)
    return total


def _lit(relief: Relief, look: Look, light: Light) -> Plane:
    """Return linear colour times cover, `[3, rows, columns]`."""
    near = np.maximum(relief.near, np.float32(-60 * relief.scale))
    inside = relief.edge < 0.5  # the rest, most of the window, need not be worked out
    right, up = (plane[inside] for plane in _slopes(near))
    sky, lamp = _openness(near, relief.scale, light.towards)[:, inside]
    on = (relief.ink, relief.cloth, relief.bands, relief.palmar, relief.edge)
    ink, cloth, bands, palmar, edge = (plane[inside] for plane in on)
    steep = 1 / np.sqrt(right * right + up * up + 1)
    lambert = (light.towards[2] - light.towards[0] * right - light.towards[1] * up) * steep
    nail, crease = np.maximum(ink, 0), 1 + np.minimum(ink, 0)
    gloss = np.maximum(lambert * 2 * steep - light.towards[2], 0)  # the mirrored light's z
    gloss = gloss**4 * (0.06 + 0.12 * nail) * (1 - cloth) * lamp
    pale = NAIL * (0.4 + look.back[0] * 0.6)
    cover = np.clip(0.5 - edge, 0, 1)
    colour = np.zeros((3, *near.shape), np.float32)
    # Red light goes deeper into flesh than green and blue: it comes round the shaded side (wrap)
    # and is left over in creases, where the others are lost.
    for channel, wrap in enumerate(np.array([0.45, 0.25, 0.2], np.float32)):
        albedo = look.back[channel] + palmar * (look.front[channel] - look.back[channel])
        albedo += nail * (pale[channel] - albedo)
        albedo *= crease if channel == 0 else crease * crease
        albedo += cloth * (look.cloth[channel] * bands - albedo)
        glow = np.maximum(lambert + wrap, 0) * lamp / (1 + wrap)
        dim = sky if channel == 0 else sky * (np.float32(0.3) + np.float32(0.7) * sky)
        lit = dim * (light.ambient[channel] + glow * light.lamp[channel])
        colour[channel, inside] = (albedo * lit + gloss * light.lamp[channel]) * cover
    return colour


def _slopes(near: Plane) -> tuple[Plane, Plane]:
    """Return the rise to the right and upwards, `[rows, columns]` each, in pixels a pixel."""
    right, up = np.zeros_like(near), np.zeros_like(near)
    right[:, 1:-1] = (near[:, 2:] - near[:, :-2]) * np.float32(0.5)
    up[1:-1] = (near[:-2] - near[2:]) * np.float32(0.5)
    return np.clip(right, -SLOPE, SLOPE), np.clip(up, -SLOPE, SLOPE)


def _openness(near: Plane, scale: float, towards: Plane) -> Plane:
    """Return how much of the sky and of the lamp each pixel sees, `[2, rows, columns]`, 0 to 1."""
    coarse = _coarse(near)
    step = scale / FINE
    sky = np.ones_like(coarse)
    for reach, weight in ((3.5, 0.4), (10.0, 0.5)):
        above = (blur(coarse, reach * step) - coarse) / np.float32(reach * step)
        sky -= np.float32(weight) * np.clip(above, 0, 0.8)
    lamp = np.ones_like(coarse)
    for reach in (5.0, 10.0, 17.0):
        dx, dy = (round(float(v) * reach * step) for v in (towards[0], -towards[1]))
        above = shifted(coarse, dx, dy) - coarse - np.float32(towards[2] * reach * step)
        np.minimum(lamp, 1 - np.clip(above / np.float32(4 * step), 0, 0.75), out=lamp)
    both = np.stack([np.maximum(sky, 0.3), blur(lamp, 1.5 * step, times=1)])
    return both.repeat(FINE, axis=1).repeat(FINE, axis=2)
