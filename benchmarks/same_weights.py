"""The three Whisper engines with the same real weights: only how they are used differs.

The weights are those of tiny.en's package (CTranslate2), also written as openai-whisper's checkpoint and as
whisper.cpp's file. Each engine transcribes the recordings beside the checkout one by one, as the pipeline does.

    read_ctranslate2(folder)   the weights of a CTranslate2 Whisper model, named and shaped as in OpenAI's checkpoints
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import FFMPEG
from benchmarks.every_word import TABLE
from benchmarks.random_whisper import Dimensions, Net, write_ggml, write_openai
from castline.engines.choose import load_transcriber
from castline.evaluation.speech import count_normalised, evaluate, read_transcripts
from castline.settings import Settings
from castline.weights.packages import packaged

_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def run(folder: Path) -> dict[str, Any]:
    """Errors and real-time factor of each engine, and the words in which the others differ from faster-whisper."""
    source = packaged("faster-whisper:tiny.en")
    if source is None or not TABLE.is_file():
        return {"skipped": "the package with Whisper's weights, or the shared recordings are not here"}
    write_all(source, folder)
    utterances = read_transcripts(TABLE)
    reports = {}
    for engine in ("faster-whisper", "whisper.cpp", "openai-whisper"):
        settings = Settings(transcriber=f"{engine}:tiny.en", models_dir=folder, language="en", threads=2, ffmpeg=FFMPEG)
        reports[engine] = evaluate(utterances, load_transcriber(settings), settings)
    first = reports["faster-whisper"]
    return {
        engine: {
            "wer": round(100 * (report.normalised.wer or 0), 2),
            "rtf": report.rtf,
            "other_words": sum(
                errors.substitutions + errors.deletions + errors.insertions
                for mine, its in zip(first.files, report.files, strict=True)
                for errors in (count_normalised(mine.heard, its.heard, "en"),)
            ),
            "words": first.normalised.words,
        }
        for engine, report in reports.items()
    }


def write_all(source: Path, folder: Path) -> None:
    """The same model for the other two engines, in the files that they look for."""
    net = read_ctranslate2(source)
    write_openai(folder / "whisper-tiny.en.pt", net)
    write_ggml(folder / "ggml-tiny.en.bin", net)


def read_ctranslate2(folder: Path) -> Net:
    """A net from CTranslate2's ``model.bin`` (version 6); the dimensions follow from the arrays.

    The layout is that of CTranslate2's ``model_spec.py``: little-endian lengths and counts, zero-terminated names,
    arrays in C order; then aliases, of which Whisper has none that matter.
    """
    with (folder / "model.bin").open("rb") as file:
        found = dict(_variables(file))
    weights: dict[str, NDArray[np.float32]] = {}

    def take(name: str, part: str, *, rows: slice = slice(None), bias: bool = True) -> None:
        weights[f"{name}.weight"] = found[f"{part}/weight"][rows]
        if bias:
            weights[f"{name}.bias"] = found[f"{part}/bias"][rows]

    def norm(name: str, part: str) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = found[f"{part}/gamma"], found[f"{part}/beta"]

    def attention(name: str, part: str, *, crossed: bool) -> None:
        norm(f"{name}_ln", f"{part}/layer_norm")
        width = len(found[f"{part}/layer_norm/gamma"])
        fused = [("linear_1", ("key", "value"))] if crossed else [("linear_0", ("query", "key", "value"))]
        if crossed:
            take(f"{name}.query", f"{part}/linear_0")
        for layer, names in fused:
            for at, each in enumerate(names):
                rows = slice(at * width, (at + 1) * width)
                take(f"{name}.{each}", f"{part}/{layer}", rows=rows, bias=each != "key")
        take(f"{name}.out", f"{part}/linear_{2 if crossed else 1}")

    layers = {side: sum(f"{side}/layer_{at}/ffn/layer_norm/gamma" in found for at in range(100))
              for side in ("encoder", "decoder")}  # fmt: skip
    for side, count in layers.items():
        for at in range(count):
            name, part = f"{side}.blocks.{at}", f"{side}/layer_{at}"
            attention(f"{name}.attn", f"{part}/self_attention", crossed=False)
            if side == "decoder":
                attention(f"{name}.cross_attn", f"{part}/attention", crossed=True)
            norm(f"{name}.mlp_ln", f"{part}/ffn/layer_norm")
            take(f"{name}.mlp.0", f"{part}/ffn/linear_0")
            take(f"{name}.mlp.2", f"{part}/ffn/linear_1")
        weights[f"{side}.positional_embedding"] = found[f"{side}/position_encodings/encodings"]
    for convolution in ("conv1", "conv2"):
        take(f"encoder.{convolution}", f"encoder/{convolution}")
    norm("encoder.ln_post", "encoder/layer_norm")
    norm("decoder.ln", "decoder/layer_norm")
    weights["decoder.token_embedding.weight"] = found["decoder/embeddings/weight"]
    vocabulary, width = weights["decoder.token_embedding.weight"].shape
    dims = Dimensions(n_vocab=vocabulary, n_mels=weights["encoder.conv1.weight"].shape[1]).of(
        width, width // 64, layers["encoder"]
    )
    return Net(dims, weights)


def _variables(file: BinaryIO) -> Iterator[tuple[str, NDArray[np.float32]]]:
    def number(kind: str) -> int:
        return int(struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0])

    def name() -> str:
        return file.read(number("H")).rstrip(b"\0").decode()

    assert number("I") >= 5
    name()
    number("I")
    for _ in range(number("I")):
        called = name()
        shape = [number("I") for _ in range(number("B"))]
        kind = _TYPES[number("B")]
        body = file.read(number("I"))
        yield called, np.frombuffer(body, kind).reshape(shape).astype(np.float32)
