"""TensorFlow Lite files become ONNX graphs that compute the same, or are refused in one line."""

from __future__ import annotations

import flatbuffers
import numpy as np
import onnxruntime
import pytest
import tflite
from hypothesis import given
from hypothesis import strategies as st
from tflite import BuiltinOperator as Kind

from trainer.errors import DataError
from trainer.features import tflite_file
from trainer.features.tflite_file import read_tflite

SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
TYPES = {
    np.dtype("float32"): tflite.TensorType.FLOAT32,
    np.dtype("float16"): tflite.TensorType.FLOAT16,
    np.dtype("int32"): tflite.TensorType.INT32,
    np.dtype("int8"): tflite.TensorType.INT8,
}


class Toy:
    """A file in the making, with one input; tensors are known by their numbers."""

    def __init__(self, *shape):
        self.tensors = [(shape, tflite.TensorType.FLOAT32, None)]
        self.operators = []

    def constant(self, numbers, dtype=np.float32, shape=None):
        array = np.asarray(numbers, dtype)
        self.tensors.append((shape or array.shape, TYPES[array.dtype], array.tobytes()))
        return len(self.tensors) - 1

    def add(self, kind, inputs, shape, options="", **fields):
        """Add an operator; return its output. Fields of its options are set by their names."""
        self.tensors.append((shape, tflite.TensorType.FLOAT32, None))
        output = len(self.tensors) - 1
        self.operators.append((kind, inputs, output, options, fields))
        return output

    def file(self, *outputs):
        builder = flatbuffers.Builder()

        def vector(offsets):
            builder.StartVector(4, len(offsets), 4)
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
            return builder.EndVector()

        def table(name, **fields):
            getattr(tflite, f"{name}Start")(builder)
            for field, value in fields.items():
                getattr(tflite, f"{name}Add{field}")(builder, value)
            return getattr(tflite, f"{name}End")(builder)

        def numbers(values):
            return builder.CreateNumpyVector(np.array(values, np.int32))

        buffers, tensors, codes, operators = [table("Buffer")], [], [], []
        for shape, dtype, content in self.tensors:
            buffer = 0
            if content is not None:
                data = builder.CreateByteVector(content)
                buffer = len(buffers)
                buffers.append(table("Buffer", Data=data))
            sides = numbers(shape)
            tensors.append(table("Tensor", Shape=sides, Type=dtype, Buffer=buffer))
        for number, (kind, inputs, output, options, fields) in enumerate(self.operators):
            old = min(kind, Kind.PLACEHOLDER_FOR_GREATER_OP_CODES)
            codes.append(table("OperatorCode", DeprecatedBuiltinCode=old, BuiltinCode=kind))
            parts = {"Inputs": numbers(inputs), "Outputs": numbers([output])}
            if options:
                parts["BuiltinOptions"] = table(options, **fields)
                parts["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, options)
            operators.append(table("Operator", OpcodeIndex=number, **parts))
        lists = {"Tensors": vector(tensors), "Operators": vector(operators)}
        lists |= {"Inputs": numbers([0]), "Outputs": numbers(outputs)}
        graph = vector([table("SubGraph", **lists)])
        parts = {"OperatorCodes": vector(codes), "Subgraphs": graph, "Buffers": vector(buffers)}
        builder.Finish(table("Model", Version=3, **parts), b"TFL3")
        return bytes(builder.Output())


def channels_first(array):
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(content, inputs, **options):
    """Return the outputs of the graph for inputs in the file's order."""
    model = read_tflite(content, "toy.tflite", **options)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"input": channels_first(inputs)})


def check(toy, output, inputs, expected, **tolerance):
    (got,) = run(toy.file(output), inputs)
    np.testing.assert_allclose(got, expected, **{"atol": 1e-5, "rtol": 1e-5} | tolerance)


