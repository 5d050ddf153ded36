"""One small set of drawn pictures and one network taught from it, shared by all tests here."""

from __future__ import annotations

import logging

import PIL.Image
import pytest

import trainer.learn
import trainer.recipe
from edge.sources.virtual import Scene, draw
from trainer.cache import cache_folder
from trainer.dataset import read_dataset
from trainer.export import export
from trainer.features import make_features
from trainer.features.weights import PACKAGES

SIZE = (64, 48)
LABELS = ("background", "fist", "palm")


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path, **({"quality": 92} | options))
    return path


def draw_data(root, *, labels=LABELS, sessions=3, pictures=4, rooms=None, size=SIZE):
    """Save `root/<label>/s<session>/<picture>.jpg`, each session in a drawn room of its own."""
    for session in range(sessions):
        scene = Scene.random(rooms[session] if rooms else session, size)
        for label in labels:
            for number in range(pictures):
                path = root / label / f"s{session}" / f"{number}.jpg"
                save(path, draw(label, scene, pictures * session + number))
    return root


@pytest.fixture(autouse=True)
def root_logger_left_alone():
    """The command sets logging up, as a command may."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


MEDIAPIPE = cache_folder() / "-".join(PACKAGES["hand"][:2])
"""Where `make test` has fetched weights to; read before the tests have a cache of their own."""


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory, monkeypatch):
    """Nothing is taken from the developer's cache, nor left there; nothing is fetched."""
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture(scope="session")
def mediapipe(tmp_path_factory):
    """A cache with MediaPipe's weights in it, and nothing else."""
    if not (MEDIAPIPE / "hand_landmark_lite.tflite").is_file():
        pytest.skip("MediaPipe's weights are not here: trainer features fetch hand")
    cache = tmp_path_factory.mktemp("mediapipe")
    (cache / MEDIAPIPE.name).symlink_to(MEDIAPIPE)
    return cache


@pytest.fixture(scope="session")
def real_kind(mediapipe):
    """Return a function that makes features with MediaPipe's weights."""

    def make(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HANDWAVE_CACHE", str(mediapipe))
            return make_features(name)

    return make


@pytest.fixture
def hands(mediapipe, monkeypatch):
    """MediaPipe's weights are in the cache."""
    monkeypatch.setenv("HANDWAVE_CACHE", str(mediapipe))


@pytest.fixture
def make_data(tmp_path):
    """Draw a data folder: `make_data(labels=..., sessions=...)`."""

    def make(name="data", **options):
        return draw_data(tmp_path / name, **options)

    return make


@pytest.fixture
def save_picture():
    return save


@pytest.fixture
def quick(monkeypatch):
    """Let `teach` be short: what it learns does not matter."""
    monkeypatch.setattr(trainer.recipe, "COPIES", 1)
    monkeypatch.setattr(trainer.learn, "EPOCHS", 4)
    monkeypatch.setattr(trainer.learn, "STEPS", 0)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Three labels in three rooms; nobody may change it."""
    return draw_data(tmp_path_factory.mktemp("drawn") / "data")


@pytest.fixture(scope="session")
def edges():
    return make_features("edges")


@pytest.fixture(scope="session")
def taught(data, edges):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.recipe, "COPIES", 3)
        return trainer.recipe.teach(read_dataset(data), edges, hidden=16, seed=4)


@pytest.fixture(scope="session")
def model(taught, tmp_path_factory):
    """The path of the exported network; nobody may change it."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export(taught, path)
    return path


@pytest.fixture
def photo():
    """A drawn palm, uint8 `[48, 64, 3]`."""
    return draw("palm", Scene.random(0, SIZE), 0)
