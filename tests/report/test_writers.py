"""The files, read back with independent parsers."""

from __future__ import annotations

import csv
import html
import io
import json
from typing import Any
from xml.etree import ElementTree

import pysubs2
import pytest
import ttconv.imsc.reader
import ttconv.isd
import ttconv.model
import ttconv.srt.reader
import ttconv.srt.writer
import ttconv.vtt.reader
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from castline.cues import clean
from castline.display import cell
from castline.records import Result
from castline.report import WRITERS, content_type, may_hold_names, render_views, view_types, writer_for

HOSTILE = [
    "a --> b",
    "00:00:01,000 --> 00:00:02,000",
    "1\n\n2\n00:00:01.000 --> 00:00:02.000\ninjected",
    "a < b && b > c",
    "</v><c.yellow>loud</c> &lt;i&gt;",
    r"C:\new\hello {\p1}m 0 0{\an8}",
    "WEBVTT",
    "NOTE this is no note",
    "{=1}{not a tag}",
    "]]> <!-- --> <![CDATA[ &#0; &lt; %x;",
    'one\ttwo\r\nthree "four"',
    '"never closed',
    "a\x00\x08\x1b\x7f\x85\ufffe\uffffb",
    "שלום, world! مرحبا",
    "今日は天気がいい",
    "👩‍👩‍👧 e\u0301 \u202eabc\u202c",
]
P = "{http://www.w3.org/ns/ttml}p"
ADA = 'Ada <b> & "Countess" --> O\'Hara'


def vtt(result: Result) -> Any:
    return webvtt.from_buffer(io.StringIO(writer_for("vtt").write(result).decode()))


def spoken_text(caption: Any) -> str:
    """What a player shows: no tags, and entities resolved (the library leaves that to its caller)."""
    return html.unescape(caption.text)


def milliseconds(time: str) -> int:
    hours, minutes, rest = time.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(rest) * 1000)


def vtt_as_seen_by_pysubs2(result: Result) -> Any:
    return pysubs2.SSAFile.from_string(writer_for("vtt").write(result).decode(), format_="vtt")


def tsv(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(writer_for("tsv").write(result).decode(), newline=""), dialect="excel-tab"))


def tree(result: Result) -> Any:
    """The TTML as XML: malformed XML is an error."""
    return ElementTree.fromstring(writer_for("ttml").write(result))  # noqa: S314 - written by us


def ttml(result: Result) -> Any:
    """The TTML as an IMSC reader sees it."""
    return ttconv.imsc.reader.to_model(ElementTree.ElementTree(tree(result)))


def said_in(document: Any) -> list[tuple[int, int, str]]:
    """(start in ms, end in ms, lines) of each paragraph in ttconv's model."""
    return [
        (round((p.get_begin() or 0) * 1000), round(p.get_end() * 1000), "".join(map(shown, p.dfs_iterator())))
        for p in document.get_body().dfs_iterator()
        if isinstance(p, ttconv.model.P)
    ]


def shown(node: Any) -> str:
    return node.get_text() if isinstance(node, ttconv.model.Text) else "\n" if isinstance(node, ttconv.model.Br) else ""


def srt(result: Result) -> Any:
    return pysubs2.SSAFile.from_string(writer_for("srt").write(result).decode(), format_="srt")


def test_there_is_a_writer_for_each_format() -> None:
    assert list(WRITERS) == ["txt", "srt", "vtt", "json", "tsv", "ttml"]
    assert writer_for(".SRT") is WRITERS["srt"]
    with pytest.raises(ValueError, match="txt, srt, vtt, json, tsv, ttml"):
        writer_for("doc")


def test_times_and_text_are_read_back(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "Good evening.", 1, 2.5), make.segment(2, "Thank you.", 3601, 3602)])
    assert [(c.start, c.end, c.text) for c in vtt(result)] == [
        ("00:00:01.000", "00:00:02.500", "Good evening."),
        ("01:00:01.000", "01:00:02.000", "Thank you."),
    ]
    assert [(e.start, e.end, e.plaintext) for e in srt(result)] == [
        (1000, 2500, "Good evening."),
        (3_601_000, 3_602_000, "Thank you."),
    ]
    assert said_in(ttml(result)) == [(1000, 2500, "Good evening."), (3_601_000, 3_602_000, "Thank you.")]
    assert [tuple(row.values()) for row in tsv(result)] == [
        ("1000", "2500", "Good evening.", ""),
        ("3601000", "3602000", "Thank you.", ""),
    ]