def windows(picture, kernel, stride, padding, *, fill=0, dilation=1):
    """Return what each window sees: `[rows, columns, kernel, kernel, channels]`."""
    sides = picture.shape[1:3]
    reach = (kernel - 1) * dilation + 1
    if padding == SAME:  # as TensorFlow documents it
        counts = [-(-side // stride) for side in sides]
        wide = [
            max((n - 1) * stride + reach - side, 0) for n, side in zip(counts, sides, strict=True)
        ]
        around = [(w // 2, w - w // 2) for w in wide]
    else:
        counts, around = [(side - reach) // stride + 1 for side in sides], [(0, 0), (0, 0)]
    padded = np.pad(picture[0], [*around, (0, 0)], constant_values=fill)
    return np.array(
        [
            [
                padded[r : r + reach : dilation, c : c + reach : dilation]
                for c in np.arange(counts[1]) * stride
            ]
            for r in np.arange(counts[0]) * stride
        ]
    )


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "dilation"),
    [
        (7, 3, 1, 1),
        (8, 3, 2, 1),
        (7, 3, 2, 1),
        (9, 5, 2, 1),
        (8, 2, 2, 1),
        (6, 1, 1, 1),
        (9, 3, 1, 2),
    ],
)
def test_convolutions(side, kernel, stride, dilation, padding):
    picture = 3 * numbers(1, side, side + 1, 3)
    filters, bias = numbers(4, kernel, kernel, 3, seed=1), numbers(4, seed=2)
    seen = windows(picture, kernel, stride, padding, dilation=dilation)
    expected = (np.einsum("rcijk,oijk->rco", seen, filters) + bias)[None]
    toy = Toy(*picture.shape)
    output = toy.add(
        Kind.CONV_2D,
        [0, toy.constant(filters), toy.constant(bias)],
        expected.shape,
        "Conv2DOptions",
        Padding=padding,
        StrideH=stride,
        StrideW=stride,
        DilationHFactor=dilation,
        DilationWFactor=dilation,
    )
    check(toy, output, picture, expected)


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_convolutions(stride, padding, multiplier):
    picture, filters = numbers(1, 8, 9, 3), numbers(1, 3, 3, 3 * multiplier, seed=1)
    seen = windows(picture, 3, stride, padding).repeat(multiplier, axis=-1)
    expected = np.einsum("rcijk,ijk->rck", seen, filters[0])[None]
    toy = Toy(*picture.shape)
    output = toy.add(
        Kind.DEPTHWISE_CONV_2D,
        [0, toy.constant(filters), -1],  # no bias
        expected.shape,
        "DepthwiseConv2DOptions",
        Padding=padding,
        StrideH=stride,
        StrideW=stride,
        DepthMultiplier=multiplier,
    )
    check(toy, output, picture, expected)


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(("side", "kernel", "stride"), [(8, 2, 2), (7, 2, 2), (8, 3, 2)])
def test_pools(side, kernel, stride, padding):
    picture = numbers(1, side, side, 3)
    seen = windows(
        picture, kernel, stride, padding, fill=np.nan
    )  # what is around, counts for nothing
    for kind, pool in [(Kind.MAX_POOL_2D, np.nanmax), (Kind.AVERAGE_POOL_2D, np.nanmean)]:
        expected = pool(seen, axis=(2, 3))[None]
        toy = Toy(*picture.shape)
        output = toy.add(
            kind,
            [0],
            expected.shape,
            "Pool2DOptions",
            Padding=padding,
            StrideH=stride,
            StrideW=stride,
            FilterHeight=kernel,
            FilterWidth=kernel,
        )
        check(toy, output, picture, expected)


@pytest.mark.parametrize(("activation", "limits"), [(1, (0, None)), (3, (0, 6))])
def test_activations_that_are_part_of_an_operator(activation, limits):
    inputs = 5 * numbers(1, 30)
    toy = Toy(1, 30)
    fields = {"FusedActivationFunction": activation}
    output = toy.add(Kind.ADD, [0, 0], (1, 30), "AddOptions", **fields)
    check(toy, output, inputs, (inputs + inputs).clip(*limits))


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 5, 3)])
def test_slopes_below_zero(shape):
    picture, slopes = numbers(1, 4, 5, 3), 5 * numbers(*shape, seed=1)  # some negative, some over 1
    toy = Toy(*picture.shape)
    output = toy.add(Kind.PRELU, [0, toy.constant(slopes)], picture.shape)
    check(toy, output, picture, np.where(picture > 0, picture, slopes * picture))


