"""Reads the constants of a frozen TensorFlow graph, without TensorFlow.

Such a file is one ``GraphDef`` message. Only the fields that contain constants are declared below; the numbers are
those of TensorFlow's ``graph.proto``, ``node_def.proto``, ``attr_value.proto``, ``tensor.proto`` and
``tensor_shape.proto``. Protocol Buffers parses them and skips the rest; a message is data, and reading it runs nothing.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelCorrupt

#: FaceNet's graph has 94 MB; a much larger file is another one.
_MAX_BYTES = 128 * 2**20
#: It has 793 nodes and 318 constants.
_MAX_NODES = 10_000
_MAX_DIMENSIONS = 8
#: ``DT_FLOAT`` of TensorFlow's ``types.proto``.
_FLOAT = 1
_LARGEST_FILL = 2**20

#: By message: its fields as number, name, type (of ``descriptor.proto``) and, for messages, their name.
_MESSAGES: dict[str, tuple[tuple[int, str, str, str], ...]] = {
    "Dimension": ((1, "size", "INT64", ""),),
    "Shape": ((2, "dim", "MESSAGE", "Dimension*"),),
    "Tensor": (
        (1, "dtype", "INT32", ""),
        (2, "shape", "MESSAGE", "Shape"),
        (4, "content", "BYTES", ""),
        (5, "floats", "FLOAT", "*"),
    ),
    "Value": ((8, "tensor", "MESSAGE", "Tensor"),),
    "Attribute": ((1, "key", "STRING", ""), (2, "value", "MESSAGE", "Value")),
    "Node": ((1, "name", "STRING", ""), (2, "op", "STRING", ""), (5, "attributes", "MESSAGE", "Attribute*")),
    "Graph": ((1, "nodes", "MESSAGE", "Node*"),),
}


@cache
def _graph_class() -> Any:
    """The class that reads a graph, made from ``_MESSAGES``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

    file = descriptor_pb2.FileDescriptorProto(name="castline/frozen_graph.proto", package="castline", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for number, name, kind, of in fields:
            field = declared.field.add(name=name, number=number, type=getattr(kinds, f"TYPE_{kind}"))
            field.label = kinds.LABEL_REPEATED if of.endswith("*") else kinds.LABEL_OPTIONAL
            if kind == "MESSAGE":
                field.type_name = f".castline.{of.removesuffix('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("castline.Graph"))


def read_constants(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 constants of a graph by the name of their node, in the order of the file; read-only.

    Needs the package protobuf, which is installed with onnx.

    Raises:
        ModelCorrupt: the file is truncated, not a graph, or a constant does not fit its shape.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has over {_MAX_BYTES} bytes")
        graph = _graph_class().FromString(data)
        if not 0 < len(graph.nodes) <= _MAX_NODES:
            raise ValueError(f"it has {len(graph.nodes)} nodes")
        return {
            node.name: _values(node.name, attribute.value.tensor)
            for node in graph.nodes
            if node.op == "Const"
            for attribute in node.attributes
            if attribute.key == "value" and attribute.value.tensor.dtype == _FLOAT
        }
    except (DecodeError, ValueError) as error:
        raise ModelCorrupt(f"{path} is not a frozen TensorFlow graph", detail=str(error)[:500]) from error


def _values(name: str, tensor: Any) -> NDArray[np.float32]:
    """A tensor's values: raw bytes, or a list in which the last value stands for all omitted ones."""
    shape = [dimension.size for dimension in tensor.shape.dim]
    if len(shape) > _MAX_DIMENSIONS or not all(0 < size <= _MAX_BYTES for size in shape):
        raise ValueError(f"{name} has the shape {shape}")
    count = math.prod(shape)
    if tensor.content:
        values = np.frombuffer(tensor.content, "<f4")
    else:
        given = np.array(tensor.floats, "<f4")
        if not 0 < len(given) <= count <= _LARGEST_FILL:
            raise ValueError(f"{name} has {len(given)} values for the shape {shape}")
        values = np.concatenate([given, np.full(count - len(given), given[-1])])
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{name} has {len(values)} values for the shape {shape}, or not all are numbers")
    values = values.reshape(shape)
    values.flags.writeable = False
    return values
