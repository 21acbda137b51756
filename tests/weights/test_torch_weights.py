"""The reader of PyTorch's files, on files made here, on real ones, and on hostile ones."""

import io
import os
import pickle
import random
import struct
import time
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from castline.errors import ModelCorrupt
from castline.weights import locate
from castline.weights.torch_weights import read_tensors

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
ORDERED_DICT, TENSOR, FLOATS = (
    f"c{name}\n".encode()
    for name in ("collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage")
)


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(shape, strides, offset=0, count=6, key="0", kind=FLOATS):
    """Instructions that leave a tensor on the stack, as ``torch.save`` writes them."""
    storage = b"(" + text("storage") + kind + text(key) + text("cpu") + number(count) + b"NtQ"
    place = number(offset) + b"".join(b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (shape, strides))
    return TENSOR + b"(" + storage + place + b"\x89" + ORDERED_DICT + b")RtR"


def state(**tensors):
    items = b"".join(text(name) + instructions for name, instructions in tensors.items())
    return b"\x80\x02" + ORDERED_DICT + b")R(" + items + b"u."


def file_of(pickled, *, storages=None, machine=None, magic=MAGIC, version=VERSION):
    storages = {"0": np.arange(6, dtype="<f4")} if storages is None else storages
    machine = {"protocol_version": 1001, "little_endian": True} if machine is None else machine
    heads = [pickle.dumps(value, 2) for value in (magic, version, machine)]
    raw = [struct.pack("<q", len(values)) + values.tobytes() for values in storages.values()]
    return b"".join([*heads, pickled, pickle.dumps(list(storages), 2), *raw])


@pytest.fixture
def read(tmp_path):
    def reader(content):
        path = tmp_path / "net.pt"
        path.write_bytes(content)
        return read_tensors(path)

    return reader


@pytest.fixture
def real():
    found = locate.find_mtcnn_weights()
    if found is None:
        pytest.skip("facenet-pytorch is not installed")
    return found


def test_tensors_share_a_storage_and_keep_their_strides(read):
    pickled = state(rows=tensor((2, 3), (3, 1)), columns=tensor((3, 2), (1, 3)), last=tensor((1,), (1,), offset=5))
    tensors = read(file_of(pickled))
    assert list(tensors) == ["rows", "columns", "last"]
    np.testing.assert_array_equal(tensors["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tensors["columns"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(tensors["last"], [5])
    assert {values.dtype for values in tensors.values()} == {np.dtype(np.float32)}


def test_it_reads_what_torch_reads(real):
    torch = pytest.importorskip("torch")
    for path in real.values():
        ours, theirs = read_tensors(path), torch.load(path, weights_only=True)
        assert list(ours) == list(theirs)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name].numpy())


def test_it_reads_what_torch_writes(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2))
    torch.save(net.state_dict(), tmp_path / "net.pt", _use_new_zipfile_serialization=False)
    ours = read_tensors(tmp_path / "net.pt")
    for name, values in net.state_dict().items():
        np.testing.assert_array_equal(ours[name], values.numpy())


# --- hostile files ------------------------------------------------------------------------------


class Runs:
    """When unpickled, it calls ``os.system``."""

    def __init__(self, command):
        self._command = command

    def __reduce__(self):
        return os.system, (self._command,)


def nested(depth):
    """A tuple that contains the same tuple twice, and so on: hashing it takes 2 ** depth steps."""
    return b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(depth))


