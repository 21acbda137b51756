"""Writes the net for speaking faces as ONNX, from LR-ASD's weights (MIT).

    python -m castline.weights.mouth_net <finetuning_TalkSet.model> <target.onnx>

The architecture is that of J. Liao et al., "LR-ASD: Lightweight and Robust Network for Active Speaker Detection" (IJCV,
2025), as in ``model/Encoder.py`` and ``model/Classifier.py`` of Junhua-Liao/LR-ASD at 1b6dcd2: convolutions over space
and then over time process the face, others over bands and then over time the sound; both become 128 numbers for each
picture, which are weighted by attention, go through a recurrent layer in either direction, and give one score. The
normalisation after each convolution is folded into its weights here. What processes the face, nine tenths of the work,
computes with whole numbers: ONNX Runtime's operators for bytes. Build time only: needs the package onnx, not torch.
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

#: SHA-256 of ``weight/finetuning_TalkSet.model``.
SHA256 = "6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342"
#: Pixels of a face's side, and cepstral coefficients of a moment.
SIDE, COEFFICIENTS = 112, 13
_CHANNELS = (1, 32, 64, 128)
_STATES = 64
#: Mean and deviation for normalising pixels (0..1).
_MEAN, _DEVIATION = 0.4161, 0.1688
_EPSILON = 0.001
#: A byte of a channel reaches from 0 to so many deviations above its mean, both as the normalisation states them: of
#: most layers, and of the last two, whose peaks alone count. Measured: of 8 to 10 and 16 to 24 any is as good.
_REACH, _LAST_REACH = 9.0, 20.0
#: The largest weight as a whole number. Twice this times 255 fits into 16 bits, in which processors without VNNI add.
_LARGEST = 64
_LEAST = 1e-6


class _Builder(Graph):
    """Appends layers to a graph; each method takes and returns the name of a tensor."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self._tensors = tensors

    def build(self) -> None:
        heard, seen = self._hear("mfcc"), self._see("faces")
        both = self._attend(self.node("Concat", heard, seen, axis=1), "model.fusion")  # (n, 256, frames)
        states = self._recur(self.node("Transpose", both, perm=[2, 0, 1]))
        last = self.node("Transpose", self._attend(states, "model.detector.attention"), perm=[0, 2, 1])
        weight, bias = self._take("lossAV.FC.weight", 2, 2 * _STATES), self._take("lossAV.FC.bias", 2)
        # The first of the two classes means that nobody speaks; the score is that of the second.
        score = self.node("MatMul", last, self.constant(weight[1][:, None].copy()))
        flat = self.node("Squeeze", score, self.constant(np.array([2], np.int64)))
        self.node("Add", flat, self.constant(bias[1:]), output="scores")

    def _see(self, source: str) -> str:
        """(n, frames, 112, 112) to (n, 128, frames).

        Bytes in between, which takes a third of the time that floats take. Channels are last, so the output of
        convolutions over space (each picture alone) is the input of those over time (each point alone) without being
        moved in memory. The first, in steps of two, gets squares of 2 x 2 pixels: the runtime is slow with one channel.
        """
        count = self.node("Slice", self.node("Shape", source), *(self.constant(np.array([at])) for at in (0, 1)))
        side = SIDE // 2
        squares = self.node("Reshape", source, self.constant(np.array([-1, side, 2, side, 2])))
        squares = self.node("Transpose", squares, perm=[0, 1, 3, 2, 4])
        last = self.node("Reshape", squares, self.constant(np.array([-1, side, side, 4])))
        steps = np.array([1 / (255 * _DEVIATION)])
        for block in (1, 2, 3):
            prefix, into, out = f"model.visualEncoder.block{block}", _CHANNELS[block - 1], _CHANNELS[block]
            last, steps = self._bytes(last, steps, prefix, "s", 1, (out // 2, into, 5, 5))
            last, steps = self._bytes(last, steps, prefix, "s", 2, (out, out // 2, 3, 3))
            in_order = self.node("Concat", count, self.constant(np.array([-1, side * side, out])), axis=0)
            last = self.node("Reshape", last, in_order)
            last, steps = self._bytes(last, steps, prefix, "t", 1, (out, out, 5, 1))
            last, steps = self._bytes(last, steps, prefix, "t", 2, (out, out, 3, 1))
            if block < 3:
                last = self.node("Reshape", last, self.constant(np.array([-1, side, side, out])))
                pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
                last = self.runtime_node("NhwcMaxPool", last, **pool)
                side = (side + 1) // 2
        most = self.node("Cast", self.node("ReduceMax", last, axes=[2], keepdims=0), to=1)
        return self.node("Transpose", self.node("Mul", most, self.constant(steps.astype(np.float32))), perm=[0, 2, 1])

    def _bytes(
        self,
        source: str,
        steps: NDArray[np.float64],
        prefix: str,
        kind: str,
        number: int,
        shape: tuple[int, ...],
    ) -> tuple[str, NDArray[np.float64]]:
        """A convolution of bytes with its normalisation and ReLU, with whole numbers as weights.

        How far the bytes of a channel reach is read off the normalisation (M. Nagel et al., "Data-Free Quantization
        Through Weight Equalization and Bias Correction", 2019), so no pictures are needed to write the net.

        Args:
            steps: the value of one step of a byte, for each channel; and so is what is returned with the name.
        """
        stored = (*shape[:2], 1, *shape[2:]) if kind == "s" else (*shape, 1)
        norm = f"{prefix}.{kind}_norm_{number}"
        weight = self._take(f"{prefix}.{kind}_{number}.weight", *stored).reshape(shape)
        weight, bias = self._normalised(weight, norm)
        zero = 0
        if shape[1] == 1:  # pixels, whose mean is not a whole number
            zero = round(255 * _MEAN)
            bias = bias + weight.sum(axis=(1, 2, 3)) * (zero - 255 * _MEAN) * steps[0]
        gain, shift = (self._take(f"{norm}.{name}", shape[0]).astype(np.float64) for name in ("weight", "bias"))
        reach = _LAST_REACH if (kind, shape[0]) == ("t", _CHANNELS[-1]) else _REACH
        found = np.maximum(shift + reach * np.abs(gain), _LEAST) / 255
        scaled = weight * steps[:, None, None] / found[:, None, None, None]
        units = np.maximum(np.abs(scaled).max(axis=(1, 2, 3)), _LEAST) / _LARGEST
        one = np.array(1, np.float32)  # the steps are in the weights
        whole = np.rint(scaled / units[:, None, None, None]).astype(np.int8)
        if shape[1] == 1:
            whole = _of_squares(whole)
        taken = one, np.array(zero, np.uint8)
        weights = whole, units.astype(np.float32), np.zeros(shape[0], np.int8)
        given = one, np.array(0, np.uint8), np.rint(bias / found / units).astype(np.int32)
        done = self.runtime_node(
            "QLinearConv",
            source,
            *map(self.constant, (*taken, *weights, *given)),
            channels_last=1,
            kernel_shape=list(whole.shape[2:]),
            pads=[size // 2 for size in whole.shape[2:]] * 2,
        )
        return done, found

    def _hear(self, source: str) -> str:
        """(n, 4 * frames, 13) to (n, 128, frames)."""
        bands = self.node("Transpose", source, perm=[0, 2, 1])
        last = self.node("Unsqueeze", bands, self.constant(np.array([1], np.int64)))
        for block in (1, 2, 3):
            prefix, into, out = f"model.audioEncoder.block{block}", _CHANNELS[block - 1], _CHANNELS[block]
            last = self._convolution(last, prefix, "m", 1, (out // 2, into, 5, 1))
            last = self._convolution(last, prefix, "m", 2, (out, out // 2, 3, 1))
            last = self._convolution(last, prefix, "t", 1, (out, out, 1, 5))
            last = self._convolution(last, prefix, "t", 2, (out, out, 1, 3))
            if block < 3:
                last = self.node("MaxPool", last, kernel_shape=[1, 3], strides=[1, 2], pads=[0, 1, 0, 1])
        return self.node("ReduceMean", last, axes=[2], keepdims=0)

    def _convolution(self, source: str, prefix: str, kind: str, number: int, shape: tuple[int, ...]) -> str:
        """A convolution with its normalisation and ReLU; sizes stay."""
        weight = self._take(f"{prefix}.{kind}_{number}.weight", *shape)
        weight, bias = self._normalised(weight, f"{prefix}.{kind}_norm_{number}")
        kernel = shape[2:]
        pads = [size // 2 for size in kernel] * 2
        weights = self.constant(weight), self.constant(bias)
        return self.node("Relu", self.node("Conv", source, *weights, kernel_shape=list(kernel), pads=pads))

    def _attend(self, source: str, prefix: str) -> str:
        """(n, channels, frames), each value weighted by its importance at that moment."""
        channels = 256 if prefix == "model.fusion" else 2 * _STATES
        weight = self._take(f"{prefix}.attention.weight", channels, channels, 1)
        weight, bias = self._normalised(weight, f"{prefix}.bn")
        counted = self.node("Conv", source, self.constant(weight), self.constant(bias), kernel_shape=[1])
        return self.node("Mul", source, self.node("Sigmoid", counted))

    def _normalised(self, weight: NDArray[np.float32], norm: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A convolution's weights and bias with the following batch normalisation folded in."""
        gain, shift, mean, variance = (
            self._take(f"{norm}.{name}", len(weight)).astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + _EPSILON)
        spread = factor.reshape(-1, *[1] * (weight.ndim - 1))
        return (weight * spread).astype(np.float32), (shift - mean * factor).astype(np.float32)

    def _recur(self, source: str) -> str:
        """(frames, n, 256) to (n, 128, frames): the states of the forward and of the backward layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        shapes = ((3 * _STATES, 256), (3 * _STATES, _STATES), (3 * _STATES,), (3 * _STATES,))
        both = [
            [
                _gates(self._take(f"model.detector.gru_{way}.{name}_l0", *shape))
                for name, shape in zip(names, shapes, strict=True)
            ]
            for way in ("forward", "backward")
        ]
        weights, recurrent, *biases = (np.stack(pair) for pair in zip(*both, strict=True))
        arrays = (weights, recurrent, np.concatenate(biases, axis=1))
        states = self.node(
            "GRU",
            source,
            *map(self.constant, arrays),
            hidden_size=_STATES,
            direction="bidirectional",
            linear_before_reset=1,
        )  # (frames, 2, n, 64)
        ordered = self.node("Transpose", states, perm=[2, 1, 3, 0])
        return self.node("Reshape", ordered, self.constant(np.array([0, 2 * _STATES, -1], np.int64)))

    def _take(self, name: str, *shape: int) -> NDArray[np.float32]:
        values = self._tensors.get(name)
        if values is None or values.shape != shape:
            found = "there is none" if values is None else f"it has {values.shape}"
            raise ModelCorrupt(f"{name} should be a tensor of shape {shape}; {found}")
        return values


def _of_squares(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """A convolution of 5 x 5 pixels in steps of two, shape (n, 1, 5, 5), as one of 3 x 3 squares of 2 x 2 pixels.

    Returns:
        Shape (n, 4, 3, 3): a square's pixels are channels, row by row.
    """
    padded = np.pad(weights[:, 0], ((0, 0), (0, 1), (0, 1)))
    return padded.reshape(-1, 3, 2, 3, 2).transpose(0, 2, 4, 1, 3).reshape(-1, 4, 3, 3)


def _gates(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch's order (reset, update, new) as ONNX's (update, reset, new)."""
    reset, update, new = np.split(values, 3)
    return np.concatenate([update, reset, new])


def convert(weights: Path, target: Path) -> Path:
    """Write the net as ONNX, atomically.

    Inputs: ``faces``, uint8 (n, frames, 112, 112), grey, 25 a second; ``mfcc``, float32 (n, 4 * frames, 13),
    100 a second. Output ``scores``: float32 (n, frames), above 0 where the face speaks; not a probability.

    Raises:
        ModelCorrupt: the file is not the pinned one, or not the expected net.
    """
    found = digest(weights)
    if found != SHA256:
        raise ModelCorrupt(f"{weights} is not the net for speaking faces that it should be: SHA-256 {found}")
    graph = _Builder(read_tensors(weights))
    graph.build()
    inputs = {"faces": ("n", "frames", SIDE, SIDE), "mfcc": ("n", "moments", COEFFICIENTS)}
    graph.write(target, "lr-asd", inputs, {"scores": ("n", "frames")}, found, pictures=["faces"])
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.weights.mouth_net``."""
    convert_command("castline.weights.mouth_net", __doc__, convert, arguments)


if __name__ == "__main__":
    main()
