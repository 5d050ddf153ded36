"""A network of ours as a TensorFlow Lite file, so that LiteRT can be timed on the same arithmetic.

Only what `inverted_residuals` in `trainer.features.backbone` is made of: channels go last, and a
clip to 0..6 becomes part of what comes before. One difference remains: LiteRT's resize doesn't
average where it shrinks, so it has less to do there than onnxruntime's.
`pip install ai-edge-litert` brings the file's schema with it; no TensorFlow is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tfl
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

Names: TypeAlias = "Sequence[str]"
Sides: TypeAlias = "Sequence[int]"
SAME, VALID = tfl.Padding.SAME, tfl.Padding.VALID
TYPES = {
    np.dtype(np.float32): tfl.TensorType.FLOAT32,
    np.dtype(np.int32): tfl.TensorType.INT32,
    np.dtype(np.uint8): tfl.TensorType.UINT8,
}


def as_tflite(model: onnx.ModelProto, size: tuple[int, int]) -> bytes:
    """Return a model for pictures, uint8 `[1, height, width, 3]`, of one size.

    Args:
        model: a network from `image` to `features`.
        size: of the pictures, `(width, height)`, pixels.
    """
    file = _File({each.name: numpy_helper.to_array(each) for each in model.graph.initializer})
    file.tensor("image", np.uint8, (1, size[1], size[0], 3))
    for node in model.graph.node:
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        getattr(file, node.op_type.lower())(node.input, node.output[0], **attributes)
    return file.finish()


class _File:
    """A file in the making; a method for each kind of ONNX node."""

    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self.constants = constants
        self.tensors: list[Any] = []
        self.buffers = [tfl.BufferT()]  # the first is the empty one
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self.at: dict[str, int] = {}
        """Which tensor an ONNX name stands for."""

    def transpose(self, inputs: Names, output: str, **_: object) -> None:
        self.at[output] = self.at[inputs[0]]  # channels are last already

    unsqueeze = transpose  # and the batch is there

    def cast(self, inputs: Names, output: str, **_: object) -> None:
        options = tfl.CastOptionsT(tfl.TensorType.UINT8, tfl.TensorType.FLOAT32)
        self.operator("CAST", inputs, output, self.shape(inputs[0]), options)

    def resize(self, inputs: Names, output: str, **_: object) -> None:
        side = self.constants[inputs[3]][2:]
        size = self.constant(f"{output}.size", side.astype(np.int32))
        shape = (1, *side.tolist(), 3)
        options = tfl.ResizeBilinearOptionsT(halfPixelCenters=True)
        self.operator("RESIZE_BILINEAR", [inputs[0], size], output, shape, options)

    def sub(self, inputs: Names, output: str) -> None:
        self.operator("SUB", inputs, output, self.shape(inputs[0]), tfl.SubOptionsT())

    def div(self, inputs: Names, output: str) -> None:
        self.operator("DIV", inputs, output, self.shape(inputs[0]), tfl.DivOptionsT())

    def conv(self, inputs: Names, output: str, *, group: int, strides: Sides, **_: object) -> None:
        height, width = self.shape(inputs[0])[1:3]
        filters = self.constants[inputs[1]]  # (channels out, channels in, rows, columns)
        step = {"padding": SAME, "strideW": strides[1], "strideH": strides[0]}
        if group == 1:
            name, options = "CONV_2D", tfl.Conv2DOptionsT(**step)
            filters = filters.transpose(0, 2, 3, 1)
        else:
            name, options = (
                "DEPTHWISE_CONV_2D",
                tfl.DepthwiseConv2DOptionsT(depthMultiplier=1, **step),
            )
            filters = filters.transpose(1, 2, 3, 0)
        weights = self.constant(f"{output}.filters", filters)
        shape = (
            1,
            -(-height // strides[0]),
            -(-width // strides[1]),
            len(self.constants[inputs[2]]),
        )
        self.operator(name, [inputs[0], weights, inputs[2]], output, shape, options)

    def clip(self, inputs: Names, output: str) -> None:
        tensor = self.at[output] = self.at[inputs[0]]
        (maker,) = (each for each in self.operators if tensor in each.outputs)
        maker.builtinOptions.fusedActivationFunction = tfl.ActivationFunctionType.RELU6

    def add(self, inputs: Names, output: str) -> None:
        self.operator("ADD", inputs, output, self.shape(inputs[0]), tfl.AddOptionsT())

    def averagepool(
        self, inputs: Names, output: str, *, kernel_shape: Sides, strides: Sides
    ) -> None:
        _, height, width, channels = self.shape(inputs[0])
        rows, columns = kernel_shape
        down, across = strides
        options = tfl.Pool2DOptionsT(VALID, across, down, columns, rows)
        shape = (1, (height - rows) // down + 1, (width - columns) // across + 1, channels)
        self.operator("AVERAGE_POOL_2D", inputs, output, shape, options)

    def reshape(self, inputs: Names, output: str) -> None:
        count = int(np.prod(self.shape(inputs[0])))
        flat = self.constant(f"{output}.shape", np.array([count], np.int32))
        self.operator("RESHAPE", [inputs[0], flat], output, (count,), tfl.ReshapeOptionsT([count]))

    def concat(self, inputs: Names, output: str, *, axis: int) -> None:
        count = sum(self.shape(name)[0] for name in inputs)
        options = tfl.ConcatenationOptionsT(axis)
        self.operator("CONCATENATION", inputs, output, (count,), options)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[self.at[name]].shape)

    def tensor(self, name: str, dtype: Any, shape: tuple[int, ...], buffer: int = 0) -> int:
        kind = TYPES[np.dtype(dtype)]
        self.tensors.append(tfl.TensorT(list(shape), kind, buffer, name, hasRank=True))
        self.at[name] = len(self.tensors) - 1
        return self.at[name]

    def constant(self, name: str, value: np.ndarray) -> str:
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.buffers.append(tfl.BufferT(data))
        self.tensor(name, value.dtype, value.shape, len(self.buffers) - 1)
        return name

    def operator(
        self, kind: str, inputs: Names, output: str, shape: tuple[int, ...], options: Any
    ) -> None:
        code = getattr(tfl.BuiltinOperator, kind)
        if code not in self.codes:
            self.codes.append(code)
        for name in inputs:
            if name not in self.at:
                self.constant(name, self.constants[name])
        before = [self.at[name] for name in inputs]
        after = self.tensor(output, np.float32, shape)
        number = getattr(tfl.BuiltinOptions, type(options).__name__.removesuffix("T"))
        index = self.codes.index(code)
        self.operators.append(tfl.OperatorT(index, before, [after], number, options))

    def finish(self) -> bytes:
        inside = tfl.SubGraphT(
            self.tensors, [self.at["image"]], [self.at["features"]], self.operators, "main"
        )
        codes = [tfl.OperatorCodeT(min(code, 127), None, 1, code) for code in self.codes]
        model = tfl.ModelT(3, codes, [inside], "", self.buffers)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