def test_sums_and_simple_functions():
    picture = numbers(1, 4, 5, 3)
    toy = Toy(*picture.shape)
    relu = toy.add(Kind.RELU, [0], picture.shape)
    both = toy.add(Kind.ADD, [0, relu], picture.shape, "AddOptions")
    output = toy.add(Kind.LOGISTIC, [both], picture.shape)
    check(toy, output, picture, 1 / (1 + np.exp(-(picture + picture.clip(0)))))


MARGINS = [[0, 0], [2, 1], [0, 3], [0, 0]]


@pytest.mark.parametrize("margins", [MARGINS, [[0, 0], [0, 0], [0, 0], [0, 2]]])
def test_padding(margins):
    picture = numbers(1, 4, 5, 3)
    expected = np.pad(picture, margins)
    toy = Toy(*picture.shape)
    output = toy.add(Kind.PAD, [0, toy.constant(margins, np.int32)], expected.shape, "PadOptions")
    check(toy, output, picture, expected)


@pytest.mark.parametrize(
    ("channels", "more", "kind"),
    [(16, 32, "Conv"), (16, 3, "Pad"), (3, 16, "Pad"), (16, 1024, "Pad")],
)
def test_blocks_of_channels_are_added_by_a_convolution(channels, more, kind):
    picture, margins = numbers(1, 4, 5, channels), [[0, 0], [0, 0], [0, 0], [0, more]]
    expected = np.pad(picture, margins)
    toy = Toy(*picture.shape)
    output = toy.add(Kind.PAD, [0, toy.constant(margins, np.int32)], expected.shape, "PadOptions")
    check(toy, output, picture, expected)
    nodes = read_tflite(toy.file(output), "toy").graph.node
    assert [node.op_type for node in nodes] == [kind, "Transpose"]


@pytest.mark.parametrize("padding", [SAME, VALID])
def test_padding_goes_into_the_convolution_behind_it(padding):
    picture, filters = numbers(1, 4, 5, 3), numbers(1, 3, 3, 3, seed=1)
    padded = np.pad(picture, MARGINS)
    seen = windows(padded, 3, 2, padding)
    expected = np.einsum("rcijk,ijk->rck", seen, filters[0])[None]
    toy = Toy(*picture.shape)
    inside = toy.add(Kind.PAD, [0, toy.constant(MARGINS, np.int32)], padded.shape, "PadOptions")
    strides = {"StrideH": 2, "StrideW": 2, "Padding": padding}
    inputs = [inside, toy.constant(filters)]
    options = "DepthwiseConv2DOptions"
    output = toy.add(Kind.DEPTHWISE_CONV_2D, inputs, expected.shape, options, **strides)
    check(toy, output, picture, expected)
    nodes = read_tflite(toy.file(output), "toy").graph.node
    assert [node.op_type for node in nodes] == ["Conv", "Transpose"]
    got, same = run(toy.file(inside, output), picture)  # and somebody else wants it too
    np.testing.assert_array_equal(got, padded)
    np.testing.assert_allclose(same, expected, atol=1e-5)


