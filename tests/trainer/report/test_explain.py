"""What a network looks at, asked of networks that look where they are told to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.classifier import Classifier
from edge.pictures import read_picture
from trainer.dataset import Dataset, Picture
from trainer.evidence import Evidence
from trainer.report.explain import COLOURS, colour, hidden_pictures, occlusion, pick_examples


def corner(row, column, *, side=64, cell=8):
    """Return something that only looks whether a cell of a dark picture is bright."""

    def run(image):
        part = image[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        bright = float(part.mean()) / 255
        return np.array([1 - bright, bright], np.float32)

    image = np.zeros((side, side, 3), np.uint8)
    image[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 255
    return run, image


@pytest.mark.parametrize("place", [(0, 0), (3, 5), (7, 7)])
def test_hiding_what_is_looked_at_is_what_hurts(place):
    run, image = corner(*place)
    heat = occlusion(run, image, 1)
    assert heat.shape == (8, 8)
    assert heat[place] == heat.max() > 0.9
    far = np.abs(np.indices((8, 8)) - np.array(place)[:, None, None]).max(axis=0) > 1
    assert np.all(heat[far] == 0)


def test_what_is_gained_elsewhere_is_negative():
    run, image = corner(3, 5)
    np.testing.assert_allclose(occlusion(run, image, 0), -occlusion(run, image, 1), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 50, 3), (48, 64, 3)])
@pytest.mark.parametrize("grid", [1, 8])
def test_every_pixel_of_any_picture_is_hidden_once_and_the_picture_stays(shape, grid):
    image = np.full(shape, 10, np.uint8)
    image[0, 0] = 250
    seen = []

    def run(shown):
        seen.append(shown.copy())
        return np.array([0.5])

    before = image.copy()
    occlusion(run, image, 0, grid=grid)
    assert len(seen) == grid * grid + 1
    np.testing.assert_array_equal(image, before)
    full = np.zeros(shape, np.uint8)
    full[:] = np.arange(np.prod(shape)).reshape(shape) % 200 + 50
    hidden = np.zeros(shape[:2], bool)

    def watch(shown):
        hidden[(shown != full).any(axis=2)] = True
        return np.array([0.5])

    occlusion(watch, full, 0, grid=grid)
    assert hidden.mean() > 0.9  # but for pixels that are as grey as the patch


def test_an_absurd_grid_is_refused():
    with pytest.raises(ValueError, match="1 to 32"):
        occlusion(lambda image: np.ones(1), np.zeros((8, 8, 3), np.uint8), 0, grid=500)


def test_an_exported_model_can_be_asked(model, data):
    image = read_picture(data / "fist" / "s0" / "0.jpg")
    classifier = Classifier(model)
    heat = occlusion(lambda shown: classifier.run(shown)[0], image, 1, grid=3)
    assert np.isfinite(heat).all()
    assert np.ptp(heat) > 0


def network(units, classes=3, features=64):
    rng = np.random.default_rng(5)
    return rng.standard_normal((features, units)), rng.standard_normal((units, classes))


def test_the_units_that_matter_most_come_first():
    W1, W2 = network(5)
    W1[:, 3] *= 1000
    W2[1] *= 20
    W1[:, 4] = 0
    rows = np.random.default_rng(0).standard_normal((50, 64))
    found = hidden_pictures(W1, W2, np.ones(64), rows, (8, 8))
    assert [unit.unit for unit in found][:2] == [3, 1]
    assert found[-1].unit == 4
    for unit in found:
        assert unit.towards == W2[unit.unit].argmax()
        assert unit.away == W2[unit.unit].argmin()
    assert len(hidden_pictures(W1, W2, np.ones(64), rows, (8, 8), most=2)) == 2


def test_doubling_a_units_input_and_halving_its_output_changes_nothing():
    W1, W2 = network(4)
    rows = np.random.default_rng(0).standard_normal((50, 64))
    before = hidden_pictures(W1, W2, np.ones(64), rows, (8, 8))
    W1[:, 2] *= 8
    W2[2] /= 8
    after = hidden_pictures(W1, W2, np.ones(64), rows, (8, 8))
    for one, other in zip(before, after, strict=True):
        assert one.unit == other.unit
        np.testing.assert_array_equal(one.image, other.image)


def test_a_unit_that_watches_a_corner_is_drawn_with_that_corner():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 70)) * 0.1
    rows[:, :9] += rng.standard_normal((400, 1))  # the first nine go together
    W1 = np.zeros((70, 2))
    W1[0, 0] = 1  # one of the nine is looked at: all of them excite the unit
    W1[63, 1] = -0.1
    (first, second) = hidden_pictures(W1, np.eye(2), np.ones(70), rows, (8, 8))
    orange = first.image[..., 0].astype(int) - first.image[..., 2]
    assert first.image.shape == (8, 8, 3)
    assert orange.ravel()[:9].min() > 100
    assert np.abs(orange.ravel()[20:]).max() < 60
    assert second.image[7, 7, 2] > second.image[7, 7, 0] + 50  # blue silences


def test_a_map_that_the_features_do_not_hold_is_refused():
    W1, W2 = network(2)
    with pytest.raises(ValueError, match="no map of shape"):
        hidden_pictures(W1, W2, np.ones(64), np.ones((4, 64)), (9, 9))


def test_pictures_that_are_all_the_same_are_drawn_blank():
    W1, W2 = network(2)
    (unit, _) = hidden_pictures(W1, W2, np.ones(64), np.ones((4, 64)), (8, 8))
    assert np.all(unit.image == COLOURS[2].astype(np.uint8))


def test_colours_run_from_blue_over_white_to_orange():
    drawn = colour(np.linspace(-2, 2, 41)[None])[0].astype(int)
    np.testing.assert_array_equal(drawn[0], COLOURS[0])
    np.testing.assert_array_equal(drawn[20], COLOURS[2])
    np.testing.assert_array_equal(drawn[-1], COLOURS[-1])
    warm = drawn[:, 0] - drawn[:, 2]
    assert all(b >= a for a, b in pairwise(warm.tolist()[10:31]))


def test_examples_are_recognised_pictures_of_each_label():
    said = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0.9, 0.1, 0]])
    pictures = [Picture(Path(f"{i}.jpg"), label, "s") for i, label in enumerate("aaabc")]
    evidence = Evidence(
        Dataset(Path(), pictures), np.array([0, 0, 0, 1, 2]), said, np.ones(5), np.ones((5, 2))
    )
    assert pick_examples(evidence) == [2, 3]  # neither the surest nor the least sure; no c
    assert pick_examples(evidence, most=1) == [2]
