"""The model file: it computes what NumPy does, says what it is, and is whole or not there."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest

import edge.card
import trainer.export
from edge.card import Thresholds
from edge.classifier import Classifier
from edge.errors import HandwaveError, ModelError
from edge.pictures import read_picture
from edge.sources.virtual import Scene, draw
from trainer.calibrate import Strangeness
from trainer.dataset import read_dataset
from trainer.errors import ExportError
from trainer.export import AGREEMENT, export
from trainer.features import make_features
from trainer.graphs import IR_VERSION, OPSET
from trainer.network import Network
from trainer.recipe import teach

SIZES = [(64, 48), (48, 64), (160, 120), (641, 37), (16, 16), (320, 240)]


def relearned(taught, *, temperature=None, **parts):
    """The same, but with another network, or another idea of what is strange."""
    learned = replace(taught.learned, **parts)
    return replace(taught, learned=learned, temperature=temperature or taught.temperature)


@pytest.fixture(scope="module")
def classifier(model):
    return Classifier(model)


def numpy_says(taught, image):
    row = taught.features(image)[None]
    return taught.probabilities(row)[0], float(taught.novelty(row)[0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("label", ["background", "palm"])
def test_onnxruntime_says_what_numpy_says(taught, classifier, size, label):
    image = draw(label, Scene.random(9, size), 1)
    probabilities, novelty = classifier.run(image)
    expected, strange = numpy_says(taught, image)
    assert np.abs(probabilities - expected).max() < 1e-5
    assert novelty == pytest.approx(strange, rel=1e-4)
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (3,)


def test_it_says_what_numpy_says_to_every_picture_it_was_taught(taught, classifier):
    for picture in taught.described.dataset.pictures:
        image = read_picture(picture.path)
        probabilities, _ = classifier.run(image)
        assert np.abs(probabilities - numpy_says(taught, image)[0]).max() < 1e-5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (2, 3)])
def test_tiny_pictures_have_finite_answers(classifier, height, width):
    probabilities, novelty = classifier.run(np.full((height, width, 3), 99, np.uint8))
    assert np.isfinite([*probabilities, novelty]).all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("biases", [True, False])
def test_every_kind_of_network_can_be_exported(taught, tmp_path, activation, biases):
    network = Network(
        taught.learned.network.sizes[0], 5, 3, activation=activation, biases=biases, seed=1
    )
    for name in ("b1", "b2") if biases else ():
        network.parameters[name][:] = np.random.default_rng(0).standard_normal()
    rows = taught.learned.scaler(taught.described.rows[:, 0])
    strangeness = Strangeness.of(network.hidden(rows), taught.described.targets)
    other = relearned(taught, network=network, strangeness=strangeness, temperature=0.7)
    export(other, tmp_path / "m.onnx")
    image = draw("fist", Scene.random(2, (64, 48)), 0)
    got, _ = Classifier(tmp_path / "m.onnx").run(image)
    assert np.abs(got - numpy_says(other, image)[0]).max() < 1e-5


@pytest.mark.parametrize("hidden", [1, 300])
def test_pixels_and_few_or_many_hidden_units(data, tmp_path, quick, hidden):
    taught = teach(read_dataset(data), make_features("pixels"), hidden=hidden)
    card = export(taught, tmp_path / "m.onnx")
    assert card.training.features == "pixels"
    assert card.training.hidden == hidden
    assert Classifier(tmp_path / "m.onnx").labels == ("background", "fist", "palm")


def test_pictures_of_nothing_can_be_exported(tmp_path, save_picture, edges, quick):
    for label in ("a", "b"):
        for session in ("1", "2"):
            path = tmp_path / "data" / label / session / "0.jpg"
            save_picture(path, np.zeros((20, 30, 3), np.uint8))
    export(teach(read_dataset(tmp_path / "data"), edges), tmp_path / "m.onnx")
    Classifier(tmp_path / "m.onnx")


def test_more_labels_than_golden_frames(make_data, save_picture, tmp_path, quick):
    root = tmp_path / "data"
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    for number, image in enumerate(noise):
        save_picture(root / f"g{number}" / "s" / "0.jpg", image)
    card = export(teach(read_dataset(root), make_features("pixels")), tmp_path / "m.onnx")
    assert len(card.labels) == 12
    assert 1 <= len(card.golden) < 12
    assert [golden.label for golden in card.golden] == card.labels[: len(card.golden)]


# --- What is in it


def test_it_is_a_standard_model_of_the_pinned_versions(model):
    file = onnx.load(model)
    onnx.checker.check_model(file, full_check=True)
    assert file.ir_version == IR_VERSION
    assert {(o.domain, o.version) for o in file.opset_import} == {("", OPSET)}
    assert all(node.domain in ("", "ai.onnx") for node in file.graph.node)
    assert not any(tensor.external_data for tensor in file.graph.initializer)
    assert [i.name for i in file.graph.input] == ["image"]
    assert [o.name for o in file.graph.output] == ["probabilities", "novelty"]


def test_it_stays_small(taught, tmp_path):
    """Under 2 MB with edges and the hidden units that `trainer train` takes by default."""
    inputs = taught.learned.network.sizes[0]
    network = Network(inputs, 64, 3)
    hidden = network.hidden(taught.learned.scaler(taught.described.rows[:, 0]))
    strangeness = Strangeness.of(hidden, taught.described.targets)
    path = tmp_path / "m.onnx"
    export(relearned(taught, network=network, strangeness=strangeness), path)
    assert path.stat().st_size < 2_000_000


def test_the_card_says_everything(taught, model, classifier):
    card = classifier.card
    assert card.labels == ["background", "fist", "palm"]
    assert card.camera.size == (64, 48)
    assert card.thresholds == taught.thresholds
    training = card.training
    assert (training.features, training.hidden, training.seed) == ("edges", 16, 4)
    assert training.pictures == dict.fromkeys(card.labels, 12)
    assert training.sessions == dict.fromkeys(card.labels, 3)
    assert training.accuracy == pytest.approx(taught.held_out.accuracy, abs=1e-4)
    assert "36 pictures" in training.measured_on
    assert "not trained on" in training.measured_on
    assert training.temperature == pytest.approx(taught.temperature, abs=1e-4)
    assert [golden.label for golden in card.golden] == card.labels
    for golden in card.golden:
        assert sum(golden.probabilities) == pytest.approx(1, abs=1e-5)
        assert max(golden.size) <= 128


def test_without_held_out_sessions_the_card_claims_no_accuracy(taught, tmp_path):
    card = export(replace(taught, held_out=None), tmp_path / "m.onnx")
    assert card.training.accuracy is None
    assert card.training.measured_on.startswith("nothing")


def test_the_card_says_how_the_pictures_were_taken(taught, tmp_path):
    light = edge.card.Camera(size=(1, 1), white_balance="daylight", horizontal_flip=True)
    dataset = replace(taught.described.dataset, taken=light)
    described = replace(taught.described, dataset=dataset)
    camera = export(replace(taught, described=described), tmp_path / "m.onnx").camera
    assert camera == msgspec.structs.replace(light, size=(64, 48))


@pytest.mark.parametrize(("size", "asked"), [((64, 48), (64, 48)), ((101, 77), (100, 76))])
def test_the_camera_is_asked_for_the_pictures_size_in_even_pixels(taught, tmp_path, size, asked):
    described = replace(taught.described, size=size)
    card = export(replace(taught, described=described), tmp_path / "m.onnx")
    assert card.camera.size == asked


def test_exporting_twice_gives_the_same_bytes(taught, model, tmp_path):
    export(taught, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == model.read_bytes()


def test_others_may_read_it(model):
    """The Pi's service is another user than the one who taught the model."""
    assert stat.S_IMODE(model.stat().st_mode) == 0o644


