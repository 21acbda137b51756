"""Rewrites dlib's face ResNet as ONNX, so that ONNX Runtime can run it (about ten times faster on two cores).

    python -m castline.weights.dlib_net <dlib_face_recognition_resnet_model_v1.dat> <target.onnx>

The architecture is the one dlib documents for this file: D. King, "High Quality Face Recognition with
Deep Metric Learning" (2017). The file stores its layers from input to output, each as a tag, a tensor
(version, four sizes, raw little-endian float32) and settings we know from the architecture. Build time
only: needs the package onnx, not dlib.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelCorrupt
from castline.weights.command import convert_command
from castline.weights.onnx_file import Graph

#: The values that dlib's input layer subtracts from red, green and blue before it divides by 256.
_MEAN = (122.782, 117.001, 104.298)
#: Channels and whether the block halves the picture, from input to output.
_BLOCKS = (
    *((32, False),) * 3,
    (64, True),
    *((64, False),) * 3,
    (128, True),
    *((128, False),) * 2,
    (256, True),
    *((256, False),) * 2,
    (256, True),
)
_LAYER = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")
_SIDE = 150


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """One of dlib's integers: a byte with the number of bytes that follow, then these, little endian."""
    count = data[at] & 0x0F
    return int.from_bytes(data[at + 1 : at + 1 + count], "little"), at + 1 + count


def read_tensors(path: Path) -> list[tuple[str, NDArray[np.float32]]]:
    """Tag and flat weights of each layer that has any, in the order of the file.

    Raises:
        ModelCorrupt: a layer is truncated or of another version.
    """
    data = path.read_bytes()
    tensors = []
    at = 0
    while match := _LAYER.search(data, at):
        tag, at = match.group()[2:].decode(), match.end()
        if tag == "fc_2":  # its two sides come before its tensor
            _, at = _integer(data, at)
            _, at = _integer(data, at)
        version, at = _integer(data, at)
        count = 1
        for _ in range(4):
            size, at = _integer(data, at)
            count *= size
        if version != 2 or at + 4 * count > len(data):
            raise ModelCorrupt(f"{path} is cut short, or not of dlib's tensor version 2")
        tensors.append((tag, np.frombuffer(data, "<f4", count, at)))
        at += 4 * count
    return tensors


class _Builder(Graph):
    """Appends layers to a graph; each method returns its output's name."""

    def __init__(self, layers: Iterator[tuple[str, NDArray[np.float32]]]) -> None:
        super().__init__()
        self._layers = layers

    def _next(self, tag: str, size: int) -> NDArray[np.float32]:
        found, values = next(self._layers, ("nothing", np.empty(0, np.float32)))
        if found != tag or values.size != size:
            raise ModelCorrupt(f"expected layer {tag} with {size} weights, found {found} with {values.size}")
        return values

    def convolution(self, source: str, channels: int, filters: int, side: int, stride: int) -> str:
        """A convolution with the following affine layer folded in. dlib pads only if the stride is 1."""
        size = filters * channels * side * side
        values = self._next("con_4", size + filters)
        gamma, beta = self._next("affine_", 2 * filters).reshape(2, filters)
        kernel = values[:size].reshape(filters, channels, side, side) * gamma[:, None, None, None]
        weights = self.constant(kernel), self.constant(values[size:] * gamma + beta)
        pad = side // 2 if stride == 1 else 0
        return self.node("Conv", source, *weights, strides=[stride] * 2, pads=[pad] * 4, kernel_shape=[side] * 2)

    def pad(self, source: str, channels: int, pixels: int) -> str:
        """Zeros after the last channel, row and column: how dlib adds tensors of unequal sizes."""
        if not channels and not pixels:
            return source
        return self.node("Pad", source, self.constant(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)))

    def block(self, source: str, channels: int, filters: int, side: int, halve: bool) -> tuple[str, int]:
        """A residual block; returns its output and the side of its pictures."""
        inner = self.convolution(source, channels, filters, 3, 2 if halve else 1)
        inner = self.convolution(self.node("Relu", inner), filters, filters, 3, 1)
        if halve:
            inside, side = (side - 3) // 2 + 1, (side - 2) // 2 + 1
            source = self.node("AveragePool", source, kernel_shape=[2, 2], strides=[2, 2])
            inner = self.pad(inner, 0, side - inside)
        source = self.pad(source, filters - channels, 0)
        return self.node("Relu", self.node("Add", inner, source)), side

    def build(self) -> str:
        last = self.scale("faces", np.array(_MEAN, np.float32).reshape(1, 3, 1, 1), 1 / 256)
        last = self.node("Relu", self.convolution(last, 3, 32, 7, 2))
        last = self.node("MaxPool", last, kernel_shape=[3, 3], strides=[2, 2])
        channels, side = 32, ((_SIDE - 7) // 2 + 1 - 3) // 2 + 1
        for filters, halve in _BLOCKS:
            last, side = self.block(last, channels, filters, side, halve)
            channels = filters
        last = self.node("Flatten", self.node("GlobalAveragePool", last))
        projection = self._next("fc_2", channels * 128).reshape(channels, 128)
        last = self.node("MatMul", last, self.constant(projection))
        if next(self._layers, None) is not None:
            raise ModelCorrupt("there are more layers than dlib's face ResNet has")
        return last


def convert(source: Path, target: Path) -> Path:
    """Write the net in ``source`` (dlib's .dat) to ``target`` (.onnx), atomically.

    Input ``faces``: float32 (n, 3, 150, 150), RGB 0..255. Output: float32 (n, 128), as dlib's own
    vectors, not normalised.

    Raises:
        ModelCorrupt: the file is not dlib's face ResNet v1.
    """
    try:
        graph = _Builder(iter(read_tensors(source)))
        output = graph.build()
    except (ModelCorrupt, IndexError) as error:
        raise ModelCorrupt(f"{source} is not dlib's face ResNet v1", detail=str(error)) from error
    graph.write(target, "dlib-resnet-v1", {"faces": ("n", 3, _SIDE, _SIDE)}, {output: ("n", 128)})
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.weights.dlib_net``."""
    convert_command("castline.weights.dlib_net", __doc__, convert, arguments)


if __name__ == "__main__":
    main()
