"""Writes MTCNN's three nets as ONNX, from the weights that facenet-pytorch (MIT) carries.

    python -m castline.weights.mtcnn_nets <folder of pnet.pt, rnet.pt and onet.pt> <models folder>

The architecture is that of ``facenet_pytorch/models/mtcnn.py``, after K. Zhang et al., "Joint Face Detection and
Alignment using Multitask Cascaded Convolutional Networks" (2016): convolutions with PReLU, max pooling whose last
window may extend beyond the edge, a dense layer over a map that is read column by column, and heads. Build time only:
needs the package onnx, neither torch nor facenet-pytorch's code.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelCorrupt
from castline.weights.locate import MTCNN_FILES
from castline.weights.onnx_file import Graph
from castline.weights.torch_weights import read_tensors

#: The heads in the order of the layers' numbers, and how many values each gives.
_HEADS = {"probabilities": 2, "offsets": 4, "landmarks": 10}
#: The order of a net's outputs.
_OUTPUTS = ("offsets", "landmarks", "probabilities")


@dataclass(frozen=True, slots=True)
class _Net:
    """Attributes:
    convolutions: from input to output: filters, side of the kernel, side of the following max pooling (0: none).
    dense: inputs and outputs of the dense layer; None if the heads are convolutions themselves.
    heads: how many of ``_HEADS`` it has.
    side: of its input, pixels; None if any is possible.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    dense: tuple[int, int] | None
    heads: int
    side: int | None


_NETS = {
    "pnet": _Net(((10, 3, 2), (16, 3, 0), (32, 3, 0)), None, 2, None),
    "rnet": _Net(((28, 3, 3), (48, 3, 3), (64, 2, 0)), (576, 128), 2, 24),
    "onet": _Net(((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), (1152, 256), 3, 48),
}


class _Builder(Graph):
    """Appends layers to a graph; each method takes and returns the name of a tensor."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self._left = dict(tensors)

    def _take(self, name: str, *shape: int) -> NDArray[np.float32]:
        values = self._left.pop(name, None)
        if values is None or values.shape != shape:
            found = "there is none" if values is None else f"it has {values.shape}"
            raise ModelCorrupt(f"{name} should be a tensor of shape {shape}; {found}")
        return values

    def _layer(self, kind: str, source: str, name: str, *shape: int, output: str, **attributes: object) -> str:
        weight, bias = self._take(f"{name}.weight", *shape), self._take(f"{name}.bias", shape[0])
        return self.node(kind, source, self.constant(weight), self.constant(bias), output=output, **attributes)

    def convolution(self, source: str, name: str, filters: int, channels: int, side: int, output: str = "") -> str:
        return self._layer("Conv", source, name, filters, channels, side, side, output=output, kernel_shape=[side] * 2)

    def dense(self, source: str, name: str, outputs: int, inputs: int, output: str = "") -> str:
        return self._layer("Gemm", source, name, outputs, inputs, output=output, transB=1)

    def prelu(self, source: str, name: str, channels: int, *trailing: int) -> str:
        """Slopes are per channel; ``trailing`` ones spread them over the following axes."""
        slopes = self._take(f"{name}.weight", channels).reshape(channels, *trailing)
        return self.node("PRelu", source, self.constant(slopes))

    def build(self, net: _Net) -> None:
        last, channels = self.scale("pixels", np.array(127.5, np.float32), 0.0078125), 3
        number = 0
        for number, (filters, side, pool) in enumerate(net.convolutions, 1):
            last = self.convolution(last, f"conv{number}", filters, channels, side)
            last, channels = self.prelu(last, f"prelu{number}", filters, 1, 1), filters
            if pool:
                last = self.node("MaxPool", last, kernel_shape=[pool] * 2, strides=[2, 2], ceil_mode=1)
        if net.dense:
            inputs, outputs = net.dense
            number += 1
            last = self.node("Flatten", self.node("Transpose", last, perm=[0, 3, 2, 1]))
            last = self.prelu(self.dense(last, f"dense{number}", outputs, inputs), f"prelu{number}", outputs)
        for index, (head, count) in enumerate(list(_HEADS.items())[: net.heads], 1):
            output = "" if head == "probabilities" else head
            name = f"{number + 1}_{index}"
            if net.dense:
                done = self.dense(last, f"dense{name}", count, net.dense[1], output)
            else:
                done = self.convolution(last, f"conv{name}", count, channels, 1, output)
            if head == "probabilities":
                self.node("Softmax", done, output=head, axis=1)
        if self._left:
            raise ModelCorrupt("there are more layers than the net has")


def convert(weights: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Write P-, R- and O-Net as ONNX into ``folder``, each atomically.

    Inputs ``pixels``: float32 (n, 3, h, w), RGB 0..255; n is free, h and w too for P-Net, 24 x 24
    for R-Net, 48 x 48 for O-Net. Outputs as in the reference, each with a leading batch axis:
    box offsets (4), landmarks (10; O-Net only), probabilities (no face, face).

    Args:
        weights: facenet-pytorch's files by net: ``pnet``, ``rnet``, ``onet``.

    Returns:
        The written files, by net.

    Raises:
        ModelCorrupt: a file is not the expected net; then none is written.
    """
    graphs = {}
    for name, net in _NETS.items():
        graphs[name] = graph = _Builder(read_tensors(weights[name]))
        try:
            graph.build(net)
        except ModelCorrupt as error:
            raise ModelCorrupt(f"{weights[name]} is not MTCNN's {name}", detail=str(error)) from error
    targets = {name: folder / MTCNN_FILES[name] for name in graphs}
    for name, graph in graphs.items():
        side = _NETS[name].side
        cells = () if side else ("cells_y", "cells_x")
        heads = list(_HEADS)[: _NETS[name].heads]
        outputs = {head: ("n", _HEADS[head], *cells) for head in _OUTPUTS if head in heads}
        graph.write(targets[name], f"mtcnn-{name}", {"pixels": ("n", 3, side or "h", side or "w")}, outputs)
    return targets


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.weights.mtcnn_nets``."""
    parser = argparse.ArgumentParser(prog="python -m castline.weights.mtcnn_nets", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    convert({name: options.source / f"{name}.pt" for name in _NETS}, options.folder)


if __name__ == "__main__":
    main()
