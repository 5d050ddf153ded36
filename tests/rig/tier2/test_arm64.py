"""Tier 2: the model in the very onnxruntime and NumPy that a 64-bit Pi installs, under qemu."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge import Classifier
from edge.frame import Frame
from edge.pictures import read_picture

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CANNOT = 3  # how wheels.py says that this machine cannot have them


@pytest.fixture(scope="module")
def arm64():
    """Return a function that runs the arm64 Python with some words."""
    command = [sys.executable, str(HERE / "wheels.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    tree = folder / "arm64"
    path = f"PYTHONPATH={ROOT}:{tree}/opt/site"
    start = [folder / "qemu", "-L", tree, "-E", f"PYTHONHOME={tree}/usr", "-E", path]

    def run(*words):
        command = [*start, tree / "usr/bin/python3.13", *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def project(model, shown, tmp_path):
    shutil.copy(model, tmp_path)
    (tmp_path / "edge.toml").write_text("[when.palm]\nled = 17\n")
    shown(tmp_path / "show", "background", "palm", "fist", each=4)
    return tmp_path


def test_it_really_is_another_processor(arm64):
    assert arm64("-c", "import platform; print(platform.machine())") == "aarch64\n"


def test_its_golden_frames_agree_there(arm64, project):
    out = arm64("-m", "edge", "check", "--config", project / "edge.toml")
    assert "golden frames: " in out


SEES = """
import json, sys
from pathlib import Path
import numpy
from edge import Classifier
from edge.frame import Frame
folder = Path(sys.argv[1])
classifier = Classifier(folder / "model.onnx")
pictures = numpy.load(folder / "show.npy")
seen = [classifier.predict(Frame(picture, 0.0)) for picture in pictures]
print(json.dumps([[*map(float, one.probabilities), float(one.novelty)] for one in seen]))
"""


def test_it_sees_there_what_it_sees_here(arm64, project):
    pictures = [read_picture(path) for path in sorted((project / "show").iterdir())]
    np.save(project / "show.npy", np.stack(pictures))
    there = np.array(json.loads(arm64("-c", SEES, project)))
    classifier = Classifier(project / "model.onnx")
    seen = [classifier.predict(Frame(picture, 0.0)) for picture in pictures]
    here = np.array([[*one.probabilities, one.novelty] for one in seen])
    np.testing.assert_allclose(there, here, atol=1e-3)  # what golden frames are held to
