"""Model files that are damaged in their meaning: each reads as ONNX, and few are any good."""

from __future__ import annotations

import json

import onnx
from damage import damaged
from onnx import TensorProto, helper, numpy_helper, parser

from edge.card import CARD_KEY, GOLDEN_KEY
from edge.seal import seal

INTEGERS = (-(2**63), -1, 0, 1, 2, 7, 2**16, 2**31, 2**40, 2**62, 2**63 - 1)
OPERATORS = (
    "Add", "MatMul", "Conv", "Resize", "Expand", "Tile", "Pad", "Gather", "ScatterND", "Reshape",
    "Slice", "ConstantOfShape", "Range", "Loop", "Scan", "If", "NonZero", "TopK", "LSTM", "Einsum",
    "CumSum", "DepthToSpace", "MaxPool", "ConvTranspose", "StringNormalizer", "Teleport",
    "OneHot", "NonMaxSuppression", "SequenceMap", "Optional", "RandomNormal", "DequantizeLinear",
)  # fmt: skip
BOMBS = (
    """n = Constant <value_ints = [{number}]> ()
       all = ConstantOfShape <value = float[1] {{1.0}}> (n)
       much = ReduceSum <keepdims = 0> (all)""",
    """n = Constant <value_ints = [{number}, 3]> () one = Constant <value_floats = [1.0]> ()
       all = Expand (one, n)
       much = ReduceMax <keepdims = 0> (all)""",
    """a = Constant <value_int = 0> () b = Constant <value_int = {number}> ()
       c = Constant <value_int = 1> ()
       all = Range (a, b, c) largest = ReduceMax <keepdims = 0> (all)
       much = Cast <to = 1> (largest)""",
    """turns = Constant <value_int = {number}> () on = Constant <value = bool {{1}}> ()
       nought = Constant <value_float = 0.0> ()
       much = Loop (turns, on, nought) <body = again (int64 i, bool go, float x)
           => (bool still, float y) {{ still = Identity (go) y = Sqrt (x) }}>""",
    """turns = Constant <value_int = {number}> () on = Constant <value = bool {{1}}> ()
       first = Constant <value_floats = [1.0, 2.0]> ()
       all = Loop (turns, on, first) <body = again (int64 i, bool go, float[n] x)
           => (bool still, float[m] y) {{ still = Identity (go) y = Concat <axis = 0> (x, x) }}>
       much = ReduceMax <keepdims = 0> (all)""",
    """one = Constant <value = float[1,1,1,1] {{1.0}}> () none = Constant <value_floats = [0.0]> ()
       by = Constant <value_floats = [1.0, 1.0, {number}.0, {number}.0]> ()
       all = Resize (one, , by) much = ReduceMax <keepdims = 0> (all)""",
    """many = Constant <value_ints = [{number}, {number}]> ()
       row = Constant <value = float[1,1] {{1.0}}> ()
       all = Tile (row, many) more = MatMul (all, all)
       much = ReduceMax <keepdims = 0> (more)""",
)
"""Graphs that make `much` out of nothing, and want memory or time without end for it."""


def bomb(rng, model):
    """Add something that explodes to the novelty."""
    text = rng.choice(BOMBS).format(number=rng.choice([2**n for n in range(8, 62, 3)]))
    more = parser.parse_graph(f"more () => (float much) {{ {text} }}")
    for node in model.graph.node:
        node.output[:] = ["novelty_alone" if name == "novelty" else name for name in node.output]
    model.graph.node.extend(more.node)
    model.graph.node.append(helper.make_node("Add", ["novelty_alone", "much"], ["novelty"]))


def nest(rng, model):
    """Put branches inside branches."""
    value = helper.make_tensor_value_info("inside", TensorProto.FLOAT, [])
    leaf = helper.make_node("Constant", [], ["inside"], value_float=0.0)
    graph = helper.make_graph([leaf], "leaf", [], [value])
    yes = numpy_helper.from_array(numpy_helper.np.array(True), "yes")
    for depth in range(rng.choice([1, 5, 20, 30])):  # onnx's own reader takes no more
        graph.initializer.append(yes)
        branch = helper.make_node("If", ["yes"], ["inside"], then_branch=graph, else_branch=graph)
        if depth > 3:
            branch.attribute[1].g.CopyFrom(helper.make_graph([leaf], "leaf", [], [value]))
        graph = helper.make_graph([branch], f"depth{depth}", [], [value])
    model.graph.node.extend(graph.node)
    model.graph.initializer.append(yes)


