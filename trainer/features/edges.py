"""Features that no photograph went into: a small network that learned from drawn hands only.

It looks over the picture in three steps, each coarser than the last, says where a hand is, and
describes what is there and about there, wherever in the picture that may be. `learn_edges` made its
weights, from hands that `edge.sources.virtual` draws. docs/decisions/0010-edges.md says what it is
worth and what it costs.

The residual steps are He et al., "Deep residual learning for image recognition", CVPR 2016; looking
where the network itself says is Jaderberg et al., "Spatial transformer networks", NIPS 2015, with
weights in place of a cut.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge.files import read_bounded
from trainer.errors import DataError
from trainer.graphs import parse_model

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

FILE = Path(__file__).with_name("edges.npz")
MAX_BYTES = 400_000
SIDE = 88
"""Pixels of the square the picture is squeezed to."""


class Step(NamedTuple):
    """One convolution."""

    channels: int
    """That come out."""
    inputs: int
    kernel: int
    stride: int
    pad: int
    kind: str = "relu"
    """`relu`; `residual`: the input is added before the relu; or `linear`."""


STEPS = {
    "stem": Step(16, 3, 4, 4, 0),  # 22 x 22
    "near": Step(32, 16, 3, 2, 1),  # 11 x 11
    "near.again": Step(32, 32, 3, 1, 1, "residual"),
    "far": Step(64, 32, 3, 2, 1),  # 6 x 6
    "far.again": Step(64, 64, 3, 1, 1, "residual"),
    "where": Step(1, 64, 1, 1, 0, "linear"),
}
"""From the picture to the map, and to how likely a hand is at each of its places."""

# Pixels are picked, not averaged: that takes a fifth of the time, and the network learned from
# pictures with the noise and jags that this leaves.
_PICTURE = f"""
    size = Constant <value_ints = [{SIDE}, {SIDE}, 3]> ()
    picked = Resize <mode = "nearest", coordinate_transformation_mode = "half_pixel",
        nearest_mode = "floor"> (image, , , size)
    channels_first = Transpose <perm = [2, 0, 1]> (picked)
    bytes = Cast <to = 1> (channels_first)
    zero = Constant <value_ints = [0]> ()
    picture = Unsqueeze (bytes, zero)
"""

# The likelihoods weigh the map's places: as they are, for what is at the hand; shifted by a place,
# for what is to the right of the hand, below it, and so on. Beyond the rim is nothing.
_FEATURES = """
    flat = Constant <value_ints = [-1]> ()
    likely = Reshape (where, flat)
    share = Softmax <axis = 0> (likely)
    nothing = Constant <value_floats = [0.0]> ()
    share_or_nothing = Concat <axis = 0> (share, nothing)
    weights = Gather <axis = 0> (share_or_nothing, shifts)
    by_place = Constant <value_ints = [64, 36]> ()
    places = Reshape (seen, by_place)
    at_hand = MatMul (places, weights)
    about_hand = Reshape (at_hand, flat)
    thirds = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (seen)
    whole = Reshape (thirds, flat)
    features = Concat <axis = 0> (about_hand, whole)
"""


def edges() -> onnx.ModelProto:
    """Return the graph from `image`, uint8 `[height, width, 3]`, to `features`, float32 `[1152]`.

    Two maps, flattened, `[64 channels, 3 rows, 3 columns]` each: what is seen at and about the
    hand, wherever it is; and what is seen in each third of the picture's width and height.

    Raises:
        DataError: the weights beside this module are damaged.
    """
    arrays = load_weights()
    body, last = [_PICTURE], "picture"
    for name, step in STEPS.items():
        lines, last = _convolve(name.replace(".", "_"), step, last)
        body.append(lines)
    names = {f"{name.replace('.', '_')}_{part}": (name, part) for name in STEPS for part in PARTS}
    text = "".join(body).replace("where_sum", "where") + _FEATURES.replace("seen", "far_again")
    constants = {name: arrays[f"{step}.{part}"] for name, (step, part) in names.items()}
    return parse_model(
        f"features (uint8[height, width, 3] image) => (float[n] features) {{ {text} }}",
        {**constants, "shifts": _shifts()},
    )


def _shifts(side: int = 6) -> NDArray[np.int64]:
    """Return which place's likelihood weighs each place, `[side * side, 9 shifts]`.

    The index after the last stands for nothing.
    """
    inner = np.arange(side * side).reshape(side, side)
    rim = np.pad(inner, 1, constant_values=side * side)
    shifted = [rim[2 - i : 2 - i + side, 2 - j : 2 - j + side] for i in range(3) for j in range(3)]
    return np.stack(shifted, axis=-1).reshape(side * side, 9).astype(np.int64)


PARTS = ("filters", "biases")


def _convolve(name: str, step: Step, source: str) -> tuple[str, str]:
    """Return the lines of one step, and the name of what comes out of it."""
    p, k, s = step.pad, step.kernel, step.stride
    lines = (
        f"{name}_sum = Conv <kernel_shape = [{k}, {k}], strides = [{s}, {s}], "
        f"pads = [{p}, {p}, {p}, {p}]> ({source}, {name}_filters, {name}_biases)\n"
    )
    total = f"{name}_sum"
    if step.kind == "residual":
        lines += f"{name}_more = Add ({source}, {total})\n"
        total = f"{name}_more"
    if step.kind == "linear":
        return lines, total
    return lines + f"{name} = Relu ({total})\n", name


def load_weights(file: Path = FILE) -> dict[str, NDArray[np.float32]]:
    """Return the filters and biases of every step, `<step>.filters` and `<step>.biases`.

    Raises:
        DataError: the file is not there, is damaged, or belongs to another network.
    """
    again = "install handwave again, or run python -m trainer.features.learn_edges"
    content = read_bounded(
        file, MAX_BYTES, what="weights", missing=f"no such file; {again}", error=DataError
    )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DataError(f"{file}: damaged; {again}") from None
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if found != _expected() or not all(np.isfinite(array).all() for array in arrays.values()):
        raise DataError(f"{file}: not the weights of this network; {again}")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _expected() -> dict[str, tuple[tuple[int, ...], np.dtype[np.float16]]]:
    half = np.dtype(np.float16)
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[np.float16]]] = {}
    for name, step in STEPS.items():
        shapes[f"{name}.filters"] = (step.channels, step.inputs, step.kernel, step.kernel), half
        shapes[f"{name}.biases"] = (step.channels,), half
    return shapes
