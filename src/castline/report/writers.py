"""The transcript as files: one writer per format, found by extension.

A segment may have the name of the one known person on screen. That is a hint, not a claim of who speaks, so it is
written only if a format has a place for it that players show neither as speech nor as the speaker. If voices were told
apart, it also has the name of its voice.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import ClassVar, Protocol
from xml.etree import ElementTree

import pysubs2

from castline.cues import clean
from castline.display import cell
from castline.records import Cue, Result, SpokenSegment

#: The speaker of a line of unknown voice, if voices were told apart.
UNKNOWN = "Unknown"


class ResultWriter(Protocol):
    """Writes one view of a result. Pure: equal results give equal bytes."""

    extension: ClassVar[str]
    content_type: ClassVar[str]
    """For browsers. All formats are text in UTF-8, because forgetting searches each for names."""

    def write(self, result: Result) -> bytes:
        """The whole file, UTF-8. A result without speech gives a valid file without content."""
        ...


class WriteTxt:
    """Plain text, one segment per line; suspected hallucinations are left out.

    Where the voice changes, a line begins with its name: ``Speaker 1: ``.
    """

    extension: ClassVar[str] = "txt"
    content_type: ClassVar[str] = "text/plain; charset=utf-8"

    def write(self, result: Result) -> bytes:
        said = _said(result)
        heads = _heads([segment.speaker for segment in said])
        return "".join(f"{head}{clean(segment.text)}\n" for head, segment in zip(heads, said, strict=True)).encode()


class WriteSrt:
    """SubRip. It has no escapes, so characters that players treat as markup are replaced by look-alikes.

    It also has no place for the hint of who is on screen. Where the voice changes, a cue begins with its name.
    """

    extension: ClassVar[str] = "srt"
    content_type: ClassVar[str] = "application/x-subrip; charset=utf-8"

    # "<" opens tags and "{" opens style overrides, which players swallow; "\" marks line breaks to some;
    # "-->" separates times, and some readers look only for times: there the comma is replaced. Some resolve character
    # references.
    _TIME = re.compile(r"(\d:\d{1,2}:\d{1,2})[.,](?=\d)")
    _REFERENCE = re.compile(r"&(?=#?\w+;)")
    _LOOKALIKES = str.maketrans({"<": "‹", "{": "(", "}": ")", "\\": "＼"})

    def write(self, result: Result) -> bytes:
        cues = result.transcript.cues
        heads = [(self._escape(head), "") for head in _heads([cue.speaker for cue in cues])]
        return _subtitles(cues, "srt", self._escape, heads)

    def _escape(self, line: str) -> str:
        line = self._TIME.sub("\\1‚", line.replace("-->", "--›"))
        line = self._REFERENCE.sub("＆", line)
        return line.translate(self._LOOKALIKES)


class WriteVtt:
    """WebVTT. Character references keep every character of the text.

    Who is on screen is in one comment before the cues, by their numbers. ``<v Name>`` claims that this is the voice, so
    it has only the names of voices. There is no comment before each cue, because some readers treat it as a line of the
    previous cue.
    """

    extension: ClassVar[str] = "vtt"
    content_type: ClassVar[str] = "text/vtt; charset=utf-8"

    # "&", "<" and ">" by the format's own rules; "\" and "{" because the library reads them as style tags.
    _REFERENCES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "{": "&#123;"})

    def write(self, result: Result) -> bytes:
        entries = result.transcript.cues
        signature, note = b"WEBVTT\n\n", self._note(entries).encode()
        voices = [self._voice(cue.speaker) for cue in entries]
        return _subtitles(entries, "vtt", self._escape, voices).replace(signature, signature + note, 1)

    def _escape(self, line: str) -> str:
        return line.translate(self._REFERENCES)

    def _voice(self, speaker: str | None) -> tuple[str, str]:
        return (f"<v {self._escape(clean(speaker))}>", "</v>") if speaker else ("", "")

    def _note(self, entries: Sequence[Cue]) -> str:
        """``1-3: Ada Lovelace`` for consecutive cues; empty if nobody is on screen alone."""
        lines = ["NOTE On screen, by number of the cue: a hint, not a claim of who speaks"]
        for name, group in groupby(enumerate(entries, 1), key=lambda numbered: numbered[1].visible):
            if name:
                numbers = [number for number, _ in group]
                span = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
                lines.append(f"{span}: {clean(name).replace('-->', '--›')}")
        return "\n".join([*lines, "", ""]) if len(lines) > 1 else ""


class WriteJson:
    """``engine``, ``language``, ``text``, ``segments`` and ``cues`` as in ``result.json``, indented for reading."""

    extension: ClassVar[str] = "json"
    content_type: ClassVar[str] = "application/json"

    def write(self, result: Result) -> bytes:
        return result.transcript.model_dump_json(indent=2).encode() + b"\n"


class WriteTsv:
    """Tab-separated values, a row per segment: ``start`` and ``end`` in whole milliseconds, ``text``, ``visible``.

    The first three columns are those of Whisper's own ``tsv``. The fourth has the hint of who is on screen, or is
    empty; there is a fifth, ``speaker``, if voices were told apart. A field with a double quote in it is quoted as in
    CSV, which is how spreadsheets and data libraries read it; a field that a spreadsheet would execute (``=1+1``, ``-
    no``) begins with an apostrophe; suspected hallucinations are left out.
    """

    extension: ClassVar[str] = "tsv"
    content_type: ClassVar[str] = "text/tab-separated-values; charset=utf-8"

    def write(self, result: Result) -> bytes:
        file = io.StringIO()
        table = csv.writer(file, csv.excel_tab, lineterminator="\n")
        voices = bool(result.transcript.speakers)
        table.writerow(("start", "end", "text", "visible", *(("speaker",) if voices else ())))
        for segment in _said(result):
            start, end = (round(time * 1000) for time in (segment.start_s, max(segment.start_s, segment.end_s)))
            who = (segment.visible, *((segment.speaker,) if voices else ()))
            table.writerow((start, end, cell(clean(segment.text)), *(cell(clean(name or "")) for name in who)))
        return file.getvalue().encode()


class WriteTtml:
    """TTML 1 in the IMSC 1 text profile, as broadcasters use it: the same cues as in the other subtitles.

    Who is on screen is the attribute ``hint:visible`` of a cue, in a namespace of our own, which readers ignore.
    ``ttm:agent`` claims the speaker, so it has only voices. ``ttm:desc`` inside a cue is not used, because some readers
    show it.
    """

    extension: ClassVar[str] = "ttml"
    content_type: ClassVar[str] = "application/ttml+xml; charset=utf-8"

    def write(self, result: Result) -> bytes:
        root = self._document(result.transcript.language)
        agents = {speaker.name: speaker.id for speaker in result.transcript.speakers}
        self._introduce(root, agents)
        body = ElementTree.SubElement(root, "body", style="text", region="bottom")
        block = ElementTree.SubElement(body, "div")
        for cue in result.transcript.cues:
            self._append(block, cue, agents.get(cue.speaker or ""))
        ElementTree.indent(root)  # inside a cue this changes nothing: there is text around each of its elements
        return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"

    def _document(self, language: str | None) -> ElementTree.Element:
        """The root with its head. In TTML an empty language means an unknown one."""
        # Namespaces are written by hand: the library registers prefixes for the whole process.
        root = ElementTree.Element(
            "tt",
            {
                "xmlns": "http://www.w3.org/ns/ttml",
                "xmlns:ttp": "http://www.w3.org/ns/ttml#parameter",
                "xmlns:tts": "http://www.w3.org/ns/ttml#styling",
                "xmlns:hint": "urn:castline:hint",
                "ttp:profile": "http://www.w3.org/ns/ttml/profile/imsc1/text",
                "xml:lang": clean(language or ""),
            },
        )
        head = ElementTree.SubElement(root, "head")
        ElementTree.SubElement(
            ElementTree.SubElement(head, "styling"),
            "style",
            {
                "xml:id": "text",
                "tts:color": "white",
                "tts:fontFamily": "proportionalSansSerif",
                "tts:fontSize": "80%",
                "tts:lineHeight": "125%",
                "tts:textAlign": "center",
                "tts:textOutline": "black 5%",
            },
        )
        # Two full lines in that size fit, in width and in height.
        ElementTree.SubElement(
            ElementTree.SubElement(head, "layout"),
            "region",
            {"xml:id": "bottom", "tts:origin": "5% 75%", "tts:extent": "90% 20%", "tts:displayAlign": "after"},
        )
        return root

    def _introduce(self, root: ElementTree.Element, agents: Mapping[str, str]) -> None:
        """List the speakers in the head; nothing if voices were not told apart."""
        if not agents:
            return
        root.set("xmlns:ttm", "http://www.w3.org/ns/ttml#metadata")
        metadata = ElementTree.Element("metadata")
        root[0].insert(0, metadata)
        for name, identifier in agents.items():
            agent = ElementTree.SubElement(metadata, "ttm:agent", {"xml:id": identifier, "type": "other"})
            ElementTree.SubElement(agent, "ttm:name", type="full").text = clean(name)

    def _append(self, block: ElementTree.Element, cue: Cue, agent: str | None) -> None:
        paragraph = ElementTree.SubElement(block, "p", begin=self._time(cue.start_ms), end=self._time(cue.end_ms))
        if self._is_right_to_left("".join(cue.lines)):
            paragraph.set("tts:direction", "rtl")
        if agent:
            paragraph.set("ttm:agent", agent)
        if cue.visible:
            paragraph.set("hint:visible", clean(cue.visible))
        paragraph.text, *later = map(clean, cue.lines)
        for line in later:
            ElementTree.SubElement(paragraph, "br").tail = line

    def _time(self, ms: int) -> str:
        minutes, ms = divmod(ms, 60_000)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}"

    def _is_right_to_left(self, text: str) -> bool:
        """Whether the first letter with a direction is right-to-left, as in browsers' ``dir=auto`` and WebVTT."""
        directions = (unicodedata.bidirectional(char) for char in text)
        return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"


