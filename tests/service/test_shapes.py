"""Other programs' formats, compared with those programs' own writers where they are installed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import webvtt

from benchmarks.random_whisper import write_ggml
from benchmarks.same_weights import read_ctranslate2
from castline.assembly import assemble
from castline.records import AudioPart, AudioUnit, Manifest, Options, Result, Segment, Source, Usage, Word
from castline.service.languages import NAMES
from castline.service.shapes import renderer, whisper_dict, written_words
from castline.weights.packages import packaged
from tests.service.conftest import CHECKOUT


def _words(*spoken: tuple[str, float, float]) -> tuple[Word, ...]:
    return tuple(Word(text=text, start_s=start, end_s=end, probability=0.9) for text, start, end in spoken)


_QUOTED = Segment(
    start_s=0.5,
    end_s=2.0,
    text='He said "no", then -->  left.',
    avg_logprob=-0.2,
    no_speech_prob=0.01,
    compression_ratio=1.1,
    words=_words(("He", 0.5, 0.7), ("said", 0.7, 1.0), ('"no",', 1.0, 1.2), ("then", 1.2, 1.5), ("-->", 1.5, 1.6),
                 ("left.", 1.6, 2.0)),
)  # fmt: skip
_LATE = Segment(
    start_s=3723.04,
    end_s=3724.0,
    text="你好 again",
    words=_words(("你", 3723.04, 3723.3), ("好", 3723.3, 3723.5), ("again", 3723.5, 3724.0)),
)


@pytest.fixture
def result() -> Result:
    """Two segments: one with quotes, one beyond the first hour."""
    return _result((_QUOTED, _LATE), transcriber="whisper.cpp:tiny.en")


def _result(segments: tuple[Segment, ...], *, transcriber: str) -> Result:
    unit = AudioUnit(index=0, start_s=0.0, end_s=3800.0)
    usage = Usage(stage="speech", seconds=1.0, memory_mb=1)
    part = AudioPart(unit=unit.name, transcriber=transcriber, language="en", segments=segments, usage=usage)
    manifest = Manifest(
        run="0" * 16,
        source=Source(bucket="", key="a.wav", etag="0" * 32, version=None, size=1),
        options=Options(language="en"),
        probe=None,
        duration_s=3800.0,
        units=(unit,),
        usage=usage,
    )
    return assemble(manifest, {unit.name: part}, {}, None).result


def test_words_are_spelled_as_in_the_text() -> None:
    for segment in (_QUOTED, _LATE):
        assert "".join(written for written, _ in written_words(segment)) == f" {segment.text}"
        assert [word for _, word in written_words(segment)] == list(segment.words)
    [(written, word)] = written_words(_QUOTED.model_copy(update={"words": ()}))
    assert (written, word.start_s, word.end_s) == (f" {_QUOTED.text}", 0.5, 2.0)


@pytest.mark.parametrize("format_", ["json", "vtt", "txt", "srt", "tsv"])
def test_openai_whisper_s_files_equal_its_own_writers(result: Result, format_: str, tmp_path: Path) -> None:
    if not find_spec("whisper"):
        pytest.skip("openai-whisper is not installed")
    from whisper.utils import get_writer

    get_writer(format_, str(tmp_path))(whisper_dict(result), "a.wav")
    assert renderer("openai-whisper", format_)(result) == (tmp_path / f"a.{format_}").read_bytes()


def test_openai_whisper_s_dictionary_has_its_own_fields(result: Result) -> None:
    found = whisper_dict(result)
    assert set(found) == {"text", "segments", "language"}
    first = found["segments"][0]
    assert set(first) == {"id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob",
                          "compression_ratio", "no_speech_prob", "words"}  # fmt: skip
    assert set(first["words"][0]) == {"word", "start", "end", "probability"}
    assert first["words"][1]["word"] == " said"


def test_whisper_cpp_s_files(result: Result) -> None:
    found = json.loads(renderer("whisper.cpp", "json")(result))
    assert list(found) == ["systeminfo", "model", "params", "result", "transcription"]
    first, late = found["transcription"]
    assert first["offsets"] == {"from": 500, "to": 2000}
    assert late["timestamps"] == {"from": "01:02:03,040", "to": "01:02:04,000"}
    assert first["text"] == f" {_QUOTED.text}" == "".join(token["text"] for token in first["tokens"])
    assert set(first["tokens"][0]) == {"text", "timestamps", "offsets", "id", "p", "t_dtw"}
    assert found["result"] == {"language": "en"}
    rows = list(csv.DictReader(io.StringIO(renderer("whisper.cpp", "csv")(result).decode())))
    assert rows[0] == {"start": "500", "end": "2000", "text": f" {_QUOTED.text}"}
    assert renderer("whisper.cpp", "txt")(result).decode() == f" {_QUOTED.text}\n {_LATE.text}\n"
    cues = renderer("whisper.cpp", "vtt")(result).decode().split("\n\n")
    assert cues[:3] == ["WEBVTT", f"00:00:00.500 --> 00:00:02.000\n {_QUOTED.text}",
                        f"01:02:03.040 --> 01:02:04.000\n {_LATE.text}"]  # fmt: skip


def test_whisper_cpp_s_files_equal_the_program_s(ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    """The program's transcript, as our records, is written as the program wrote it: equal bytes, or equal shape."""
    program, weights = Path(sys.executable).with_name("whisper-cpp"), packaged("faster-whisper:tiny.en")
    if not program.exists() or weights is None:
        pytest.skip("whisper.cpp's program or the package with Whisper's weights is not installed")
    model = write_ggml(tmp_path / "ggml-tiny.en.bin", read_ctranslate2(weights))
    ffmpeg(
        "-ss", 1, "-i", CHECKOUT / "examples" / "demo.mp4", "-t", 9, "-vn", "-ar", 16000, "-ac", 1, tmp_path / "a.wav"
    )
    asked = ("-ojf", "-otxt", "-ovtt", "-ocsv", "-l", "en", "-t", "2", "-bs", "1", "-bo", "1", "-of", tmp_path / "a")
    subprocess.run([program, "-m", model, "-f", tmp_path / "a.wav", *asked], check=True, capture_output=True)
    its = json.loads((tmp_path / "a.json").read_text())
    result = _result(tuple(_heard(each) for each in its["transcription"]), transcriber="whisper.cpp:tiny.en")
    assert len(result.transcript.segments) > 1
    for format_ in ("txt", "vtt", "csv"):
        assert renderer("whisper.cpp", format_)(result) == (tmp_path / f"a.{format_}").read_bytes(), format_
    ours = json.loads(renderer("whisper.cpp", "json")(result))
    assert ours["model"] == its["model"] and ours["result"] == its["result"]
    assert _shape(ours) == _shape(its)
    for mine, other in zip(ours["transcription"], its["transcription"], strict=True):
        assert [mine[name] for name in ("text", "offsets", "timestamps")] == [
            other[name] for name in ("text", "offsets", "timestamps")
        ]


