"""The usual recipe: what ours is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.features.backbone import inverted_residuals, repeat

if TYPE_CHECKING:
    import onnx


def mobilenet_v2(width: float = 0.35, side: int = 224, seed: int = 0) -> onnx.ModelProto:
    """Return a MobileNetV2 with random weights, from `image` to 1280 numbers: for timing only.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.
    """

    def channels(count: int) -> int:
        """Return the nearest multiple of 8, but no less than 8 and nine tenths."""
        wanted = count * width
        rounded = max(8, int(wanted + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * wanted else rounded

    rng = np.random.default_rng(seed)
    plan = [
        (1, 1, 16, 1),  # repeats, widening, channels, stride
        (2, 6, 24, 2),
        (3, 6, 32, 2),
        (4, 6, 64, 2),
        (3, 6, 96, 1),
        (3, 6, 160, 2),
        (1, 6, 320, 1),
    ]
    return inverted_residuals(
        [
            block
            for repeats, widen, count, stride in plan
            for block in repeat(repeats, widen, channels(count), 3, stride)
        ],
        lambda _, shape: (
            rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape),
            np.zeros(shape[0]),
        ),
        stem=channels(32),
        head=max(1280, channels(1280)),
        side=side,
    )
