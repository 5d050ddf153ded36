"""ONNX graphs, put together: what `trainer.features.kinds` and `trainer.export` build with."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from trainer.features import Features

Constants: TypeAlias = "Mapping[str, ArrayLike]"

OPSET = 18
"""The first with an antialiasing Resize; see docs/decisions/0002-onnx-versions.md."""
IR_VERSION = 8


def make_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Return a checked model of a graph, in the versions that the oldest onnxruntime reads."""
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
    onnx.checker.check_model(model, full_check=True)
    return model


def parse_model(text: str, constants: Constants) -> onnx.ModelProto:
    """Return a checked model of a graph in ONNX's textual syntax, and of what it takes as given."""
    graph = parser.parse_graph(text)
    graph.initializer.extend(tensors(constants))
    return make_model(graph)


def tensors(constants: Constants) -> list[TensorProto]:
    """Return arrays as a graph's initialisers, in their own types."""
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]


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


def then(first: onnx.ModelProto, last: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph of what finds something and what is made of that, its only input.

    It has the first one's inputs, and its outputs after the last one's. No name may be in both but
    that of what is found.
    """
    found = {one.name for one in last.graph.input}
    others = [one for one in first.graph.output if one.name not in found]
    return make_model(
        helper.make_graph(
            [*first.graph.node, *last.graph.node],
            "features",
            first.graph.input,
            [*last.graph.output, *others],
            [*first.graph.initializer, *last.graph.initializer],
        )
    )


def side_by_side(parts: Sequence[Features]) -> onnx.ModelProto:
    """Return one graph from `image` to the features of all parts, one after the other.

    Beside parts that find something, and follow it in a state, others are looked at only where
    nothing is found, and are zero elsewhere. A finder's last feature is how sure it is, and 0, as
    all others are, where it finds nothing.
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


def _inside(part: Features, features: str) -> onnx.GraphProto:
    """Return a part's graph for use among others: names of its own, but the one picture."""
    graph = onnx.GraphProto()
    graph.CopyFrom(part.model.graph)
    rename(graph, f"{part.name}/", {"image": "image", "features": features})
    own = [one for one in graph.initializer if one.name != f"{part.name}/state"]
    del graph.initializer[:]
    graph.initializer.extend(own)
    return graph


def _follow(outer: onnx.GraphProto, finders: Sequence[Features]) -> None:
    """Take a state, and divide it among those that follow something."""
    sizes = np.array([part.state for part in finders])
    whole = [int(sizes.sum())]
    before = [f"{part.name}/state" for part in finders]
    outer.node.append(helper.make_node("Split", ["state", "state_sizes"], before, axis=0))
    outer.initializer.extend(tensors({"state": np.zeros(whole, np.float32), "state_sizes": sizes}))
    outer.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, whole))
    outer.output.append(helper.make_tensor_value_info("next_state", TensorProto.FLOAT, whole))


def _where_nothing_is(
    finders: Sequence[Features], others: Sequence[Features]
) -> list[onnx.NodeProto]:
    """Return nodes that make the others' features only where the finders' are zero."""
    seen = [_inside(part, f"{part.name}/seen") for part in others]
    look = helper.make_graph(
        [node for graph in seen for node in graph.node],
        "look",
        [],
        [graph.output[0] for graph in seen],
        [constant for graph in seen for constant in graph.initializer],
    )
    zeros = {f"{part.name}/blank": np.zeros(part.size, np.float32) for part in others}
    blank = helper.make_graph(
        [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(zero))
            for name, zero in zeros.items()
        ],
        "blank",
        [],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, zero.shape)
            for name, zero in zeros.items()
        ],
    )
    nodes = [helper.make_node("Constant", [], ["last"], value_ints=[-1])]
    several = [f"{part.name}/confidence" for part in finders]
    for part, one in zip(finders, several, strict=True):
        nodes.append(helper.make_node("Gather", [f"{part.name}/features", "last"], [one]))
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
