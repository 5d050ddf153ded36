"""Recordings without pictures: only where a hand's or a face's points were.

`trainer capture --keep hand` writes `0001.points` files instead of photographs: nobody can be seen
in them, and the trainer learns from them all the same. What is varied in a picture by turning and
relighting it is varied here in the points themselves.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import cv2
import msgspec
import numpy as np

from edge.classifier import open_session
from edge.errors import PictureError
from edge.files import read_bounded
from edge.pictures import MAX_SIDE, keeps_points, read_picture
from trainer.errors import DataError
from trainer.features import poses
from trainer.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from edge.frame import Image
    from edge.sources.turning import Turn

MAX_BYTES = 100_000
"""Of one file: 1410 numbers of a face in text are 15 kB."""
MOST = 1000.0
"""No number of a real one comes near: they are in sides of a square about the hand."""
ROTATION = 20.0
"""Degrees, either way, in the picture: as `trainer.augment`."""
TILT = 0.15
"""Radians, standard deviation, out of the picture."""
JITTER = {"hand": 0.01, "face": 0.002}
"""Standard deviation of each coordinate, in sides of the square about it."""
SIDE = 320
"""Pixels of a drawing's longer side."""


class Points(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a frame showed."""

    kind: poses.Kind
    size: tuple[int, int]
    """The frame's `(width, height)`."""
    found: list[float]
    """As `trainer.features.landmarks` gives it; all zeros where nothing was found."""
    format: Literal[1] = 1


def find(kind: poses.Kind, image: Image) -> Points:
    """Look for a hand or a face in a picture.

    Raises:
        DataError: the weights are not here.
    """
    found = _session(kind, "finder").run(["found"], {"image": image})[0]
    size = (image.shape[1], image.shape[0])
    return Points(kind, size, [round(float(number), 5) for number in found])


def describe_points(
    points: Points, rng: np.random.Generator, copies: int, *, mirror: bool = False
) -> NDArray[np.float32]:
    """Return features, float32 `[1 + copies, n]`: the points' own, and those of varied copies.

    With `mirror` every other copy is of the other hand.
    """
    found = np.array(points.found, np.float32)
    several = [found, *(vary(found, points.kind, rng) for _ in range(copies))]
    if mirror:
        several[1::2] = [mirrored(copy, points.kind) for copy in several[1::2]]
    session = _session(points.kind, "pose")
    return np.stack([session.run(["features"], {"found": one})[0] for one in several])


def vary(
    found: NDArray[np.float32], kind: poses.Kind, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return found points as another hand might have held them: turned, tilted, a little off."""
    if not found[-1]:
        return found
    changed = found.copy()
    tilt = _turned(*rng.normal(0, TILT, 2))
    for start, stop in poses.CLOUDS[kind]:  # points in the square, and in space
        cloud = found[start:stop].reshape(-1, 3)
        spread = float(np.abs(cloud).max()) * 2 * JITTER[kind]
        varied = cloud @ tilt + rng.normal(0, spread, cloud.shape)
        changed[start:stop] = varied.ravel()
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION))
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = found[-6], found[-5]  # where up is
    changed[-6:-4] = cos * x - sin * y, sin * x + cos * y
    return changed


def turned_points(points: Points, how: Turn) -> Points:
    """Return a hand's points as of a picture turned so; upside down it is the same hand, turned."""
    if not any(how) or points.kind != "hand":
        return points
    found = np.array(points.found, np.float32)
    if how.horizontal != how.vertical:
        found = mirrored(found, points.kind)
    if how.vertical:
        found[-6:-2] *= -1  # where up is, and the region's middle: half a turn
    return msgspec.structs.replace(points, found=found.tolist())


def mirrored(found: NDArray[np.float32], kind: poses.Kind) -> NDArray[np.float32]:
    """Return a hand's points as a mirror shows them.

    Raises:
        DataError: they are a face's, whose right and left points have numbers of their own.
    """
    if kind != "hand":
        raise DataError("--mirror: the points of a face cannot be mirrored; take pictures for that")
    if not found[-1]:
        return found
    changed = found.copy()
    for start, stop in poses.CLOUDS[kind]:
        changed[start:stop:3] *= -1  # x
    changed[poses.HANDED] = 1 - found[poses.HANDED]
    changed[[-6, -4]] *= -1  # x of where up is, and of the region's middle
    return changed


def draw_points(points: Points) -> Image:
    """Return a drawing of the points for people to look at, uint8 `[height, width, 3]`."""
    width, height = points.size
    longer = max(width, height)
    scale = SIDE / longer
    picture = np.full(
        (max(1, round(height * scale)), max(1, round(width * scale)), 3), 255, np.uint8
    )
    found = np.array(points.found)
    if not found[-1]:
        return picture
    start, stop = poses.CLOUDS[points.kind][0]
    up, place = found[-6:-4], found[-4:-1]
    right = np.array([-up[1], up[0]])
    local = found[start:stop].reshape(-1, 3)
    middle = place[:2] * longer + np.array([width, height]) / 2
    there = middle + place[2] * longer * (local[:, :1] * right - local[:, 1:2] * up)
    spots = [(round(x), round(y)) for x, y in there * scale]
    for bone in poses.BONES if points.kind == "hand" else []:
        cv2.line(picture, spots[bone[0]], spots[bone[1]], (90, 110, 160), 3, cv2.LINE_AA)
    for spot in spots:
        cv2.circle(picture, spot, 3 if points.kind == "hand" else 1, (40, 50, 80), -1, cv2.LINE_AA)
    return picture


def look_at(path: Path, *, max_side: int = MAX_SIDE) -> Image:
    """Return what a person would want to see of a recording: its picture, or its points drawn.

    Raises:
        PictureError: the file is none, or damaged.
    """
    if keeps_points(path):
        return draw_points(read_points(path))
    return read_picture(path, max_side=max_side)


def read_points(path: Path) -> Points:
    """Read a `.points` file.

    Raises:
        PictureError: it is missing, damaged, or of another version.
    """
    content = read_bounded(
        path, MAX_BYTES, what="points", missing="no such file", error=PictureError
    )
    try:
        points = msgspec.json.decode(content, type=Points)
    except (msgspec.DecodeError, msgspec.ValidationError) as problem:
        raise PictureError(f"{path}: damaged points ({problem})") from None
    found = np.array(points.found)
    if len(found) != poses.FOUND[points.kind] or not (np.abs(found) < MOST).all():
        raise PictureError(f"{path}: damaged points (not those of a {points.kind})")
    if not all(0 < side <= 8192 for side in points.size):
        raise PictureError(f"{path}: damaged points (a size of {points.size})")
    return points


def write_points(points: Points, path: Path) -> None:
    """Write a `.points` file, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    write_whole(msgspec.json.encode(points), path, error=DataError)


@cache
def _session(kind: poses.Kind, what: Literal["finder", "pose"]) -> InferenceSession:
    make = poses.finder if what == "finder" else poses.pose
    return open_session(make(kind).SerializeToString(), f"{kind} {what}")


def _turned(about_x: float, about_y: float) -> NDArray[np.float32]:
    """Return a rotation matrix, `[3, 3]`: first about one axis, then about the other."""
    (cx, sx), (cy, sy) = ((np.cos(angle), np.sin(angle)) for angle in (about_x, about_y))
    one = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    other = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.asarray(one @ other, np.float32)
