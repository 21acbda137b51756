"""Constants of TensorFlow graphs, written here field by field, and what must not be trusted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.errors import ModelCorrupt
from castline.weights import frozen_graph

pytest.importorskip("google.protobuf")


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """A field of a message: an integer, or bytes (text, a message)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    return varint(number << 3 | 2) + varint(len(value)) + value


def constant(name, shape, content=b"", floats=(), dtype=1):
    sizes = b"".join(field(2, field(1, size)) for size in shape)
    tensor = field(1, dtype) + field(2, sizes)
    tensor += field(4, content) if content else b""
    tensor += field(5, np.array(floats, "<f4").tobytes()) if len(floats) else b""
    attribute = field(1, b"value") + field(2, field(8, tensor))
    return field(1, field(1, name.encode()) + field(2, b"Const") + field(5, attribute))


@pytest.fixture
def read(tmp_path):
    def read(data):
        path = tmp_path / "graph.pb"
        path.write_bytes(data)
        return frozen_graph.read_constants(path)

    return read


def test_constants_in_both_encodings(read):
    values = np.arange(6, dtype="<f4")
    found = read(
        constant("raw", (2, 3), values.tobytes())
        + constant("filled", (2, 2), floats=[1, 2])
        + constant("scalar", (), floats=[5])
        + constant("integers", (1,), b"\1\0\0\0", dtype=3)
        + field(1, field(1, b"add") + field(2, b"Add"))
        + field(4, b"\x08\x01")  # versions: unknown to us
    )
    assert list(found) == ["raw", "filled", "scalar"]
    np.testing.assert_array_equal(found["raw"], values.reshape(2, 3))
    np.testing.assert_array_equal(found["filled"], [[1, 2], [2, 2]])
    assert found["scalar"] == 5
    assert not found["raw"].flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a graph",
        constant("short", (2, 2), b"\0" * 12),
        constant("ragged", (2,), b"\0" * 7),
        constant("long", (1,), b"\0" * 8),
        constant("empty", (2,)),
        constant("huge", (2**31, 2**31), floats=[1.0]),
        constant("large", (2**26,), floats=[1.0]),
        constant("negative", (-1,), floats=[1.0]),
        constant("zero", (0,), floats=[1.0]),
        constant("dimensions", (1,) * 9, floats=[1.0]),
        constant("more", (1,), floats=[1.0, 2.0]),
        constant("nan", (1,), np.float32("nan").tobytes()),
        constant("name", (1,), floats=[1.0]).replace(b"name", b"\xff\xfe\xfd\xfc"),
        constant("cut", (2, 2), b"\0" * 16)[:-3],
        field(1, b"") * 10_001,
        b"\x0b" * 10_000,  # groups in groups
    ],
    ids=lambda data: data[:12],
)
def test_files_that_are_not_graphs_are_refused(read, data):
    with pytest.raises(ModelCorrupt, match=r"graph\.pb is not a frozen TensorFlow graph"):
        read(data)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_graph, "_MAX_BYTES", 1000)
    path = tmp_path / "graph.pb"
    path.write_bytes(constant("values", (1000,), b"\0" * 4000))
    with pytest.raises(ModelCorrupt, match="is not a frozen") as caught:
        frozen_graph.read_constants(path)
    assert "over 1000 bytes" in caught.value.detail


@given(st.data())
def test_damage_gives_constants_or_a_typed_error(tmp_path_factory, data):
    whole = constant("a", (2, 3), np.ones(6, "<f4").tobytes()) + constant("b", (4,), floats=[1.0])
    damaged = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "graph.pb"
    path.write_bytes(damaged)
    try:
        found = frozen_graph.read_constants(path)
    except ModelCorrupt:
        return
    assert all(values.dtype == np.float32 for values in found.values())
