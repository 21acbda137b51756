"""Transcripts in formats that others have published: openai-whisper's files, whisper.cpp's files, OpenAI's API.

Ours are ``castline.report.writers``. Castline's engines do not keep Whisper's token numbers: where a format lists
tokens, the list is empty (openai-whisper, OpenAI) or contains the words instead (whisper.cpp).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from castline.records import Result, Segment, Word
from castline.report import UNKNOWN, writer_for

Render = Callable[[Result], bytes]

_QUOTE = '"'
#: Width, attention heads and layers of Whisper's nets, from its paper (table 1).
_SIZES = {
    "tiny": (384, 6, 4),
    "base": (512, 8, 6),
    "small": (768, 12, 12),
    "medium": (1024, 16, 24),
    "large": (1280, 20, 32),
}
_FRAMES_PER_S = 100  # Whisper's unit of ``seek``
_CONTENT_TYPES = {
    "json": "application/json",
    "verbose_json": "application/json",
    "diarized_json": "application/json",
    "vtt": "text/vtt; charset=utf-8",
}


def content_type(format_: str) -> str:
    return _CONTENT_TYPES.get(format_, "text/plain; charset=utf-8")


def renderer(style: str, format_: str) -> Render:
    """The writer of a format in a style (``openai-whisper``, ``whisper.cpp``, ``asr-diarized``, ``openai-api``).

    Formats that a style lacks, and any other style, are ours.
    """
    own = _STYLES.get(style, {}).get(format_)
    return own or writer_for(format_).write


# --- openai-whisper: what whisper.transcribe(word_timestamps=True) gives its writers --------------------


def whisper_dict(result: Result) -> dict[str, Any]:
    """The dictionary of openai-whisper's ``transcribe``."""
    transcript = result.transcript
    return {
        "text": f" {transcript.text}" if transcript.text else "",
        "segments": [_whisper_segment(number, each) for number, each in enumerate(transcript.segments)],
        "language": transcript.language or "en",
    }


def _whisper_segment(number: int, segment: Segment) -> dict[str, Any]:
    found = _openai_segment(number, segment)
    found["words"] = [
        {"word": written, "start": word.start_s, "end": word.end_s, "probability": word.probability or 0.0}
        for written, word in written_words(segment)
    ]
    return found


def _openai_segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": int(segment.start_s * _FRAMES_PER_S),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": f" {segment.text.strip()}",
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob or 0.0,
        "compression_ratio": segment.compression_ratio or 0.0,
        "no_speech_prob": segment.no_speech_prob or 0.0,
    }


def written_words(segment: Segment) -> Iterator[tuple[str, Word]]:
    """Words as in the text, each with the space before it; a segment without words counts as one word."""
    words = segment.words or (Word(start_s=segment.start_s, end_s=segment.end_s, text=segment.text),)
    yield f" {words[0].text}", words[0]
    yield from ((word.written, word) for word in words[1:])


def _whisper_json(result: Result) -> bytes:
    return json.dumps(whisper_dict(result)).encode()


def _whisper_txt(result: Result) -> bytes:
    return "".join(f"{segment['text'].strip()}\n" for segment in whisper_dict(result)["segments"]).encode()


def _whisper_vtt(result: Result) -> bytes:
    cues = []
    for segment in result.transcript.segments:
        words = list(written_words(segment))
        start, end = _clock(words[0][1].start_s, short=True), _clock(words[-1][1].end_s, short=True)
        cues.append(f"{start} --> {end}\n{''.join(written for written, _ in words).strip()}\n\n")
    return ("WEBVTT\n\n" + "".join(cues)).encode()


def _whisper_srt(result: Result) -> bytes:
    cues = []
    for number, segment in enumerate(result.transcript.segments, 1):
        words = list(written_words(segment))
        start, end = _clock(words[0][1].start_s, mark=","), _clock(words[-1][1].end_s, mark=",")
        cues.append(f"{number}\n{start} --> {end}\n{''.join(written for written, _ in words).strip()}\n\n")
    return "".join(cues).encode()


def _whisper_tsv(result: Result) -> bytes:
    rows = (
        f"{round(each.start_s * 1000)}\t{round(each.end_s * 1000)}\t{each.text.strip().replace(chr(9), ' ')}\n"
        for each in result.transcript.segments
    )
    return ("start\tend\ttext\n" + "".join(rows)).encode()


# --- whisper-asr-webservice with diarize: openai-whisper's files, and who speaks ------------------------


def _asr_json(result: Result) -> bytes:
    """A segment, and each of its words, has ``speaker`` if it is known."""
    found = whisper_dict(result)
    for written, segment in zip(found["segments"], result.transcript.segments, strict=True):
        if segment.speaker:
            for each in (written, *written["words"]):
                each["speaker"] = segment.speaker
    return json.dumps(found).encode()


def _spoken(render: Render) -> Render:
    """Each line with its speaker in front: ``[Speaker 1]: Good morning.``"""

    def write(result: Result) -> bytes:
        lines = tuple(
            each.model_copy(update={"text": f"[{each.speaker}]: {each.text.strip()}", "words": ()})
            if each.speaker
            else each
            for each in result.transcript.segments
        )
        transcript = result.transcript.model_copy(update={"segments": lines})
        return render(result.model_copy(update={"transcript": transcript}))

    return write


# --- whisper.cpp: -ojf -otxt -ovtt -ocsv ----------------------------------------------------------------


