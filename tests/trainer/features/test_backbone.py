"""The pretrained network as a graph: against plain NumPy, and against what is known of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper

from edge.sources.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features import Features
from trainer.features.backbone import HEAD, LITE0, backbone, inverted_residuals, repeat
from trainer.features.weights import load_weights
from trainer.graphs import IR_VERSION, OPSET


@pytest.fixture(scope="module")
def pretrained():
    try:
        return load_weights("backbone")
    except DataError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def state():
    """A state dict of random numbers; names and shapes are those of the published one."""
    rng = np.random.default_rng(0)
    arrays = {}

    def layer(prefix, convolution, normalisation, shape):
        arrays[f"{prefix}{convolution}.weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        for part in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"{prefix}{normalisation}.{part}"] = rng.uniform(0.2, 1.5, shape[0])

    layer("", "_conv_stem", "_bn0", (32, 3, 3, 3))
    channels = 32
    for number, block in enumerate(LITE0):
        inside = channels * block.widen
        if block.widen > 1:
            layer(f"_blocks.{number}.", "_expand_conv", "_bn0", (inside, channels, 1, 1))
        size = (block.kernel, block.kernel)
        layer(f"_blocks.{number}.", "_depthwise_conv", "_bn1", (inside, 1, *size))
        layer(f"_blocks.{number}.", "_project_conv", "_bn2", (block.channels, inside, 1, 1))
        channels = block.channels
    layer("", "_conv_head", "_bn1", (HEAD, channels, 1, 1))
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def numpy_maps(state, image, blocks):
    """Return what the network makes of a square picture, float `[channels, rows, columns]`."""

    def layer(x, prefix, convolution, normalisation, *, stride=1, clipped=True):
        filters = state[f"{prefix}{convolution}.weight"]
        kernel = filters.shape[-1]
        around = max(kernel - stride if x.shape[1] % stride == 0 else kernel - 1, 0)
        pad = (around // 2, around - around // 2)
        windows = sliding_window_view(np.pad(x, ((0, 0), pad, pad)), (kernel, kernel), axis=(1, 2))
        windows = windows[:, ::stride, ::stride]
        depthwise = filters.shape[1] == 1
        x = np.einsum("crsuv,cuv->crs" if depthwise else "crsuv,ocuv->ors", windows,
                      filters[:, 0] if depthwise else filters)  # fmt: skip
        gain, offset, mean, variance = (
            state[f"{prefix}{normalisation}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        x = (x - mean) / np.sqrt(variance + 1e-3) * gain + offset
        return np.clip(x, 0, 6) if clipped else x

    x = layer((image.transpose(2, 0, 1) - 127.0) / 128, "", "_conv_stem", "_bn0", stride=2)
    for number, block in enumerate(LITE0[:blocks]):
        prefix, before = f"_blocks.{number}.", x
        if block.widen > 1:
            x = layer(x, prefix, "_expand_conv", "_bn0")
        x = layer(x, prefix, "_depthwise_conv", "_bn1", stride=block.stride)
        x = layer(x, prefix, "_project_conv", "_bn2", clipped=False)
        if x.shape == before.shape:
            x = x + before
    return x if blocks is not None else layer(x, "", "_conv_head", "_bn1")


def square(side):
    return draw("palm", Scene.random(3, (side, side)), 0)


@pytest.mark.parametrize("side", [34, 48])  # 34 has odd maps, 17 and 9
@pytest.mark.parametrize("blocks", [0, 1, 2, 5, 11, None])
def test_the_graph_computes_what_numpy_does(state, side, blocks):
    expected = numpy_maps(state, square(side), blocks).mean(axis=(1, 2))
    features = Features("backbone", backbone(side, blocks, weights=state))(square(side))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("blocks", "pool", "size"),
    [(11, (1,), 112), (11, (2,), 448), (11, (1, 2), 560), (15, (1,), 192), (None, (1, 3), 12_800)],
)
def test_a_picture_of_any_size_becomes_as_many_numbers(state, blocks, pool, size):
    features = Features("backbone", backbone(96, blocks, pool, state))
    for height, width in [(1, 1), (3, 50), (60, 80)]:
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        row = features(image)
        assert row.shape == (size,)
        assert row.dtype == np.float32
        assert np.isfinite(row).all()


def test_quarters_average_to_the_whole_and_keep_where_things_are(state):
    features = Features("backbone", backbone(128, 11, (1, 2), state))
    row = features(square(128))
    whole, quarters = row[:112], row[112:].reshape(112, 2, 2)
    np.testing.assert_allclose(quarters.mean(axis=(1, 2)), whole, rtol=1e-4, atol=1e-5)
    maps = numpy_maps(state, square(128), 11)
    np.testing.assert_allclose(quarters[:, 0, 1], maps[:, :4, 4:].mean(axis=(1, 2)), atol=1e-3)


@pytest.mark.parametrize("options", [{"blocks": 17}, {"blocks": -1}, {"pool": (9,)}])
def test_what_is_not_there_is_refused(state, options):
    with pytest.raises(ValueError, match=r"there are 16|has 8 places"):
        backbone(128, weights=state, **options)


@pytest.mark.parametrize("int8", [False, True])
def test_only_standard_operators_of_the_pinned_versions(state, int8):
    model = backbone(64, 4, (1, 2), state, int8_weights=int8)
    assert model.ir_version == IR_VERSION
    assert {(o.domain, o.version) for o in model.opset_import} == {("", OPSET)}
    assert {node.domain for node in model.graph.node} == {""}
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert [side.dim_value for side in image.type.tensor_type.shape.dim] == [0, 0, 3]


def numbers(model):
    """How many filters' numbers, and how many biases, a graph holds."""
    arrays = [numpy_helper.to_array(constant) for constant in model.graph.initializer]
    names = [constant.name for constant in model.graph.initializer]
    return tuple(
        sum(array.size for name, array in zip(names, arrays, strict=True) if name.endswith(end))
        for end in (".weights", ".bias")
    )


