"""The transcript as files: one writer per format, found by extension."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import ClassVar, Protocol

import pysubs2

from castline.records import Result
from castline.report.cues import Cue, clean, cues


class ResultWriter(Protocol):
    """Writes one view of a result. Pure: equal results give equal bytes."""

    extension: ClassVar[str]

    def write(self, result: Result) -> bytes:
        """The whole file, UTF-8. A result without speech gives a valid file without content."""
        ...


class WriteTxt:
    """Plain text, one segment per line; what is suspected to be a hallucination is left out."""

    extension: ClassVar[str] = "txt"

    def write(self, result: Result) -> bytes:
        lines = (clean(segment.text) for segment in result.transcript.segments if not segment.suspect)
        return "".join(f"{line}\n" for line in lines if line).encode()


class WriteSrt:
    """SubRip. It has no escapes, so what players take for markup is written with a look-alike."""

    extension: ClassVar[str] = "srt"

    # "<" opens tags and "{" opens style overrides, which players swallow; "\" marks line breaks to some;
    # "-->" separates times, and some readers go by the times alone: there the comma is replaced.
    _TIME = re.compile(r"(\d:\d{1,2}:\d{1,2})[.,](?=\d)")
    _LOOKALIKES = str.maketrans({"<": "‹", "{": "(", "}": ")", "\\": "＼"})

    def write(self, result: Result) -> bytes:
        return _subtitles(cues(result.transcript.segments), "srt", self._escape)

    def _escape(self, line: str) -> str:
        line = self._TIME.sub("\\1‚", line.replace("-->", "--›"))
        return line.translate(self._LOOKALIKES)


class WriteVtt:
    """WebVTT. Character references keep every character of the text."""

    extension: ClassVar[str] = "vtt"

    # "&", "<" and ">" by the format's own rules; "\" and "{" because the library reads them as style tags.
    _REFERENCES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "{": "&#123;"})

    def write(self, result: Result) -> bytes:
        return _subtitles(cues(result.transcript.segments), "vtt", self._escape)

    def _escape(self, line: str) -> str:
        return line.translate(self._REFERENCES)


class WriteJson:
    """``engine``, ``language``, ``text`` and ``segments`` as in ``result.json``, indented for reading."""

    extension: ClassVar[str] = "json"

    def write(self, result: Result) -> bytes:
        return result.transcript.model_dump_json(indent=2).encode() + b"\n"


class _Escape(Protocol):
    def __call__(self, line: str) -> str: ...


def _subtitles(entries: Iterable[Cue], format_: str, escape: _Escape) -> bytes:
    file = pysubs2.SSAFile()
    for cue in entries:
        text = "\\N".join(escape(line) for line in cue.lines)
        file.append(pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=text))
    # The library would otherwise look for style tags in our text; there are none to convert.
    return file.to_string(format_, keep_ssa_tags=True).encode()


#: Writers by extension, without the dot.
WRITERS: Mapping[str, ResultWriter] = MappingProxyType(
    {writer.extension: writer for writer in (WriteTxt(), WriteSrt(), WriteVtt(), WriteJson())}
)


def writer_for(extension: str) -> ResultWriter:
    """The writer of a format.

    Args:
        extension: ``srt`` or ``.srt``, in any case.

    Raises:
        ValueError: no writer; the message lists the formats there are.
    """
    try:
        return WRITERS[extension.lower().removeprefix(".")]
    except KeyError:
        raise ValueError(f"no writer for {extension!r}; there are {', '.join(WRITERS)}") from None