def linear(picture, size, positions):
    """Interpolate between the pixels at positions, counted in pixels' centres."""
    maps = picture[0]
    for axis, n in enumerate(size):
        side = maps.shape[axis]
        at = positions(np.arange(n), side, n).clip(0, side - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape(-1, 1, 1) if axis == 0 else (at - low).reshape(1, -1, 1)
        high = np.minimum(low + 1, side - 1)
        maps = maps.take(low, axis) * (1 - share) + maps.take(high, axis) * share
    return maps[None]


@pytest.mark.parametrize(
    ("fields", "positions"),
    [
        ({}, lambda i, side, n: i * side / n),
        ({"HalfPixelCenters": True}, lambda i, side, n: (i + 0.5) * side / n - 0.5),
        ({"AlignCorners": True}, lambda i, side, n: i * (side - 1) / (n - 1)),
    ],
)
def test_resizing(fields, positions):
    picture, size = numbers(1, 4, 5, 3), (8, 15)
    toy = Toy(*picture.shape)
    inputs = [0, toy.constant(size, np.int32)]
    options = "ResizeBilinearOptions"
    output = toy.add(Kind.RESIZE_BILINEAR, inputs, (1, *size, 3), options, **fields)
    check(toy, output, picture, linear(picture, size, positions))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 4, 5, 6), (1, 40, 3)),
        ((1, 1, 1, 6), (1, 6)),
        ((1, 4, 5, 1), (1, 20)),
        ((1, 4, 5, 6), (1, 2, 10, 6)),
        ((1, 60), (1, 4, 5, 3)),
    ],
)
def test_numbers_keep_the_files_order_in_another_shape(before, after):
    inputs = numbers(*before)
    toy = Toy(*before)
    output = toy.add(Kind.RESHAPE, [0], after)
    check(toy, output, inputs, inputs.reshape(after))


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (1, 7, 3)])
def test_joining(shape):
    inputs = numbers(*shape)
    for axis in range(-1, len(shape)):
        expected = np.concatenate([inputs, inputs], axis)
        toy = Toy(*shape)
        options = "ConcatenationOptions"
        output = toy.add(Kind.CONCATENATION, [0, 0], expected.shape, options, Axis=axis)
        check(toy, output, inputs, expected)


@pytest.mark.parametrize("keep", [True, False])
def test_averages_over_the_picture(keep):
    picture = numbers(1, 4, 5, 3)
    expected = picture.mean((1, 2), keepdims=keep)
    toy = Toy(*picture.shape)
    inputs = [0, toy.constant([1, 2], np.int32)]
    output = toy.add(Kind.MEAN, inputs, expected.shape, "ReducerOptions", KeepDims=keep)
    check(toy, output, picture, expected)


@pytest.mark.parametrize("shape", [(1, 12), (1, 1, 1, 12), (1, 2, 2, 3)])
def test_layers_of_all_to_all(shape):
    inputs, weights, bias = numbers(*shape), numbers(5, 12, seed=1), numbers(5, seed=2)
    toy = Toy(*shape)
    tensors = [0, toy.constant(weights), toy.constant(bias)]
    output = toy.add(Kind.FULLY_CONNECTED, tensors, (1, 5), "FullyConnectedOptions")
    check(toy, output, inputs, inputs.reshape(1, 12) @ weights.T + bias)


def half_toy(*, filters):
    toy = Toy(1, 4, 5, 3)
    whole = toy.add(Kind.DEQUANTIZE, [toy.constant(filters, np.float16)], filters.shape)
    strides = {"StrideH": 1, "StrideW": 1}
    return toy, toy.add(Kind.CONV_2D, [0, whole], (1, 4, 5, 64), "Conv2DOptions", **strides)


def test_half_floats_are_stored_as_floats_or_as_they_are():
    picture, filters = numbers(1, 4, 5, 3), numbers(64, 1, 1, 3, seed=1).astype(np.float16)
    toy, output = half_toy(filters=filters)
    expected = picture @ filters[:, 0, 0].astype(np.float32).T
    check(toy, output, picture, expected)
    (got,) = run(toy.file(output), picture, half=True)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    sizes = [len(read_tflite(toy.file(output), "toy", half=h).SerializeToString()) for h in (0, 1)]
    assert sizes[1] < sizes[0] - filters.size