def _cpp_json(result: Result) -> bytes:
    transcript = result.transcript
    model = (transcript.engine or "").partition(":")[2]
    document = {
        "systeminfo": "",
        "model": _cpp_model(model),
        "params": {
            "model": f"models/ggml-{model}.bin",
            "language": result.options.language or "auto",
            "translate": result.options.task == "translate",
        },
        "result": {"language": transcript.language or "en"},
        "transcription": [
            {
                **_cpp_times(segment.start_s, segment.end_s),
                "text": f" {segment.text.strip()}",
                "tokens": [
                    {"text": written, **_cpp_times(word.start_s, word.end_s), "id": -1, "p": word.probability or 0.0,
                     "t_dtw": -1}
                    for written, word in written_words(segment)
                ],
            }
            for segment in transcript.segments
        ],
    }  # fmt: skip
    return json.dumps(document, indent="\t", ensure_ascii=False).encode() + b"\n"


def _cpp_model(model: str) -> dict[str, Any]:
    """The program's description of a model. Models of unknown names (fine-tuned ones) have zeros for unknown values."""
    kind, english = model.removesuffix(".en"), model.endswith(".en")
    state, heads, layers = _SIZES.get(kind.partition("-")[0], (0, 0, 0))
    third = kind.startswith("large-v3")
    net = {"state": state, "head": heads, "layer": layers}
    return {
        "type": kind.partition("-")[0],
        "multilingual": not english,
        "vocab": 51864 if english else 51866 if third else 51865,
        "audio": {"ctx": 1500, **net},
        "text": {"ctx": 448, **net, "layer": 4 if kind == "large-v3-turbo" else layers},
        "mels": 128 if third else 80,
        "ftype": 1,
    }


def _cpp_times(start_s: float, end_s: float) -> dict[str, Any]:
    return {
        "timestamps": {"from": _clock(start_s, mark=","), "to": _clock(end_s, mark=",")},
        "offsets": {"from": round(start_s * 1000), "to": round(end_s * 1000)},
    }


def _cpp_txt(result: Result) -> bytes:
    return "".join(f" {segment.text.strip()}\n" for segment in result.transcript.segments).encode()


def _cpp_vtt(result: Result) -> bytes:
    cues = (
        f"{_clock(each.start_s)} --> {_clock(each.end_s)}\n {each.text.strip()}\n\n"
        for each in result.transcript.segments
    )
    return ("WEBVTT\n\n" + "".join(cues)).encode()


def _cpp_csv(result: Result) -> bytes:
    rows = (
        f'{round(each.start_s * 1000)},{round(each.end_s * 1000)},"'
        + f" {each.text.strip()}".replace('"', '""')
        + '"\n'
        for each in result.transcript.segments
    )
    return ("start,end,text\n" + "".join(rows)).encode()


def _clock(seconds: float, *, mark: str = ".", short: bool = False) -> str:
    """``00:01:02.345``; ``short`` leaves out zero hours."""
    minutes, ms = divmod(round(max(seconds, 0.0) * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    front = f"{hours:02d}:" if hours or not short else ""
    return f"{front}{minutes:02d}:{ms // 1000:02d}{mark}{ms % 1000:03d}"


# --- OpenAI's API -----------------------------------------------------------------------------------------


def openai_json(result: Result) -> dict[str, Any]:
    return {"text": result.transcript.text, "usage": _usage(result)}


def openai_verbose(result: Result) -> dict[str, Any]:
    """With segments and words; the route leaves out what was not requested."""
    transcript = result.transcript
    return {
        "task": result.options.task,
        "language": transcript.language or "en",
        "duration": result.duration_s or 0.0,
        "text": transcript.text,
        "segments": [_openai_segment(number, each) for number, each in enumerate(transcript.segments)],
        "words": [
            {"word": word.text.strip(), "start": word.start_s, "end": word.end_s}
            for segment in transcript.segments
            for word in segment.words
        ],
        "usage": _usage(result),
    }


def openai_diarized(result: Result) -> dict[str, Any]:
    """OpenAI's ``diarized_json``; lines of no known speaker are said by ``Unknown``."""
    return {
        "task": "transcribe",
        "duration": result.duration_s or 0.0,
        "text": result.transcript.text,
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": each.id,
                "start": each.start_s,
                "end": each.end_s,
                "text": f" {each.text.strip()}",
                "speaker": each.speaker or UNKNOWN,
            }
            for each in result.transcript.segments
        ],
        "usage": _usage(result),
    }


def _usage(result: Result) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(result.duration_s or 0.0)}


def _api_text(result: Result) -> bytes:
    return f"{result.transcript.text}\n".encode()


_STYLES: Mapping[str, Mapping[str, Render]] = {
    "openai-whisper": {
        "json": _whisper_json,
        "txt": _whisper_txt,
        "vtt": _whisper_vtt,
        "srt": _whisper_srt,
        "tsv": _whisper_tsv,
    },
    "asr-diarized": {
        "json": _asr_json,
        "txt": _spoken(_whisper_txt),
        "vtt": _spoken(_whisper_vtt),
        "srt": _spoken(_whisper_srt),
        "tsv": _spoken(_whisper_tsv),
    },
    "whisper.cpp": {"json": _cpp_json, "txt": _cpp_txt, "vtt": _cpp_vtt, "csv": _cpp_csv},
    "openai-api": {
        "json": lambda result: json.dumps(openai_json(result)).encode(),
        "verbose_json": lambda result: json.dumps(openai_verbose(result)).encode(),
        "diarized_json": lambda result: json.dumps(openai_diarized(result)).encode(),
        "text": _api_text,
    },
}
