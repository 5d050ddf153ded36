"""State dicts are read without PyTorch; whatever else is in a file is refused and never run."""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import DataError
from trainer.features.torch_file import MAGIC, VERSION, read_state_dict

MACHINE = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}}


def rebuild(*arguments):
    raise AssertionError("called")


class FloatStorage:
    """What PyTorch saves a pickle's storages as."""

    def __init__(self, key, numbers, size=None):
        self.key = key
        self.numbers = np.asarray(numbers, "<f4")
        self.size = self.numbers.size if size is None else size


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.parts = storage, offset, shape, strides, False, OrderedDict()

    def __reduce__(self):
        return rebuild, self.parts


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, FloatStorage):
            return "storage", FloatStorage, value.key, "cpu", value.size, None
        return None


def pickled(value, kind=pickle.Pickler):
    file = io.BytesIO()
    kind(file, protocol=2).dump(value)
    return file.getvalue()


def saved(state, storages, *, magic=MAGIC, machine=MACHINE):
    """Return the bytes of a file as PyTorch saved it; `state` may also be a pickle's bytes."""
    parts = [pickled(part) for part in (magic, VERSION, machine)]
    with pytest.MonkeyPatch.context() as patch:
        torch, utils = ModuleType("torch"), ModuleType("torch._utils")
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        utils._rebuild_tensor_v2, torch.FloatStorage = rebuild, FloatStorage
        patch.setattr(rebuild, "__module__", "torch._utils", raising=False)
        patch.setattr(rebuild, "__qualname__", "_rebuild_tensor_v2", raising=False)
        patch.setattr(FloatStorage, "__module__", "torch")
        parts.append(state if isinstance(state, bytes) else pickled(state, Pickler))
    parts.append(pickled([storage.key for storage in storages]))
    for storage in storages:
        parts += [struct.pack("<q", storage.size), storage.numbers.tobytes()]
    return b"".join(parts)


def state_file():
    """Return a file of three tensors: one plain, one transposed, one from the middle."""
    numbers = FloatStorage("1", np.arange(12))
    more = FloatStorage("2", np.arange(20) / 4)
    scalar = FloatStorage("3", [7])
    state = OrderedDict(
        plain=Tensor(numbers, 0, (3, 4), (4, 1)),
        turned=Tensor(more, 2, (4, 3), (1, 4)),
        one=Tensor(scalar, 0, (), ()),
    )
    state._metadata = OrderedDict({"": {"version": 1}})
    return saved(state, [more, scalar, numbers])


FILE = state_file()


def test_tensors_come_out_with_their_shapes_strides_and_offsets():
    state = read_state_dict(FILE, "x.pth")
    assert list(state) == ["plain", "turned", "one"]
    np.testing.assert_array_equal(state["plain"], np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(state["turned"], np.arange(2, 14).reshape(3, 4).T / 4)
    assert state["one"].shape == ()
    assert state["one"] == 7
    assert {array.dtype for array in state.values()} == {np.dtype("float32")}
    assert all(array.flags.c_contiguous for array in state.values())


def refused(content, match):
    with pytest.raises(DataError, match=match) as caught:
        read_state_dict(content, "x.pth")
    message = str(caught.value)
    assert message.startswith("x.pth: ")
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (13,), (1,)),  # more numbers than there are
        (1, (12,), (1,)),
        (12, (1,), (1,)),
        (0, (3, 4), (4, 2)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (3, (4,), (-1,)),
        (0, (3, 4), (1,)),  # a stride is missing
        (0, (10**9, 10**9), (0, 0)),  # would fill the memory
        (0, (200,), (0,)),
        (0, (1,) * 40, (0,) * 40),
        (0, (2**200,), (2**200,)),
        (0.0, (2,), (1,)),
        (0, ("2",), (1,)),
        (0, [2], {1: 2}),
        (0, None, None),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(offset, shape, strides):
    storage = FloatStorage("1", np.arange(12))
    refused(saved({"a": Tensor(storage, offset, shape, strides)}, [storage]), "damaged|BINFLOAT")


@pytest.mark.parametrize("size", [0, 11, 13, -1, 2**40, 2**62, "12"])
def test_a_storage_of_another_size_than_it_says_is_refused(size):
    storage = FloatStorage("1", np.arange(12), size)
    file = saved({"a": Tensor(storage, 0, (12,), (1,))}, [FloatStorage("1", np.arange(12))])
    refused(file, "damaged")


def test_tensors_may_not_repeat_a_storage_until_the_memory_is_full():
    storage = FloatStorage("1", np.zeros(10_000))
    state = {str(n): Tensor(storage, 0, (100, 100), (1, 100)) for n in range(1000)}
    refused(saved(state, [storage]), "more numbers than the file is long")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "damaged"),
        (b"\x80", "damaged"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"\x80\x02.", "damaged"),
        (saved({}, [], magic=MAGIC + 1), "not such a file"),
        (saved({}, [], machine={**MACHINE, "little_endian": False}), "big-endian"),
        (saved({}, [], machine=[1]), "damaged"),
        (saved({"a": 1}, []), "damaged"),
        (saved([1, 2], []), "damaged"),
        (saved(None, []), "damaged"),
        (saved({"a": {"b": None}}, []), "damaged"),
        (saved({1: 2}, []), "not a state dict"),
    ],
)
def test_what_is_no_state_dict_is_refused(content, match):
    refused(content, match)