# --- Whole, or not there


def disk_full(_handle):
    raise OSError(28, "No space left on device")


def refuse(_path):
    raise ModelError("disagrees with its golden frame")


def wrong_temperature(taught):
    return _head(replace(taught, temperature=taught.temperature * 1.5))


def wrong_novelty(taught):
    centres = taught.learned.strangeness.centres + np.float32(0.1)
    return _head(
        relearned(taught, strangeness=replace(taught.learned.strangeness, centres=centres))
    )


def swapped_classes(taught):
    network = taught.learned.network.copy()
    for name in ("W2", "b2"):
        network.parameters[name] = network.parameters[name][..., ::-1].copy()
    return _head(relearned(taught, network=network))


_head = trainer.export._head

FAILURES = {
    "disk full": (os, "fsync", disk_full, ExportError),
    "golden": (trainer.export, "Classifier", refuse, ModelError),
    "temperature": (trainer.export, "_head", wrong_temperature, ExportError),
    "novelty": (trainer.export, "_head", wrong_novelty, ExportError),
    "classes": (trainer.export, "_head", swapped_classes, ExportError),
}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_leaves_what_was_there(taught, tmp_path, monkeypatch, failure, there):
    path = tmp_path / "m.onnx"
    if there:
        path.write_bytes(b"the old model")
    module, name, instead, kind = FAILURES[failure]
    monkeypatch.setattr(module, name, instead)
    with pytest.raises(kind) as caught:
        export(taught, path)
    assert isinstance(caught.value, HandwaveError)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == (["m.onnx"] if there else [])
    if there:
        assert path.read_bytes() == b"the old model"


def test_ctrl_c_while_writing_leaves_what_was_there(taught, tmp_path, monkeypatch):
    def pressed(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", pressed)
    with pytest.raises(KeyboardInterrupt):
        export(taught, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_a_file_is_one_line(taught, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name in ("missing/m.onnx", "file/m.onnx", "folder"):
        with pytest.raises(ExportError, match="cannot be written"):
            export(taught, tmp_path / name)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder"}
    assert list((tmp_path / "folder").iterdir()) == []


def test_an_unwritable_folder_is_one_line(taught, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="cannot be written"):
        export(taught, tmp_path / "m.onnx")
    tmp_path.chmod(0o700)


def test_an_old_model_is_replaced_as_a_whole(taught, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old" * 10**6)
    with path.open("rb") as reader:  # who has it open keeps reading the old one
        export(taught, path)
        assert reader.read(3) == b"old"
    Classifier(path)


def test_thresholds_out_of_order_are_found_before_anything_is_written(taught, tmp_path):
    wrong = replace(taught, thresholds=Thresholds(enter=0.4, leave=0.6, novelty=2.0))
    with pytest.raises(ModelError, match="thresholds out of order"):
        export(wrong, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_agreement_is_as_strict_as_promised():
    assert AGREEMENT <= 1e-5
    assert edge.card.TOLERANCE <= 1e-3
