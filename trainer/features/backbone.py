"""Pretrained features: EfficientNet-Lite0, or its first blocks, as an ONNX graph.

The network is a stack of inverted residuals: a 1x1 convolution widens the picture's channels, a
convolution of each channel by itself looks around, and another 1x1 narrows them again; where
nothing changed size, the block's input is added. Sandler et al., "MobileNetV2: Inverted Residuals
and Linear Bottlenecks", CVPR 2018; Tan and Le, "EfficientNet", ICML 2019. The Lite networks leave
out what small processors are slow at: squeeze-and-excitation, and swish in place of relu6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trainer.features.weights import load_weights
from trainer.graphs import make_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Shape: TypeAlias = tuple[int, int, int, int]
    Filters: TypeAlias = Callable[[str, Shape], tuple[NDArray[Any], NDArray[Any]]]

EPSILON = 1e-3
"""What batch normalisation added to variances in training."""


class Block(NamedTuple):
    """One inverted residual."""

    widen: int
    """How many times more channels there are inside."""
    channels: int
    """That come out."""
    kernel: int
    stride: int


def repeat(count: int, widen: int, channels: int, kernel: int, stride: int) -> list[Block]:
    """Return blocks alike, of which the first one strides."""
    return [Block(widen, channels, kernel, 1 if n else stride) for n in range(count)]


LITE0 = [
    *repeat(1, 1, 16, 3, 1),
    *repeat(2, 6, 24, 3, 2),
    *repeat(2, 6, 40, 5, 2),
    *repeat(3, 6, 80, 3, 2),
    *repeat(3, 6, 112, 5, 1),
    *repeat(4, 6, 192, 5, 2),
    *repeat(1, 6, 320, 3, 1),
]
HEAD = 1280


def backbone(
    side: int = 128,
    blocks: int | None = 11,
    pool: Sequence[int] = (1,),
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    int8_weights: bool = False,
) -> onnx.ModelProto:
    """Return EfficientNet-Lite0 from `image` to `features`.

    Args:
        side: pixels of the square the picture is squeezed to.
        blocks: how many of its 16 to go through; None is all, and the head of 1280 channels.
        pool: the map that comes out is averaged to so many places along a side, all of one size,
            overlapping where they do not divide it; several such maps are joined.
        weights: the state dict; else the `backbone` package's.
        int8_weights: store the 1x1 convolutions' filters as int8, with a scale for each channel
            that comes out, and the others as half floats: a third of the size, the same time.
            Arithmetic stays float32, so that processors agree.
    """
    if blocks is not None and not 0 <= blocks <= len(LITE0):
        raise ValueError(f"blocks {blocks}: there are {len(LITE0)}")
    state = load_weights("backbone") if weights is None else weights
    return inverted_residuals(
        LITE0[:blocks],
        lambda name, _shape: _folded(state, name),
        stem=32,
        head=HEAD if blocks is None else None,
        side=side,
        pool=pool,
        int8_weights=int8_weights,
    )


def inverted_residuals(
    blocks: Sequence[Block],
    filters: Filters,
    *,
    stem: int,
    head: int | None,
    side: int,
    pool: Sequence[int] = (1,),
    int8_weights: bool = False,
) -> onnx.ModelProto:
    """Return a network of inverted residuals from `image` to `features`.

    Args:
        blocks: in order.
        filters: called with a convolution's name (`stem`, `3.widen`, `3.look`, `3.narrow`, `head`)
            and shape; returns its filters and biases.
        stem: channels of the first convolution.
        head: channels of the last, or None for no such.
        side: pixels of the square the picture is squeezed to.
        pool: places along a side that the last map is averaged to.
        int8_weights: see `backbone`.
    """
    graph = _Graph(filters, side, small=int8_weights)
    graph.picture()
    graph.convolve("stem", stem, kernel=3, stride=2)
    for number, block in enumerate(blocks):
        graph.block(str(number), block)
    if head is not None:
        graph.convolve("head", head)
    return graph.finish(pool)


class _Graph:
    """A graph in the making. `at` names the map that it ends with for now."""

    def __init__(self, filters: Filters, side: int, *, small: bool) -> None:
        self.filters = filters
        self.small = small
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.at = "image"
        self.channels = 3
        self.side = side

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def picture(self) -> None:
        """Squeeze the picture to a square, and to about -1 to 1, as the network was taught.

        Google's efficientnet_lite_builder.py: a mean of 127 and a deviation of 128, of each colour.
        """
        first = self.add("Transpose", ["image"], "channels_first", perm=[2, 0, 1])
        batch = self.add("Unsqueeze", [first, self.constant("zero", [0], np.int64)], "batch")
        floats = self.floats("bytes", batch)
        size = self.constant("square_size", [1, 3, self.side, self.side], np.int64)
        square = self.add(
            "Resize",
            [floats, "", "", size],
            "square",
            mode="linear",
            antialias=1,
            coordinate_transformation_mode="half_pixel",
        )
        centred = self.add("Sub", [square, self.constant("middle", 127)], "centred")
        self.at = self.add("Div", [centred, self.constant("half", 128)], "normal")
        self.constant("lowest", 0)
        self.constant("highest", 6)

    def convolve(
        self,
        name: str,
        channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
        relu6: bool = True,
    ) -> None:
        groups = channels if depthwise else 1
        weights, bias = self.filters(name, (channels, self.channels // groups, kernel, kernel))
        # TensorFlow's 'SAME': the side is divided by the stride, rounding up, and what padding that
        # takes is put around, the odd pixel after.
        side = -(-self.side // stride)
        padding = max((side - 1) * stride + kernel - self.side, 0)
        before, after = padding // 2, padding - padding // 2
        inputs = [
            self.at,
            self.stored(f"{name}.weights", weights),
            self.constant(f"{name}.bias", bias),
        ]
        self.at = self.add(
            "Conv",
            inputs,
            name,
            group=groups,
            strides=[stride, stride],
            pads=[before, before, after, after],
        )
        if relu6:
            self.at = self.add("Clip", [self.at, "lowest", "highest"], f"{name}.clipped")
        self.side, self.channels = side, channels

    def stored(self, name: str, filters: NDArray[Any]) -> str:
        """Store filters as float32, or small; return the name they have as float32."""
        if not self.small:
            return self.constant(name, filters)
        if filters.shape[-1] > 1:  # depthwise, or the stem: few numbers, and int8 hurts them most
            return self.floats(name, self.constant(f"{name}.half", filters, np.float16))
        # Not DequantizeLinear: onnxruntime would do that again for each picture, in twice the time.
        # Cast and Mul it does once, when the model is loaded.
        largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
        scale = np.where(largest > 0, largest, 1) / 127
        steps = self.constant(f"{name}.steps", np.rint(filters / scale), np.int8)
        whole = self.floats(f"{name}.whole", steps)
        return self.add("Mul", [whole, self.constant(f"{name}.scale", scale)], name)

    def floats(self, name: str, value: str) -> str:
        return self.add("Cast", [value], name, to=TensorProto.FLOAT)

    def block(self, name: str, block: Block) -> None:
        start, channels = self.at, self.channels
        inside = channels * block.widen
        if block.widen > 1:
            self.convolve(f"{name}.widen", inside)
        self.convolve(
            f"{name}.look", inside, kernel=block.kernel, stride=block.stride, depthwise=True
        )
        self.convolve(f"{name}.narrow", block.channels, relu6=False)
        if block.stride == 1 and channels == block.channels:
            self.at = self.add("Add", [self.at, start], f"{name}.sum")

    def finish(self, pool: Sequence[int]) -> onnx.ModelProto:
        """Average the map to `features`, and return the model."""
        flat = self.constant("flat", [-1], np.int64)
        parts = []
        for places in pool:
            if not 0 < places <= self.side:
                raise ValueError(f"pool {places}: the map has {self.side} places along a side")
            step = self.side // places
            kernel = self.side - (places - 1) * step
            averages = self.add(
                "AveragePool",
                [self.at],
                f"averages.{places}",
                kernel_shape=[kernel, kernel],
                strides=[step, step],
            )
            parts.append(self.add("Reshape", [averages, flat], f"flat.{places}"))
        self.add("Concat", parts, "features", axis=0)
        graph = helper.make_graph(
            self.nodes,
            "features",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n"])],
            self.constants,
        )
        return make_model(graph)


_CONVOLUTIONS = {
    "stem": ("_conv_stem", "_bn0"),
    "head": ("_conv_head", "_bn1"),
    "widen": ("_expand_conv", "_bn0"),
    "look": ("_depthwise_conv", "_bn1"),
    "narrow": ("_project_conv", "_bn2"),
}


def _folded(state: Mapping[str, NDArray[Any]], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a convolution's filters and biases with its batch normalisation folded in."""
    block, _, kind = name.rpartition(".")
    prefix = f"_blocks.{block}." if block else ""
    convolution, normalisation = (prefix + part for part in _CONVOLUTIONS[kind])
    gain, offset, mean, variance = (
        state[f"{normalisation}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain /= np.sqrt(variance + EPSILON)
    return state[f"{convolution}.weight"] * gain[:, None, None, None], offset - mean * gain
