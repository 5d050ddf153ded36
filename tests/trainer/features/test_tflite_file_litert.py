"""LiteRT, Google's own runtime, beside our graphs of MediaPipe's models; where it is installed."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from edge.sources.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features.tflite_file import read_tflite
from trainer.features.weights import PACKAGES, read_weights

litert = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="LiteRT is not installed: pip install ai-edge-litert"
)
FILES = [(name, file) for name in ("hand", "face") for file in PACKAGES[name].files]


@pytest.fixture(scope="module")
def contents():
    try:
        return {file: read_weights(name, file) for name, file in FILES}
    except DataError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("file", [file for _, file in FILES])
def test_graphs_agree_with_litert(contents, file, half):
    theirs = litert.Interpreter(model_content=contents[file], num_threads=1)
    theirs.allocate_tensors()
    (inside,), outside = theirs.get_input_details(), theirs.get_output_details()
    model = read_tflite(contents[file], file, half=half).SerializeToString()
    session = onnxruntime.InferenceSession(model)
    _, height, width, _ = inside["shape"]
    for seed in range(5):
        picture = draw("palm", Scene.random(seed, (width, height)), 0).astype(np.float32) / 255
        theirs.set_tensor(inside["index"], picture[None])
        theirs.invoke()
        got = session.run(None, {"input": picture.transpose(2, 0, 1)[None]})
        for ours, one in zip(got, outside, strict=True):
            expected = theirs.get_tensor(one["index"])
            largest = np.abs(expected).max()
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3 * max(1, largest / 100))
