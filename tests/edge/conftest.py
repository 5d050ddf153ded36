"""What the tests of `edge` share: a small real model, pictures, and clean process-wide state."""

from __future__ import annotations

import logging
import shutil
from types import SimpleNamespace

import gpiozero
import numpy as np
import pytest
from PIL import Image

from trainer.dataset import read_dataset
from trainer.export import export
from trainer.features import make_features
from trainer.recipe import teach

LABELS = ("background", "palm", "rock")
SIZE = (64, 48)  # (width, height)


def draw(label, seed=0):
    """A picture nobody can mistake: rock is bright on the left, palm on the right."""
    width, height = SIZE
    rng = np.random.default_rng([seed, LABELS.index(label)])
    image = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    if label == "rock":
        image[:, : width // 2] += 180
    elif label == "palm":
        image[:, width // 2 :] += 180
    return image


def fill(folder, sessions=3, each=4, seed=0):
    """Write `folder/<label>/<session>/<picture>.png`."""
    for label in LABELS:
        for session in range(sessions):
            place = folder / label / f"s{session}"
            place.mkdir(parents=True)
            for number in range(each):
                image = draw(label, seed + 100 * session + number)
                Image.fromarray(image).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def pattern():
    """The function that draws a picture of a label."""
    return draw


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    """A model taught from pictures, once for all tests: its path, bytes and card."""
    folder = tmp_path_factory.mktemp("taught")
    dataset = read_dataset(fill(folder / "data"))
    path = folder / "model.onnx"
    card = export(teach(dataset, make_features("pixels"), hidden=8), path)
    return SimpleNamespace(path=path, content=path.read_bytes(), card=card)


@pytest.fixture
def model(taught, tmp_path):
    """A copy of the taught model that a test may damage."""
    return shutil.copy(taught.path, tmp_path / "model.onnx")


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Pictures that the model has not seen: 20 in a row of each label."""
    return fill(tmp_path_factory.mktemp("clips") / "data", sessions=1, each=20, seed=5000)


@pytest.fixture
def project(model, tmp_path):
    """A folder with an edge.toml and its model; the rock lights GPIO17, the palm sounds GPIO22."""
    toml = tmp_path / "edge.toml"
    toml.write_text("[when.rock]\nled = 17\n[when.palm]\nbuzzer = 22\n")
    return toml


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch):
    """Undo what a command leaves behind in its process: log handlers and pins."""
    root = logging.getLogger()
    handlers, factory = root.handlers[:], gpiozero.Device.pin_factory
    yield
    root.handlers[:] = handlers
    if gpiozero.Device.pin_factory is not None:
        gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = factory