def test_outputs_have_the_names_and_the_order_asked_for():
    toy = Toy(1, 2, 2, 3)
    picture = toy.add(Kind.RELU, [0], (1, 2, 2, 3))
    row = toy.add(Kind.RESHAPE, [picture], (1, 12))
    model = read_tflite(toy.file(row, picture), "toy", ["row", "picture"])
    assert [value.name for value in model.graph.output] == ["row", "picture"]
    assert [value.name for value in model.graph.input] == ["input"]
    plain = read_tflite(toy.file(row, picture), "toy")
    assert [value.name for value in plain.graph.output] == ["output_0", "output_1"]
    with pytest.raises(DataError, match="2 outputs, not the 1 expected"):
        read_tflite(toy.file(row, picture), "toy", ["row"])


def refusal(content):
    with pytest.raises(DataError) as caught:
        read_tflite(content, "toy.tflite")
    message = str(caught.value)
    assert message.startswith("toy.tflite: ")
    assert "\n" not in message
    return message


def test_an_operator_that_is_not_read_is_named():
    for kind, name in [(Kind.LSTM, "LSTM"), (Kind.GELU, "GELU")]:  # an old one, and one above 127
        toy = Toy(1, 3)
        assert f"operator {name} cannot be read" in refusal(toy.file(toy.add(kind, [0], (1, 3))))


def test_an_activation_that_is_not_read_is_refused():
    toy = Toy(1, 3)
    tanh = tflite.ActivationFunctionType.TANH
    output = toy.add(Kind.ADD, [0, 0], (1, 3), "AddOptions", FusedActivationFunction=tanh)
    assert "activation" in refusal(toy.file(output))


def test_quantised_weights_are_refused():
    toy = Toy(1, 3)
    weights = toy.constant(np.ones((2, 3)), np.int8)
    output = toy.add(Kind.FULLY_CONNECTED, [0, weights], (1, 2), "FullyConnectedOptions")
    assert "quantised" in refusal(toy.file(output))
    toy = Toy(1, 3)
    assert "quantised" in refusal(toy.file(toy.add(Kind.DEQUANTIZE, [0], (1, 3))))


def test_what_only_some_shapes_can_do_is_refused():
    toy = Toy(1, 4, 5, 3)
    mean = toy.add(Kind.MEAN, [0, toy.constant([3], np.int32)], (1, 4, 5), "ReducerOptions")
    assert "MEAN" in refusal(toy.file(mean))
    toy = Toy(1, 3)
    assert "PRELU" in refusal(toy.file(toy.add(Kind.PRELU, [0, toy.constant([1, 2, 3])], (1, 3))))


def test_a_constant_of_another_size_than_its_shape_is_damage():
    toy = Toy(1, 3)
    weights = toy.constant(np.ones(5), shape=(2, 3))
    output = toy.add(Kind.FULLY_CONNECTED, [0, weights], (1, 2), "FullyConnectedOptions")
    assert "damaged" in refusal(toy.file(output))


def test_a_constant_that_is_no_number_is_refused():
    toy = Toy(1, 3)
    weights = toy.constant([[1, np.nan, 1], [1, 1, 1]])
    output = toy.add(Kind.FULLY_CONNECTED, [0, weights], (1, 2), "FullyConnectedOptions")
    assert "not finite" in refusal(toy.file(output))


def test_a_shape_that_the_operators_do_not_give_is_damage():
    toy = Toy(1, 4, 5, 3)
    assert "damaged" in refusal(toy.file(toy.add(Kind.RELU, [0], (1, 4, 4, 3))))


def test_windows_that_do_not_move_are_damage():
    toy = Toy(1, 4, 5, 3)
    inputs = [0, toy.constant(np.ones((1, 3, 3, 3)))]
    output = toy.add(Kind.CONV_2D, inputs, (1, 4, 5, 1), "Conv2DOptions", StrideH=0, StrideW=1)
    assert "damaged" in refusal(toy.file(output))


