"""The files, read back with parsers that are not ours."""

from __future__ import annotations

import html
import io
import json
from typing import Any

import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from castline.records import Result
from castline.report import WRITERS, render_views, writer_for
from castline.report.cues import clean, cues

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
]


def vtt(result: Result) -> Any:
    return webvtt.from_buffer(io.StringIO(writer_for("vtt").write(result).decode()))


def spoken_text(caption: Any) -> str:
    """What a player shows: no tags, and references resolved (the library leaves that to its caller)."""
    return html.unescape(caption.text)


def milliseconds(time: str) -> int:
    hours, minutes, rest = time.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(rest) * 1000)


def srt(result: Result) -> Any:
    return pysubs2.SSAFile.from_string(writer_for("srt").write(result).decode(), format_="srt")


def test_there_is_a_writer_for_each_format() -> None:
    assert list(WRITERS) == ["txt", "srt", "vtt", "json"]
    assert writer_for(".SRT") is WRITERS["srt"]
    with pytest.raises(ValueError, match="txt, srt, vtt, json"):
        writer_for("doc")


def test_times_and_text_come_back(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "Good evening.", 1, 2.5), make.segment(2, "Thank you.", 3601, 3602)])
    assert [(c.start, c.end, c.text) for c in vtt(result)] == [
        ("00:00:01.000", "00:00:02.500", "Good evening."),
        ("01:00:01.000", "01:00:02.000", "Thank you."),
    ]
    assert [(e.start, e.end, e.plaintext) for e in srt(result)] == [
        (1000, 2500, "Good evening."),
        (3_601_000, 3_602_000, "Thank you."),
    ]


def test_srt_numbers_and_commas(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "One", 0, 1), make.segment(2, "Two", 1, 2)])
    assert WRITERS["srt"].write(result).decode() == (
        "1\n00:00:00,000 --> 00:00:01,000\nOne\n\n2\n00:00:01,000 --> 00:00:02,000\nTwo\n\n"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(make: Any, text: str) -> None:
    result = make.result(segments=[make.segment(1, text, 0, 3), make.segment(2, "after", 4, 5)])
    captions = list(vtt(result))
    assert [caption.start for caption in captions] == ["00:00:00.000", "00:00:04.000"]
    assert " ".join(spoken_text(captions[0]).split()) == clean(text)
    events = list(srt(result))
    assert [event.start for event in events] == [0, 4000]
    # SubRip has no escapes: look-alikes, but as many characters, and nothing is swallowed as markup.
    assert len(" ".join(events[0].plaintext.split())) == len(clean(text))
    assert events[0].text.replace(r"\N", "\n") == events[0].plaintext


def test_vtt_escapes_are_the_formats_own(make: Any) -> None:
    raw = WRITERS["vtt"].write(make.result(segments=[make.segment(1, r"a --> b & <c> \N", 0, 1)])).decode()
    assert raw.endswith("a --&gt; b &amp; &lt;c&gt; &#92;N\n\n")


def test_nothing_said_gives_valid_empty_files(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "Thanks for watching!", 0, 1, suspect=True)])
    views = render_views(result)
    assert views["transcript.txt"] == b""
    assert views["transcript.srt"] == b""
    assert views["transcript.vtt"].startswith(b"WEBVTT\n")
    assert list(vtt(result)) == []


def test_txt_has_a_line_per_segment(make: Any) -> None:
    segments = [
        make.segment(1, " One\ntwo ", 0, 1),
        make.segment(2, "no", 1, 2, suspect=True),
        make.segment(3, "3", 2, 3),
    ]
    assert WRITERS["txt"].write(make.result(segments=segments)).decode() == "One two\n3\n"


def test_json_is_the_transcript_of_the_result(make: Any) -> None:
    result = make.result(segments=[make.segment(1, "é\n", 0, 1, suspect=True, avg_logprob=-0.25)])
    data = json.loads(WRITERS["json"].write(result))
    assert list(data) == ["engine", "language", "text", "segments"]
    assert data == json.loads(result.to_json())["transcript"]


# Digits alone on a last line are taken for the next cue's number by the reading library, so none here.
spoken = st.text(st.characters(blacklist_categories=["Cs", "Nd", "Nl", "No"]), max_size=150)
times = st.tuples(st.floats(0, 5000), st.floats(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(spoken, times), max_size=5))
def test_any_transcript_survives_both_formats(make: Any, said: list[tuple[str, tuple[float, float]]]) -> None:
    result = make.result(segments=[make.segment(i, text, *span) for i, (text, span) in enumerate(said)])
    expected = cues(result.transcript.segments)
    captions = list(vtt(result))
    assert [(milliseconds(c.start), milliseconds(c.end)) for c in captions] == [
        (cue.start_ms, cue.end_ms) for cue in expected
    ]
    assert [spoken_text(caption) for caption in captions] == ["\n".join(cue.lines) for cue in expected]
    events = list(srt(result))
    assert [(event.start, event.end) for event in events] == [(cue.start_ms, cue.end_ms) for cue in expected]
    assert [len(event.plaintext) for event in events] == [len("\n".join(cue.lines)) for cue in expected]


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
        "report.html",
    ]
