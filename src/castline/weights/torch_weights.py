"""Reads the tensors of PyTorch's weights files, without PyTorch.

There are two formats of ``torch.save`` (``serialization.py``). Before PyTorch 1.6 (``_legacy_load``): five pickles
(magic number, version of the format, facts about the machine, the state dict, keys of the storages), then each storage
as a count (int64) and raw little-endian values. Since then: a zip without compression, with the state dict's pickle in
``<name>/data.pkl`` and each storage's values in ``<name>/data/<key>``.

A pickle is a program, and ``pickle.Unpickler`` runs it: even with a list of allowed names, it allocates whatever a memo
index or a length says, and may hash nested tuples for hours. So the few instructions of which a state dict consists are
executed here, on a stack of plain values; nothing is imported, and only the two functions below are called.
"""

from __future__ import annotations

import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelCorrupt

#: The voice encoder's checkpoint, which also contains its optimizer's state, has 17 MB.
_MAX_BYTES = 32 * 2**20
#: Its pickles have 1 900 instructions, those of the net for speaking faces 6 000.
_MAX_STEPS = 20_000
_MAX_ENTRIES = 2_000
_MAX_DIMENSIONS = 8
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_ZIP = b"PK\x03\x04"
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError)


@dataclass(frozen=True, slots=True)
class _Storage:
    """A stretch of ``count`` values after the pickles; float32, or int64 if it only counts batches."""

    key: str
    count: int
    counts: bool = False


class _Counter:
    """Represents the class of int64 storages, in which normalisation counts batches."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; offset and strides count values."""

    storage: _Storage
    offset: int
    shape: Sequence[int]
    strides: Sequence[int]


def read_tensors(path: Path, member: str = "") -> dict[str, NDArray[np.float32]]:
    """The tensors of a state dict by name, in the order of the file: float32, read-only views with strides as saved.

    In a zip, int64 tensors are left out: they count batches during training.

    Args:
        member: for a checkpoint, the key of the state dict in it; empty if the file is a state dict itself.

    Raises:
        ModelCorrupt: the file is truncated, of another format, or contains anything but float32 tensors.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has over {_MAX_BYTES} bytes")
        return _read_zip(data, member) if data.startswith(_ZIP) else _read(BytesIO(data), member)
    except (ValueError, TypeError, LookupError, struct.error, *_BROKEN_ZIP) as error:
        raise ModelCorrupt(f"{path} is not a PyTorch file of float32 tensors", detail=str(error)[:500]) from error


def _read(file: BinaryIO, member: str) -> dict[str, NDArray[np.float32]]:
    if _unpickle(file) != _MAGIC or _unpickle(file) != _VERSION:
        raise ValueError("it does not begin as a PyTorch file of the old format does")
    if _checked(_unpickle(file), dict).get("little_endian") is not True:
        raise ValueError("it is not little endian")
    tensors = _state(_unpickle(file), member)
    storages = {}
    for key in _checked(_unpickle(file), list):
        _checked(key, str)
        (count,) = struct.unpack("<q", file.read(8))
        values = file.read(4 * count) if count in range(_MAX_BYTES) else b""
        if len(values) != 4 * count:
            raise ValueError("it ends inside a storage")
        storages[key] = np.frombuffer(values, "<f4")
    return {name: _view(_checked(tensor, _Tensor), storages) for name, tensor in tensors.items()}


def _read_zip(data: bytes, member: str) -> dict[str, NDArray[np.float32]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries.values()) > _MAX_BYTES:
            raise ValueError("its zip holds more than a state dict has")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("its zip is compressed")
        (pickled,) = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("it is not little endian")
        found = _state(_unpickle(BytesIO(archive.read(pickled))), member)
        tensors = {name: tensor for name, tensor in found.items() if not _checked(tensor, _Tensor).storage.counts}
        keys = {tensor.storage.key for tensor in tensors.values()}
        storages = {key: np.frombuffer(archive.read(f"{folder}data/{key}"), "<f4") for key in keys}
    return {name: _view(tensor, storages) for name, tensor in tensors.items()}


def _state(unpickled: Any, member: str) -> dict[str, Any]:
    tensors: dict[str, Any] = _checked(unpickled, dict)
    return _checked(tensors[member], dict) if member else tensors


def _view(tensor: _Tensor, storages: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """A tensor's values, which must be inside its storage."""
    if tensor.storage.counts:
        raise TypeError("there is a storage of another type than float32")
    values = storages[tensor.storage.key]
    shape, strides = tensor.shape, tensor.strides
    if len(values) != tensor.storage.count or not 1 <= len(shape) == len(strides) <= _MAX_DIMENSIONS:
        raise ValueError("a tensor does not go with its storage")
    within = range(len(values) + 1)
    if not all(number in within for number in (tensor.offset, *shape, *strides)):
        raise ValueError("a tensor lies outside of its storage")
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape or math.prod(shape) > len(values) or last >= len(values):
        raise ValueError("a tensor lies outside of its storage")
    return np.lib.stride_tricks.as_strided(
        values[tensor.offset :], shape, [4 * stride for stride in strides], writeable=False
    )


