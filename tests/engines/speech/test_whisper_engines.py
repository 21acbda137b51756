"""The Whisper engines on nets of the smallest size, written in each engine's own format from the same weights.

The nets say a script whatever they hear; their probabilities depend on the sound and on the request.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.random_whisper import (
    MICRO,
    MICRO_EN,
    Dimensions,
    random_net,
    script_of,
    write_ctranslate2,
    write_ggml,
    write_openai,
)
from castline.engines.base import Speech, Transcriber, Transcription, check_request
from castline.engines.speech import ggml
from castline.engines.speech.declared import FASTER_WHISPER, OPENAI_WHISPER, WHISPER_CPP, Family, families
from castline.engines.speech.faster_whisper_engine import REQUIRED_FILES, FasterWhisperTranscriber, missing_files
from castline.engines.speech.openai_whisper_engine import OpenAIWhisperTranscriber
from castline.engines.speech.whisper_cpp_engine import WhisperCppTranscriber
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions

Load = Callable[..., Any]

_SAYS = "Hello and welcome to this short film."
_TOKENS = [" Hello", " and", " welcome", " to", " this", " short", " film", "."]
_LOADERS: dict[str, Load] = {
    FASTER_WHISPER.id: FasterWhisperTranscriber,
    WHISPER_CPP.id: WhisperCppTranscriber,
    OPENAI_WHISPER.id: OpenAIWhisperTranscriber,
}
_WRITERS = {FASTER_WHISPER.id: write_ctranslate2, WHISPER_CPP.id: write_ggml, OPENAI_WHISPER.id: write_openai}
_ENGLISH = SpeechOptions(language="en", beam=1)

every_family = pytest.mark.parametrize("family", families(), ids=[family.id for family in families()])


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def _all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attention of random nets gives no times, so speech would seem unread."""
    monkeypatch.setattr("castline.engines.speech.listening.uncovered", lambda *_: [])