def _heard(segment: dict[str, Any]) -> Segment:
    times = {"start_s": segment["offsets"]["from"] / 1000, "end_s": segment["offsets"]["to"] / 1000}
    return Segment(**times, text=segment["text"].strip())


def _shape(value: Any) -> Any:
    """Names and types; for a list, those of its first item."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    return [_shape(value[0])] if isinstance(value, list) else "number" if type(value) in (int, float) else type(value)


@pytest.mark.parametrize(
    ("format_", "expected"),
    [("txt", "[Speaker 2]: He said"), ("srt", "[Speaker 2]: He said"), ("vtt", "[Speaker 2]: He said"),
     ("tsv", "500\t2000\t[Speaker 2]: He said"), ("json", '"speaker": "Speaker 2"')],
)  # fmt: skip
def test_speakers_are_prefixed_on_request(result: Result, format_: str, expected: str) -> None:
    lines = tuple(
        each.model_copy(update={"speaker": name})
        for each, name in zip(result.transcript.segments, ("Speaker 2", None), strict=True)
    )
    told = result.model_copy(update={"transcript": result.transcript.model_copy(update={"segments": lines})})
    body = renderer("asr-diarized", format_)(told).decode()
    assert expected in body
    assert body.count("Speaker") == (1 if format_ != "json" else 1 + len(_QUOTED.words))


def test_our_formats_are_the_pipeline_s(result: Result) -> None:
    body = renderer("auto", "vtt")(result)
    assert [cue.start for cue in webvtt.from_string(body.decode())] == ["00:00:00.500", "01:02:03.040"]


def test_languages_have_whisper_s_names() -> None:
    if not find_spec("whisper"):
        pytest.skip("openai-whisper is not installed")
    from whisper.tokenizer import LANGUAGES

    assert NAMES == LANGUAGES
