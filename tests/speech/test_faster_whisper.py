"""Whisper without its weights: what is missing or broken is said clearly, and a tiny net runs end to end."""

from __future__ import annotations

import socket
from itertools import product
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import tokenizers
from ctranslate2.specs.whisper_spec import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES

from castline.engines import Speech
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions
from castline.speech.faster_whisper_engine import REQUIRED_FILES, FasterWhisperTranscriber, missing_files

_WIDTH, _HEADS, _MELS = 16, 2, 80
_TEXT = 2_000  # tokens of text; Whisper has 50,257
_SAYS = " hm"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _tokens() -> list[str]:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["Ġh", "Ġhm"]
    text = alphabet + words + [f"Ġunused{number}" for number in range(_TEXT - len(alphabet) - len(words))]
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES[:99]]
    tasks = "translate transcribe startoflm startofprev nospeech notimestamps".split()
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, *(f"<|{task}|>" for task in tasks)]
    return text + special + [f"<|{step * 0.02:.2f}|>" for step in range(1501)]


def _tokenizer(tokens: list[str]) -> tokenizers.Tokenizer:
    ids = {token: number for number, token in enumerate(tokens)}
    made = tokenizers.Tokenizer(tokenizers.models.BPE({t: ids[t] for t in tokens[:_TEXT]}, [("Ġ", "h"), ("Ġh", "m")]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(tokens[_TEXT : _TEXT + 107])
    made.add_tokens(tokens[_TEXT + 107 :])
    assert made.token_to_id("<|notimestamps|>") == ids["<|notimestamps|>"]
    assert made.token_to_id("<|30.00|>") == len(tokens) - 1
    return made


def _spec(tokens: list[str], says: int) -> WhisperSpec:
    """One layer of noise, and a last layer that always likes one word best."""
    chance = np.random.default_rng(1)

    def noise(*shape: int) -> np.ndarray:
        return (chance.normal(size=shape) * 0.1).astype(np.float32)

    def linear(part: Any, outputs: int, inputs: int = _WIDTH) -> None:
        part.weight, part.bias = noise(outputs, inputs), np.zeros(outputs, np.float32)

    def norm(part: Any) -> None:
        part.gamma, part.beta = np.ones(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)

    def attention(part: Any, *outputs: int) -> None:
        norm(part.layer_norm)
        for layer, size in zip(part.linear, outputs, strict=True):
            linear(layer, size)

    def feed_forward(part: Any) -> None:
        norm(part.layer_norm)
        linear(part.linear_0, 4 * _WIDTH)
        linear(part.linear_1, _WIDTH, 4 * _WIDTH)

    spec = WhisperSpec(1, _HEADS, 1, _HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = noise(_WIDTH, _MELS, 3), noise(_WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = noise(_WIDTH, _WIDTH, 3), noise(_WIDTH)
    encoder.position_encodings.encodings = noise(1500, _WIDTH)
    norm(encoder.layer_norm)
    attention(encoder.layer[0].self_attention, 3 * _WIDTH, _WIDTH)
    feed_forward(encoder.layer[0].ffn)
    decoder.embeddings.weight = noise(len(tokens), _WIDTH)
    decoder.position_encodings.encodings = noise(448, _WIDTH)
    norm(decoder.layer_norm)
    attention(decoder.layer[0].self_attention, 3 * _WIDTH, _WIDTH)
    attention(decoder.layer[0].attention, _WIDTH, 2 * _WIDTH, _WIDTH)
    feed_forward(decoder.layer[0].ffn)
    linear(decoder.projection, len(tokens))
    decoder.projection.bias[says] = 20
    spec.register_vocabulary(tokens)
    spec.config.alignment_heads = list(product([0], range(_HEADS)))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [tokens.index(f"<|{code}|>") for code in _LANGUAGE_CODES[:99]]
    spec.validate()
    return spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "faster-whisper-noise"
    path.mkdir()
    tokens = _tokens()
    tokenizer = _tokenizer(tokens)
    (says,) = tokenizer.encode(_SAYS).ids
    _spec(tokens, says).save(str(path))
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture(scope="module")
def whisper(folder: Path) -> FasterWhisperTranscriber:
    return FasterWhisperTranscriber(folder, threads=1)


def test_the_tiny_net_is_a_complete_folder(folder: Path) -> None:
    assert missing_files(folder) == []
    assert ctranslate2.contains_model(str(folder))


def test_speech_becomes_segments_with_words_and_numbers(
    whisper: FasterWhisperTranscriber, folder: Path, speech
) -> None:
    found = whisper.transcribe(Speech(speech, SpeechOptions(language="en")))
    assert found.language == "en"
    assert found.segments
    length = len(speech) / SAMPLE_RATE
    for segment in found.segments:
        assert segment.text.split() == ["hm"] * len(segment.text.split())
        assert 0 <= segment.start_s <= segment.end_s <= length + 0.1
        assert [word.text for word in segment.words] == segment.text.split()
        assert all(0 <= word.start_s <= word.end_s <= length + 0.1 for word in segment.words)
        assert segment.avg_logprob is not None
        assert segment.no_speech_prob is not None
    assert whisper.info.id == "faster-whisper:faster-whisper-noise"
    assert whisper.info.source == str(folder)


def test_a_net_that_repeats_itself_is_suspected_and_kept(whisper: FasterWhisperTranscriber, speech) -> None:
    segments = whisper.transcribe(Speech(speech, SpeechOptions(language="en"))).segments
    looping = [segment for segment in segments if (segment.compression_ratio or 0) > 2.4]
    assert looping
    assert all(segment.suspect for segment in looping)


def test_the_same_speech_gives_the_same_part(whisper: FasterWhisperTranscriber, speech) -> None:
    first = whisper.transcribe(Speech(speech, SpeechOptions(language="en")))
    whisper.transcribe(Speech(speech[::-1].copy(), SpeechOptions(language="en")))
    assert whisper.transcribe(Speech(speech, SpeechOptions(language="en"))) == first


def test_silence_says_nothing(whisper: FasterWhisperTranscriber) -> None:
    for language in (None, "en"):
        found = whisper.transcribe(Speech(np.zeros(5 * SAMPLE_RATE, np.float32), SpeechOptions(language=language)))
        assert (found.segments, found.language) == ((), language)
    assert whisper.transcribe(Speech(np.zeros(0, np.float32), SpeechOptions(language="en"))).segments == ()


class _Multilingual:
    """The net, saying of itself that it knows many languages; the tokens are there."""

    is_multilingual = True

    def __init__(self, net: Any) -> None:
        self._net = net

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)


@pytest.fixture
def polyglot(whisper: FasterWhisperTranscriber, monkeypatch: pytest.MonkeyPatch) -> FasterWhisperTranscriber:
    monkeypatch.setattr(whisper._model, "model", _Multilingual(whisper._model.model))
    return whisper


@pytest.mark.parametrize(("tag", "code"), [("en-GB", "en"), ("DE", "de"), ("zh-Hant-TW", "zh")])
def test_language_tags_are_understood(tag: str, code: str, polyglot: FasterWhisperTranscriber, speech) -> None:
    assert polyglot.transcribe(Speech(speech, SpeechOptions(language=tag))).language == code


def test_an_unknown_language_is_said_once_and_for_all(polyglot: FasterWhisperTranscriber, speech) -> None:
    with pytest.raises(ModelError, match="'tlh'") as caught:
        polyglot.transcribe(Speech(speech, SpeechOptions(language="tlh")))
    assert not caught.value.retryable


def test_a_net_of_one_language_takes_any_tag(whisper: FasterWhisperTranscriber, speech) -> None:
    assert whisper.transcribe(Speech(speech[: 2 * SAMPLE_RATE], SpeechOptions(language="de-CH"))).language == "en"


@pytest.mark.parametrize("lacking", [*REQUIRED_FILES, "vocabulary.json"])
def test_a_missing_file_is_named_without_asking_a_hub(lacking: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.name != lacking:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(ModelNotFound, match=rf"no CTranslate2 Whisper model: {lacking} missing"):
        FasterWhisperTranscriber(tmp_path)


def test_a_missing_folder_names_all_its_files(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"model\.bin, config\.json, tokenizer\.json, vocabulary\.json missing"):
        FasterWhisperTranscriber(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.bin", b""),
        ("model.bin", b"this is no model at all, but a letter"),
        ("model.bin", None),  # cut off
        ("vocabulary.json", b"{"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"no JSON"),
        ("config.json", b"no JSON"),
    ],
)
def test_a_broken_file_is_a_corrupt_model(file: str, content: bytes | None, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.name != file:
            (tmp_path / path.name).symlink_to(path)
    whole = (folder / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ModelCorrupt, match="cannot be loaded") as caught:
        FasterWhisperTranscriber(tmp_path)
    assert str(tmp_path) in caught.value.message
