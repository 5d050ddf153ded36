"""The small network of `edges`: what it computes, from any picture, and which files it takes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from edge.sources.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features import Features
from trainer.features.edges import FILE, MAX_BYTES, SIDE, STEPS, edges, load_weights


@pytest.fixture(scope="module")
def features():
    return Features("edges", edges())


@pytest.fixture(scope="module")
def image():
    return draw("palm", Scene.random(3, (320, 240)), 0)


def likeness(one, other):
    """The cosine between two rows of features."""
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def convolve(x, filters, biases, step):
    x = np.pad(x, ((0, 0), (step.pad, step.pad), (step.pad, step.pad)))
    k = step.kernel
    windows = sliding_window_view(x, (k, k), (1, 2))[:, :: step.stride, :: step.stride]
    return np.einsum("cyxij,ocij->oyx", windows, filters) + biases[:, None, None]


def in_numpy(image):
    """The same features, written out plainly."""
    height, width = image.shape[:2]
    rows = np.floor((np.arange(SIDE) + 0.5) * height / SIDE - 0.5).clip(0).astype(int)
    columns = np.floor((np.arange(SIDE) + 0.5) * width / SIDE - 0.5).clip(0).astype(int)
    x = np.moveaxis(image[rows][:, columns], -1, 0).astype(np.float32)
    arrays = load_weights()
    for name, step in STEPS.items():
        total = convolve(x, arrays[f"{name}.filters"], arrays[f"{name}.biases"], step)
        if step.kind == "linear":
            break
        x = np.maximum(total + x if step.kind == "residual" else total, 0)
    share = np.exp(total - total.max())
    share /= share.sum()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    about = np.einsum("cijyx,yx->cij", sliding_window_view(padded, (6, 6), (1, 2)), share[0])
    thirds = x.reshape(64, 3, 2, 3, 2).mean((2, 4))
    return np.concatenate([about.ravel(), thirds.ravel()])


@pytest.mark.parametrize("size", [(240, 320), (88, 88), (50, 70)])
def test_the_graph_computes_what_plain_numpy_does(features, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = in_numpy(image)
    np.testing.assert_allclose(features(image), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 640), (640, 1), (3, 5), (37, 101), (480, 640)])
def test_any_picture_becomes_1152_finite_numbers(features, size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    row = features(image)
    assert row.shape == (1152,)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()


@pytest.mark.parametrize("label", ["palm", "fist", "point"])
def test_features_depend_on_what_is_seen_not_on_the_cameras_resolution(features, label):
    rows = [features(draw(label, Scene.random(3, size), 0)) for size in SIZES]
    other = features(draw(label, Scene.random(4, SIZES[1]), 0))
    for row in rows:
        assert likeness(row, rows[1]) > 0.97
        assert likeness(row, rows[1]) > likeness(row, other)


SIZES = [(160, 120), (320, 240), (640, 480)]


def test_the_same_picture_always_gives_the_same_numbers(features, image):
    again = Features("edges", edges())
    np.testing.assert_array_equal(features(image), again(image))
    assert edges().SerializeToString() == edges().SerializeToString()


def test_what_is_at_the_hand_hardly_cares_where_the_hand_is(features):
    rng = np.random.default_rng(0)
    wall = rng.normal(120, 4, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    hand = draw("palm", Scene.random(3, (320, 240)), 0)[40:200, 80:240]
    left, right = wall.copy(), wall.copy()
    left[40:200, 20:180] = hand
    right[40:200, 136:296] = hand
    here, there = features(left), features(right)
    assert likeness(here[:576], there[:576]) > likeness(here[576:], there[576:])


def test_the_weights_are_a_small_file():
    assert FILE.stat().st_size < MAX_BYTES


def save(path, **changed):
    arrays = {k: v.astype(np.float16) for k, v in load_weights().items()} | changed
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


@pytest.mark.parametrize(
    "changed",
    [
        {"stem.filters": None},
        {"extra": np.zeros(3, np.float16)},
        {"stem.biases": np.zeros(17, np.float16)},
        {"stem.biases": np.zeros(16)},
        {"stem.biases": np.full(16, np.nan, np.float16)},
        {"stem.biases": np.array([{}] * 16, object)},
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, changed):
    with pytest.raises(DataError, match="learn_edges"):
        load_weights(save(tmp_path / "edges.npz", **changed))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all", None])
def test_damaged_weights_are_refused(tmp_path, content):
    whole = FILE.read_bytes()
    file = tmp_path / "edges.npz"
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(DataError, match="damaged"):
        load_weights(file)


def test_any_changed_byte_is_refused_or_changes_nothing_but_numbers(tmp_path):
    whole, file = FILE.read_bytes(), tmp_path / "edges.npz"
    for at in np.random.default_rng(0).integers(0, len(whole), 40):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        file.write_bytes(changed)
        try:
            load_weights(file)
        except DataError:
            continue


def test_missing_and_bloated_weights_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_weights(tmp_path / "edges.npz")
    (tmp_path / "big.npz").write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(DataError):
        load_weights(tmp_path / "big.npz")