def test_srt_numbers_and_commas(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "One", 0, 1), make.segment(2, "Two", 2, 3)])
    assert WRITERS["srt"].write(result).decode() == (
        "1\n00:00:00,000 --> 00:00:01,000\nOne\n\n2\n00:00:02,000 --> 00:00:03,000\nTwo\n\n"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(make: Any, text: str) -> None:
    result = make.result(segments=[make.segment(1, text, 0, 3), make.segment(2, "after", 4, 5)])
    captions = list(vtt(result))
    assert [caption.start for caption in captions] == ["00:00:00.000", "00:00:04.000"]
    assert " ".join(spoken_text(captions[0]).split()) == clean(text)
    events = list(srt(result))
    assert [event.start for event in events] == [0, 4000]
    # SubRip has no escapes: look-alikes are used, as many characters, and nothing is swallowed as markup.
    assert len(" ".join(events[0].plaintext.split())) == len(clean(text))
    assert events[0].text.replace(r"\N", "\n") == events[0].plaintext
    first, second = said_in(ttml(result))
    assert (first[0], " ".join(first[2].split()), second[0]) == (0, clean(text), 4000)
    assert [(row["start"], row["text"]) for row in tsv(result)] == [("0", clean(text)), ("4000", "after")]


@pytest.mark.parametrize("text", HOSTILE)
def test_other_readers_see_the_same_subtitles(make: Any, text: str) -> None:
    result = make.result(segments=[make.segment(1, text, 0, 3), make.segment(2, "after", 4, 5)])
    raw = writer_for("srt").write(result).decode()
    expected = [(event.start, event.end, event.plaintext) for event in srt(result)]
    assert said_in(ttconv.srt.reader.to_model(io.StringIO(raw))) == expected
    captions = webvtt.from_buffer(io.StringIO(raw), format="srt")
    assert [(milliseconds(c.start), milliseconds(c.end), c.text) for c in captions] == expected
    document = ttconv.vtt.reader.to_model(io.StringIO(writer_for("vtt").write(result).decode()))
    assert [lines for _, _, lines in said_in(document)] == [spoken_text(c) for c in vtt(result)]


def test_vtt_escapes_are_the_format_s_own(make: Any) -> None:
    raw = WRITERS["vtt"].write(make.result(segments=[make.segment(1, r"a --> b & <c> \N", 0, 1)])).decode()
    assert raw.endswith("a --&gt; b &amp; &lt;c&gt; &#92;N\n\n")


def test_without_speech_the_files_are_valid_and_empty(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "Thanks for watching!", 0, 1, suspect=True)])
    views = render_views(result)
    assert views["transcript.txt"] == b""
    assert views["transcript.srt"] == b""
    assert views["transcript.vtt"].startswith(b"WEBVTT\n")
    assert list(vtt(result)) == []
    assert views["transcript.tsv"] == b"start\tend\ttext\tvisible\n"
    assert said_in(ttml(result)) == []


@pytest.mark.parametrize("name", ["Ada Lovelace", ADA, "]]>\tA\nB"])
def test_people_on_screen_are_a_hint_and_never_part_of_the_words(make: Any, name: str) -> None:
    segments = [
        make.segment(1, "Good evening, and welcome.", 0, 3, visible=name),
        make.segment(2, "Thank you.", 3, 5, visible=name),
        make.segment(3, "Both of us.", 6, 8),
        make.segment(4, "Me again.", 8, 9, visible=name),
    ]
    result = make.result(segments=segments)
    without = make.result(segments=[segment.model_copy(update={"visible": None}) for segment in segments])
    for format_ in ("txt", "srt"):
        assert writer_for(format_).write(result) == writer_for(format_).write(without)
    assert [row["visible"] for row in tsv(result)] == [clean(name), clean(name), "", clean(name)]
    assert said_in(ttml(result)) == said_in(ttml(without))
    hints = [p.get("{urn:castline:hint}visible") for p in tree(result).iter(P)]
    assert hints == [clean(name), clean(name), None, clean(name)]
    assert [(c.start, c.text, c.voice) for c in vtt(result)] == [(c.start, c.text, None) for c in vtt(without)]
    assert list(vtt_as_seen_by_pysubs2(result)) == list(vtt_as_seen_by_pysubs2(without))
    note = writer_for("vtt").write(result).decode().split("\n\n")[1].splitlines()
    assert note[0].startswith("NOTE On screen")
    assert note[1:] == [f"{cues}: {clean(name).replace('-->', '--›')}" for cues in ("1-2", "4")]
    assert b"NOTE" not in writer_for("vtt").write(without)


def test_tsv_begins_with_whisper_s_columns(make: Any) -> None:
    segments = [make.segment(1, " One\ttwo ", 0.0004, 1.2346), make.segment(2, "no", 1, 2, suspect=True)]
    assert WRITERS["tsv"].write(make.result(segments=segments)) == b"start\tend\ttext\tvisible\n0\t1235\tOne two\t\n"


