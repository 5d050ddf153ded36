"""Features: graphs from any picture to numbers that depend on what is seen, not on the camera."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest

from edge.errors import HandwaveError
from edge.sources.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features import KINDS, candidates, join, make_features
from trainer.features.subjects import SUBJECTS
from trainer.graphs import IR_VERSION, OPSET, parse_model

SIZES = [(1, 1), (8, 8), (1, 640), (640, 1), (3, 5), (37, 101), (48, 64), (480, 640)]


@pytest.fixture(scope="module", params=sorted(KINDS.keys() - SUBJECTS.keys()))  # test_poses.py
def features(request):
    return make_features(request.param)


def away(one, other):
    """How far two rows of features are apart, of their own size."""
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.fixture(scope="module")
def scene():
    return Scene.random(1, (320, 240))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_picture_becomes_as_many_finite_numbers(features, height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    row = features(image)
    assert row.shape == (features.size,)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_picture_of_nothing_is_finite_too(features, value):
    assert np.isfinite(features(np.full((30, 40, 3), value, np.uint8))).all()


def test_a_view_of_a_picture_is_as_good_as_a_copy(features, photo):
    mirrored = photo[:, ::-1]
    np.testing.assert_array_equal(features(mirrored), features(mirrored.copy()))
    assert away(features(mirrored), features(photo)) > 0.05  # left is not right


@pytest.mark.parametrize("label", ["background", "palm", "fist"])
@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0), (0.7, 40), (1.0, -20)])
def test_light_and_contrast_change_edges_less_than_pixels(scene, label, gain, offset):
    image = np.clip(draw(label, scene, 0), 30, 220)
    lit = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
    edges, pixels = make_features("edges"), make_features("pixels")
    changed = away(edges(image), edges(lit))
    assert changed < 0.3  # gestures are 1.1 apart
    assert changed < 0.8 * away(pixels(image), pixels(lit))


def test_edges_of_two_gestures_are_farther_apart_than_of_one_in_two_lights(scene):
    edges = make_features("edges")
    fist, palm = (draw(label, scene, 0) for label in ("fist", "palm"))
    dim = (palm * 0.6).astype(np.uint8)
    assert away(edges(palm), edges(fist)) > 3 * away(edges(palm), edges(dim))


@pytest.mark.parametrize("label", ["palm", "background"])
def test_a_camera_of_twice_the_resolution_sees_nearly_the_same(features, scene, label):
    fine = draw(label, scene, 3)  # 320 x 240
    coarse = cv2.resize(fine, (160, 120), interpolation=cv2.INTER_AREA)
    nearly = 0.2 if features.name == "edges" else 0.1  # it picks pixels where others average
    assert away(features(fine), features(coarse)) < nearly
    finest = cv2.resize(fine, (640, 480), interpolation=cv2.INTER_LINEAR)
    assert away(features(fine), features(finest)) < nearly


def test_fine_stripes_average_out_and_do_not_alias():
    """Every fourth column is bright: a resize without antialiasing would see bars or nothing."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::4] = 255
    for shift in range(4):
        seen = make_features("pixels")(np.roll(stripes, shift, axis=1)).reshape(32, 32)
        np.testing.assert_allclose(seen[:, 1:-1], 255 / 4 / 127.5 - 1, atol=0.05)


def test_a_kind_has_the_name_it_was_asked_for_by(features):
    assert make_features(features.name).name == features.name


def test_joined_kinds_say_what_each_says():
    image = draw("palm", Scene.random(3, (160, 120)), 0)
    pixels, edges = make_features("pixels"), make_features("edges")
    joined = make_features("edges+pixels")
    assert [part.name for part in joined.parts] == ["edges", "pixels"]
    expected = np.concatenate([edges(image), pixels(image)])
    np.testing.assert_allclose(joined(image), expected, atol=1e-6)


def test_a_kind_joined_with_itself_is_refused():
    with pytest.raises(DataError, match="twice"):
        make_features("edges+edges")


