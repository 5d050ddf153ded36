"""Takes a picture: the hand before the room, its shadow, its motion, and the sensor's noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge.sources.virtual.gestures import LABELS, check_labels, random_pose
from edge.sources.virtual.planes import blur, shifted, stretched
from edge.sources.virtual.scenes import SPARE
from edge.sources.virtual.shading import Layer, render

if TYPE_CHECKING:
    from edge.frame import Image
    from edge.sources.virtual.hands import Pose
    from edge.sources.virtual.planes import Numbers, Plane
    from edge.sources.virtual.scenes import Scene

STILL = np.zeros(2)


def draw(label: str, scene: Scene, seed: int) -> Image:
    """Draw one picture of the label in the scene; the seed varies the pose.

    Returns:
        uint8 `[height, width, 3]`, RGB; identical for the same label, scene and seed.
    """
    check_labels([label])
    rng = np.random.default_rng([scene.seed, seed, LABELS.index(label)])
    pose = random_pose(label, scene, rng)
    return expose(scene, pose, rng.uniform(0.93, 1.07), rng)


def expose(
    scene: Scene,
    pose: Pose | None,
    gain: float,
    rng: np.random.Generator,
    moved: Numbers = STILL,
) -> Image:
    """Put the hand before the room, and the sensor's noise over both.

    Args:
        scene: Who, and where.
        pose: How the hand is held; None without one.
        gain: The exposure; 1 is right.
        rng: Which part of the noise.
        moved: The way the hand goes while the shutter is open, frame heights right and down.
    """
    width, height = scene.size
    picture = scene.room * np.float32(gain)
    layer = render(pose, scene.look, scene.light, scene.size) if pose else None
    if layer is not None:
        layer = _smeared(layer, moved * height, scene.size)
        picture *= _shadow(layer, scene)
        window = picture[layer.rows, layer.columns]
        # Gamma 2 is near enough to sRGB's, and a square root is quick.
        linear = np.square(window * np.float32(1 / 255)) * (1 - layer.cover)
        linear += layer.colour * np.float32(gain * gain)
        window[...] = np.sqrt(np.minimum(linear, 1)) * 255
    top, left = rng.integers(0, SPARE + 1, 2)
    picture += scene.grain[top : top + height, left : left + width]
    return np.clip(picture + np.float32(0.5), 0, 255, out=picture).astype(np.uint8)


def _smeared(layer: Layer, way: Numbers, size: tuple[int, int]) -> Layer:
    """Smear a layer along a way, `[2]` pixels right and down."""
    longest = float(np.abs(way).max())
    taps = min(9, 1 + math.ceil(longest / 2))
    if taps == 1:
        return layer
    width, height = size
    rim = math.ceil(longest / 2)  # what is smeared beyond the frame, cut off at the end
    inner = (slice(rim, rim + height), slice(rim, rim + width))
    weight, smeared = np.float32(1 / taps), []
    for part in (layer.colour, layer.cover):
        whole = np.zeros((height + 2 * rim, width + 2 * rim, part.shape[2]), np.float32)
        for share in np.linspace(-0.5, 0.5, taps):
            left = rim + layer.columns.start + round(way[0] * share)
            top = rim + layer.rows.start + round(way[1] * share)
            whole[top : top + part.shape[0], left : left + part.shape[1]] += part * weight
        smeared.append(whole[inner])
    return Layer(slice(0, height), slice(0, width), *smeared)


def _shadow(layer: Layer, scene: Scene) -> Plane:
    """Return what the hand leaves of the light on the room, `[height, width, 1]`, 0 to 1."""
    width, height = scene.size
    cell = max(1, height // 60)  # a soft shadow needs few pixels
    cover = np.zeros((height, width), np.float32)
    cover[layer.rows, layer.columns] = layer.cover[..., 0]
    coarse = cover[::cell, ::cell]
    rows = coarse.shape[0]
    right, up = (round(float(v)) for v in scene.light.towards[:2] * rows * 0.09)
    coarse = blur(shifted(coarse, right, -up), rows * 0.05)
    return (1 - np.float32(scene.shadow) * stretched(coarse, height, width))[..., None]
