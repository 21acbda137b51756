"""Whisper nets with random weights, in every engine's own file format.

A net's speed and memory depend on its dimensions and not on what it has learnt, and an untrained net is enough to test
whether a file is loaded, an option has an effect or a word is timed. All formats are written from the same arrays,
named and shaped as in OpenAI's checkpoints:

    write_ctranslate2(folder, net)   faster-whisper: a folder, weights in float16
    write_ggml(file, net)            whisper.cpp: one file, weights in float16
    write_openai(file, net)          openai-whisper: a PyTorch checkpoint in float16

**Output of a known length.** Noise rarely ends by itself. Give ``random_net`` the tokens that it is to say
(``script``): its position embeddings then outweigh everything else, and it says them one after the other, whatever it
hears, and stops. A script counts positions from an empty prompt; whatever a request puts before the text (a prompt, hot
words) moves the net further along its script. To time an engine without a script, suppress the end of text and bound
the number of tokens; ``benchmarks/whisper_engines.py`` shows how for each engine.

Sources: https://github.com/openai/whisper (names, shapes, vocabulary), whisper.cpp's
``models/convert-pt-to-ggml.py`` (layout of the ggml file), CTranslate2's ``WhisperSpec``.
"""

from __future__ import annotations

import base64
import importlib.util
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]

#: How much a position's next token outweighs everything else.
_OUTWEIGHS = 40


@dataclass(frozen=True)
class Dimensions:
    """OpenAI's checkpoints call these ``dims``; 51865 tokens are multilingual, 51864 English only."""

    n_mels: int = 80
    n_audio_ctx: int = 1500
    n_audio_state: int = 384
    n_audio_head: int = 6
    n_audio_layer: int = 4
    n_vocab: int = 51865
    n_text_ctx: int = 448
    n_text_state: int = 384
    n_text_head: int = 6
    n_text_layer: int = 4

    @property
    def multilingual(self) -> bool:
        return self.n_vocab >= 51865

    def of(self, width: int, heads: int, layers: int) -> Dimensions:
        """The same with another width and number of heads and layers, on both sides."""
        return replace(
            self,
            n_audio_state=width, n_audio_head=heads, n_audio_layer=layers,
            n_text_state=width, n_text_head=heads, n_text_layer=layers,
        )  # fmt: skip


TINY = Dimensions()
BASE = TINY.of(512, 8, 6)
#: For tests: the real vocabulary, since engines bring their own, on the smallest net that they all accept.
MICRO = TINY.of(64, 2, 1)
MICRO_EN = replace(MICRO, n_vocab=51864)


@dataclass(frozen=True)
class Net:
    dims: Dimensions
    weights: Weights


def random_net(dims: Dimensions, seed: int = 1, *, script: Sequence[int] = (), sure: float = 1.0) -> Net:
    """Normally distributed weights.

    Args:
        script: tokens to say, whatever is heard (see the module). Empty: noise.
        sure: with 1, the probabilities of the script are 1; with 0.25 (and MICRO's width) they are a little lower and
            depend on the sound and the request.
    """
    chance = np.random.default_rng(seed)
    weights: Weights = {}

    def noise(name: str, *shape: int) -> None:
        weights[name] = chance.standard_normal(shape, np.float32) * np.float32(0.1)

    def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> None:
        noise(f"{name}.weight", outputs, inputs)
        if bias:
            weights[f"{name}.bias"] = np.zeros(outputs, np.float32)

    def norm(name: str, width: int) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

    def attention(name: str, width: int) -> None:
        for part in ("query", "key", "value", "out"):
            linear(f"{name}.{part}", width, width, bias=part != "key")
        norm(f"{name}_ln", width)

    def block(name: str, width: int, *, cross: bool) -> None:
        attention(f"{name}.attn", width)
        if cross:
            attention(f"{name}.cross_attn", width)
        linear(f"{name}.mlp.0", width, 4 * width)
        linear(f"{name}.mlp.2", 4 * width, width)
        norm(f"{name}.mlp_ln", width)

    heard, said = dims.n_audio_state, dims.n_text_state
    noise("encoder.conv1.weight", heard, dims.n_mels, 3)
    noise("encoder.conv1.bias", heard)
    noise("encoder.conv2.weight", heard, heard, 3)
    noise("encoder.conv2.bias", heard)
    noise("encoder.positional_embedding", dims.n_audio_ctx, heard)
    for layer in range(dims.n_audio_layer):
        block(f"encoder.blocks.{layer}", heard, cross=False)
    norm("encoder.ln_post", heard)
    noise("decoder.token_embedding.weight", dims.n_vocab, said)
    noise("decoder.positional_embedding", dims.n_text_ctx, said)
    for layer in range(dims.n_text_layer):
        block(f"decoder.blocks.{layer}", said, cross=True)
    norm("decoder.ln", said)
    if script:
        _write_script(weights, dims, script, sure, chance)
    return Net(dims, weights)


