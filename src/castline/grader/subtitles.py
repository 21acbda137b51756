"""Reads subtitles with independent parsers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import pysubs2

#: Start and end of a cue, seconds.
Span = tuple[float, float]

_TT = "{http://www.w3.org/ns/ttml}"
_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")


def subtitles_problem(bodies: dict[str, bytes | None], speech: bool) -> str:
    """What is wrong with the subtitle files of one media file; empty if nothing is.

    Args:
        bodies: a file per format of ``FORMATS``; None if there is none.
        speech: whether something is said, so that there must be cues.
    """
    counts: dict[str, int] = {}
    for format_, body in bodies.items():
        if body is None:
            return f"transcript.{format_} is missing"
        try:
            spans = FORMATS[format_](body.decode())
        except Exception as error:  # whatever a parser makes of hostile text
            return f"transcript.{format_} does not parse: {type(error).__name__}"
        if problem := _span_problem(spans):
            return f"transcript.{format_}: {problem}"
        counts[format_] = len(spans)
    if len(set(counts.values())) > 1:
        return "the formats differ in their cues: " + ", ".join(f"{key} {count}" for key, count in counts.items())
    return "something is said, but there are no cues" if speech and not any(counts.values()) else ""


def _srt(text: str) -> Sequence[Span]:
    events = pysubs2.SSAFile.from_string(text, format_="srt")
    if text.strip() and not events:  # it reads any text as a file without cues
        raise ValueError("no cues")
    return [(event.start / 1000, event.end / 1000) for event in events]


def _vtt(text: str) -> Sequence[Span]:
    import webvtt

    return [(_seconds(cue.start), _seconds(cue.end)) for cue in webvtt.from_buffer(io.StringIO(text)).captions]


def _ttml(text: str) -> Sequence[Span]:
    if "<!DOCTYPE" in text:  # no entities: a few lines of them can expand to gigabytes
        raise ValueError("a document type")
    root = ElementTree.fromstring(text)  # noqa: S314 - without entities it is as large as its text
    if root.tag != f"{_TT}tt":
        raise ValueError("not TTML")
    return [(_seconds(cue.get("begin")), _seconds(cue.get("end"))) for cue in root.iter(f"{_TT}p")]


def _seconds(clock: str | None) -> float:
    match = _CLOCK.fullmatch(clock or "")
    if match is None:
        raise ValueError("not a time")
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _span_problem(spans: Sequence[Span]) -> str:
    before = 0.0
    for number, (start, end) in enumerate(spans, 1):
        if not 0 <= start < end:
            return f"cue {number} ends before it begins"
        if start < before - 1e-6:
            return f"cue {number} overlaps the one before"
        before = end
    return ""


FORMATS: dict[str, Callable[[str], Sequence[Span]]] = {"srt": _srt, "vtt": _vtt, "ttml": _ttml}