def test_tensors_without_bound_are_refused(monkeypatch):
    toy = Toy(1, 100_000, 100_000, 3)
    assert "100000 x 100000" in refusal(toy.file(toy.add(Kind.RELU, [0], (1, 100_000, 100_000, 3))))
    toy = Toy(1, 1, 1, 1, 3)
    assert "four sides" in refusal(toy.file(toy.add(Kind.RELU, [0], (1, 1, 1, 1, 3))))
    toy = Toy(1, 10)
    weights = toy.constant(np.ones((10, 10)))
    first = toy.add(Kind.FULLY_CONNECTED, [0, weights], (1, 10), "FullyConnectedOptions")
    output = toy.add(Kind.FULLY_CONNECTED, [first, weights], (1, 10), "FullyConnectedOptions")
    monkeypatch.setattr(tflite_file, "MAX_NUMBERS", 150)  # once, but not as often as one likes
    assert "constants" in refusal(toy.file(output))
    monkeypatch.setattr(tflite_file, "MAX_OPERATORS", 1)
    assert "operators" in refusal(toy.file(output))


def test_an_input_that_comes_later_is_refused():
    toy = Toy(1, 3)
    output = toy.add(Kind.RELU, [2], (1, 3))
    toy.add(Kind.RELU, [output], (1, 3))
    assert "computed before" in refusal(toy.file(output))


def test_other_files_are_refused():
    for content in (b"", b"TFL3", b"PK\3\4" * 10, b"\0" * 100):
        assert "no TensorFlow Lite file" in refusal(content)
    assert "damaged" in refusal(b"\xff\xff\xff\xffTFL3" + b"\xff" * 100)


def network():
    """Return a file with most that a file can hold."""
    toy, looked = half_toy(filters=numbers(64, 1, 1, 3).astype(np.float16))
    bent = toy.add(Kind.PRELU, [looked, toy.constant(numbers(1, 1, 64))], (1, 4, 5, 64))
    margins = toy.constant(MARGINS, np.int32)
    padded = toy.add(Kind.PAD, [bent, margins], (1, 7, 8, 64), "PadOptions")
    pool = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
    small = toy.add(Kind.MAX_POOL_2D, [padded], (1, 4, 4, 64), "Pool2DOptions", **pool)
    size = toy.constant([8, 8], np.int32)
    large = toy.add(Kind.RESIZE_BILINEAR, [small, size], (1, 8, 8, 64), "ResizeBilinearOptions")
    axes = toy.constant([1, 2], np.int32)
    mean = toy.add(Kind.MEAN, [large, axes], (1, 64), "ReducerOptions")
    joined = toy.add(Kind.CONCATENATION, [mean, mean], (1, 128), "ConcatenationOptions", Axis=1)
    return toy.file(joined, toy.add(Kind.RESHAPE, [large], (1, 64, 64)))


NETWORK = network()


def read_or_refuse(content):
    try:
        read_tflite(content, "toy.tflite")
    except DataError as problem:
        assert "\n" not in str(problem)  # noqa: PT017  (either is fine)


def test_a_truncated_file_is_no_crash():
    read_tflite(NETWORK, "toy")
    for end in range(0, len(NETWORK) - 4, 7):
        read_or_refuse(NETWORK[:end])


@given(st.lists(st.tuples(st.integers(0, len(NETWORK) - 1), st.integers(0, 255)), min_size=1))
def test_damage_of_any_kind_is_no_crash(changes):
    content = bytearray(NETWORK)
    for place, value in changes:
        content[place] = value
    read_or_refuse(bytes(content))


def test_a_flipped_bit_anywhere_is_no_crash():
    for place in range(0, len(NETWORK), 5):
        content = bytearray(NETWORK)
        content[place] ^= 1 << place % 8
        read_or_refuse(bytes(content))