def test_auto_chooses_among_the_kinds_there_are():
    kinds, missing = candidates()
    assert {"pixels", "edges"} <= {kind.name for kind in kinds}
    assert any("features fetch hand" in reason for reason in missing)


def test_auto_does_without_weights_that_are_not_here(monkeypatch):
    def nothing():
        raise DataError("backbone: its weights are not here")

    monkeypatch.setitem(KINDS, "backbone", nothing)
    kinds, missing = candidates()
    assert [kind.name for kind in kinds] == ["pixels", "edges"]
    assert missing[0] == "backbone: its weights are not here"


def test_an_embedding_of_ones_own_is_used(tmp_path):
    onnx.save(make_features("pixels").model, tmp_path / "mine.onnx")
    mine = make_features(str(tmp_path / "mine.onnx"))
    assert (mine.name, mine.size) == ("mine", 1024)


def test_an_embedding_beside_a_kind_and_with_names_of_ours_inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = parse_model(
        """features (uint8[height, width, 3] image) => (float[n] features) {
        wide = Cast <to = 1> (image)
        probabilities = ReduceMean <keepdims = 0> (wide, axes)
        features = Reshape (probabilities, flat)
        }""",
        {"axes": np.array([0, 1]), "flat": np.array([-1])},
    )
    onnx.save(model, "mine.onnx")
    for name in ("edges+mine.onnx", "mine.onnx+edges"):
        assert make_features(name).size == make_features("edges").size + 3
    mine = make_features("mine.onnx")
    assert "probabilities" not in {name for node in mine.model.graph.node for name in node.output}


def test_an_embedding_that_grows_with_the_picture_is_refused(tmp_path):
    text = """features (uint8[height, width, 3] image) => (float[n] features) {
        wide = Cast <to = 1> (image)
        features = Reshape (wide, flat)
    }"""
    onnx.save(parse_model(text, {"flat": np.array([-1])}), tmp_path / "mine.onnx")
    with pytest.raises(DataError, match="as many numbers as a picture is large"):
        make_features(str(tmp_path / "mine.onnx"))


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_what_is_no_embedding_is_one_line(tmp_path, content):
    path = tmp_path / "mine.onnx"
    if content is None:
        model = make_features("pixels").model
        other = onnx.ModelProto()
        other.CopyFrom(model)
        other.graph.node[0].input[0] = other.graph.input[0].name = "picture"
        content = other.SerializeToString()
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.onnx") as caught:
        make_features(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["edgs", "", "EDGES", "../x"])
def test_an_unknown_kind_is_one_line(name):
    with pytest.raises(DataError, match="--features") as caught:
        make_features(name)
    assert "\n" not in str(caught.value)
    assert "edges" in str(caught.value)
    assert isinstance(caught.value, HandwaveError)


def test_a_misspelt_kind_has_a_suggestion():
    with pytest.raises(DataError, match="did you mean 'pixels'"):
        make_features("pixel")


def test_only_standard_operators_of_the_pinned_versions(features):
    model = features.model
    assert model.ir_version == IR_VERSION
    assert {(o.domain, o.version) for o in model.opset_import} == {("", OPSET)}
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    onnx.checker.check_model(model, full_check=True)


def test_the_pinned_versions_are_what_onnxruntime_1_16_loads():
    """docs/decisions/0002-onnx-versions.md: opset 19 and IR 9 are the newest that it knows."""
    assert OPSET <= 19
    assert IR_VERSION <= 9


def test_the_input_is_a_picture_of_any_size(features):
    (image,) = features.model.graph.input
    assert image.name == "image"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = image.type.tensor_type.shape.dim
    assert [side.dim_value for side in sides] == [0, 0, 3]


def test_joined_kinds_never_seem_quicker_than_one_of_them(monkeypatch):
    """Else a busy moment of this machine would have the dearer one look cheaper."""
    pixels, edges = make_features("pixels"), make_features("edges")
    both = join([pixels, edges])
    times = {"pixels": 3.0, "edges": 1.0, "pixels+edges": 2.0}
    monkeypatch.setattr(type(both), "_seconds", lambda kind, _: times[kind.name] / 1000)
    assert both.milliseconds == 3.0
