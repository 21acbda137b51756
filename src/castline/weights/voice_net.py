"""Writes a voice encoder as ONNX, from the weights that resemblyzer (Apache-2.0) carries.

    python -m castline.weights.voice_net <pretrained.pt> <target.onnx>

The architecture is that of ``resemblyzer/voice_encoder.py``, after L. Wan et al., "Generalized End-to-End Loss for
Speaker Verification" (2018): three LSTM layers of 256 cells over 40 mel bands, a dense layer over the last state of the
third, and ReLU. Build time only: needs the package onnx, neither torch nor resemblyzer's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelCorrupt
from castline.weights.command import convert_command
from castline.weights.download import digest
from castline.weights.onnx_file import Graph
from castline.weights.torch_weights import read_tensors

#: SHA-256 of ``pretrained.pt`` in resemblyzer 0.1.4.
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
BANDS, CELLS, LAYERS = 40, 256, 3

_Tensors = Mapping[str, NDArray[np.float32]]


def convert(weights: Path, target: Path) -> Path:
    """Write the encoder as ONNX, atomically.

    Input ``mels``: float32 (n, frames, 40), powers in mel bands; n and frames are free. Output ``voices``: float32 (n,
        256), not negative, of any norm.

    Raises:
        ModelCorrupt: the file is not the pinned one, or not the expected net.
    """
    found = digest(weights)
    if found != SHA256:
        raise ModelCorrupt(f"{weights} is not the voice encoder it should be: SHA-256 {found}")
    tensors = read_tensors(weights, "model_state")
    graph = Graph()
    last = graph.node("Transpose", "mels", perm=[1, 0, 2])  # ONNX's LSTM takes time first
    for layer in range(LAYERS):
        last = _lstm(graph, last, tensors, layer)
    final = graph.node("Gather", last, graph.constant(np.array(-1, np.int64)), axis=0)
    weight = _tensor(tensors, "linear.weight", CELLS, CELLS)
    bias = _tensor(tensors, "linear.bias", CELLS)
    dense = graph.node("Gemm", final, graph.constant(weight), graph.constant(bias), transB=1)
    graph.node("Relu", dense, output="voices")
    graph.write(target, "ge2e", {"mels": ("n", "frames", BANDS)}, {"voices": ("n", CELLS)}, found)
    return target


def _lstm(graph: Graph, source: str, tensors: _Tensors, layer: int) -> str:
    inputs = CELLS if layer else BANDS
    weight = _gates(_tensor(tensors, f"lstm.weight_ih_l{layer}", 4 * CELLS, inputs))
    recurrent = _gates(_tensor(tensors, f"lstm.weight_hh_l{layer}", 4 * CELLS, CELLS))
    biases = [_gates(_tensor(tensors, f"lstm.bias_{kind}_l{layer}", 4 * CELLS)) for kind in ("ih", "hh")]
    arrays = (weight[None], recurrent[None], np.concatenate(biases)[None])
    states = graph.node("LSTM", source, *map(graph.constant, arrays), hidden_size=CELLS)
    return graph.node("Squeeze", states, graph.constant(np.array([1], np.int64)))  # the axis of directions


def _gates(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch's order (input, forget, cell, output) as ONNX's (input, output, forget, cell)."""
    into, forget, cell, out = np.split(values, 4)
    return np.concatenate([into, out, forget, cell])


def _tensor(tensors: _Tensors, name: str, *shape: int) -> NDArray[np.float32]:
    values = tensors.get(name)
    if values is None or values.shape != shape:
        found = "there is none" if values is None else f"it has {values.shape}"
        raise ModelCorrupt(f"{name} should be a tensor of shape {shape}; {found}")
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.weights.voice_net``."""
    convert_command("castline.weights.voice_net", __doc__, convert, arguments)


if __name__ == "__main__":
    main()