def _write_script(
    weights: Weights, dims: Dimensions, script: Sequence[int], sure: float, chance: np.random.Generator
) -> None:
    """Make every position predict the token that follows there.

    The last token before the text is ``<|transcribe|>`` (``<|startoftranscript|>`` in an English net). With
    timestamps the text begins there; without, one position later, so the first token of a script should be a
    timestamp. A script also ends with a timestamp, in whose place an engine without timestamps finds the end.
    """
    special = special_tokens(dims)
    end = special["<|endoftext|>"]
    start = 2 if dims.multilingual else 0
    tokens = weights["decoder.token_embedding.weight"]
    positions = weights["decoder.positional_embedding"]
    directions = chance.standard_normal((dims.n_vocab, dims.n_text_state), np.float32)
    for token in {*script, end}:
        tokens[token] = sure * directions[token]
    loud = _OUTWEIGHS * sure**2
    positions[start:] = loud * directions[end]
    for place, token in enumerate(script):
        positions[start + place] = loud * directions[token]
    positions[start + len(script) - 1] += loud / 2 * directions[end]


def special_tokens(dims: Dimensions) -> dict[str, int]:
    """Ids of the tokens that are not text, in order."""
    first = len(text_tokens(dims))
    languages = [f"<|{code}|>" for code in _languages()]
    tasks = "translate transcribe startoflm startofprev nospeech notimestamps".split()
    names = ["<|endoftext|>", "<|startoftranscript|>", *languages, *(f"<|{task}|>" for task in tasks)]
    names += [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    assert first + len(names) == dims.n_vocab
    return {name: first + place for place, name in enumerate(names)}


@lru_cache(maxsize=2)
def text_tokens(dims: Dimensions) -> tuple[bytes, ...]:
    """The text of each token, from the vocabulary that openai-whisper carries."""
    file = _assets() / ("multilingual.tiktoken" if dims.multilingual else "gpt2.tiktoken")
    lines = [line.split() for line in file.read_bytes().splitlines() if line]
    assert [int(rank) for _, rank in lines] == list(range(len(lines)))
    return tuple(base64.b64decode(token) for token, _ in lines)


def script_of(dims: Dimensions, text: Sequence[str], until_s: float) -> list[int]:
    """A script that says ``text`` from the start to ``until_s``; each string must be a token."""
    special, known = special_tokens(dims), text_tokens(dims)
    said = [known.index(token.encode()) for token in text]
    return [special["<|0.00|>"], *said, special[f"<|{until_s:.2f}|>"]]


def write_openai(file: Path, net: Net) -> Path:
    import torch

    state = {name: torch.from_numpy(array).half() for name, array in net.weights.items()}
    torch.save({"dims": asdict(net.dims), "model_state_dict": state}, file)
    return file


#: Two-dimensional tensors that whisper.cpp keeps in float32.
_GGML_FLOAT32 = ("conv1.bias", "conv2.bias", "positional_embedding")


def write_ggml(file: Path, net: Net) -> Path:
    dims = net.dims
    with file.open("wb") as sink:
        counts = (
            dims.n_vocab, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer,
            dims.n_text_ctx, dims.n_text_state, dims.n_text_head, dims.n_text_layer, dims.n_mels,
        )  # fmt: skip
        sink.write(struct.pack("<12i", 0x67676D6C, *counts, 1))
        filters = np.load(_assets() / "mel_filters.npz")[f"mel_{dims.n_mels}"]
        sink.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        tokens = text_tokens(dims)
        sink.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            sink.write(struct.pack("<i", len(token)) + token)
        for name, array in net.weights.items():
            shaped = array[:, None] if name.endswith(("conv1.bias", "conv2.bias")) else array
            whole = shaped.ndim < 2 or name.endswith(_GGML_FLOAT32)
            sink.write(struct.pack("<3i", shaped.ndim, len(name), 0 if whole else 1))
            sink.write(struct.pack(f"<{shaped.ndim}i", *reversed(shaped.shape)) + name.encode())
            sink.write(shaped.astype("<f4" if whole else "<f2").tobytes())
    return file


def write_ctranslate2(folder: Path, net: Net) -> Path:
    from ctranslate2.specs.whisper_spec import WhisperSpec

    dims, weights = net.dims, net.weights

    def norm(part: Any, name: str) -> None:
        part.gamma, part.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def linear(part: Any, *names: str) -> None:
        matrices = [weights[f"{name}.weight"] for name in names]
        part.weight = np.concatenate(matrices)
        silent = [np.zeros(len(matrix), np.float32) for matrix in matrices]
        part.bias = np.concatenate([weights.get(f"{n}.bias", none) for n, none in zip(names, silent, strict=True)])

    def attention(part: Any, name: str, *fused: tuple[str, ...]) -> None:
        norm(part.layer_norm, f"{name}_ln")
        for layer, parts in zip(part.linear, (*fused, ("out",)), strict=True):
            linear(layer, *(f"{name}.{each}" for each in parts))

    def block(part: Any, name: str) -> None:
        attention(part.self_attention, f"{name}.attn", ("query", "key", "value"))
        norm(part.ffn.layer_norm, f"{name}.mlp_ln")
        linear(part.ffn.linear_0, f"{name}.mlp.0")
        linear(part.ffn.linear_1, f"{name}.mlp.2")

    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    encoder, decoder = spec.encoder, spec.decoder
    for convolution in ("conv1", "conv2"):
        part = getattr(encoder, convolution)
        part.weight = weights[f"encoder.{convolution}.weight"]
        part.bias = weights[f"encoder.{convolution}.bias"]
    encoder.position_encodings.encodings = weights["encoder.positional_embedding"]
    norm(encoder.layer_norm, "encoder.ln_post")
    for index, layer in enumerate(encoder.layer):
        block(layer, f"encoder.blocks.{index}")
    decoder.embeddings.weight = decoder.projection.weight = weights["decoder.token_embedding.weight"]
    decoder.position_encodings.encodings = weights["decoder.positional_embedding"]
    norm(decoder.layer_norm, "decoder.ln")
    for index, layer in enumerate(decoder.layer):
        block(layer, f"decoder.blocks.{index}")
        attention(layer.attention, f"decoder.blocks.{index}.cross_attn", ("query",), ("key", "value"))
    special = special_tokens(dims)
    letters = _letters()
    text = ["".join(letters[byte] for byte in token) for token in text_tokens(dims)]
    spec.register_vocabulary([*text, *special])
    # openai-whisper's choice for an unknown checkpoint: all heads of the upper half.
    upper = range(dims.n_text_layer // 2, dims.n_text_layer)
    spec.config.alignment_heads = list(product(upper, range(dims.n_text_head)))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [special[f"<|{code}|>"] for code in _languages()]
    spec.validate()
    spec.optimize(quantization="float16")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    _tokenizer(text, special).save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer(text: list[str], special: dict[str, int]) -> Any:
    """A tokenizer that reads every token and writes letter by letter: it has no merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE({token: place for place, token in enumerate(text)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    timestamps = [name for name in special if name[2].isdigit()]
    made.add_special_tokens([name for name in special if not name[2].isdigit()])
    made.add_tokens([AddedToken(name, normalized=False) for name in timestamps])
    assert all(made.token_to_id(name) == number for name, number in special.items())
    return made


def _letters() -> dict[int, str]:
    """The printable letter that stands for each byte in byte-level vocabularies (GPT-2's convention)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def _languages() -> tuple[str, ...]:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    return tuple(_LANGUAGE_CODES[:99])


def _assets() -> Path:
    """openai-whisper's vocabulary and filters; the package is located but not imported, as that would import torch."""
    spec = importlib.util.find_spec("whisper")
    assert spec and spec.origin
    return Path(spec.origin).parent / "assets"
