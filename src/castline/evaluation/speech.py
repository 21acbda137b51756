"""How well a speech engine transcribes: word error rate and speed, over the pipeline's own steps.

With ``S``, ``D``, ``I`` the substitutions, deletions and insertions of the cheapest alignment of what was
heard to the reference (Levenshtein distance on words, by jiwer), and ``N`` the words of the reference:

    WER  (S + D + I) / N        may exceed 1; of several files (sum of S + D + I) / (sum of N)
    RTF  seconds of recognition / seconds of audio: below 1 is faster than real time

Each file is processed as in the pipeline: probed, decoded, cut into FLAC chunks, transcribed chunk by chunk and
stitched. So any container may be tested, and words lost at a cut count as errors.
"""

from __future__ import annotations

import csv
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from castline.assembly.assemble import main_language
from castline.assembly.stitch import stitch
from castline.engines.base import Speech, Transcriber, check_request
from castline.errors import EvaluationError, MediaError, NoStreams, UnitError
from castline.evaluation.normalise import normalise, plain
from castline.media import AudioPiece, SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.media.flac import decode_flac
from castline.records import AudioPart, AudioUnit, Record, Segment, Usage
from castline.settings import Settings

_COLUMNS = ("file", "reference")


@dataclass(frozen=True, slots=True)
class Utterance:
    """A file and what is said in it.

    Attributes:
        name: as the table writes it.
        reference: empty when nothing is said.
    """

    name: str
    path: Path
    reference: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What the engine made of one file.

    Attributes:
        text: without suspected hallucinations, as in a result's transcript.
        language: the requested one, otherwise the detected one; None if nothing was transcribed.
        audio_s: decoded audio, seconds.
        seconds: wall time in the engine, without reading and decoding.
        segments: all of them, suspected hallucinations too, as in a result.
    """

    text: str
    language: str | None
    audio_s: float
    seconds: float
    chunks: int
    warnings: tuple[str, ...]
    segments: tuple[Segment, ...] = ()


class WordErrors(Record):
    """Attributes:
    words: of the reference.
    wer: 0 and up; None when the reference has no words.
    """

    words: int
    substitutions: int
    deletions: int
    insertions: int
    wer: float | None


class FileReport(Record):
    """One file.

    Attributes:
        heard: the engine's text, unchanged.
        audio_s, seconds: as ``Heard``; ``rtf`` is their quotient, None for a file without samples.
        raw: errors after ``normalise.plain``; ``normalised``: after ``normalise.normalise`` for the language.
    """

    file: str
    reference: str
    heard: str
    chunks: int
    audio_s: float
    seconds: float
    rtf: float | None
    raw: WordErrors
    normalised: WordErrors
    warnings: tuple[str, ...] = ()


class SpeechReport(Record):
    """What ``castline eval speech`` found.

    Attributes:
        engine: id of the transcriber.
        language: the requested one; None leaves it to the engine.
        audio_s, seconds, rtf, raw, normalised: of all files together; long files weigh more.
    """

    engine: str
    title: str
    language: str | None
    chunk_s: float
    audio_s: float
    seconds: float
    rtf: float | None
    raw: WordErrors
    normalised: WordErrors
    files: tuple[FileReport, ...]


def check_countable() -> None:
    """Check, before any work is done, that words can be counted.

    Raises:
        EvaluationError: jiwer or whisper-normalizer is not installed.
    """
    for package in ("jiwer", "whisper-normalizer"):
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            raise EvaluationError(
                f"counting word errors needs {package}, which is not installed: pip install {package}"
            )


def read_transcripts(table: Path) -> tuple[Utterance, ...]:
    """Rows of a tab-separated table in UTF-8 with the columns ``file`` and ``reference``.

    Paths are relative to the table. Other columns are ignored; quotation marks are taken literally.

    Raises:
        EvaluationError: no such table, no such column, no rows, a missing file, or no
            reference with a word in it.
    """
    if not table.is_file():
        raise EvaluationError(f"{table} is a folder; give a table of transcripts" if table.is_dir()
                              else f"{table} does not exist")  # fmt: skip
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise EvaluationError(
                    f"{table} has no column {', '.join(missing)}; its first line must name the columns "
                    "file and reference, separated by a tab"
                )
            rows = tuple(_utterance(table, reader.line_num, row) for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{table} is not a table in UTF-8: {error}") from error
    except OSError as error:
        raise EvaluationError(f"{table} cannot be read: {error.strerror or error}") from error
    if not rows:
        raise EvaluationError(f"{table} lists no files")
    if not any(plain(row.reference) for row in rows):
        raise EvaluationError(f"{table} has no reference with a word in it, so there is no word error rate")
    return rows


def _utterance(table: Path, line: int, row: dict[str, str | None]) -> Utterance:
    name, reference = (row["file"] or "").strip(), row["reference"]
    if reference is None:
        raise EvaluationError(f"{table}, line {line}: there is no reference")
    path = table.parent / name
    if not name or not path.is_file():
        raise EvaluationError(f"{table}, line {line}: the file {name!r} does not exist")
    return Utterance(name, path, reference.strip())


def hear(path: Path, transcriber: Transcriber, settings: Settings) -> Heard:
    """Transcribe one file the way the stages do, one chunk after the other.

    Chunk length, language and the limits on decoding are the settings'. Pictures are not decoded.

    Raises:
        MediaError: no audio in it, or not all of it can be decoded.
        UnitError: a chunk cannot be read back.
        ModelError: the engine does not know the language.
    """
    limits = Limits.of(settings)
    probed = probe(path, limits, settings.options())
    if probed.audio is None:
        raise NoStreams("it has no sound")
    sound = probed.only("audio")
    summary = SplitSummary()
    parts: list[tuple[AudioUnit, AudioPart]] = []
    with tempfile.TemporaryDirectory(prefix="eval-") as name:
        folder = Path(name)
        # All of it is decoded first, so that ffmpeg does not take cores from the engine that is timed.
        for piece in split(path, sound, settings.options(), limits, summary, max_duration_s=settings.max_duration_s):
            if isinstance(piece, AudioPiece):
                (folder / f"{piece.unit.name}.flac").write_bytes(piece.body)
        if summary.error:
            raise summary.error
        for unit in summary.audio_units:
            body = (folder / f"{unit.name}.flac").read_bytes()
            parts.append((unit, _part(unit, body, transcriber, settings)))
    segments = tuple(stitch(parts))
    text = " ".join(segment.text.strip() for segment in segments if not segment.suspect)
    seconds = sum(part.usage.seconds for _, part in parts)
    warnings = (*summary.warnings, *dict.fromkeys(warning for _, part in parts for warning in part.warnings))
    language = settings.language or main_language(parts)
    return Heard(text, language, summary.audio_s, seconds, len(parts), tuple(str(item) for item in warnings), segments)


def _part(unit: AudioUnit, body: bytes, transcriber: Transcriber, settings: Settings) -> AudioPart:
    options = settings.options()
    warnings = check_request(transcriber.info, options)
    speech = Speech(decode_flac(body), options)
    begin = time.perf_counter()
    heard = transcriber.transcribe(speech)
    seconds = time.perf_counter() - begin
    return AudioPart(
        unit=unit.name,
        transcriber=transcriber.info.id,
        language=heard.language,
        languages=heard.languages,
        segments=heard.segments,
        warnings=(*warnings, *heard.warnings),
        usage=Usage(stage="speech", seconds=seconds, memory_mb=settings.memory_mb),
    )


def count_errors(reference: str, heard: str) -> WordErrors:
    """Errors of one text; words are separated by spaces, so both texts must be normalised first.

    Raises:
        EvaluationError: as ``check_countable``.
    """
    check_countable()
    import jiwer

    found = jiwer.process_words(reference, heard)
    return _word_errors(len(reference.split()), found.substitutions, found.deletions, found.insertions)


def count_normalised(reference: str, heard: str, language: str | None) -> WordErrors:
    """Errors of one text after ``normalise`` for the language (BCP-47; None is English).

    Raises:
        EvaluationError: as ``check_countable``.
    """
    check_countable()
    return count_errors(normalise(reference, language), normalise(heard, language))


def _word_errors(words: int, substitutions: int, deletions: int, insertions: int) -> WordErrors:
    return WordErrors(
        words=words,
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        wer=(substitutions + deletions + insertions) / words if words else None,
    )


def add_up(counts: Iterable[WordErrors]) -> WordErrors:
    """The errors of several texts, counted as one text."""
    rows = [(item.words, item.substitutions, item.deletions, item.insertions) for item in counts]
    words, substitutions, deletions, insertions = (sum(column) for column in zip(*rows, strict=True))
    return _word_errors(words, substitutions, deletions, insertions)


def evaluate(
    utterances: Sequence[Utterance],
    transcriber: Transcriber,
    settings: Settings,
    done: Callable[[], None] | None = None,
) -> SpeechReport:
    """Transcribe every file and count the errors.

    Args:
        utterances: at least one.
        done: called after each file.

    Raises:
        EvaluationError: a file has no sound or cannot be decoded, or as ``check_countable``.
        ModelError: the engine does not know the language of the settings.
    """
    check_countable()
    files: list[FileReport] = []
    for item in utterances:
        try:
            heard = hear(item.path, transcriber, settings)
        except (MediaError, UnitError) as error:
            raise EvaluationError(f"{item.name}: {error.message}", detail=error.detail) from error
        except OSError as error:
            raise EvaluationError(f"{item.name} cannot be read: {error.strerror or error}") from error
        files.append(
            FileReport(
                file=item.name,
                reference=item.reference,
                heard=heard.text,
                chunks=heard.chunks,
                audio_s=round(heard.audio_s, 3),
                seconds=round(heard.seconds, 3),
                rtf=_rtf(heard.seconds, heard.audio_s),
                raw=count_errors(plain(item.reference), plain(heard.text)),
                normalised=count_normalised(item.reference, heard.text, heard.language),
                warnings=heard.warnings,
            )
        )
        if done:
            done()
    seconds, audio_s = sum(file.seconds for file in files), sum(file.audio_s for file in files)
    return SpeechReport(
        engine=transcriber.info.id,
        title=transcriber.info.title,
        language=settings.language,
        chunk_s=settings.chunk_s,
        audio_s=round(audio_s, 3),
        seconds=round(seconds, 3),
        rtf=_rtf(seconds, audio_s),
        raw=add_up(file.raw for file in files),
        normalised=add_up(file.normalised for file in files),
        files=tuple(files),
    )


def _rtf(seconds: float, audio_s: float) -> float | None:
    return round(seconds / audio_s, 4) if audio_s else None
