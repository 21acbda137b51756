"""``castline eval speech``: words are counted correctly, in any container, over any number of chunks."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

import castline.engines.choose
from castline.cli import connect as connecting
from castline.cli import eval as command
from castline.cli import main as commands
from castline.engines.base import EngineInfo, Speech, Transcription
from castline.errors import EvaluationError
from castline.evaluation.normalise import plain
from castline.evaluation.speech import (
    Utterance,
    add_up,
    check_countable,
    count_errors,
    evaluate,
    hear,
    read_transcripts,
)
from castline.media.chunks import SAMPLE_RATE
from castline.records import Segment, Word
from castline.settings import Settings

Run = Callable[..., Result]

_DEMO = Path(__file__).parents[2] / "examples" / "demo.mp4"
_STEP_HZ, _LOWEST_HZ = 40, 200
_HOP = 160


class Pitch:
    """Hears a word in every tone: 200 Hz is ``w0``, 240 Hz is ``w1`` …"""

    info = EngineInfo(id="pitch", role="transcriber", title="Pitch", licence="none")

    def __init__(self, *, suspect: bool = False) -> None:
        self.calls = 0
        self._suspect = suspect

    def transcribe(self, speech: Speech) -> Transcription:
        self.calls += 1
        hops = speech.samples[: len(speech.samples) // _HOP * _HOP].reshape(-1, _HOP)
        loud = np.sqrt(np.mean(hops**2, axis=1)) > 0.02
        edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
        words = tuple(
            self._word(speech.samples, int(start), int(end))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
            if end - start >= 10
        )
        if not words:
            return Transcription(None, ())
        text = " ".join(word.text for word in words)
        segment = Segment(
            start_s=words[0].start_s, end_s=words[-1].end_s, text=text, words=words, suspect=self._suspect
        )
        return Transcription(None, (segment,))

    def _word(self, samples: np.ndarray[Any, Any], start: int, end: int) -> Word:
        tone = samples[start * _HOP : end * _HOP][:SAMPLE_RATE]
        peak = np.argmax(np.abs(np.fft.rfft(tone, SAMPLE_RATE)))  # bins of 1 Hz
        return Word(start_s=start / 100, end_s=end / 100, text=f"w{round((peak - _LOWEST_HZ) / _STEP_HZ)}")


@pytest.fixture
def config() -> Settings:
    return Settings(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe(), ffmpeg_timeout_s=60, chunk_s=10)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, config: Settings) -> Run:
    monkeypatch.setattr(command, "settings", lambda: config)

    def invoke(*arguments: object) -> Result:
        for console in (connecting.answer, connecting.console, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(commands.app, ["eval", "speech", *map(str, arguments)])

    return invoke


@pytest.fixture
def pitch(monkeypatch: pytest.MonkeyPatch) -> Pitch:
    engine = Pitch()
    monkeypatch.setattr(castline.engines.choose, "load_transcriber", lambda _: engine)
    return engine


def _tones(path: Path, count: int, sounding_s: float) -> str:
    """Writes ``count`` tones, two per second, and returns what ``Pitch`` should hear."""
    time = np.arange(int(sounding_s * SAMPLE_RATE)) / SAMPLE_RATE
    samples = np.zeros(count * SAMPLE_RATE // 2, np.float32)
    for index in range(count):
        tone = 0.3 * np.sin(2 * np.pi * (_LOWEST_HZ + _STEP_HZ * index) * time)
        samples[index * SAMPLE_RATE // 2 :][: len(tone)] = tone
    soundfile.write(path, samples, SAMPLE_RATE)
    return " ".join(f"w{index}" for index in range(count))


def _table(path: Path, *rows: str, head: str = "file\treference") -> Path:
    path.write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("reference", "heard", "errors"),
    [
        ("a b c", "a b c", (0, 0, 0)),
        ("a b c", "a x c", (1, 0, 0)),
        ("a b c", "a c", (0, 1, 0)),
        ("a b c", "a b b c", (0, 0, 1)),
        ("a b c", "", (0, 3, 0)),
        ("a b c d e f g h", "a x c d f g h i", (1, 1, 1)),
    ],
)
def test_substitutions_deletions_insertions(reference: str, heard: str, errors: tuple[int, int, int]) -> None:
    found = count_errors(reference, heard)
    assert (found.substitutions, found.deletions, found.insertions) == errors
    assert found.words == len(reference.split())
    assert found.wer == pytest.approx(sum(errors) / found.words)


def test_silence_has_no_rate_but_words_heard_there_count_in_the_total() -> None:
    nothing, invented, said = count_errors("", ""), count_errors("", "a b"), count_errors("a b c d", "a b c x")
    assert (nothing.wer, invented.wer, invented.insertions) == (None, None, 2)
    total = add_up([nothing, invented, said])
    assert (total.words, total.substitutions, total.deletions, total.insertions) == (4, 1, 0, 2)
    assert total.wer == pytest.approx(3 / 4)


@pytest.mark.parametrize("sounding_s", [0.25, 0.4])
def test_no_word_is_lost_or_doubled_between_chunks(sounding_s: float, config: Settings, tmp_path: Path) -> None:
    # Pauses of 0.1 s are too short to cut at, so those chunks overlap and both hear the words between them.
    said = _tones(tmp_path / "tones.wav", 70, sounding_s)
    engine = Pitch()
    found = hear(tmp_path / "tones.wav", engine, config)
    assert found.text == said
    assert found.audio_s == pytest.approx(35)
    assert found.chunks == engine.calls >= 3
    assert found.warnings == ()
    assert found.seconds > 0


@pytest.mark.parametrize("name", ["both.mp4", "no-video.mp4", "voice.ogg", "voice.mp3", "voice.m4a", "voice.flac"])
def test_any_container(name: str, odd_media: dict[str, Path], config: Settings) -> None:
    assert hear(odd_media[name], Pitch(), config).text == "w6"


def test_suspected_hallucinations_do_not_count_as_heard(odd_media: dict[str, Path], config: Settings) -> None:
    assert hear(odd_media["voice.flac"], Pitch(suspect=True), config).text == ""


def test_files_and_total(tmp_path: Path, odd_media: dict[str, Path], config: Settings) -> None:
    said = _tones(tmp_path / "tones.wav", 4, 0.25)
    files = [
        Utterance("right", tmp_path / "tones.wav", said.upper() + "!"),
        Utterance("wrong", odd_media["voice.flac"], "Mr. w6"),
        Utterance("nothing", odd_media["voice.flac"], ""),
    ]
    ticks: list[int] = []
    report = evaluate(files, Pitch(), config, lambda: ticks.append(1))
    assert len(ticks) == 3
    assert [file.raw.wer for file in report.files] == [0, 0.5, None]
    assert report.raw.wer == pytest.approx(2 / 6)
    assert report.audio_s == pytest.approx(6, abs=0.01)
    assert report.rtf == pytest.approx(report.seconds / 6, abs=0.001)
    assert report.engine == "pitch"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no column file, reference"),
        ("file,reference\nvoice.flac,a\n", "has no column file, reference"),
        ("file\ttext\nvoice.flac\ta\n", "has no column reference"),
        ("file\treference\n\n", "lists no files"),
        ("file\treference\nvoice.flac\n", "line 2: there is no reference"),
        ("file\treference\nvoice.flac\ta\ngone.wav\tb\n", "line 3: the file 'gone.wav' does not exist"),
        ("file\treference\n\tb\n", "line 2: the file '' does not exist"),
        ("file\treference\nvoice.flac\t…\n", "no reference with a word in it"),
        ("file\treference\nvoice.flac\t\udcff\n", "is not a table in UTF-8"),
    ],
)
def test_tables_that_cannot_be_evaluated(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "voice.flac").write_bytes(b"")
    table = tmp_path / "t.tsv"
    table.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(EvaluationError, match=message):
        read_transcripts(table)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="does not exist"):
        read_transcripts(tmp_path / "t.tsv")
    with pytest.raises(EvaluationError, match="is a folder"):
        read_transcripts(tmp_path)


def test_extra_columns_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.wav").write_bytes(b"")
    _table(tmp_path / "t.tsv", '7\tsub/a.wav\t"so," he said \tme', head="\ufeffid\tfile\treference\tby")
    (row,) = read_transcripts(tmp_path / "t.tsv")
    assert (row.name, row.path, row.reference) == ("sub/a.wav", tmp_path / "sub" / "a.wav", '"so," he said')


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-audio.mp4", "film: it has no sound"),
        ("text.mp4", "film: "),
        ("zero.mp4", "film: the file is empty"),
    ],
)
def test_files_that_cannot_be_transcribed(
    name: str, message: str, odd_media: dict[str, Path], config: Settings
) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate([Utterance("film", odd_media[name], "a")], Pitch(), config)


def test_a_damaged_file_is_transcribed_as_far_as_possible_with_a_warning(
    run: Run, pitch: Pitch, odd_media: dict[str, Path], tmp_path: Path
) -> None:
    table = _table(tmp_path / "t.tsv", f"{odd_media['truncated.mp4']}\tw6")
    found = run(table, "--json", tmp_path / "n.json")
    assert found.exit_code == 0, found.output
    (file,) = json.loads((tmp_path / "n.json").read_text())["files"]
    assert file["warnings"]
    assert file["warnings"][0] in found.output


@pytest.mark.parametrize("missing", ["jiwer", "whisper-normalizer"])
def test_without_its_packages_it_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing.replace("-", "_") else name)
    with pytest.raises(EvaluationError, match=f"pip install {missing}"):
        check_countable()


def test_the_command_prints_files_and_a_total(
    run: Run, pitch: Pitch, odd_media: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "one [1].flac").write_bytes(odd_media["voice.flac"].read_bytes())
    (tmp_path / "two.ogg").write_bytes(odd_media["voice.ogg"].read_bytes())
    table = _table(tmp_path / "said.tsv", "one [1].flac\tUh, W6, no.", "two.ogg\tw6")
    found = run(table, "--json", tmp_path / "out" / "n.json")
    assert found.exit_code == 0, found.output
    lines = [" ".join(line.split()) for line in found.output.splitlines() if line]
    assert lines[0] == "said.tsv 2 files, 4 words; Pitch (pitch)"
    assert any(line.startswith("one [1].flac 2.0 s 0.") and "66.7% 0/2/0 33.3% 0/1/0" in line for line in lines)
    assert any(line.startswith("total 4.0 s 0.") and "50.0% 0/2/0 20.0% 0/1/0" in line for line in lines)
    numbers = json.loads((tmp_path / "out" / "n.json").read_text())
    assert numbers["raw"] == {"words": 4, "substitutions": 0, "deletions": 2, "insertions": 0, "wer": 0.5}
    assert numbers["files"][0]["heard"] == "w6"
    assert str(tmp_path) not in json.dumps(numbers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.tsv",), "nowhere.tsv does not exist"),
        (("said.tsv", "--transcriber", "parrot"), "there is no transcriber 'parrot'"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: tuple[str, ...], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_bytes(b"")
    _table(Path("said.tsv"), "a.wav\ta")
    found = run(*arguments)
    assert found.exit_code == 2
    assert found.stderr.startswith("error ")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_embedded_model_on_the_demo(run: Run, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    ffmpeg("-i", _DEMO, "-t", 3, "-c", "copy", tmp_path / "hello.mp4")
    table = _table(tmp_path / "said.tsv", "hello.mp4\tHello, and welcome to this short film.")
    found = run(table, "--transcriber", "faster-whisper:tiny.en", "--json", tmp_path / "n.json")
    assert found.exit_code == 0, found.output
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["engine"] == "faster-whisper:tiny.en"
    assert numbers["raw"]["words"] == 7
    assert numbers["raw"]["wer"] <= 2 / 7


@pytest.mark.data
def test_short_recordings_and_a_voice_note(run: Run, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "speech"
    said = {row.name: row for row in read_transcripts(folder / "transcripts.tsv")}
    assert len(said) == 18
    names = ("ljspeech/LJ002-0035.wav", "speechbrain_ASR/spk1_snt1.wav", "speechbrain_ASR/spk1_snt5.wav")
    rows = [f"{said[name].path}\t{said[name].reference}" for name in names]
    rows.append(
        f"{folder}/whatsapp_style_opus/PTT_1272-128104-0000.opus\t{said['librispeech/1272-128104-0000.wav'].reference}"
    )
    table = _table(tmp_path / "t.tsv", *rows)
    found = run(table, "--transcriber", "faster-whisper:tiny.en", "--json", tmp_path / "n.json")
    assert found.exit_code == 0, found.output
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert [len(plain(file["reference"]).split()) for file in numbers["files"]] == [4, 7, 8, 17]
    *short, note = numbers["files"]
    kinds = ("substitutions", "deletions", "insertions")
    assert sum(file["raw"][kind] for file in short for kind in kinds) <= 4, "of 19 words"
    # "mister" is heard as "Mr.".
    assert note["normalised"]["wer"] < note["raw"]["wer"] < 0.2