def flat_transcript(result: Result) -> bytes:
    """A line per segment as whisper.cpp prints it: ``[00:00:00.000 --> 00:00:02.000]  text``."""
    lines = []
    for segment in _said(result):
        end_s = max(segment.start_s, segment.end_s)
        lines.append(f"[{_whole_clock(segment.start_s)} --> {_whole_clock(end_s)}]  {clean(segment.text)}\n")
    return "".join(lines).encode()


def _whole_clock(seconds: float) -> str:
    """``00:01:02.345``."""
    minutes, ms = divmod(round(max(seconds, 0.0) * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}"


def _said(result: Result) -> list[SpokenSegment]:
    """The segments with text, without suspected hallucinations."""
    return [segment for segment in result.transcript.segments if not segment.suspect and clean(segment.text)]


class _Escape(Protocol):
    def __call__(self, line: str) -> str: ...


def _heads(speakers: Sequence[str | None]) -> list[str]:
    """The text put before each line: the name of the voice where it changes, else nothing.

    A line of unknown voice says so: otherwise it would read as said by the person named last.
    """
    if not any(speakers):
        return [""] * len(speakers)
    befores = ["", *speakers[:-1]]
    changes = zip(befores, speakers, strict=False)
    return [f"{clean(now or UNKNOWN)}: " if now != before else "" for before, now in changes]


def _subtitles(entries: Sequence[Cue], format_: str, escape: _Escape, around: Sequence[tuple[str, str]]) -> bytes:
    """The file; ``around`` has the escaped text before and after each line."""
    file = pysubs2.SSAFile()
    for cue, (before, behind) in zip(entries, around, strict=True):
        text = before + "\\N".join(escape(clean(line)) for line in cue.lines) + behind
        file.append(pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=text))
    # The library would otherwise look for style tags in our text; there are none to convert.
    return file.to_string(format_, keep_ssa_tags=True).encode()


_OURS: tuple[ResultWriter, ...] = (WriteTxt(), WriteSrt(), WriteVtt(), WriteJson(), WriteTsv(), WriteTtml())
_WRITERS = {writer.extension: writer for writer in _OURS}
#: Writers by extension, without the dot.
WRITERS: Mapping[str, ResultWriter] = MappingProxyType(_WRITERS)


def writer_for(extension: str) -> ResultWriter:
    """The writer of a format.

    Args:
        extension: ``srt`` or ``.srt``, in any case.

    Raises:
        ValueError: no writer; the message lists the existing formats.
    """
    try:
        return WRITERS[extension.lower().removeprefix(".")]
    except KeyError:
        raise ValueError(f"no writer for {extension!r}; there are {', '.join(WRITERS)}") from None
