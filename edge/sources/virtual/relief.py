"""Melts round cones into one relief: how near each pixel's skin is, and what lies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge.sources.virtual.hands import Cone, Mark
    from edge.sources.virtual.planes import Numbers, Plane


class Relief:
    """A window of a picture, in which a hand takes shape; scale is pixels a millimetre."""

    def __init__(self, scale: float, left: int, top: int, width: int, height: int) -> None:
        self.scale, self.left, self.top = scale, left, top
        self.x = np.arange(left, left + width, dtype=np.float32) + 0.5
        self.y = np.arange(top, top + height, dtype=np.float32)[:, None] + 0.5
        size = (height, width)
        self.near = np.full(size, -1e4, np.float32)  # pixels to the viewer
        self.edge = np.full(size, 1e4, np.float32)  # pixels to the outline, < 0 inside
        self.palmar = np.zeros(size, np.float32)  # skin: the back's (0) to the palm's (1)
        self.ink = np.zeros(size, np.float32)  # creases below 0, nails above
        self.cloth = np.zeros(size, np.float32)  # 1 under the sleeve
        self.bands = np.zeros(size, np.float32)  # the cloth's brightness

    def add(self, cone: Cone) -> None:
        """Let a cone melt into what is there already."""
        a, b, melt, palmar = cone
        at = self._window(a, b, max(a[3], b[3]) + melt + 2)
        near, edge = self._round_cone(at, a, b, melt)
        old_near, old_edge, old_palmar = self.near[at], self.edge[at], self.palmar[at]
        # A smooth maximum of nearness and a smooth minimum of distance: skin has no seams.
        share = np.clip(0.5 + (near - old_near) * (0.5 / melt), 0, 1)
        old_near += share * (near - old_near) + melt * share * (1 - share)
        old_palmar += share * (np.float32(palmar) - old_palmar)
        melt *= 0.5
        share = np.clip(0.5 + (old_edge - edge) * (0.5 / melt), 0, 1)
        old_edge += share * (edge - old_edge) - melt * share * (1 - share)

    def mark(self, mark: Mark) -> None:
        """Ink a mark in, where the skin it is on is not behind something."""
        a, b, strength = mark
        at = self._window(a, b, a[3] + 3)
        _, edge = self._round_cone(at, a, b)
        ink = np.clip(0.5 - edge / 1.5, 0, 1)
        ink[np.abs(self.near[at] - (a[2] + b[2]) / 2) > 7 * self.scale] = 0
        old = self.ink[at]
        old += ink * np.float32(strength) * (1 - np.abs(old))

    def dress(self, sleeve: list[Cone], stripes: float) -> None:
        """Pull a sleeve over the forearm; stripes is how much darker every other band is."""
        one, other = sleeve
        top, end = (one.a + other.a)[:2] / 2, (one.b + other.b)[:2] / 2
        at = rows, columns = self._window(top, end, float(one.b[3] * 2))
        height, width = self.near[at].shape
        over = Relief(self.scale, self.left + columns.start, self.top + rows.start, width, height)
        for cone in sleeve:
            over.add(cone)
        scale = np.float32(self.scale)
        axis = (end - top) / max(float(np.hypot(*(end - top))), 1e-3) / self.scale
        x, y = over.x - np.float32(top[0]), over.y - np.float32(top[1])
        down = (x * axis[0] + y * axis[1]).astype(np.float32)  # mm from the cuff
        beside = (x * axis[1] - y * axis[0]).astype(np.float32)
        cut = (down - np.float32(0.004) * beside * beside) * scale  # the cuff is round
        folds = np.sin(down * 0.13 + np.sin(beside * 0.09) * 1.5)
        folds += np.sin(down * 0.27 - beside * 0.07)
        hem = np.clip(1 - np.abs(down - 14) / 2, 0, 1)
        over.near += (np.float32(0.7) * folds * np.clip(down / 60, 0, 1) - hem) * scale
        self.cloth[at] = np.clip(0.5 + cut, 0, 1) * np.clip(0.5 - over.edge, 0, 1)
        self.bands[at] = 1 - np.float32(stripes) * ((down % 24) > 12)
        np.copyto(self.near[at], over.near, where=self.cloth[at] > 0.5)
        self.edge[at] = np.minimum(self.edge[at], np.maximum(over.edge, -cut))

    def _window(self, a: Numbers, b: Numbers, reach: float) -> tuple[slice, slice]:
        """Return the rows and columns within `reach` of the line a-b; there may be none."""
        height, width = self.near.shape
        x0, x1 = sorted((a[0] - self.left, b[0] - self.left))
        y0, y1 = sorted((a[1] - self.top, b[1] - self.top))
        rows = slice(int(np.clip(y0 - reach, 0, height)), int(np.clip(y1 + reach + 1, 0, height)))
        columns = slice(int(np.clip(x0 - reach, 0, width)), int(np.clip(x1 + reach + 1, 0, width)))
        return rows, columns

    def _round_cone(
        self, at: tuple[slice, slice], a: Numbers, b: Numbers, melt: float = 1.0
    ) -> tuple[Plane, Plane]:
        """Return nearness and distance to the outline of a round cone.

        Each pixel takes the sphere along the cone that comes nearest to the viewer there, so that
        a finger that points at the viewer is as round as one that lies across.
        """
        x, y = self.x[at[1]] - a[0], self.y[at[0]] - a[1]
        dx, dy, dz, dr = (float(v) for v in b - a)
        length = max(float(np.hypot(dx, dy)), 1e-3)
        along = (x * (dx / length) + y * (dy / length)).astype(np.float32)
        across = (x * (dy / length) - y * (dx / length)).astype(np.float32)
        across *= across
        steep = dz / np.hypot(length, dz)
        radius = a[3] + dr * 0.5
        lean = np.sqrt(np.maximum(np.float32(radius * radius) - across, 0))
        share = np.clip((along + lean * np.float32(steep)) * np.float32(1 / length), 0, 1)
        beside = along - share * np.float32(length)
        square = beside * beside + across
        r = np.float32(a[3]) + share * np.float32(dr)
        edge = np.sqrt(square) - r
        square /= r * r
        # A ball's first terms: steep at the outline but not upright, so cones melt without a seam.
        bulge = r * (1 - square * (np.float32(0.5) + square * np.float32(0.25)))
        beyond = np.maximum(edge, 0)
        beyond *= np.square(beyond * np.float32(5 / melt))  # and outside it soon falls far away
        return np.float32(a[2]) + share * np.float32(dz) + bulge - beyond, edge