def test_it_has_as_many_parameters_as_were_published(state):
    """4,652,008, of which 1281 x 1000 are its classifier's; normalisation has 2 a channel."""
    filters, biases = numbers(backbone(224, None, weights=state))
    assert filters + 2 * biases + 1281 * 1000 == 4_652_008


def test_the_benchmarks_mobilenet_has_as_many_parameters_as_were_published():
    """410,208 without classifier in Keras, which counts 4 a channel for normalisation."""
    path = Path(__file__).parents[3] / "benchmarks" / "usual_recipe.py"
    spec = importlib.util.spec_from_file_location("usual_recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    model = recipe.mobilenet_v2()
    filters, biases = numbers(model)
    assert filters + 4 * biases == 410_208
    row = Features("mobilenet", model)(square(100))
    assert row.shape == (1280,)
    assert 0.01 < row.std() < 100  # alive, if senseless


def test_int8_filters_are_within_half_a_step_and_a_third_of_the_size():
    rng = np.random.default_rng(0)
    filters = {}

    def random(name, shape):
        filters[name] = rng.normal(0, 1, shape), rng.normal(0, 1, shape[0])
        return filters[name]

    model = inverted_residuals(
        repeat(3, 6, 64, 3, 2), random, stem=32, head=128, side=32, int8_weights=True
    )
    stored = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    for name in ("0.widen", "2.narrow", "head"):
        steps, scale = stored[f"{name}.weights.steps"], stored[f"{name}.weights.scale"]
        assert steps.dtype == np.int8
        assert (np.abs(steps).max(axis=1) == 127).all()
        assert (np.abs(steps * scale - filters[name][0]) <= 0.501 * scale).all()
    assert len(model.SerializeToString()) < 4 * sum(w.size for w, _ in filters.values()) / 3


def test_int8_weights_hardly_change_the_features(pretrained):
    plain = Features("backbone", backbone(weights=pretrained))
    small = Features("backbone", backbone(weights=pretrained, int8_weights=True))
    rows = [
        (plain(image), small(image))
        for number, label in enumerate(["palm", "fist", "background", "vsign"])
        for image in [draw(label, Scene.random(number, (160, 120)), number)]
    ]
    exact, off = np.array(rows).transpose(1, 0, 2)
    assert np.linalg.norm(off - exact) < 0.1 * np.linalg.norm(exact)


def test_a_camera_of_twice_the_resolution_sees_nearly_the_same(pretrained):
    features = Features("backbone", backbone(weights=pretrained))
    fine = draw("palm", Scene.random(1, (640, 480)), 3)
    coarse = cv2.resize(fine, (320, 240), interpolation=cv2.INTER_AREA)
    one, other = features(fine), features(coarse)
    assert np.linalg.norm(one - other) < 0.1 * np.linalg.norm(one)


def test_pretrained_features_tell_gestures_from_light(pretrained):
    features = Features("backbone", backbone(weights=pretrained))
    scene = Scene.random(1, (320, 240))
    fist, palm = (draw(label, scene, 0) for label in ("fist", "palm"))
    dim = (palm * 0.8).astype(np.uint8)
    row = features(palm)
    assert np.linalg.norm(row - features(fist)) > 1.5 * np.linalg.norm(row - features(dim))