def _nets(folder: Path, model: str, dims: Dimensions, tokens: list[str], until_s: float, sure: float = 0.2) -> None:
    net = random_net(dims, script=script_of(dims, tokens, until_s), sure=sure)
    for family in families():
        _WRITERS[family.id](folder / family.file(model), net)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``micro`` and ``micro.en`` say a sentence, ``loop`` repeats a word, ``chinese`` writes without spaces."""
    folder = tmp_path_factory.mktemp("models")
    _nets(folder, "micro", MICRO, _TOKENS, 2.0)
    _nets(folder, "micro.en", MICRO_EN, _TOKENS, 2.0)
    _nets(folder, "loop", MICRO, [" Hello"] * 40, 3.0, sure=1.0)
    _nets(folder, "chinese", MICRO, ["你", "好"], 2.0, sure=1.0)
    return folder


@pytest.fixture(scope="module")
def engines(models: Path) -> Callable[[Family, str], Transcriber]:
    """Engines by family and model, each loaded once."""
    loaded: dict[tuple[str, str], Transcriber] = {}

    def engine(family: Family, model: str) -> Transcriber:
        key = (family.id, model)
        if key not in loaded:
            loaded[key] = _LOADERS[family.id](models / family.file(model), threads=1)
        return loaded[key]

    return engine


def _text(found: Transcription) -> str:
    return " ".join(segment.text for segment in found.segments)


@every_family
def test_speech_becomes_words_with_times_and_numbers(family: Family, engines, speech) -> None:
    found = engines(family, "micro").transcribe(Speech(speech, _ENGLISH))
    assert found.language == "en"
    [segment] = found.segments
    assert segment.text == _SAYS
    assert [word.text for word in segment.words] == _SAYS.split()
    length = len(speech) / SAMPLE_RATE
    moments = [moment for word in segment.words for moment in (word.start_s, word.end_s)]
    assert moments == sorted(moments)
    assert 0 <= moments[0] == segment.start_s < segment.end_s == moments[-1] <= length
    assert all(0.3 < word.probability < 1 for word in segment.words)
    assert -1 < segment.avg_logprob < 0
    assert segment.compression_ratio < 1
    assert not segment.suspect
    assert (segment.no_speech_prob is None) == (family is WHISPER_CPP)


@every_family
def test_an_engine_declares_what_its_model_can_do(family: Family, engines, models) -> None:
    multilingual, english = engines(family, "micro").info, engines(family, "micro.en").info
    assert multilingual.id == f"{family.id}:micro"
    assert multilingual.source == str(models / family.file("micro"))
    assert {"en", "de", "zh", "yo", "nb"} <= set(multilingual.languages)
    assert multilingual.translates
    assert english.languages == ("en",)
    assert not english.translates
    for info in (multilingual, english):
        assert info.role == "transcriber"
        assert info.word_times
        assert info.prompts
    assert check_request(multilingual, SpeechOptions(language="zh-Hant-TW", task="translate", prompt="x")) == ()
    with pytest.raises(ModelError, match="'tlh'"):
        check_request(multilingual, SpeechOptions(language="tlh"))
    with pytest.raises(ModelError, match="'de'"):
        check_request(english, SpeechOptions(language="de"))


@every_family
@pytest.mark.parametrize(
    ("model", "english", "translates"),
    [("large-v3-turbo", False, False), ("distil-large-v3", True, False), ("large-v3", False, True)],
)
def test_models_with_fewer_abilities_are_known_by_their_names(
    family: Family, model: str, english: bool, translates: bool, models, tmp_path
) -> None:
    file = tmp_path / family.file(model)
    file.symlink_to(models / family.file("micro"))
    info = _LOADERS[family.id](file, threads=1).info
    assert (info.languages == ("en",)) is english
    assert info.translates is translates


@every_family
def test_an_english_model_needs_no_language(family: Family, engines, speech) -> None:
    found = engines(family, "micro.en").transcribe(Speech(speech, SpeechOptions(beam=1)))
    assert (found.language, _text(found)) == ("en", _SAYS)


@every_family
@pytest.mark.parametrize("tag", ["de", "de-CH", "nb"])
def test_the_requested_language_reaches_the_net(family: Family, tag: str, engines, speech) -> None:
    engine = engines(family, "micro")
    found = engine.transcribe(Speech(speech, SpeechOptions(language=tag, beam=1)))
    assert found.language == {"de-CH": "de", "nb": "no"}.get(tag, tag)
    assert found.segments != engine.transcribe(Speech(speech, _ENGLISH)).segments


@every_family
def test_the_language_is_detected_if_none_is_given(family: Family, engines, speech) -> None:
    engine = engines(family, "micro")
    found = engine.transcribe(Speech(speech, SpeechOptions(beam=1)))
    assert found.language in engine.info.languages
    assert _text(found) == _SAYS


@every_family
@pytest.mark.parametrize(
    "asked",
    [{"task": "translate"}, {"prompt": " and"}, {"hotwords": ("Castline",)}],
    ids=lambda asked: next(iter(asked)),
)
def test_requested_options_reach_the_net(family: Family, asked: dict[str, Any], engines, speech) -> None:
    engine = engines(family, "micro")
    found = engine.transcribe(Speech(speech, SpeechOptions(language="en", beam=1, **asked)))
    assert found != engine.transcribe(Speech(speech, _ENGLISH))
    assert found.language == "en"


def test_the_beam_reaches_each_engine(engines, speech, monkeypatch) -> None:
    options = SpeechOptions(language="en", beam=3)
    net = engines(FASTER_WHISPER, "micro")._model
    asked = []

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

        def generate(self, *arguments: Any, **named: Any) -> Any:
            asked.append(named["beam_size"])
            return whole.generate(*arguments, **named)

    whole = net.model
    with monkeypatch.context() as patch:
        patch.setattr(net, "model", Recorder())
        engines(FASTER_WHISPER, "micro").transcribe(Speech(speech, options))
    assert asked == [3]

    parameters = engines(WHISPER_CPP, "micro")._parameters
    wide, narrow = parameters(options, "en"), parameters(_ENGLISH, "en")
    assert wide.beam_search["beam_size"] == 3
    assert (wide.strategy.name, narrow.strategy.name) == ("WHISPER_SAMPLING_BEAM_SEARCH", "WHISPER_SAMPLING_GREEDY")

    rows = set()
    decoder = engines(OPENAI_WHISPER, "micro")._model.decoder
    hook = decoder.register_forward_pre_hook(lambda _, arguments: rows.add(len(arguments[0])))
    found = engines(OPENAI_WHISPER, "micro").transcribe(Speech(speech, options))
    hook.remove()
    assert 3 in rows
    assert _text(found) == _SAYS


@every_family
def test_silence_gives_no_words(family: Family, engines) -> None:
    engine = engines(family, "micro")
    for language in (None, "en"):
        options = SpeechOptions(language=language)
        for length in (0, 5 * SAMPLE_RATE):
            found = engine.transcribe(Speech(np.zeros(length, np.float32), options))
            assert (found.segments, found.language) == ((), language)


@every_family
def test_times_refer_to_the_audio(family: Family, engines, speech) -> None:
    quiet = np.zeros(5 * SAMPLE_RATE, np.float32)
    found = engines(family, "micro").transcribe(Speech(np.concatenate([quiet, speech, quiet]), _ENGLISH))
    assert _text(found) == _SAYS
    for word in found.segments[0].words:
        assert 4.9 < word.start_s <= word.end_s < 5 + len(speech) / SAMPLE_RATE + 0.5


@every_family
def test_the_same_speech_gives_the_same_part(family: Family, engines, speech) -> None:
    engine = engines(family, "micro")
    first = engine.transcribe(Speech(speech, _ENGLISH))
    engine.transcribe(Speech(speech[::-1].copy(), SpeechOptions(language="de", prompt="Something else", beam=1)))
    assert engine.transcribe(Speech(speech, _ENGLISH)) == first


@every_family
def test_a_net_that_repeats_itself_is_suspected_and_kept(family: Family, engines, speech) -> None:
    found = engines(family, "loop").transcribe(Speech(speech, _ENGLISH))
    assert _text(found) == " ".join(["Hello"] * 40)
    assert all(segment.suspect and segment.compression_ratio > 2.4 for segment in found.segments)


@every_family
def test_a_language_without_spaces_has_words(family: Family, engines, speech) -> None:
    found = engines(family, "chinese").transcribe(Speech(speech, SpeechOptions(language="zh", beam=1)))
    [segment] = found.segments
    assert segment.text == "你好"
    assert "".join(word.text for word in segment.words) == "你好"


@every_family
def test_engines_print_nothing(family: Family, models, speech, capfd) -> None:
    engine = _LOADERS[family.id](models / family.file("micro"), threads=1)
    capfd.readouterr()
    engine.transcribe(Speech(speech, _ENGLISH))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("family", [WHISPER_CPP, OPENAI_WHISPER], ids=lambda family: family.id)
@pytest.mark.parametrize("kept", [0, 10, 1000, 0.5, -100])
def test_half_a_file_is_a_corrupt_model(family: Family, kept: float, models, tmp_path, capfd) -> None:
    whole = (models / family.file("micro")).read_bytes()
    file = tmp_path / family.file("micro")
    file.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(ModelCorrupt, match="cannot be loaded") as caught:
        _LOADERS[family.id](file)
    assert str(file) in caught.value.message
    assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("family", [WHISPER_CPP, OPENAI_WHISPER], ids=lambda family: family.id)
def test_another_kind_of_file_is_a_corrupt_model(family: Family, tmp_path) -> None:
    file = tmp_path / family.file("letter")
    file.write_text("Dear whisper, this is no model at all, but a letter of some length.")
    with pytest.raises(ModelCorrupt, match="cannot be loaded"):
        _LOADERS[family.id](file)
    with pytest.raises(ModelNotFound, match="does not exist"):
        _LOADERS[family.id](tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [(0, 7, "not a ggml model"), (20, 9, "has 50 of 170 tensors"), (48, 2**30, "cut short"), (48, -80, "cut short")],
)
def test_the_structure_of_a_ggml_file_is_checked(place: int, value: int, said: str, models, tmp_path) -> None:
    body = bytearray((models / "ggml-micro.bin").read_bytes())
    ggml.check(models / "ggml-micro.bin")
    struct.pack_into("<i", body, place, value)
    file = tmp_path / "ggml-odd.bin"
    file.write_bytes(body)
    with pytest.raises(ModelCorrupt, match=said):
        ggml.check(file)


@pytest.mark.parametrize("lacking", [*REQUIRED_FILES, "vocabulary.json"])
def test_a_missing_file_is_named_without_asking_the_hub(lacking: str, models, tmp_path) -> None:
    for path in (models / "faster-whisper-micro").iterdir():
        if path.name != lacking:
            (tmp_path / path.name).symlink_to(path)
    assert missing_files(tmp_path) == [lacking]
    with pytest.raises(ModelNotFound, match=rf"not a CTranslate2 Whisper model: {lacking} missing"):
        FasterWhisperTranscriber(tmp_path)


def test_a_missing_folder_names_all_its_files(tmp_path) -> None:
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
def test_a_broken_file_in_a_folder_is_a_corrupt_model(file: str, content: bytes | None, models, tmp_path) -> None:
    folder = models / "faster-whisper-micro"
    for path in folder.iterdir():
        if path.name != file:
            (tmp_path / path.name).symlink_to(path)
    whole = (folder / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ModelCorrupt, match="cannot be loaded") as caught:
        FasterWhisperTranscriber(tmp_path)
    assert str(tmp_path) in caught.value.message