def operator(rng, model):
    """Make a node do something else."""
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice(OPERATORS)
    if rng.random() < 0.2:
        node.domain = rng.choice(["com.microsoft", "ai.onnx.ml", "nobody", "x" * 10_000])


def wires(rng, model):
    """Let a node take or give something else, itself included."""
    names = [name for node in model.graph.node for name in [*node.input, *node.output]]
    node = rng.choice(model.graph.node)
    side = node.input if rng.random() < 0.7 else node.output
    if side:
        side[rng.randrange(len(side))] = rng.choice([*names, "", "nobody", "image"])


def nodes(rng, model):
    """Lose a node, or have one twice."""
    place = rng.randrange(len(model.graph.node))
    if rng.random() < 0.5:
        model.graph.node.append(model.graph.node[place])
    else:
        del model.graph.node[place]


def attribute(rng, model):
    """Give an attribute another number, of another size."""
    found = [one for node in model.graph.node for one in node.attribute]
    one = rng.choice(found)
    if one.ints:
        one.ints[rng.randrange(len(one.ints))] = rng.choice(INTEGERS)
    elif one.HasField("i"):
        one.i = rng.choice(INTEGERS)
    elif one.HasField("t"):
        tensor(rng, one.t)
    else:
        one.type = rng.randrange(15)


def tensor(rng, one):
    """Make a tensor say what it is not."""
    kind = rng.randrange(6)
    if kind == 0:
        one.dims[:] = [rng.choice(INTEGERS) for _ in range(rng.randrange(6))]
    elif kind == 1 and one.dims:
        one.dims[rng.randrange(len(one.dims))] = rng.choice(INTEGERS)
    elif kind == 2:
        one.data_type = rng.choice([*range(30), 2**31 - 1])
    elif kind == 3 and one.raw_data:
        one.raw_data = damaged(rng, one.raw_data)
    elif kind == 4:
        one.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", rng.choice(["/etc/passwd", "../x", "weights.bin", "/dev/zero", ""])),
            ("offset", str(rng.choice(INTEGERS))),
            ("length", str(rng.choice(INTEGERS))),
        ):
            one.external_data.add(key=key, value=value)
    else:
        one.name = rng.choice(["", "image", "novelty", "x" * 10_000])


def weights(rng, model):
    """Make a weight say what it is not."""
    tensor(rng, rng.choice(model.graph.initializer))


def signature(rng, model):
    """Change what goes in or comes out."""
    value = rng.choice([*model.graph.input, *model.graph.output])
    kind = value.type.tensor_type
    what = rng.randrange(4)
    if what == 0:
        kind.elem_type = rng.randrange(25)
    elif what == 1:
        kind.shape.dim.add().dim_value = rng.choice(INTEGERS)
    elif what == 2 and kind.shape.dim:
        rng.choice(kind.shape.dim).dim_value = rng.choice(INTEGERS)
    else:
        value.name = rng.choice(["image", "novelty", "probabilities", "state", ""])


def version(rng, model):
    """Be of another time."""
    number = rng.choice([*INTEGERS, 17, 19, 25, 99])
    if rng.random() < 0.5:
        model.ir_version = number
    else:
        rng.choice(model.opset_import).version = number


def another(rng, value):
    """Return what nobody expects in the place of a value of the card."""
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        value = value | {key: another(rng, value[key])}
        return {k: v for k, v in value.items() if k != key} if rng.random() < 0.1 else value
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], another(rng, value[place]), *value[place + 1 :]]
    odd = [None, True, "", "x", "\n\x1b[31m", "\ud800", [], {}, -1, 0, 1e308, 0.5, 2**70]
    return rng.choice([*odd, float("nan"), float("inf"), "y" * 5000, [[]] * 999])


def card(rng, model):
    """Change the card or the golden frames."""
    for entry in model.metadata_props:
        if entry.key == CARD_KEY and rng.random() < 0.8:
            entry.value = json.dumps(another(rng, json.loads(entry.value)))
        elif entry.key == GOLDEN_KEY and rng.random() < 0.3:
            entry.value = damaged(rng, entry.value.encode()).decode("latin-1")


KINDS = (
    bomb, bomb, nest, operator, operator, wires, nodes, attribute, weights, signature, version,
    card, card,
)  # fmt: skip


def broken(rng, content):
    """Return a model file with something wrong in it, most of the time sealed all the same."""
    if rng.random() < 0.25:
        content = damaged(rng, content)
        return seal(content) if rng.random() < 0.7 else content
    model = onnx.load_model_from_string(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if model.graph.node and model.graph.initializer:
            rng.choice(KINDS)(rng, model)
    return seal(model.SerializeToString())
