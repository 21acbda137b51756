"""Writes FaceNet as ONNX, from the frozen TensorFlow graph of D. Sandberg's model 20180408-102900 (CASIA-WebFace).

    python -m castline.weights.facenet_net <graph.pb> <target.onnx>

The architecture is Inception-ResNet-v1 (C. Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", 2017) as in ``inception_resnet_v1.py`` of davidsandberg/facenet (MIT). In the graph the batch
norms of all convolutions are folded into their weights and biases. Build time only: needs the package onnx, neither
TensorFlow nor torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelCorrupt
from castline.weights.command import convert_command
from castline.weights.frozen_graph import read_constants
from castline.weights.onnx_file import Graph

_ROOT = "InceptionResnetV1/"
#: Epsilon of the last batch norm, as in the graph.
_EPSILON = 1e-3
_EMBEDDING = 512

#: A convolution: its name, filters, and its kernel's rows and columns. Those with the number 1a halve the picture.
_Step = tuple[str, int, int, int]
_Branch = tuple[_Step, ...]

_STEM: _Branch = (("Conv2d_1a_3x3", 32, 3, 3), ("Conv2d_2a_3x3", 32, 3, 3), ("Conv2d_2b_3x3", 64, 3, 3))
_STEM_POOLED: _Branch = (("Conv2d_3b_1x1", 80, 1, 1), ("Conv2d_4a_3x3", 192, 3, 3), ("Conv2d_4b_3x3", 256, 3, 3))
_BLOCK35: tuple[_Branch, ...] = (
    (("Conv2d_1x1", 32, 1, 1),),
    (("Conv2d_0a_1x1", 32, 1, 1), ("Conv2d_0b_3x3", 32, 3, 3)),
    (("Conv2d_0a_1x1", 32, 1, 1), ("Conv2d_0b_3x3", 32, 3, 3), ("Conv2d_0c_3x3", 32, 3, 3)),
)
_MIXED_6A: tuple[_Branch, ...] = (
    (("Conv2d_1a_3x3", 384, 3, 3),),
    (("Conv2d_0a_1x1", 192, 1, 1), ("Conv2d_0b_3x3", 192, 3, 3), ("Conv2d_1a_3x3", 256, 3, 3)),
)
_BLOCK17: tuple[_Branch, ...] = (
    (("Conv2d_1x1", 128, 1, 1),),
    (("Conv2d_0a_1x1", 128, 1, 1), ("Conv2d_0b_1x7", 128, 1, 7), ("Conv2d_0c_7x1", 128, 7, 1)),
)
_MIXED_7A: tuple[_Branch, ...] = (
    (("Conv2d_0a_1x1", 256, 1, 1), ("Conv2d_1a_3x3", 384, 3, 3)),
    (("Conv2d_0a_1x1", 256, 1, 1), ("Conv2d_1a_3x3", 256, 3, 3)),
    (("Conv2d_0a_1x1", 256, 1, 1), ("Conv2d_0b_3x3", 256, 3, 3), ("Conv2d_1a_3x3", 256, 3, 3)),
)
_BLOCK8: tuple[_Branch, ...] = (
    (("Conv2d_1x1", 192, 1, 1),),
    (("Conv2d_0a_1x1", 192, 1, 1), ("Conv2d_0b_1x3", 192, 1, 3), ("Conv2d_0c_3x1", 192, 3, 1)),
)
#: Convolutions without padding although they do not halve the picture.
_VALID = {"Conv2d_2a_3x3", "Conv2d_4a_3x3"}
#: Convolutions that halve the picture.
_HALVE = {"Conv2d_1a_3x3", "Conv2d_4b_3x3"}


class _Builder(Graph):
    """Appends layers to a graph; ``last`` is a tensor's name, ``channels`` how many it has."""

    def __init__(self, constants: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self._constants = constants

    def _take(self, name: str, *shape: int) -> NDArray[np.float32]:
        values = self._constants.get(_ROOT + name)
        if values is None or values.shape != shape:
            found = "there is none" if values is None else f"it has {values.shape}"
            raise ModelCorrupt(f"{_ROOT}{name} should be a constant of shape {shape}; {found}")
        return values

    def _convolve(self, last: str, name: str, bias: str, shape: tuple[int, int, int, int], *, valid: bool) -> str:
        """Args: shape: rows and columns of the kernel, channels, filters: TensorFlow's order."""
        rows, columns, _, filters = shape
        weights = np.ascontiguousarray(self._take(f"{name}/weights", *shape).transpose(3, 2, 0, 1))
        pads = [0] * 4 if valid else [rows // 2, columns // 2] * 2
        strides = [2, 2] if name.rpartition("/")[2] in _HALVE else [1, 1]
        inputs = last, self.constant(weights), self.constant(self._take(f"{name}/{bias}", filters))
        return self.node("Conv", *inputs, kernel_shape=[rows, columns], pads=pads, strides=strides)

    def chain(self, last: str, channels: int, prefix: str, steps: _Branch) -> tuple[str, int]:
        """A chain of convolutions, each with a ReLU; returns the last one's output and its filters."""
        for step, filters, rows, columns in steps:
            shape = rows, columns, channels, filters
            valid = step in _VALID or step in _HALVE
            done = self._convolve(last, prefix + step, "Conv2D_bn_offset", shape, valid=valid)
            last, channels = self.node("Relu", done), filters
        return last, channels

    def branches(self, last: str, channels: int, prefix: str, each: Sequence[_Branch]) -> list[tuple[str, int]]:
        return [self.chain(last, channels, f"{prefix}/Branch_{index}/", steps) for index, steps in enumerate(each)]

    def residual(
        self, last: str, channels: int, name: str, each: Sequence[_Branch], scale: float, *, relu: bool = True
    ) -> str:
        """The branches' output, scaled and added."""
        ends = self.branches(last, channels, name, each)
        joined, width = self.node("Concat", *(end for end, _ in ends), axis=1), sum(count for _, count in ends)
        up = self._convolve(joined, f"{name}/Conv2d_1x1", "biases", (1, 1, width, channels), valid=True)
        scaled = up if scale == 1 else self.node("Mul", up, self.constant(np.array(scale, np.float32)))
        total = self.node("Add", last, scaled)
        return self.node("Relu", total) if relu else total

    def reduction(self, last: str, channels: int, name: str, each: Sequence[_Branch]) -> tuple[str, int]:
        """Reduce three by three pixels to one, by convolutions and by pooling in parallel."""
        ends = self.branches(last, channels, name, each)
        ends.append((self.pool(last), channels))
        return self.node("Concat", *(end for end, _ in ends), axis=1), sum(count for _, count in ends)

    def pool(self, last: str) -> str:
        return self.node("MaxPool", last, kernel_shape=[3, 3], strides=[2, 2])

    def build(self) -> None:
        last, channels = self.chain("faces", 3, "", _STEM)
        last, channels = self.chain(self.pool(last), channels, "", _STEM_POOLED)
        for number in range(1, 6):
            last = self.residual(last, channels, f"Repeat/block35_{number}", _BLOCK35, 0.17)
        last, channels = self.reduction(last, channels, "Mixed_6a", _MIXED_6A)
        for number in range(1, 11):
            last = self.residual(last, channels, f"Repeat_1/block17_{number}", _BLOCK17, 0.10)
        last, channels = self.reduction(last, channels, "Mixed_7a", _MIXED_7A)
        for number in range(1, 6):
            last = self.residual(last, channels, f"Repeat_2/block8_{number}", _BLOCK8, 0.20)
        last = self.residual(last, channels, "Block8", _BLOCK8, 1, relu=False)
        last = self.node("Flatten", self.node("GlobalAveragePool", last))
        last = self.node("Gemm", last, *map(self.constant, self._bottleneck(channels)))
        self.node("LpNormalization", last, output="embeddings", axis=1, p=2)

    def _bottleneck(self, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and bias of the last layer, its batch norm folded in; in float64, rounded once."""
        gamma, beta, mean, variance = (
            self._take(f"Bottleneck/BatchNorm/{name}", _EMBEDDING).astype(np.float64)
            for name in ("Const", "beta", "moving_mean", "moving_variance")
        )
        factor = gamma / np.sqrt(variance + _EPSILON)
        weights = self._take("Bottleneck/weights", channels, _EMBEDDING) * factor
        return weights.astype(np.float32), (beta - mean * factor).astype(np.float32)


def convert(source: Path, target: Path) -> Path:
    """Write the net in ``source`` (a frozen TensorFlow graph) to ``target`` (.onnx), atomically.

    Input ``faces``: float32 (n, 3, 160, 160), RGB, (x - 127.5) / 128. Output ``embeddings``: float32 (n, 512), unit
    L2 norm. The file's metadata name the weights from which it was made (``onnx_file.WEIGHTS_KEY``).

    Raises:
        ModelCorrupt: the file is not FaceNet's graph.
    """
    try:
        graph = _Builder(read_constants(source))
        graph.build()
    except ModelCorrupt as error:
        raise ModelCorrupt(f"{source} is not FaceNet's graph", detail=f"{error.message}\n{error.detail}") from error
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    graph.write(target, "facenet", {"faces": ("n", 3, 160, 160)}, {"embeddings": ("n", _EMBEDDING)}, weights=digest)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.weights.facenet_net``."""
    convert_command("castline.weights.facenet_net", __doc__, convert, arguments)


if __name__ == "__main__":
    main()
