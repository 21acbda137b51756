"""Lines and their voices, in assembled results."""

import json

import numpy as np
import pytest

from castline.assembly.assemble import assemble
from castline.records import Options, Result, Voices
from castline.report import render_views

VOICES = Options(speakers="voices")
AUTO = Options(speakers="auto")


def voices(*spans, model="ge2e"):
    """``(start_s, end_s, who)``: windows of 1.5 s; all vectors of a person point in one direction."""
    windows, vectors = [], []
    for start, end, who in spans:
        for at in np.arange(start, end - 1.4, 1.5):
            windows.append((float(at), float(at) + 1.5))
            vectors.append(np.eye(256, dtype=np.float32)[who])
    return Voices.of(model, windows, np.array(vectors).reshape(len(windows), 256))


def heard(make, *segments, spans, index=0, model="ge2e"):
    return make.audio_part(index, *segments).model_copy(update={"voices": voices(*spans, model=model)})


def words(*texts, start=0.0, each=1.0):
    return [(start + at * each, start + (at + 0.8) * each, text) for at, text in enumerate(texts)]


def said(result):
    return [(line.speaker, line.text) for line in result.transcript.segments]


@pytest.fixture
def dialogue(make):
    """Ada is on screen while the first voice speaks, Bob while the second one does: 6 s each, twice."""
    texts = ["one two three four five six", "seven eight nine ten eleven twelve"]
    segments = [make.segment(*words(*texts[turn % 2].split(), start=6.0 * turn)) for turn in range(4)]
    spans = [(6.0 * turn, 6.0 * turn + 6, turn % 2) for turn in range(4)]
    rows = [[make.face(make.look(second // 6 % 2))] for second in range(24)]
    parts = {
        "frames-0000": make.frames_part(0, make.frames(*rows)),
        "audio-0000": heard(make, *segments, spans=spans),
    }
    units = (make.frames_unit(0, *(1000 * second for second in range(24))), make.audio_unit(0, 0, 24))
    return units, parts, make.gallery(Ada=[make.look(0)], Bob=[make.look(1)])


def test_a_segment_is_split_where_the_voice_changes(make):
    segment = make.segment(*words("are", "you", "there", "yes,", "I", "am."))
    parts = {"audio-0000": heard(make, segment, spans=[(0, 3, 0), (3, 6, 1)])}
    result = assemble(make.manifest(make.audio_unit(0, 0, 6), options=VOICES), parts, {}, None).result
    assert said(result) == [("Speaker 1", "are you there"), ("Speaker 2", "yes, I am.")]
    assert [line.id for line in result.transcript.segments] == ["speech-1", "speech-2"]
    assert [word.text for word in result.transcript.segments[1].words] == ["yes,", "I", "am."]
    assert [(each.id, each.name, each.voice_s) for each in result.transcript.speakers] == [
        ("speaker-1", "Speaker 1", 3.0), ("speaker-2", "Speaker 2", 3.0),
    ]  # fmt: skip
    assert {cue.speaker for cue in result.transcript.cues} == {"Speaker 1", "Speaker 2"}
    assert result.transcript.text == "are you there yes, I am."
    assert result.engines["voice_encoder"] == "ge2e"
    assert Result.from_json(result.to_json()) == result


def test_voices_keep_their_numbers_from_chunk_to_chunk(make):
    parts = {
        "audio-0000": heard(make, make.segment(*words("a", "b", "c")), spans=[(0, 3, 4)]),
        "audio-0001": heard(make, make.segment(*words("d", "e", "f")), spans=[(0, 3, 7)], index=1),
        "audio-0002": heard(make, make.segment(*words("g", "h", "i")), spans=[(0, 3, 4)], index=2),
    }
    units = [make.audio_unit(at, 10.0 * at, 10.0 * at + 10) for at in range(3)]
    result = assemble(make.manifest(*units, options=VOICES), parts, {}, None).result
    assert [name for name, _ in said(result)] == ["Speaker 1", "Speaker 2", "Speaker 1"]


def test_a_voice_that_says_too_little_gets_no_name(make):
    segment = make.segment(*words("a", "b", "c", "d", "e", "f"), (6.2, 6.9, "hey"))
    parts = {"audio-0000": heard(make, segment, spans=[(0, 6, 0), (6, 7.5, 1)])}
    result = assemble(make.manifest(make.audio_unit(0, 0, 8), options=VOICES), parts, {}, None).result
    assert said(result) == [("Speaker 1", "a b c d e f"), (None, "hey")]


def test_without_voices_results_keep_their_bytes(make):
    parts = {"audio-0000": make.audio_part(0, make.segment(*words("a", "b")))}
    result = assemble(make.manifest(make.audio_unit(0, 0, 6)), parts, {}, None).result
    written = json.loads(result.to_json())
    assert b"speaker" not in result.to_json() and b"voice" not in result.to_json()
    assert "voices" not in json.loads(parts["audio-0000"].to_json())
    assert "speakers" not in written["options"]


def test_chunks_of_another_encoder_are_left_out_with_a_warning(make):
    parts = {
        "audio-0000": heard(make, make.segment(*words("a", "b", "c")), spans=[(0, 3, 0)]),
        "audio-0001": heard(make, make.segment(*words("d", "e", "f")), spans=[(0, 3, 0)], index=1),
        "audio-0002": heard(make, make.segment(*words("g", "h")), spans=[(0, 3, 0)], index=2, model="other"),
    }
    units = [make.audio_unit(at, 10.0 * at, 10.0 * at + 10) for at in range(3)]
    result = assemble(make.manifest(*units, options=VOICES), parts, {}, None).result
    assert [name for name, _ in said(result)] == ["Speaker 1", "Speaker 1", None]
    assert [warning.code for warning in result.warnings] == ["mixed_models"]


def test_a_face_that_goes_with_a_voice_is_a_guess_but_not_a_name(make, dialogue):
    units, parts, gallery = dialogue
    result = assemble(make.manifest(*units, options=AUTO, duration_s=24.0), parts, {}, gallery).result
    assert [(each.name, each.maybe) for each in result.transcript.speakers] == [
        ("Speaker 1", "Ada"), ("Speaker 2", "Bob"),
    ]  # fmt: skip
    assert all(each.confidence >= 0.9 and each.reasons for each in result.transcript.speakers)
    assert {line.speaker for line in result.transcript.segments} == {"Speaker 1", "Speaker 2"}
    alone = assemble(make.manifest(*units, options=VOICES, duration_s=24.0), parts, {}, gallery).result
    assert [each.maybe for each in alone.transcript.speakers] == [None, None]


def test_a_face_that_is_there_with_every_voice_names_nobody(make, dialogue):
    units, parts, gallery = dialogue
    always = [[make.face(make.look(0))] for _ in range(24)]
    parts = {**parts, "frames-0000": make.frames_part(0, make.frames(*always))}
    result = assemble(make.manifest(*units, options=AUTO, duration_s=24.0), parts, {}, gallery).result
    assert [each.maybe for each in result.transcript.speakers] == [None, None]
    assert "the face is on screen when others speak, too" in result.transcript.speakers[0].reasons


def test_a_stranger_s_face_gives_no_name(make, dialogue):
    units, parts, _ = dialogue
    result = assemble(make.manifest(*units, options=AUTO, duration_s=24.0), parts, {}, make.gallery()).result
    assert [each.maybe for each in result.transcript.speakers] == [None, None]


def test_two_faces_with_a_voice_are_not_a_guess(make, dialogue):
    units, parts, gallery = dialogue
    both = [[make.face(make.look(0)), make.face(make.look(1), make.right)] for _ in range(24)]
    parts = {**parts, "frames-0000": make.frames_part(0, make.frames(*both))}
    result = assemble(make.manifest(*units, options=AUTO, duration_s=24.0), parts, {}, gallery).result
    assert [each.maybe for each in result.transcript.speakers] == [None, None]


def test_every_view_says_who_speaks(make, dialogue):
    units, parts, gallery = dialogue
    found = assemble(make.manifest(*units, options=VOICES, duration_s=24.0), parts, {}, gallery)
    views = {name: body.decode() for name, body in render_views(found.result, found.images).items()}
    assert views["transcript.txt"].splitlines()[:2] == [
        "Speaker 1: one two three four five six", "Speaker 2: seven eight nine ten eleven twelve",
    ]  # fmt: skip
    assert "<v Speaker 2>seven" in views["transcript.vtt"]
    assert "\nSpeaker 2: seven" in views["transcript.srt"]
    assert '<ttm:agent xml:id="speaker-1" type="other">' in views["transcript.ttml"]
    assert 'ttm:agent="speaker-2"' in views["transcript.ttml"]
    assert views["transcript.tsv"].splitlines()[0].endswith("\tvisible\tspeaker")
    assert 'Speaker 2 <span class="hint-what">says' in views["report.html"]
    lines = json.loads(views["transcript.json"])["segments"]
    assert [line["speaker"] for line in lines[:2]] == ["Speaker 1", "Speaker 2"]


@pytest.mark.parametrize("end", [4.8, 5.16])
def test_a_moment_at_the_edge_of_a_segment_is_not_given_to_the_next_voice(make, end):
    first = make.segment(*words("a", "b", "c", "d"), (4.6, end, "free."))
    parts = {
        "audio-0000": heard(
            make, first, make.segment(*words("e", "f", "g", start=5.2)), spans=[(0, 4.5, 0), (4.5, 9, 1)]
        )
    }
    result = assemble(make.manifest(make.audio_unit(0, 0, 9), options=VOICES), parts, {}, None).result
    assert said(result) == [("Speaker 1", "a b c d"), (None, "free."), ("Speaker 2", "e f g")]
    views = render_views(result)
    # Without a heading, the line would seem to belong to the previous speaker.
    assert views["transcript.txt"].decode().splitlines() == ["Speaker 1: a b c d", "Unknown: free.", "Speaker 2: e f g"]
    assert b"\nUnknown: free." in views["transcript.srt"]


@pytest.mark.parametrize(
    ("start", "end", "voice"),
    [
        (7.0, 7.4, None),  # at the end of the speech: no window lies mostly in this line
        (6.3, 6.7, "Speaker 1"),  # around the middle of a window
        (3.1, 3.6, "Speaker 1"),  # between two middles, in overlapping windows
        (0.1, 0.6, None),
    ],
)
def test_a_line_at_the_edge_of_a_stretch_of_speech_needs_a_window_of_its_own(make, start, end, voice):
    """A stranger's first 0.4 s got the name of the person who had spoken before without a pause."""
    windows = [(at * 0.8, at * 0.8 + 1.6) for at in range(8)]  # middles from 0.8 to 6.4 s
    own = Voices.of("ge2e", windows, np.tile(np.eye(256, dtype=np.float32)[0], (8, 1)))
    part = make.audio_part(0, make.segment((start, end, "Yes."))).model_copy(update={"voices": own})
    result = assemble(make.manifest(make.audio_unit(0, 0, 8), options=VOICES), {"audio-0000": part}, {}, None).result
    assert said(result) == [(voice, "Yes.")]


@pytest.mark.parametrize(("until", "voice"), [(4.96, None), (5.3, "Speaker 2")])
def test_the_last_words_of_a_line_need_more_than_a_window_that_is_half_the_next_speaker_s(make, until, voice):
    """A person's last three words, after a pause of 0.2 s, got the name of the one who spoke next."""
    firsts = [(0.0, 0), (0.8, 0), (1.6, 0), (2.3, 0), (4.1, 1), (4.9, 1), (5.7, 1)]
    windows = [(start, start + 1.6) for start, _ in firsts]
    own = Voices.of("ge2e", windows, np.eye(256, dtype=np.float32)[[who for _, who in firsts]])
    each = (until - 4.1) / 3
    ends = [(4.1 + at * each, 4.1 + (at + 1) * each, text) for at, text in enumerate(("that", "is", "mine."))]
    segments = make.segment(*words("so", "I", "say", "so,"), *ends), make.segment(*words("Never", "so.", start=until))
    part = make.audio_part(0, *segments).model_copy(update={"voices": own})
    result = assemble(make.manifest(make.audio_unit(0, 0, 8), options=VOICES), {"audio-0000": part}, {}, None).result
    assert said(result) == [("Speaker 1", "so I say so,"), (voice, "that is mine."), ("Speaker 2", "Never so.")]


def _short_line(make, before_s: float, voice: int, line: tuple[float, float], mirrored: bool):
    """A line of its own after another one, and before a line of the second voice; its first window is half of that."""
    spans = [(0.0, voice), (0.7, voice), (line[0] + 0.1, 1), (line[0] + 0.9, 1), (line[0] + 1.7, 1), (line[0] + 2.5, 1)]
    windows = [(start, start + 1.6) for start, _ in spans]
    segments = [
        ("Ada says so.", 0.0, before_s),
        ("It is mine.", *line),
        ("Never did she say so.", line[1] + 0.1, line[0] + 4),
    ]
    if mirrored:
        end = line[0] + 4.1
        windows = [(end - last, end - first) for first, last in reversed(windows)]
        spans = spans[::-1]
        segments = [(text, end - last, end - first) for text, first, last in reversed(segments)]
    own = Voices.of("ge2e", windows, np.eye(256, dtype=np.float32)[[who for _, who in spans]])
    made = [
        make.segment(*words(*text.split(), start=first, each=(last - first) / len(text.split())))
        for text, first, last in segments
    ]
    part = make.audio_part(0, *made).model_copy(update={"voices": own})
    result = assemble(make.manifest(make.audio_unit(0, 0, 9), options=VOICES), {"audio-0000": part}, {}, None).result
    return next(speaker for speaker, text in said(result) if text == "It is mine.")


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("before_s", "voice", "line", "known"),
    [
        (2.9, 0, (3.0, 4.0), False),  # it may be the last that the voice before it said
        (2.9, 1, (3.0, 4.0), True),  # there is one voice only
        (2.2, 0, (3.0, 4.0), True),  # the other was silent for long
        (2.9, 0, (3.0, 4.3), True),  # three quarters of its window are its own
    ],
)
def test_a_short_line_between_two_voices_needs_a_window_that_is_mostly_its_own(
    make, before_s, voice, line, known, mirrored
):
    """The last line of a person, of 1.0 s, got the name of the one who spoke next, after a pause of 0.1 s."""
    assert (_short_line(make, before_s, voice, line, mirrored) is not None) == known


def test_the_report_has_a_lane_for_each_voice_and_the_guess_beside_the_line(make, dialogue):
    units, parts, gallery = dialogue
    found = assemble(make.manifest(*units, options=AUTO, duration_s=24.0), parts, {}, gallery)
    page = render_views(found.result, found.images)["report.html"].decode()
    assert page.count("maybe Ada · 12 s") == 1
    assert page.count('<span class="hint-what">maybe</span> Ada') == 2
    assert "the face is on screen during" in page
