"""Read a network out of a TensorFlow Lite file (`.tflite`), as an ONNX graph.

Such a file lists tensors and the operators between them; constants are in buffers at its end. Its
pictures are `[1, height, width, channels]`, ONNX's `[1, channels, height, width]`, and turning them
around costs time: so here every tensor of four sides is kept the ONNX way from the input on, and
turned back only where the file's order shows, in front of a RESHAPE and at outputs.

Read are the operators of Google's MediaPipe models, in floats: float32, or float16 weights that a
DEQUANTIZE makes float32.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper
from tflite import BuiltinOperator as Kind

from trainer.errors import DataError
from trainer.graphs import make_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

MAX_OPERATORS = 5_000
MAX_NUMBERS = 50_000_000
"""In all constants, and in any one tensor."""

_TYPES = {
    tflite.TensorType.FLOAT32: "<f4",
    tflite.TensorType.FLOAT16: "<f2",
    tflite.TensorType.INT32: "<i4",
    tflite.TensorType.INT64: "<i8",
}
_CHANNELS_FIRST = (0, 3, 1, 2)
_CHANNELS_LAST = (0, 2, 3, 1)
_NAMES = {code: name for name, code in vars(Kind).items() if isinstance(code, int)}


def read_tflite(
    content: bytes, what: str, outputs: Sequence[str] = (), *, half: bool = False
) -> onnx.ModelProto:
    """Return the file's network, from `input` to its outputs in the file's order.

    `input` is float32 `[1, channels, height, width]`; outputs are float32, in the file's shapes.

    Args:
        content: the file.
        what: the words for it in errors, such as `hand_landmark_full.tflite`.
        outputs: their names; else `output_0` and so on.
        half: store as float16 what the file does, cast once at load: half the size, no slower.

    Raises:
        DataError: it is damaged, or needs what is not read here.
    """
    if content[4:8] != b"TFL3":
        raise DataError(f"{what}: no TensorFlow Lite file")
    try:
        return _Graph(content, outputs, half=half).model()
    except DataError as problem:
        raise DataError(f"{what}: {problem}") from None
    except Exception:  # noqa: BLE001  (in a damaged file, any offset or size can be anything)
        raise DataError(f"{what}: damaged TensorFlow Lite file") from None


class _Operator(NamedTuple):
    """One step from tensors to a tensor, by their numbers; -1 is an input left out."""

    inputs: list[int]
    output: int
    table: Any

    def options(self, kind: Callable[[], Any]) -> Any:
        options = kind()
        options.Init(self.table.Bytes, self.table.Pos)
        return options


class _Graph:
    """A file, and the graph that is made of it."""

    def __init__(self, content: bytes, outputs: Sequence[str], *, half: bool) -> None:
        self.file = tflite.Model.GetRootAsModel(content, 0)
        if self.file.SubgraphsLength() != 1:
            raise DataError(f"{self.file.SubgraphsLength()} graphs in it; one can be read")
        self.graph = self.file.Subgraphs(0)
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.values: list[onnx.ValueInfoProto] = []
        self.made: set[int] = set()
        self.sources: dict[int, int] = {}  # what a DEQUANTIZE makes: out of which constant
        self.margins: dict[int, tuple[int, list[int]]] = {}  # what a PAD makes: of what, how wide
        self.numbers = 0
        numbers = [self.graph.Outputs(i) for i in range(self.graph.OutputsLength())]
        names = outputs or [f"output_{i}" for i in range(len(numbers))]
        if len(names) != len(numbers):
            raise DataError(f"{len(numbers)} outputs, not the {len(names)} expected")
        self.outputs = dict(zip(names, numbers, strict=True))

    def model(self) -> onnx.ModelProto:
        if self.graph.InputsLength() != 1:
            raise DataError(f"{self.graph.InputsLength()} inputs; one can be read")
        first = self.graph.Inputs(0)
        self.made.add(first)
        # An output of four sides is turned around at the end, and has its name only then.
        self.names = {i: name for name, i in self.outputs.items() if len(self.shape(i)) != 4}
        self.names[first] = "input"
        if self.graph.OperatorsLength() > MAX_OPERATORS:
            raise DataError(f"more than {MAX_OPERATORS} operators")
        for i in range(self.graph.OperatorsLength()):
            self.operate(self.graph.Operators(i))
        for name, index in self.outputs.items():
            self.turned(index, name)
        graph = helper.make_graph(
            self.nodes,
            "tflite",
            [_floats("input", self.sides(first))],
            [_floats(name, self.shape(index)) for name, index in self.outputs.items()],
            list(self.constants.values()),
            value_info=self.values,
        )
        return make_model(graph)  # all shapes are as the file says

    def operate(self, one: Any) -> None:
        code = self.file.OperatorCodes(one.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # the old one has 7 bits
        if kind not in _OPERATORS:
            raise DataError(f"its operator {_NAMES.get(kind, kind)} cannot be read")
        if one.OutputsLength() != 1:
            raise DataError(f"{_NAMES[kind]} with {one.OutputsLength()} outputs")
        inputs = [one.Inputs(i) for i in range(one.InputsLength())]
        operator = _Operator(inputs, one.Outputs(0), one.BuiltinOptions())
        _OPERATORS[kind](self, operator)
        self.made.add(operator.output)

    # What the file holds.

    def shape(self, index: int) -> list[int]:
        """Return a tensor's sides in the file's order."""
        tensor = self.graph.Tensors(index)
        if tensor.ShapeLength() > 4:
            raise DataError("a tensor with more than four sides")
        shape = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
        if min(shape, default=1) < 1 or math.prod(shape) > MAX_NUMBERS:
            raise DataError(f"a tensor of {' x '.join(map(str, shape))} numbers")
        return shape

    def sides(self, index: int) -> list[int]:
        """Return a tensor's sides as they are here: of four, channels come before the picture."""
        shape = self.shape(index)
        return [shape[i] for i in _CHANNELS_FIRST] if len(shape) == 4 else shape

    def array(self, index: int) -> Array:
        """Return a constant, in the file's order.

        Raises:
            DataError: it is none, or not of the size that its shape says.
        """
        if index in self.made and index not in self.sources:
            raise DataError("an operator's weights are no constant")
        tensor = self.graph.Tensors(self.sources.get(index, index))
        if tensor.Type() not in _TYPES:
            raise DataError("its numbers are quantised; only models in floats can be read")
        content = self.file.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        array = np.frombuffer(content, _TYPES[tensor.Type()])
        self.numbers += array.size
        if self.numbers > MAX_NUMBERS:
            raise DataError(f"more than {MAX_NUMBERS} numbers in its constants")
        if not np.isfinite(array).all():
            raise DataError("constants that are not finite")
        return array.reshape(self.shape(index))

    # What the graph gets.

    def name(self, index: int) -> str:
        return self.names.get(index, f"tensor_{index}")

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def whole(self, name: str, numbers: Sequence[int]) -> str:
        """Store whole numbers that an ONNX operator takes as an input."""
        self.constants[name] = numpy_helper.from_array(np.array(numbers, np.int64), name)
        return name

    def stored(self, name: str, array: Array) -> str:
        """Store weights; return the name they have as float32."""
        if self.half and array.dtype == np.float16:
            half = self.constants[f"{name}.half"] = numpy_helper.from_array(array, f"{name}.half")
            return self.add("Cast", [half.name], name, to=TensorProto.FLOAT)
        self.constants[name] = numpy_helper.from_array(array.astype(np.float32), name)
        return name

    def bias(self, op: _Operator) -> list[str]:
        """Store the third input, if there is one."""
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return []
        return [self.stored(f"{self.name(op.output)}.bias", self.array(op.inputs[2]))]

    def value(self, index: int) -> str:
        """Return the name of what was computed; a PAD that nobody could take over, is now."""
        if index not in self.made or index in self.sources:
            raise DataError("an operator's input is nothing that was computed before")
        if index not in self.margins:
            return self.name(index)
        inside, margins = self.margins.pop(index)
        if _adds_blocks_of_channels(margins, self.sides(inside)):
            copies = np.eye(self.sides(index)[1], self.sides(inside)[1], dtype=np.float16)
            kernel = self.stored(f"{self.name(index)}.copies", copies[..., None, None])
            return self.result(index, "Conv", [self.name(inside), kernel])
        widths = self.whole(f"{self.name(index)}.margins", margins)
        return self.result(index, "Pad", [self.name(inside), widths])

    def result(
        self, index: int, kind: str, inputs: Sequence[str], activation: int = 0, **attributes: Any
    ) -> str:
        """Add the node that makes a tensor, and the activation that is part of its operator."""
        name = self.name(index)
        self.values.append(_floats(name, self.sides(index)))
        if activation == tflite.ActivationFunctionType.NONE:
            return self.add(kind, inputs, name, **attributes)
        linear = self.add(kind, inputs, f"{name}.linear", **attributes)
        if activation == tflite.ActivationFunctionType.RELU:
            return self.add("Relu", [linear], name)
        if activation == tflite.ActivationFunctionType.RELU6:
            limits = [self.stored(f"limit_{n}", np.array(n, np.float32)) for n in (0, 6)]
            return self.add("Clip", [linear, *limits], name)
        raise DataError(f"its activation {activation} cannot be read")

    def turned(self, index: int, name: str) -> str:
        """Return a tensor in the file's order, under this name if it has to be turned around."""
        shape, value = self.shape(index), self.value(index)
        if len(shape) != 4:
            return value
        if shape[1] * shape[2] == 1 or shape[3] == 1:  # the order is the same
            return self.add("Reshape", [value, self.whole(f"{name}.shape", shape)], name)
        return self.add("Transpose", [value], name, perm=_CHANNELS_LAST)

    def around(self, index: int, op: Any, kernel: Sequence[int], steps: Sequence[int]) -> list[int]:
        """Return how wide to pad in front of a window: top, left, bottom, right."""
        strides = [op.StrideH(), op.StrideW()]
        if min(strides) < 1 or min(steps) < 1 or min(kernel) < 1:
            raise ValueError("a window that does not move")
        if op.Padding() == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        # 'SAME': the side is divided by the stride, rounding up, and what padding that takes is put
        # around, the odd pixel after.
        sizes = zip(self.sides(index)[2:], kernel, strides, steps, strict=True)
        total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in sizes]
        return [n // 2 for n in total] + [n - n // 2 for n in total]


def _floats(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _convolution(options: Callable[[], Any], order: tuple[int, ...]) -> Callable[..., None]:
    """Return what reads a convolution; `order` turns its filters around as pictures are here."""

    def convolve(graph: _Graph, op: _Operator) -> None:
        how, name, first = op.options(options), graph.name(op.output), op.inputs[0]
        filters = graph.array(op.inputs[1]).transpose(order)  # [outputs, inputs, rows, columns]
        kernel, steps = filters.shape[2:], [how.DilationHFactor(), how.DilationWFactor()]
        pads = graph.around(first, how, kernel, steps)
        if first in graph.margins:
            inside, margins = graph.margins[first]
            *others, top, left = margins[:4]
            *others_too, bottom, right = margins[4:]
            if not any(others + others_too):  # zeros around a picture: a convolution pads as well
                first = inside
                pads = [a + b for a, b in zip(pads, [top, left, bottom, right], strict=True)]
        graph.result(
            op.output,
            "Conv",
            [graph.value(first), graph.stored(f"{name}.weights", filters), *graph.bias(op)],
            how.FusedActivationFunction(),
            strides=[how.StrideH(), how.StrideW()],
            dilations=steps,
            pads=pads,
            group=graph.sides(first)[1] // filters.shape[1],
        )

    return convolve


def _pool(kind: str) -> Callable[..., None]:
    def pool(graph: _Graph, op: _Operator) -> None:
        how = op.options(tflite.Pool2DOptions)
        kernel = [how.FilterHeight(), how.FilterWidth()]
        graph.result(
            op.output,
            kind,
            [graph.value(op.inputs[0])],
            how.FusedActivationFunction(),
            kernel_shape=kernel,
            strides=[how.StrideH(), how.StrideW()],
            pads=graph.around(op.inputs[0], how, kernel, [1, 1]),
        )

    return pool


def _add(graph: _Graph, op: _Operator) -> None:
    if len({len(graph.shape(i)) for i in op.inputs}) > 1:
        raise DataError("ADD of tensors with different numbers of sides")
    activation = op.options(tflite.AddOptions).FusedActivationFunction()
    graph.result(op.output, "Add", [graph.value(i) for i in op.inputs], activation)


def _plain(kind: str) -> Callable[..., None]:
    return lambda graph, op: graph.result(op.output, kind, [graph.value(op.inputs[0])])


def _prelu(graph: _Graph, op: _Operator) -> None:
    slopes = graph.array(op.inputs[1])  # [1, 1, channels] or [rows, columns, channels]
    if slopes.ndim != 3 or len(graph.shape(op.output)) != 4:
        raise DataError("PRELU other than of a picture's channels")
    # slope x + (1 - slope) relu(x): with ONNX's own PRelu, which onnxruntime computes number by
    # number, the palm detector takes 1.6 times as long, and the face's points 2.7 times.
    slopes = slopes.transpose(2, 0, 1).astype(np.float32)
    name, value = graph.name(op.output), graph.value(op.inputs[0])
    bent = [graph.add("Relu", [value], f"{name}.positive")]
    bent.append(graph.stored(f"{name}.bends", 1 - slopes))
    straight = [value, graph.stored(f"{name}.slopes", slopes)]
    parts = [graph.add("Mul", straight, f"{name}.straight"), graph.add("Mul", bent, f"{name}.bent")]
    graph.result(op.output, "Add", parts)


def _pad(graph: _Graph, op: _Operator) -> None:
    widths = graph.array(op.inputs[1])  # [sides, 2]: before, after
    if widths.min() < 0:
        raise DataError("PAD by less than nothing")
    if len(widths) == 4:
        widths = widths[list(_CHANNELS_FIRST)]
    graph.value(op.inputs[0])  # if that is a PAD as well, it is done now
    graph.margins[op.output] = (op.inputs[0], widths.T.ravel().tolist())


def _adds_blocks_of_channels(margins: Sequence[int], sides: Sequence[int]) -> bool:
    """Say whether a PAD is better done by a convolution that copies.

    onnxruntime keeps pictures in blocks of 16 channels from one convolution to the next, but not
    past a `Pad`: with it, all that follows in the palm detector takes 1.1 times as long.
    """
    channels, more = sides[1], margins[-3]
    only_these = len(margins) == 8 and not any(margins[:5]) and not any(margins[-2:])
    return only_these and channels % 16 == more % 16 == 0 and channels + more <= 1024


def _resize(graph: _Graph, op: _Operator) -> None:
    how = op.options(tflite.ResizeBilinearOptions)
    mode = "align_corners" if how.AlignCorners() else "asymmetric"
    size = graph.whole(f"{graph.name(op.output)}.size", graph.sides(op.output))
    graph.result(
        op.output,
        "Resize",
        [graph.value(op.inputs[0]), "", "", size],
        mode="linear",
        coordinate_transformation_mode="half_pixel" if how.HalfPixelCenters() else mode,
    )


def _reshape(graph: _Graph, op: _Operator) -> None:
    shape, name = graph.shape(op.output), graph.name(op.output)
    inputs = [graph.turned(op.inputs[0], f"{name}.flat"), graph.whole(f"{name}.shape", shape)]
    if len(shape) != 4:
        graph.result(op.output, "Reshape", inputs)
        return
    last = graph.add("Reshape", inputs, f"{name}.channels_last")
    graph.result(op.output, "Transpose", [last], perm=_CHANNELS_FIRST)


def _concatenate(graph: _Graph, op: _Operator) -> None:
    how, sides = op.options(tflite.ConcatenationOptions), len(graph.shape(op.output))
    axis = range(sides)[how.Axis()]
    if sides == 4:
        axis = _CHANNELS_FIRST.index(axis)
    values = [graph.value(i) for i in op.inputs]
    graph.result(op.output, "Concat", values, how.FusedActivationFunction(), axis=axis)


def _mean(graph: _Graph, op: _Operator) -> None:
    axes = {int(axis) % 4 for axis in graph.array(op.inputs[1]).ravel()}
    if axes != {1, 2} or len(graph.shape(op.inputs[0])) != 4:
        raise DataError("MEAN other than over rows and columns")
    value = graph.value(op.inputs[0])
    if len(graph.shape(op.output)) == 4:
        graph.result(op.output, "GlobalAveragePool", [value])
        return
    averages = graph.add("GlobalAveragePool", [value], f"{graph.name(op.output)}.averages")
    graph.result(op.output, "Flatten", [averages])


def _fully_connected(graph: _Graph, op: _Operator) -> None:
    how, name = op.options(tflite.FullyConnectedOptions), graph.name(op.output)
    weights = graph.array(op.inputs[1])  # [outputs, inputs]
    row = graph.whole(f"{name}.row", [-1, weights.shape[1]])
    rows = graph.add("Reshape", [graph.turned(op.inputs[0], f"{name}.flat"), row], f"{name}.rows")
    inputs = [rows, graph.stored(f"{name}.weights", weights), *graph.bias(op)]
    if len(graph.shape(op.output)) != 2:
        raise DataError("FULLY_CONNECTED to other than a row")
    graph.result(op.output, "Gemm", inputs, how.FusedActivationFunction(), transB=1)


def _dequantize(graph: _Graph, op: _Operator) -> None:
    if op.inputs[0] in graph.made:
        raise DataError("its numbers are quantised; only models in floats can be read")
    graph.sources[op.output] = op.inputs[0]


_OPERATORS: dict[int, Callable[[_Graph, _Operator], None]] = {
    Kind.ADD: _add,
    Kind.AVERAGE_POOL_2D: _pool("AveragePool"),
    Kind.CONCATENATION: _concatenate,
    Kind.CONV_2D: _convolution(tflite.Conv2DOptions, (0, 3, 1, 2)),
    Kind.DEPTHWISE_CONV_2D: _convolution(tflite.DepthwiseConv2DOptions, (3, 0, 1, 2)),
    Kind.DEQUANTIZE: _dequantize,
    Kind.FULLY_CONNECTED: _fully_connected,
    Kind.LOGISTIC: _plain("Sigmoid"),
    Kind.MAX_POOL_2D: _pool("MaxPool"),
    Kind.MEAN: _mean,
    Kind.PAD: _pad,
    Kind.PRELU: _prelu,
    Kind.RELU: _plain("Relu"),
    Kind.RESHAPE: _reshape,
    Kind.RESIZE_BILINEAR: _resize,
}
