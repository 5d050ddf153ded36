"""What `seek` and `look` share: directions in a picture, and a network between two texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, parser

from trainer.features.tflite_file import read_tflite
from trainer.features.weights import read_weights
from trainer.graphs import rename, tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from trainer.features.subjects import Subject
    from trainer.graphs import Constants

QUARTER = np.array([[0, 1], [-1, 0]], np.float32)
"""Turns where up is into where right is, in a picture, whose y points down: `up @ QUARTER`."""


def upright(up: str, prefix: str = "") -> str:
    """Return lines that make `right`, `down`, and both as the rows of `axes`, of where up is.

    They take `quarter`, which is `QUARTER`, and `two_rows`, `[2, 2]`, as given.
    """
    return f"""
    {prefix}right = MatMul ({up}, quarter)
    {prefix}down = Neg ({up})
    {prefix}both = Concat <axis = 0> ({prefix}right, {prefix}down)
    {prefix}axes = Reshape ({prefix}both, two_rows)"""


def direction(of: str, points: str, up: str) -> str:
    """Return lines that make `up`, of length 1, of a line through points."""
    return f"""
    along = MatMul ({of}, {points})
    upward = MatMul (along, line_to_up)
    length = ReduceL2 <keepdims = 1> (upward)
    some_length = Max (length, tiny)
    {up} = Div (upward, some_length)"""


def shared_constants(subject: Subject) -> Constants:
    """Return what the texts of both name."""
    up = np.eye(2, dtype=np.float32) if subject.upright else QUARTER.T
    return {
        "origin": np.array([0]),
        "second": np.array([1]),
        "flat": np.array([-1]),
        "one": np.float32(1),
        "half": np.float32(0.5),
        "tiny": np.float32(1e-6),
        "line_to_up": up,
    }


def between(
    before: str, network: onnx.GraphProto, after: str, constants: Constants
) -> onnx.GraphProto:
    """Put a network between two texts: one makes its `input`, the other reads its outputs."""
    first, last = parser.parse_graph(before), parser.parse_graph(after)
    nodes = [*first.node, *network.node, *last.node]
    weights = [*network.initializer, *tensors(constants)]
    return helper.make_graph(nodes, first.name, [], last.output, weights)


def read_network(
    subject: Subject, file: str, outputs: Sequence[str]
) -> tuple[onnx.GraphProto, list[int]]:
    """Return a network of MediaPipe's, and how many numbers each of its outputs has.

    Args:
        subject: whose.
        file: of weights.
        outputs: names for them.
    """
    model = read_tflite(read_weights(subject.name, file), file, outputs, half=True)
    graph = model.graph
    sizes = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output]
    rename(graph, f"{file}/", {name: name for name in ("input", *outputs)})
    return graph, [int(np.prod(size)) for size in sizes]
