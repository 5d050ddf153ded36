"""PyTorch's `.pth` files, read without PyTorch and without unpickling.

Before version 1.6 PyTorch wrote five pickles, one after the other (a magic number, a version, a
description of the machine, the state dict, the storages' names), and then each storage: how many
numbers, and the numbers. The state dict's pickle holds no numbers: each tensor says which storage,
where in it, and with which strides.

A pickle is a program, and Python's `pickle` runs it: it may call anything. Here its instructions
are only taken apart (`pickletools.genops`, which calls nothing), and followed by a machine that
knows the two dozen of a state dict and has nothing to call: a name in the file stays a name.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
State: TypeAlias = dict[str, NDArray[Any]]

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
LONGEST_PICKLE = 1_000_000
"""Instructions; a state dict of 300 tensors has some 10,000."""
MOST_AXES = 8

_DTYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ByteStorage": np.dtype("u1"),
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"


class _Name(str):
    """What the file would have called, had it been unpickled."""

    __slots__ = ()


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _UnreadableError(Exception):
    """What is wrong with the file."""


def read_state_dict(content: bytes, where: str) -> State:
    """Return the arrays of a state dict in PyTorch's older file format, by name.

    Args:
        content: the whole file.
        where: its name, for the error.

    Raises:
        DataError: damaged, of another format, or holding anything but arrays.
    """
    try:
        return _read(io.BytesIO(content), most=len(content))
    except _UnreadableError as problem:
        reason = str(problem)
    except Exception:  # noqa: BLE001  (a hostile file can go wrong in any way, but only go wrong)
        reason = "damaged"
    raise DataError(
        f"{where}: {reason[:200]}; expected a state dict as PyTorch saved it before version 1.6"
    )


def _read(file: io.BytesIO, most: int) -> State:
    if _follow(file) != MAGIC or _follow(file) != VERSION:
        raise _UnreadableError("not such a file")
    if _follow(file)["little_endian"] is not True:
        raise _UnreadableError("of a big-endian machine")
    tensors: dict[str, _Tensor] = _follow(file)
    # Tensors of a storage each, or parts of one. Repeating it could fill the memory.
    if sum(math.prod(t.shape) * t.storage.dtype.itemsize for t in tensors.values()) > most:
        raise _UnreadableError("damaged: more numbers than the file is long")
    wanted = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    for key in _follow(file):
        storage = wanted[_checked(key, str)]
        (size,) = struct.unpack("<q", file.read(8))
        if size != storage.size:
            raise _UnreadableError("damaged: a storage of another size than announced")
        numbers = file.read(size * storage.dtype.itemsize)
        storages[key] = np.frombuffer(numbers, storage.dtype, size)
    return {name: _array(t, storages[t.storage.key]) for name, t in tensors.items()}


def _array(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """Cut a tensor out of its storage, in C order."""
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((n - 1) * step for n, step in steps)
    if last >= numbers.size:
        raise _UnreadableError("damaged: a tensor beyond its storage")
    strides = [step * numbers.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return np.array(view, order="C")


def _follow(file: io.BytesIO) -> Any:
    """Follow one pickle's instructions up to its STOP, and return what they make."""
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name == "STOP" or count > LONGEST_PICKLE:
            break
        machine.step(opcode.name, argument)
    return machine.stack.pop()


class _Machine:
    """The instructions of pickle that a state dict is made with, and no others.

    Each may take from the stack, and puts on it what `_MAKES` or a method here returns.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _MAKES:
            self.stack.append(_MAKES[name](self, argument))
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in {"BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = self.stack[-1]
        elif name in {"SETITEM", "SETITEMS"}:
            items = self.pop(2 if name == "SETITEM" else None)
            keys = (_checked(key, str) for key in items[::2])
            self.stack[-1].update(zip(keys, items[1::2], strict=True))
        elif name in {"APPEND", "APPENDS"}:
            items = self.pop(1 if name == "APPEND" else None)
            self.stack[-1].extend(items)
        elif name == "BUILD":
            self.stack.pop()  # attributes of the dict: which versions its parts had
        elif name != "PROTO":
            raise _UnreadableError(f"it asks for {name}, which no state dict needs")

    def pop(self, count: int | None = None) -> list[Any]:
        """Take so many from the stack, or all down to the last mark."""
        start = self.marks.pop() if count is None else len(self.stack) - count
        if not 0 <= start <= len(self.stack):
            raise _UnreadableError("damaged")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken


_MAKES: dict[str, Callable[[_Machine, Any], Any]] = {
    "NONE": lambda _, _argument: None,
    "NEWTRUE": lambda _, _argument: True,
    "NEWFALSE": lambda _, _argument: False,
    "EMPTY_DICT": lambda _, _argument: {},
    "EMPTY_LIST": lambda _, _argument: [],
    "EMPTY_TUPLE": lambda _, _argument: (),
    "TUPLE": lambda machine, _: tuple(machine.pop()),
    "TUPLE1": lambda machine, _: tuple(machine.pop(1)),
    "TUPLE2": lambda machine, _: tuple(machine.pop(2)),
    "TUPLE3": lambda machine, _: tuple(machine.pop(3)),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"), lambda _, argument: argument
    ),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, at: machine.memo[at]),
    "GLOBAL": lambda _, name: _Name(name),
    "BINPERSID": lambda machine, _: _storage(*machine.stack.pop()),
    "REDUCE": lambda machine, _: _call(*machine.pop(2)),
}


def _call(name: Any, arguments: Any) -> Any:
    """Return what Python would get from the two functions that a state dict calls."""
    name = _checked(name, _Name)
    if name == _DICT and arguments == ():
        return {}
    if name == _TENSOR:
        storage, offset, shape, strides, *_ = arguments
        sizes = [offset, *shape, *strides]
        if len(sizes) > 1 + 2 * MOST_AXES or min(_checked(n, int) for n in sizes) < 0:
            raise _UnreadableError("damaged: a tensor of impossible shape")
        return _Tensor(_checked(storage, _Storage), offset, shape, strides)
    raise _UnreadableError(f"it asks for {name}, which no state dict needs")


def _storage(kind: Any, dtype: Any, key: Any, _location: Any, size: Any, _view: Any) -> _Storage:
    """Return what the state dict says of a storage; its numbers come later in the file."""
    name = _checked(dtype, _Name)
    if _checked(kind, str) != "storage" or name not in _DTYPES:
        raise _UnreadableError(f"it asks for {name}, which no state dict needs")
    return _Storage(_checked(key, str), _DTYPES[name], _checked(size, int))


def _checked(value: Any, kind: type[_T]) -> _T:
    """Return the value. What the file makes may be nested so that hashing it takes for ever."""
    if type(value) is not kind:
        raise _UnreadableError("damaged: not a state dict")
    return value
