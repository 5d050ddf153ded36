"""ONNX graphs, put together: what `trainer.features` and `trainer.export` build with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPSET = 18
"""The first with an antialiasing Resize; see docs/decisions/0002-onnx-versions.md."""
IR_VERSION = 8


class Part(NamedTuple):
    """A graph from `image` to `features`, on its way into a larger one."""

    name: str
    model: onnx.ModelProto
    size: int
    """How many features."""
    state: int
    """How many numbers a frame hands on to the next: it finds something, and follows it. Its last
    feature is how sure it is, and 0, as all others are, where nothing is found."""


def make_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Return a checked model of a graph, in the versions that the oldest onnxruntime reads."""
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
    onnx.checker.check_model(model, full_check=True)
    return model


def rename(graph: onnx.GraphProto, prefix: str, kept: Mapping[str, str]) -> None:
    """Put a prefix before every name, also inside of Loop and If, except those with a new one.

    onnx's own `compose.add_prefix` forgets what an inner graph takes from an outer one.
    """

    def new(name: str) -> str:
        return kept.get(name, prefix + name) if name else name

    for value in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        value.name = new(value.name)
    for node in graph.node:
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                rename(attribute.g, prefix, kept)


def side_by_side(parts: Sequence[Part]) -> onnx.ModelProto:
    """Return one graph from `image` to the features of all parts, one after the other.

    Beside parts that find something, others are looked at only where nothing is found, and are zero
    elsewhere.
    """
    finders = [part for part in parts if part.state]
    others = [part for part in parts if not part.state]
    outer = onnx.GraphProto(name="features")
    if finders:
        _follow(outer, finders)
    for part in finders or others:
        inner = _inside(part, f"{part.name}/features")
        outer.node.extend(inner.node)
        outer.initializer.extend(inner.initializer)
    if finders and others:
        outer.node.extend(_where_nothing_is(finders, others))
    if finders:
        after = [f"{part.name}/next_state" for part in finders]
        outer.node.append(helper.make_node("Concat", after, ["next_state"], axis=0))
    features = [f"{part.name}/features" for part in parts]
    outer.node.append(helper.make_node("Concat", features, ["features"], axis=0))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])
    outer.input.insert(0, image)
    outer.output.insert(0, helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n"]))
    return make_model(outer)


def _inside(part: Part, features: str) -> onnx.GraphProto:
    """Return a part's graph for use among others: names of its own, but the one picture."""
    graph = onnx.GraphProto()
    graph.CopyFrom(part.model.graph)
    rename(graph, f"{part.name}/", {"image": "image", "features": features})
    own = [one for one in graph.initializer if one.name != f"{part.name}/state"]
    del graph.initializer[:]
    graph.initializer.extend(own)
    return graph


def _follow(outer: onnx.GraphProto, finders: Sequence[Part]) -> None:
    """Take a state, and divide it among those that follow something."""
    sizes = [part.state for part in finders]
    whole = [sum(sizes)]
    before = [f"{part.name}/state" for part in finders]
    outer.node.append(helper.make_node("Split", ["state", "state_sizes"], before, axis=0))
    outer.initializer.append(numpy_helper.from_array(np.zeros(whole, np.float32), "state"))
    outer.initializer.append(numpy_helper.from_array(np.array(sizes), "state_sizes"))
    outer.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, whole))
    outer.output.append(helper.make_tensor_value_info("next_state", TensorProto.FLOAT, whole))


def _where_nothing_is(finders: Sequence[Part], others: Sequence[Part]) -> list[onnx.NodeProto]:
    """Return nodes that make the others' features only where the finders' are zero."""
    seen = [_inside(part, f"{part.name}/seen") for part in others]
    look = helper.make_graph(
        [node for graph in seen for node in graph.node],
        "look",
        [],
        [graph.output[0] for graph in seen],
        [constant for graph in seen for constant in graph.initializer],
    )
    zeros = [np.zeros(part.size, np.float32) for part in others]
    blank = helper.make_graph(
        [
            helper.make_node(
                "Constant", [], [f"{part.name}/blank"], value=numpy_helper.from_array(zero)
            )
            for part, zero in zip(others, zeros, strict=True)
        ],
        "blank",
        [],
        [
            helper.make_tensor_value_info(f"{part.name}/blank", TensorProto.FLOAT, [part.size])
            for part in others
        ],
    )
    nodes = [helper.make_node("Constant", [], ["last"], value_ints=[-1])]
    for part in finders:
        one = [f"{part.name}/confidence"]
        nodes.append(helper.make_node("Gather", [f"{part.name}/features", "last"], one))
    several = [f"{part.name}/confidence" for part in finders]
    nodes.append(helper.make_node("Sum", several, ["confidence"]))
    nodes.append(helper.make_node("Cast", ["confidence"], ["found"], to=TensorProto.BOOL))
    nodes.append(
        helper.make_node(
            "If",
            ["found"],
            [f"{part.name}/features" for part in others],
            then_branch=blank,
            else_branch=look,
        )
    )
    return nodes