HUGE = 2**40
HOSTILE = {
    "a dict with a number for a tensor": b"\x80\x02}X\x01\x00\x00\x00aK\x01s.",
    "a list": b"\x80\x02].",
    "a function that is no state dict's": b"\x80\x02cos\nsystem\n(" + text("true") + b"tR.",
    "one of ours with arguments of its own": b"\x80\x02" + ORDERED_DICT + b"(K\x01K\x02tR.",
    "the storage's class, called": b"\x80\x02" + FLOATS + b"(" + text("0") + b"K\x06tR.",
    "a string, called": b"\x80\x02" + text("exec") + b")R.",
    "a looked-up object": b"\x80\x04" + text("os") + text("system") + b"\x93.",
    "a class's instance": b"\x80\x02(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a huge shape": state(a=tensor((HUGE, HUGE), (1, 1))),
    "a huge shape without strides": state(a=tensor((HUGE,), (0,))),
    "more values than the storage": state(a=tensor((7,), (1,))),
    "too many copies of one value": state(a=tensor((7,), (0,))),
    "a stride over the end": state(a=tensor((2, 2), (3, 3))),
    "a huge stride": state(a=tensor((1,), (HUGE,))),
    "a negative stride": state(a=tensor((2,), (-1,), offset=3)),
    "a negative offset": state(a=tensor((1,), (1,), offset=-1)),
    "an offset over the end": state(a=tensor((1,), (1,), offset=6)),
    "a negative size": state(a=tensor((-1,), (1,))),
    "no size": state(a=tensor((0,), (1,))),
    "a thousand dimensions": state(a=tensor((1,) * 1000, (1,) * 1000)),
    "fewer strides than sizes": state(a=tensor((2, 3), (1,))),
    "a storage that is not there": state(a=tensor((1,), (1,), key="1")),
    "a storage of another size": state(a=tensor((1,), (1,), count=HUGE)),
    "a storage of another type": state(a=tensor((1,), (1,), kind=b"ctorch\nDoubleStorage\n")),
    "a storage of a dict's class": state(a=tensor((1,), (1,), kind=ORDERED_DICT)),
    "a memo index of gigabytes": b"\x80\x02}r\xff\xff\xff\x7f" + b"X\xff\xff\xff\x7f",
    "a string of gigabytes": b"\x80\x02X\xff\xff\xff\xffa.",
    "a number of gigabytes": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "a hash that takes for ever": b"\x80\x02}" + nested(200) + b"K\x01s.",
    "a nested tuple for a tensor": b"\x80\x02}" + text("a") + nested(200) + b"s.",
    "a million lists": b"\x80\x02" + b"]" * 1_000_000 + b".",
    "a stack that is empty": b"\x80\x02.",
    "a mark that is not there": b"\x80\x02t.",
    "a name that is no text": b"\x80\x02}K\x01K\x02s.",
    "one name without a value": b"\x80\x02}(" + text("a") + b"u.",
    "no end": b"\x80\x02}",
}


@pytest.mark.parametrize("pickled", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_pickle_is_refused_cheaply(read, pickled):
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(ModelCorrupt, match=r"net\.pt is not a PyTorch file of float32 tensors") as caught:
            read(file_of(pickled))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 120
    assert len(caught.value.detail) <= 500


def test_nothing_is_run(read, tmp_path):
    trace = tmp_path / "trace"
    for hostile in (Runs(f"touch {trace}"), OrderedDict(a=Runs(f"touch {trace}"))):
        for protocol in (0, 2, 4):
            with pytest.raises(ModelCorrupt):
                read(file_of(pickle.dumps(hostile, protocol)))
            with pytest.raises(ModelCorrupt):
                read(pickle.dumps(hostile, protocol))
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 and so on",
        file_of(state(), magic=1),
        file_of(state(), version=1000),
        file_of(state(), machine={"little_endian": False}),
        file_of(state(), machine=[]),
        file_of(state(a=tensor((6,), (1,))))[:-1],
        file_of(state(a=tensor((6,), (1,))))[:-32],
        file_of(state(), storages={}) + b"\x80\x02.",
        b"\x80\x02}." * 5_000_000,
    ],
    ids=["empty", "zip", "magic", "version", "big endian", "no facts", "cut", "cut before the count", "more", "large"],
)
def test_another_file_is_refused(read, content, request):
    if request.node.callspec.id == "more":
        assert read(content) == {}  # what follows the storages does not matter
        return
    with pytest.raises(ModelCorrupt):
        read(content)


def test_a_storage_s_declared_length_is_not_trusted(read):
    whole = file_of(state(a=tensor((6,), (1,))))
    count = whole.rindex(struct.pack("<q", 6))
    for lie in (7, -1, HUGE, 2**63 - 1):
        with pytest.raises(ModelCorrupt):
            read(whole[:count] + struct.pack("<q", lie) + whole[count + 8 :])


def test_a_real_file_truncated_or_changed_anywhere_is_refused_or_read(real, read):
    content = real["pnet"].read_bytes()
    pickles = content.index(np.float32(read_tensors(real["pnet"])["conv1.bias"][0]).tobytes())
    chance = random.Random(1)
    for cut in (0, 1, 20, 200, 1000, pickles, len(content) - 1):
        with pytest.raises(ModelCorrupt):
            read(content[:cut])
    for _ in range(300):
        damaged = io.BytesIO(content)
        damaged.seek(chance.randrange(2000))
        damaged.write(bytes([chance.randrange(256)]))
        try:
            tensors = read(damaged.getvalue())
        except ModelCorrupt:
            continue
        assert all(values.dtype == np.float32 for values in tensors.values())
