"""Features: ONNX graphs from a camera's picture to the numbers the network learns from.

Each graph takes `image`, uint8 `[height, width, 3]` of any size, and gives `features`, float32
`[n]`. The trainer runs that very graph through onnxruntime to make its training features, and the
exporter puts it in front of the two layers: laptop and Pi cannot disagree.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
from onnx import numpy_helper, parser

from edge.classifier import open_session
from edge.errors import did_you_mean
from trainer.errors import DataError
from trainer.parts import PATCH, load_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from edge.frame import Image

Constants: TypeAlias = "Mapping[str, NDArray[np.floating] | np.floating]"

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

# Histograms of oriented gradients. The picture's brightness is differentiated in directions all
# around the circle (signed: a dark hand on a bright wall differs from a bright one on a dark wall).
# A gradient's strength goes to the directions near its own, is averaged over a cell, and is divided
# by the strength of the 3 x 3 cells around, so that light and contrast cancel.
# Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; the square
# root is Arandjelovic and Zisserman's "RootSIFT", CVPR 2012.
_CELLS = """
    slopes = Conv <pads = [1, 1, 1, 1]> (square, slopes_of)
    uphill = Relu (slopes)
    over_directions = Constant <value_ints = [1]> ()
    steepest = ReduceMax <keepdims = 1> (uphill, over_directions)
    above_noise = Add (steepest, noise)
    nearness = Div (uphill, above_noise)
    near_only = Mul (nearness, nearness)
    votes = Mul (near_only, steepest)
    sums = AveragePool <kernel_shape = [{cell}, {cell}], strides = [{cell}, {cell}]> (votes)
    squares = Mul (sums, sums)
    energy = ReduceSum <keepdims = 1> (squares, over_directions)
    block = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (energy)
    floored = Add (block, floor)
    strength = Sqrt (floored)
    normal = Div (sums, strength)
    cells = Sqrt (normal)
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
    def _session(self) -> InferenceSession:
        # One thread a picture: the trainer runs as many pictures at once as there are cores.
        return open_session(self.model.SerializeToString(), f"{self.name} features")

    @cached_property
    def size(self) -> int:
        """How many numbers a picture becomes."""
        return int(self(np.zeros((8, 8, 3), np.uint8)).size)

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Return the features, float32 `[n]`, of a uint8 `[height, width, 3]` picture."""
        features: NDArray[np.float32] = self._session.run(["features"], {"image": image})[0]
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
        {"to_grey": _LUMA.reshape(1, 3, 1, 1) / 127.5},
    )


def edges(side: int = 64, cell: int = 4, directions: int = 8) -> onnx.ModelProto:
    """Return what edges there are, and which parts of hands they make.

    Three things side by side, from one map of oriented edges (see `_CELLS`): the map itself, at
    half its resolution; how much the likeliest place in the picture looks like each part of a
    dictionary (a fingertip, two fingers side by side, a wrist, ...); and the same for each quarter.
    The map says where things are. The parts do not care, so that a hand may be elsewhere next time.
    docs/decisions/0008-parts.md says what that is worth.

    Args:
        side: pixels of the square the picture is squeezed to.
        cell: pixels of a cell's side; divides `side`.
        directions: of gradients.
    """
    parts = load_parts()
    places = side // cell - PATCH + 1  # along a side, where a patch fits
    half = -(-places // 2)
    step = places - half  # the second half ends where the map does
    return _model(
        _SQUARE.format(side=side)
        + _CELLS.format(cell=cell)
        + f"""
        coarse = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (cells)
        likeness = Conv (cells, parts, thresholds)
        alike = Relu (likeness)
        anywhere = MaxPool <kernel_shape = [{places}, {places}]> (alike)
        quarters = MaxPool <kernel_shape = [{half}, {half}], strides = [{step}, {step}]> (alike)
        flat = Constant <value_ints = [-1]> ()
        where = Reshape (coarse, flat)
        what = Reshape (anywhere, flat)
        what_where = Reshape (quarters, flat)
        features = Concat <axis = 0> (where, what, what_where)
        """,
        {
            "parts": parts.filters,
            "thresholds": parts.thresholds,
            **_gradients(directions),
        },
    )


def edge_cells(side: int = 64, cell: int = 4, directions: int = 8) -> Features:
    """Return the map of oriented edges that `edges` is made from, `[1, directions, n, n]`."""
    model = _model(
        _SQUARE.format(side=side) + _CELLS.format(cell=cell) + "features = Identity (cells)",
        _gradients(directions),
        shape="1, directions, rows, columns",
    )
    return Features("cells", model)


def _gradients(directions: int) -> Constants:
    """Return the constants of `_CELLS`: a derivative of brightness for each direction."""
    angles = 2 * np.pi * np.arange(directions) / directions
    across = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    turned = [np.cos(angle) * across + np.sin(angle) * across.T for angle in angles]
    filters = np.stack([np.multiply.outer(_LUMA / 255, one) for one in turned])
    return {"slopes_of": filters, "noise": np.float32(0.01), "floor": np.float32(1e-4)}


KINDS: dict[str, Callable[[], onnx.ModelProto]] = {"pixels": pixels, "edges": edges}

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: red, green and blue in brightness


def _model(body: str, constants: Constants, *, shape: str = "n") -> onnx.ModelProto:
    """Parse a graph from `image` to `features`; `constants` become float32 initialisers."""
    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>\n'
        f"features (uint8[height, width, 3] image) => (float[{shape}] features) {{ {body} }}"
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model
