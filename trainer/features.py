"""Features: ONNX graphs from a camera's picture to the numbers the network learns from.

Each graph takes `image`, uint8 `[height, width, 3]` of any size, and gives `features`, float32
`[n]`. The trainer runs that very graph through onnxruntime to make its training features, and the
exporter puts it in front of the two layers: laptop and Pi cannot disagree.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper, parser

from edge.classifier import open_session
from edge.errors import did_you_mean
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.frame import Image

OPSET = 18
"""The first with an antialiasing Resize; see docs/decisions/0002-onnx-versions.md."""
IR_VERSION = 8
PLANNED = {"backbone", "hand", "face"}

# The whole picture, squeezed to a square, then averaged down: antialiasing makes the result depend
# on what is seen, not on the camera's resolution.
_SQUARE = """
    channels_first = Transpose <perm = [2, 0, 1]> (image)
    zero = Constant <value_ints = [0]> ()
    batch = Unsqueeze (channels_first, zero)
    bytes = Cast <to = 1> (batch)
    square_size = Constant <value_ints = [1, 3, {side}, {side}]> ()
    square = Resize <mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">
        (bytes, , , square_size)
"""


class Features:
    """One kind of features, ready to run.

    Args:
        name: what the user calls it, and what the card says.
        model: a graph from `image` to `features`.
    """

    def __init__(self, name: str, model: onnx.ModelProto) -> None:
        self.name = name
        self.model = model

    @cached_property
    def _session(self) -> object:
        # One thread a picture: the trainer runs as many pictures at once as there are cores.
        return open_session(self.model.SerializeToString(), f"{self.name} features", threads=1)

    @cached_property
    def size(self) -> int:
        """How many numbers a picture becomes."""
        return int(self(np.zeros((8, 8, 3), np.uint8)).size)

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Return the features, float32 `[n]`, of a uint8 `[height, width, 3]` picture."""
        features: NDArray[np.float32] = self._session.run(["features"], {"image": image})[0]  # type: ignore[attr-defined]
        return features


def make_features(name: str) -> Features:
    """Return the features that `--features` names.

    Raises:
        DataError: there are none of that name.
    """
    name = "edges" if name == "auto" else name
    if name not in KINDS:
        if name in PLANNED:
            known = ", ".join(["auto", *KINDS])
            raise DataError(f"--features {name}: not built yet; there is: {known}")
        raise DataError(f"--features {name}: not known{did_you_mean(name, ['auto', *KINDS])}")
    return Features(name, KINDS[name]())


def pixels(side: int = 32) -> onnx.ModelProto:
    """Return the plainest features: the picture's brightness, `side` x `side`, from -1 to 1."""
    return _model(
        _SQUARE.format(side=side)
        + """
        grey = Conv (square, to_grey)
        shift = Constant <value_float = 1.0> ()
        centred = Sub (grey, shift)
        flat = Constant <value_ints = [-1]> ()
        features = Reshape (centred, flat)
        """,
        to_grey=_LUMA.reshape(1, 3, 1, 1) / np.float32(127.5),
    )


def edges(side: int = 64, cell: int = 8, directions: int = 8) -> onnx.ModelProto:
    """Return histograms of oriented gradients: which way edges run, cell by cell.

    The picture's brightness is differentiated in `directions` directions around the circle (signed:
    a dark hand on a bright wall differs from a bright one on a dark wall). Each gradient's strength
    goes to the directions near its own, is pooled into `cell` x `cell` pixels, and is divided by
    the strength of the 3 x 3 cells around it, so that light and contrast cancel.

    Source: Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005;
    the square root follows "RootSIFT", Arandjelovic and Zisserman, CVPR 2012.

    Args:
        side: pixels of the square the picture is squeezed to.
        cell: pixels of a cell's side; divides `side`.
        directions: of gradients.
    """
    angles = 2 * np.pi * np.arange(directions) / directions
    across = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    turned = [np.cos(angle) * across + np.sin(angle) * across.T for angle in angles]
    filters = np.stack([np.multiply.outer(_LUMA / 255, one) for one in turned])
    return _model(
        _SQUARE.format(side=side)
        + f"""
        slopes = Conv <pads = [1, 1, 1, 1]> (square, filters)
        uphill = Relu (slopes)
        over_directions = Constant <value_ints = [1]> ()
        steepest = ReduceMax <keepdims = 1> (uphill, over_directions)
        above_noise = Add (steepest, noise)
        nearness = Div (uphill, above_noise)
        near_only = Mul (nearness, nearness)
        votes = Mul (near_only, steepest)
        cells = AveragePool <kernel_shape = [{cell}, {cell}], strides = [{cell}, {cell}]> (votes)
        squares = Mul (cells, cells)
        energy = ReduceSum <keepdims = 1> (squares, over_directions)
        block = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (energy)
        floored = Add (block, floor)
        strength = Sqrt (floored)
        normal = Div (cells, strength)
        root = Sqrt (normal)
        flat = Constant <value_ints = [-1]> ()
        features = Reshape (root, flat)
        """,
        filters=filters,
        noise=np.float32(0.01),
        floor=np.float32(1e-4),
    )


KINDS: dict[str, Callable[[], onnx.ModelProto]] = {"pixels": pixels, "edges": edges}

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: red, green and blue in brightness


def _model(body: str, **constants: NDArray[np.floating] | np.floating) -> onnx.ModelProto:
    """Parse a graph from `image` to `features`; `constants` become float32 initialisers."""
    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>\n'
        f"features (uint8[height, width, 3] image) => (float[n] features) {{ {body} }}"
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model