def test_ttml_has_the_language_and_a_region_on_screen(make: Any) -> None:
    segments = [make.segment(1, "Good evening, and welcome. It is a pleasure to be here.", 1, 4)]
    segments.append(make.segment(2, "… שלום", 5, 6))
    result = make.result(segments=segments)
    document = ttml(result)
    assert document.get_lang() == "en"
    assert ttconv.srt.writer.from_model(document).startswith(
        "1\n00:00:01,000 --> 00:00:04,000\nGood evening, and welcome.\nIt is a pleasure to be here.\n"
    )
    (region,) = ttconv.isd.ISD.from_model(document, 2).iter_regions()
    assert region.get_id() == "bottom"
    assert len(list(region.dfs_iterator())) > 1, "the text is in it"
    directions = [p.get("{http://www.w3.org/ns/ttml#styling}direction") for p in tree(result).iter(P)]
    assert directions == [None, "rtl"]
    unknown = result.transcript.model_copy(update={"language": None})
    assert ttml(result.model_copy(update={"transcript": unknown})).get_lang() == ""


def test_txt_has_a_line_per_segment(make: Any) -> None:
    segments = [
        make.segment(1, " One\ntwo ", 0, 1),
        make.segment(2, "no", 1, 2, suspect=True),
        make.segment(3, "3", 2, 3),
    ]
    assert WRITERS["txt"].write(make.result(segments=segments)).decode() == "One two\n3\n"


def test_json_is_the_result_s_transcript(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "é\n", 0, 1, suspect=True, avg_logprob=-0.25)])
    data = json.loads(WRITERS["json"].write(result))
    assert list(data) == ["engine", "language", "languages", "text", "segments", "cues"]
    assert data == json.loads(result.to_json())["transcript"]


# The reading library takes digits alone on a last line for the next cue's number, so there are none here.
spoken = st.text(st.characters(blacklist_categories=["Cs", "Nd", "Nl", "No"]), max_size=150)
times = st.tuples(st.floats(0, 5000), st.floats(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(spoken, times), max_size=5))
def test_any_transcript_survives_every_format(make: Any, said: list[tuple[str, tuple[float, float]]]) -> None:
    result = make.result(segments=[make.segment(i, text, *span) for i, (text, span) in enumerate(said)])
    expected = result.transcript.cues
    captions = list(vtt(result))
    assert [(milliseconds(c.start), milliseconds(c.end)) for c in captions] == [
        (cue.start_ms, cue.end_ms) for cue in expected
    ]
    assert [spoken_text(caption) for caption in captions] == ["\n".join(cue.lines) for cue in expected]
    events = list(srt(result))
    assert [(event.start, event.end) for event in events] == [(cue.start_ms, cue.end_ms) for cue in expected]
    assert [len(event.plaintext) for event in events] == [len("\n".join(cue.lines)) for cue in expected]
    assert said_in(ttml(result)) == [(cue.start_ms, cue.end_ms, "\n".join(cue.lines)) for cue in expected]
    assert [row["text"] for row in tsv(result)] == [cell(clean(text)) for text, _ in said if clean(text)]


def test_views_are_deterministic(make: Any) -> None:
    result = make.result(
        segments=[make.segment(1, "Hello there", 0, 2, timed=True)], people=[make.person(1, "Ada", (0, 5))]
    )
    again = Result.from_json(result.to_json())
    assert render_views(result, {"x": b"y"}) == render_views(again, {"x": b"y"})
    assert list(render_views(result)) == [
        "transcript.txt",
        "transcript.srt",
        "transcript.vtt",
        "transcript.json",
        "transcript.tsv",
        "transcript.ttml",
        "report.html",
    ]


def test_no_cell_is_a_formula_and_no_name_changes_the_direction_of_what_follows(make: Any) -> None:
    segment = make.segment(1, '=HYPERLINK("x")', 0, 1).model_copy(update={"visible": "@Ada\u202e"})
    result = make.result(segments=[segment])
    (row,) = tsv(result)
    assert (row["text"], row["visible"]) == ('\'=HYPERLINK("x")', "'@Ada")
    cue = result.transcript.cues[0].model_copy(update={"visible": "Ada\u202e", "lines": ("a\u2067b",)})
    transcript = result.transcript.model_copy(update={"cues": (cue,)})
    for format_ in ("srt", "vtt", "ttml", "txt", "tsv"):
        text = WRITERS[format_].write(result.model_copy(update={"transcript": transcript})).decode()
        assert not set("\u202e\u2067") & set(text), format_


def test_a_format_is_declared_on_its_writer_and_read_there() -> None:
    types = {name: content_type(name) for name in (f"transcript.{extension}" for extension in WRITERS)}
    assert types["transcript.vtt"] == "text/vtt; charset=utf-8"
    assert all(types.values())
    assert set(view_types()) == {*types, "report.html", "result.json"}
    assert all(may_hold_names(name) for name in (*types, "report.html", "result.json", "notes/of somebody.SRT"))
    assert not may_hold_names("people/1.jpg")
    assert content_type("people/1.jpg") is None