class Runs:
    """Pickled, it makes whoever unpickles it call something."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Built:
    def __setstate__(self, state):
        raise AssertionError("built")

    def __reduce__(self):
        return OrderedDict, (), {"a": 1}, iter([Runs(exec, "raise SystemExit")])


@pytest.mark.parametrize("place", ["whole", "value", "first"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_file_wants_to_call_is_never_called(tmp_path, protocol, place):
    canary = tmp_path / "called"
    calls = [Runs(Path.touch, canary), Runs(exec, f"open({str(canary)!r}, 'w')"), Built()]
    for call in calls:
        hostile = pickle.dumps({"a": call} if place == "value" else call, protocol)
        refused(hostile + FILE if place == "first" else saved(hostile, []), "asks for|damaged")
        assert not canary.exists()


def test_a_call_is_named():
    refused(saved(pickle.dumps(Runs(exec, ""), 2), []), "it asks for __builtin__ exec")


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}" + b")" + 60 * b"q\x00h\x00\x86" + b"K\x01s.",  # as a key: hashing takes ages
        b"\x80\x02" + b")" + 60 * b"q\x00h\x00\x86" + b"Q.",  # as a storage
        b"\x80\x02" + b")" + 60 * b"q\x00h\x00\x86" + b")R.",  # to be called
        b"\x80\x02Nr\xff\xff\xff\xff.",  # memorised as number 4,294,967,295
        b"\x80\x02X\xff\xff\xff\x7fshort.",  # a text of 2 GB
        b"\x80\x02" + 1_000_100 * b"N" + b".",
        b"\x80\x02" + 200_000 * b"(" + b"t.",
        b"\x80\x02" + b")" + 100_000 * b"\x85" + b".",
    ],
)
def test_a_small_file_cannot_take_long_or_fill_the_memory(program):
    refused(saved(program, []), "damaged|asks for")


def survives(content):
    """Either arrays come out, or a line says why not."""
    with suppress(DataError):
        state = read_state_dict(content, "x.pth")
        assert all(isinstance(array, np.ndarray) for array in state.values())


@given(st.data())
def test_a_damaged_file_is_arrays_or_one_line(data):
    content = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(content[: data.draw(st.integers(0, 2 * len(content)))]))


@given(st.binary(max_size=60))
def test_any_program_is_arrays_or_one_line(program):
    survives(saved(b"\x80\x02" + program + b".", []))
    survives(program)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.floats(), st.binary(max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=12,
)


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_any_other_pickle_is_arrays_or_one_line(value, protocol):
    survives(saved(pickle.dumps(value, protocol), []))