# --- the pickles --------------------------------------------------------------------------------


def _ordered_dict() -> dict[str, Any]:
    return {}


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *gradient: Any) -> _Tensor:
    numbers = (offset, *_checked(shape, tuple), *_checked(strides, tuple))
    if any(type(number) is not int for number in numbers):
        raise TypeError("a tensor's place is not made of integers")
    return _Tensor(_checked(storage, _Storage), offset, shape, strides)


#: The names that a state dict may contain; everything else is refused. The storage's class is never called.
_GLOBALS: dict[Any, Any] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch FloatStorage": _Storage,
    "torch LongStorage": _Counter,
}


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"there is something else where a {kind.__name__} should be")
    return value


def _key(value: Any) -> Any:
    """A valid dict key: an optimizer numbers its parameters. Excludes values that take hours to hash."""
    if type(value) is not str and type(value) is not int:
        raise TypeError("there is something else where a key should be")
    return value


def _storage(identity: Any) -> _Storage:
    """A storage's description in a pickle: its class and key, a device, its count; no view (the old format)."""
    _, kind, key, _, count, *_ = _checked(identity, tuple)
    if kind is not _Storage and kind is not _Counter:
        raise TypeError("there is a storage of another type than float32")
    return _Storage(_checked(key, str), _checked(count, int), kind is _Counter)


def _unpickle(file: BinaryIO) -> Any:
    """Execute one pickle, from the current position to its end.

    Raises:
        ValueError, TypeError, LookupError: it is damaged, or contains anything that a state dict does not need.
    """
    stack: list[Any] = []
    marked: list[list[Any]] = []
    memo: dict[Any, Any] = {}
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if step >= _MAX_STEPS:
            raise ValueError(f"a pickle has over {_MAX_STEPS} instructions")
        match opcode.name:
            case "PROTO":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE" | "BINFLOAT":
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(opcode.name[-1]))]
                stack.append(tuple(reversed(items)))
            case "MARK":
                marked.append(stack)
                stack = []
            case "TUPLE":
                items, stack = stack, marked.pop()
                stack.append(tuple(items))
            case "APPEND":
                item = stack.pop()
                _checked(stack[-1], list).append(item)
            case "APPENDS":
                items, stack = stack, marked.pop()
                _checked(stack[-1], list).extend(items)
            case "SETITEM":
                value, name = stack.pop(), stack.pop()
                _checked(stack[-1], dict)[_key(name)] = value
            case "SETITEMS":
                items, stack = stack, marked.pop()
                names = [_key(name) for name in items[::2]]
                _checked(stack[-1], dict).update(zip(names, items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_GLOBALS[argument])
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments, function = _checked(stack.pop(), tuple), stack.pop()
                if function is not _ordered_dict and function is not _rebuild_tensor:
                    raise TypeError("something is called that is not a function")
                stack.append(function(*arguments))
            case "BUILD":  # the versions of the net's modules, which do not concern the tensors
                stack.pop()
                _checked(stack[-1], dict)
            case "STOP":
                return stack.pop()
            case _:
                raise ValueError(f"a pickle does what no state dict needs: {opcode.name}")
    raise ValueError("a pickle has no end")
