"""Writes ONNX graphs node by node. Build time only: needs the package onnx."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from castline.weights.whole import whole_file

Shape = Sequence[int | str]
"""The shape of a tensor; a string names a free dimension."""

#: Metadata of an ONNX file: SHA-256 of the weights from which it was made, by whatever tool.
WEIGHTS_KEY = "castline.weights"

_OPSET = 17
#: The IR version for this opset.
_IR_VERSION = 8
#: ONNX Runtime's own operators.
_RUNTIME = "com.microsoft"


def set_weights(path: Path, digest: str) -> None:
    """Record in an ONNX file's metadata the digest of its weights (``WEIGHTS_KEY``), unless it is empty."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {WEIGHTS_KEY: digest} if digest else {})
    path.write_bytes(model.SerializeToString())


class Graph:
    """Collects nodes and weights, from input to output; names are generated in order."""

    def __init__(self) -> None:
        import onnx

        self._onnx = onnx
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Store an array in the file; returns its name in the graph."""
        name = f"w{len(self._weights)}"
        self._weights.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append an ONNX operator; returns the name of its one output, which is generated unless given."""
        name = output or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def runtime_node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """As ``node``, for an operator that only ONNX Runtime has."""
        return self.node(kind, *inputs, domain=_RUNTIME, **attributes)

    def write(
        self,
        target: Path,
        name: str,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        weights: str = "",
        *,
        pictures: Collection[str] = (),
    ) -> None:
        """Write the graph to ``target`` atomically. Inputs and outputs are float32.

        Args:
            weights: SHA-256 of the file with the weights, stored as metadata (``WEIGHTS_KEY``).
            pictures: inputs that are uint8 instead.
        """
        helper = self._onnx.helper
        versions = {node.domain: 1 for node in self._nodes} | {"": _OPSET}
        model = helper.make_model(
            helper.make_graph(self._nodes, name, self._values(inputs, pictures), self._values(outputs), self._weights),
            opset_imports=[helper.make_opsetid(*each) for each in sorted(versions.items())],
            ir_version=_IR_VERSION,
        )
        if weights:
            helper.set_model_props(model, {WEIGHTS_KEY: weights})
        with whole_file(target) as file:
            file.write_bytes(model.SerializeToString())

    def scale(self, source: str, mean: NDArray[np.float32], factor: float) -> str:
        """Subtract, then multiply: the usual normalisation of pixels."""
        shifted = self.node("Sub", source, self.constant(mean))
        return self.node("Mul", shifted, self.constant(np.array(factor, np.float32)))

    def _values(self, shapes: Mapping[str, Shape], pictures: Collection[str] = ()) -> list[Any]:
        kinds, value = self._onnx.TensorProto, self._onnx.helper.make_tensor_value_info
        return [
            value(name, kinds.UINT8 if name in pictures else kinds.FLOAT, list(shape)) for name, shape in shapes.items()
        ]
