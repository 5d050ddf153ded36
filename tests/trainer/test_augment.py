"""Copies of a picture: changed, but still what the same fixed camera could see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import trainer.augment
from trainer.augment import (
    BRIGHTNESS,
    CONTRAST,
    GAMMA,
    NOISE,
    ROTATION,
    SCALE,
    SHIFT,
    TINT,
    augment,
    scramble,
)

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (8, 8), (48, 64), (37, 101), (480, 640)]


def rng(seed=0):
    return np.random.default_rng(seed)


def blob(width=200, height=160, at=(40, 50), radius=12):
    """A bright spot on grey."""
    y, x = np.mgrid[:height, :width]
    inside = (x - at[0]) ** 2 + (y - at[1]) ** 2 < radius**2
    return np.where(inside[..., None], np.uint8(250), np.uint8(60)).repeat(3, axis=2)


def spot(image):
    """Return the bright spot's centre `(x, y)` and its area."""
    grey = image.astype(float).mean(axis=2)
    y, x = np.nonzero(grey > (np.median(grey) + grey.max()) / 2)
    return np.array([x.mean(), y.mean()]), len(x)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_copy_has_the_shape_and_type_of_its_picture(height, width):
    image = rng().integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    copy = augment(image, rng())
    assert copy.shape == image.shape
    assert copy.dtype == np.uint8
    assert copy.flags.c_contiguous
    np.testing.assert_array_equal(image, before)  # the picture itself is left alone


def test_the_same_seed_gives_the_same_bytes_and_another_others(photo):
    assert augment(photo, rng(1)).tobytes() == augment(photo, rng(1)).tobytes()
    assert augment(photo, rng(1)).tobytes() != augment(photo, rng(2)).tobytes()


def test_copies_in_a_row_differ(photo):
    one = rng()
    assert len({augment(photo, one).tobytes() for _ in range(10)}) == 10


def test_a_copy_is_never_mirrored():
    """A spot on the left, above the middle, stays there: left and right are different gestures."""
    image = blob()
    for seed in range(60):
        place, _ = spot(augment(image, rng(seed)))
        assert place[0] < 100


def test_a_copy_is_moved_turned_and_scaled_no_farther_than_said():
    image = blob()
    middle, (before, area) = np.array([100, 80]), spot(image)
    arm = np.linalg.norm(before - middle)
    farthest = (
        arm * (np.radians(ROTATION) + SCALE) + np.linalg.norm(SHIFT * np.array([200, 160])) + 2
    )
    moves, areas = [], []
    for seed in range(60):
        place, size = spot(augment(image, rng(seed)))
        moves.append(np.linalg.norm(place - before))
        areas.append(size / area)
    assert max(moves) <= farthest
    assert max(moves) > farthest / 4  # and it does move
    assert min(areas) >= (1 - SCALE) ** 2 * 0.75
    assert max(areas) <= (1 + SCALE) ** 2 * 1.3
    assert np.ptp(areas) > SCALE


def test_a_copy_is_seen_at_a_slant(monkeypatch):
    """Four corners of a square are those of a parallelogram after any turn and scale; not these."""
    image = np.zeros((240, 240, 3), np.uint8)
    for x, y in ((80, 80), (160, 80), (160, 160), (80, 160)):
        cv2.circle(image, (x, y), 5, (255, 255, 255), -1)
    monkeypatch.setattr(trainer.augment, "_relight", lambda image, _: image)
    bent = []
    for seed in range(20):
        copy = augment(image, rng(seed))[..., 0]
        spots = cv2.connectedComponentsWithStats(np.uint8(copy > 100))[3][1:]
        around = spots - spots.mean(axis=0)
        a, b, c, d = spots[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
        bent.append(np.linalg.norm(a - b + c - d))
    assert np.median(bent) > 1


def test_light_tint_and_noise_stay_within_what_is_said():
    grey = np.full((40, 40, 3), 128, np.uint8)
    low, high = (
        (255 * (128 / 255) ** (GAMMA**way) - 127.5) * (1 + CONTRAST) + 127.5 - way * BRIGHTNESS
        for way in (1, -1)
    )
    means, noises = [], []
    for seed in range(60):
        copy = augment(grey, rng(seed)).astype(float)
        means.append(copy.mean(axis=(0, 1)))
        noises.append(copy.std(axis=(0, 1)).max())
    means = np.array(means)
    assert means.min() >= low * (1 - TINT) - 2
    assert means.max() <= high * (1 + TINT) + 2
    assert np.ptp(means.mean(axis=1)) > (high - low) / 4
    assert max(noises) < NOISE * 1.2
    assert min(noises) < NOISE / 3


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_do_not_wrap_around(value):
    image = np.full((20, 20, 3), value, np.uint8)
    for seed in range(20):
        assert abs(augment(image, rng(seed)).astype(float) - value).max() < (
            255 * TINT + 128 * CONTRAST + BRIGHTNESS + 6 * NOISE
        )


def test_a_scrambled_picture_is_another_of_the_same_size_and_about_the_same_light():
    image = blob()
    copies = [scramble(image, rng(seed)) for seed in range(20)]
    assert {copy.shape for copy in copies} == {image.shape}
    assert {copy.dtype for copy in copies} == {np.dtype(np.uint8)}
    assert all(abs(copy.astype(int) - image).mean() > 1 for copy in copies)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 200)])
def test_the_smallest_pictures_can_be_scrambled(size):
    image = np.full((*size, 3), 90, np.uint8)
    for seed in range(10):
        assert scramble(image, rng(seed)).shape == image.shape
