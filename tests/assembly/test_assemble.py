"""The whole result from its parts: pure, deterministic, and explicit about what is missing."""

from __future__ import annotations

import random

import pytest

from castline.assembly import assemble
from castline.cost import cost_of
from castline.records import Failure, Notice, Options, Probe, Result, Usage, VideoStream
from castline.report import render_views


def _run(make, people=None, words=None, **fields):
    """A run of four samples (0, 1, 2, 3 s of 10 s) and two audio chunks."""
    rows = people if people is not None else [[make.face(make.look(0), crop="ada")]] * 4
    frames = make.frames(*rows)
    spoken = words or [[(1.0, 1.5, "hello"), (1.5, 2, "world")], [(0.5, 1, "bye")]]
    manifest = make.manifest(
        make.frames_unit(0, 0, 1000),
        make.frames_unit(1, 2000, 3000),
        make.audio_unit(0, 0, 5),
        make.audio_unit(1, 5, 10),
        sample_times_ms=(0, 1000, 2000, 3000),
        **fields,
    )
    parts = {
        "frames-0000": make.frames_part(0, frames[:2], {"faces": 1.0}),
        "frames-0001": make.frames_part(1, frames[2:], {"faces": 0.5}),
        "audio-0000": make.audio_part(0, make.segment(*spoken[0])),
        "audio-0001": make.audio_part(1, make.segment(*spoken[1])),
    }
    return manifest, parts


def _ranges(result: Result, at: int = 0) -> list[tuple[float, float]]:
    return [(item.start_s, item.end_s) for item in result.people[at].ranges]


def test_a_complete_run(make) -> None:
    manifest, parts = _run(make)
    gallery = make.gallery(Ada=[make.look(0)])
    found = assemble(manifest, parts, {}, gallery, (Notice(code="gallery_photo", message="a photo is blurred"),))
    result = found.result
    assert (result.status, result.error, result.failures) == ("complete", None, ())
    assert (result.media, result.run, result.gallery) == ("talk.mp4", manifest.run, gallery.fingerprint)
    assert [str(warning) for warning in result.warnings] == ["a photo is blurred"]
    (ada,) = result.people
    assert (ada.id, ada.name, ada.identity) == ("person-1", "Ada", "known")
    assert (ada.confidence, ada.image) == (0.9, "people/ada.jpg"), "four sightings: 4.5 of 5"
    assert found.images == {"people/ada.jpg": b"ada"}
    assert _ranges(result) == [(0, 10)]
    assert ada.on_screen_s == 10
    assert [sighting.time_s for track in ada.tracks for sighting in track.sightings] == [0, 1, 2, 3]
    assert result.transcript.text == "hello world bye"
    assert [segment.start_s for segment in result.transcript.segments] == [1.0, 5.5]
    assert (result.transcript.engine, result.transcript.language) == ("faster-whisper:tiny.en", "en")
    assert result.engines == {"detector": "mtcnn", "embedder": make.model, "transcriber": "faster-whisper:tiny.en"}
    assert Result.from_json(result.to_json()) == result


def test_chunks_that_were_not_transcribed_leave_the_others_as_they_are(make) -> None:
    unheard = Notice(code="no_speech_engine", message="no speech was transcribed")
    parts = {
        "audio-0000": make.audio_part(0, language=None, transcriber=None, warnings=[unheard]),
        "audio-0001": make.audio_part(1, make.segment((0.5, 1.0, "bye"))),
        "audio-0002": make.audio_part(2, language=None, transcriber=None, warnings=[unheard]),
    }
    manifest = make.manifest(*(make.audio_unit(at, 3.0 * at, 3.0 * at + 3) for at in range(3)))
    result = assemble(manifest, parts, {}, None).result
    assert (result.status, result.warnings) == ("complete", (unheard,))
    assert (result.transcript.engine, result.transcript.text) == ("faster-whisper:tiny.en", "bye")
    assert result.engines == {"transcriber": "faster-whisper:tiny.en"}


def test_the_order_of_arrival_does_not_matter(make) -> None:
    rows = [
        [make.face(make.look(0)), make.face(make.look(1), make.right)],
        [],
        [make.face(make.look(1), make.left), make.face(make.look(2), make.right)],
        [make.face(make.look(0, 0.92), make.right)],
    ]
    manifest, parts = _run(make, rows)
    gallery = make.gallery(Ada=[make.look(0)], Bob=[make.look(1)])
    expected = assemble(manifest, parts, {}, gallery)
    for seed in range(6):
        items = list(parts.items())
        random.Random(seed).shuffle(items)
        again = assemble(manifest, dict(items), {}, gallery)
        assert again.result.to_json() == expected.result.to_json()
        assert again.images == expected.images


@pytest.mark.parametrize("lost", ["frames-0000", "frames-0001", "audio-0000", "audio-0001"])
def test_a_lost_unit_makes_the_run_partial_and_names_what_is_missing(lost: str, make) -> None:
    manifest, parts = _run(make)
    del parts[lost]
    result = assemble(manifest, parts, {lost: make.error_part(lost)}, None).result
    assert result.status == "partial"
    (failure,) = result.failures
    assert result.error == failure.error
    expected = {"frames-0000": (0, 2), "frames-0001": (2, 10), "audio-0000": (0, 5), "audio-0001": (5, 10)}[lost]
    assert (failure.unit, (failure.start_s, failure.end_s)) == (lost, expected)
    if lost == "frames-0000":
        assert _ranges(result) == [(2, 10)]
    if lost == "audio-0000":
        assert result.transcript.text == "bye"


def test_without_any_part_the_run_has_failed(make) -> None:
    manifest, parts = _run(make)
    result = assemble(manifest, {}, {name: make.error_part(name) for name in parts}, None).result
    assert (result.status, len(result.failures)) == ("failed", 4)
    assert (result.people, result.transcript.text, result.engines) == ((), "", {})


def test_an_input_that_is_not_media_has_failed(make) -> None:
    error = Failure(code="not_media", message="the file is empty")
    result = assemble(make.manifest(error=error, duration_s=None, sampling=None), {}, {}, None).result
    assert (result.status, result.error, result.failures) == ("failed", error, ())
    assert (result.transcript.engine, result.timeline) == (None, ())


def test_an_interrupted_decode_is_partial(make) -> None:
    error = Failure(code="ffmpeg_timeout", message="too slow")
    manifest, parts = _run(make, error=error)
    result = assemble(manifest, parts, {}, None).result
    assert (result.status, result.error, result.failures) == ("partial", error, ())
    assert result.people


def test_a_real_part_wins_over_an_error_part(make) -> None:
    manifest, parts = _run(make)
    result = assemble(manifest, parts, {"audio-0000": make.error_part("audio-0000")}, None).result
    assert (result.status, result.failures) == ("complete", ())


def test_a_frame_stands_for_its_near_duplicates_until_the_next_sample(make) -> None:
    face = make.face(make.look(0))
    frames = make.frames([face], [], [face])
    frames = [frame.model_copy(update={"time_ms": at}) for frame, at in zip(frames, (0, 3000, 5000), strict=True)]
    manifest = make.manifest(
        make.frames_unit(0, (0, 2000), 3000, (5000, 6000)),
        sample_times_ms=(0, 1000, 2000, 3000, 4000, 5000, 6000),
        duration_s=6.5,
    )
    result = assemble(manifest, {"frames-0000": make.frames_part(0, frames)}, {}, None).result
    assert _ranges(result) == [(0, 3), (5, 6.5)]
    assert result.people[0].on_screen_s == 4.5


def test_nobody_is_seen_in_what_could_not_be_decoded(make) -> None:
    manifest = make.manifest(
        make.frames_unit(0, (0, 0)),
        sample_times_ms=(0,),
        duration_s=24.0,
        warnings=(Notice(code="short_decode", message="cut", start_s=12.5, end_s=24.0),),
    )
    (frame,) = make.frames([make.face(make.look(0))])
    result = assemble(manifest, {"frames-0000": make.frames_part(0, [frame])}, {}, None).result
    assert _ranges(result) == [(0, 12.5)]
    assert result.duration_s == 24.0, "the warning leaves the file's own statement as it is"


def test_faces_go_on_where_the_sound_could_not_be_decoded(make) -> None:
    manifest = make.manifest(
        make.frames_unit(0, (0, 0)),
        sample_times_ms=(0,),
        duration_s=24.0,
        warnings=(Notice(code="short_decode", message="cut", start_s=12.5, end_s=24.0, about="sound"),),
    )
    (frame,) = make.frames([make.face(make.look(0))])
    assert _ranges(assemble(manifest, {"frames-0000": make.frames_part(0, [frame])}, {}, None).result) == [(0, 24)]


def test_strangers_are_numbered_in_order_of_appearance(make) -> None:
    rows = [[make.face(make.look(5))], [make.face(make.look(0), crop="a")], [make.face(make.look(6), crop="s")], []]
    manifest, parts = _run(make, rows)
    found = assemble(manifest, parts, {}, make.gallery(Ada=[make.look(0)]))
    assert [(person.id, person.name) for person in found.result.people] == [
        ("person-1", "Person 1"),
        ("person-2", "Ada"),
        ("person-3", "Person 2"),
    ]
    # No picture of the first one was kept.
    assert [person.image for person in found.result.people] == [None, "people/ada.jpg", "people/person-2.jpg"]
    assert found.images == {"people/ada.jpg": b"a", "people/person-2.jpg": b"s"}


def test_somebody_enrolled_as_person_1_is_not_mixed_up_with_a_stranger(make) -> None:
    rows = [[make.face(make.look(5), crop="stranger")], [make.face(make.look(0), crop="enrolled")], [], []]
    manifest, parts = _run(make, rows)
    found = assemble(manifest, parts, {}, make.gallery(**{"Person 1": [make.look(0)]}))
    assert [(person.name, person.identity) for person in found.result.people] == [
        ("Person 2", "unknown"),
        ("Person 1", "known"),
    ]
    assert found.images == {"people/person-2.jpg": b"stranger", "people/person-1.jpg": b"enrolled"}


def test_names_that_differ_in_case_have_pictures_of_their_own(make) -> None:
    rows = [[make.face(make.look(0), crop="upper")], [make.face(make.look(1), crop="lower")], [], []]
    manifest, parts = _run(make, rows)
    found = assemble(manifest, parts, {}, make.gallery(Ada=[make.look(0)], ada=[make.look(1)]))
    assert sorted(found.images.values()) == [b"lower", b"upper"]


def test_a_pattern_that_the_detector_half_believes_is_no_person(make) -> None:
    weak = make.face(make.look(3), make.right, score=0.9)
    manifest, parts = _run(make, [[weak], [weak], [], []])
    result = assemble(manifest, parts, {}, None).result
    assert result.people == ()
    sure = make.face(make.look(3), make.right, score=0.99)
    manifest, parts = _run(make, [[weak], [sure], [], []])
    (person,) = assemble(manifest, parts, {}, None).result.people
    assert [sighting.score for sighting in person.tracks[0].sightings] == [0.9, 0.99]


@pytest.mark.parametrize(
    ("rows", "gallery", "visible"),
    [
        ("ada", True, "Ada"),
        ("ada", False, None),  # a stranger has no name to hint at
        ("both", True, None),
        ("ada-and-stranger", True, None),
        ("nobody", True, None),
    ],
)
def test_only_one_known_person_alone_on_screen_hints_at_the_speaker(
    rows: str, gallery: bool, visible: str | None, make
) -> None:
    ada, bob, stranger = (
        make.face(make.look(at), box) for at, box in ((0, make.left), (1, make.right), (2, make.right))
    )
    row = {"ada": [ada], "both": [ada, bob], "ada-and-stranger": [ada, stranger], "nobody": []}[rows]
    manifest, parts = _run(make, [[], row, [], []])
    known = make.gallery(Ada=[make.look(0)], Bob=[make.look(1)]) if gallery else None
    hello, bye = assemble(manifest, parts, {}, known).result.transcript.segments
    assert hello.visible == visible
    assert bye.visible is None


def test_the_timeline_has_everything_in_order(make) -> None:
    rows = [[], [make.face(make.look(0))], [], [make.face(make.look(0))]]
    manifest, parts = _run(make, rows)
    result = assemble(manifest, parts, {}, make.gallery(Ada=[make.look(0)])).result
    assert [(entry.start_s, entry.end_s, entry.kind, entry.ref, entry.label) for entry in result.timeline] == [
        (1, 2, "person", "person-1", "Ada"),
        (1, 2, "speech", "speech-1", "hello world"),
        (3, 10, "person", "person-1", "Ada"),
        (5.5, 6, "speech", "speech-2", "bye"),
    ]


def test_a_suspect_segment_is_kept_but_not_published(make) -> None:
    manifest, parts = _run(make)
    parts["audio-0000"] = make.audio_part(0, make.segment((1, 2, "thanks"), suspect=True))
    result = assemble(manifest, parts, {}, None).result
    assert [segment.text for segment in result.transcript.segments] == ["thanks", "bye"]
    assert result.transcript.text == "bye"
    assert [entry.label for entry in result.timeline if entry.kind == "speech"] == ["bye"]


def test_subtitles_are_laid_out_by_the_words_with_or_without_words_in_the_result(make) -> None:
    said = "Er kam am 3. Oktober in die Stadt und blieb den ganzen langen Winter dort, sagte Mr. Quilter".split()
    at = [*(0.2 * i for i in range(11)), *(3.4 + 0.3 * i for i in range(20))]  # a silence after "den"
    words = [(start, start + 0.2, word) for start, word in zip(at, said, strict=False)]
    results = []
    for word_times in (True, False):
        manifest, parts = _run(make, [[]] * 4, options=Options(word_times=word_times))
        parts["audio-0000"] = make.audio_part(0, make.segment(*words), language="de")
        results.append(assemble(manifest, parts, {}, None).result)
    whole, short = (result.transcript for result in results)
    assert whole.cues == short.cues
    assert [(cue.start_s, " ".join(cue.lines)) for cue in whole.cues] == [
        (0.0, "Er kam am 3. Oktober in die Stadt und blieb den"),
        (3.4, "ganzen langen Winter dort, sagte Mr. Quilter bye"),
    ]
    assert whole.segments[0].words
    assert not any(segment.words for segment in short.segments)
    with_words, without = map(render_views, results)
    for subtitles in ("transcript.srt", "transcript.vtt", "transcript.ttml"):
        assert with_words[subtitles] == without[subtitles]


def test_the_language_is_that_of_the_first_chunk_that_has_one(make) -> None:
    manifest, parts = _run(make)
    parts["audio-0000"] = make.audio_part(0, language=None)
    parts["audio-0001"] = make.audio_part(1, make.segment((0, 1, "hallo")), language="de")
    assert assemble(manifest, parts, {}, None).result.transcript.language == "de"


def test_times_and_costs_are_added_up(make) -> None:
    manifest, parts = _run(make)
    processing = assemble(manifest, parts, {}, None).result.processing
    timings = {timing.stage: timing for timing in processing.timings}
    assert (timings["split"].invocations, timings["split"].seconds) == (1, 1.5)
    assert (timings["faces"].invocations, timings["faces"].seconds, timings["faces"].steps) == (2, 6.0, {"faces": 1.5})
    assert (timings["speech"].invocations, timings["speech"].seconds) == (2, 4.0)
    usages = [manifest.usage, *(part.usage for part in parts.values())]
    assert processing.cost == cost_of(usages, 4)
    assert processing.cost.usd > 0


def test_frames_without_faces_need_no_gallery(make) -> None:
    manifest, parts = _run(make, [[], [], [], []])
    result = assemble(manifest, parts, {}, None).result
    assert (result.people, result.gallery, result.status) == ((), None, "complete")


@pytest.mark.parametrize(
    ("level_db", "said", "codes"),
    [
        (-20.0, (), ["nothing_heard"]),
        (-60.0, (), []),
        (None, (), []),
        (-20.0, (Notice(code="speech_not_read", message="x"),), ["speech_not_read"]),
        (-20.0, (Notice(code="no_speech_engine", message="x"),), ["no_speech_engine"]),
    ],
)
def test_sound_in_which_nothing_was_heard_is_a_warning(
    level_db: float | None, said: tuple[Notice, ...], codes: list[str], make
) -> None:
    quiet, unit = make.audio_unit(0, 0, 5, level_db=-80.0), make.audio_unit(1, 5, 10, level_db=level_db)
    parts = {quiet.name: make.audio_part(0), unit.name: make.audio_part(1, warnings=said)}
    found = assemble(make.manifest(quiet, unit), parts, {}, None).result.warnings
    assert [notice.code for notice in found] == codes
    parts[quiet.name] = make.audio_part(0, make.segment((1.0, 2.0, "hello")))
    assert "nothing_heard" not in [
        notice.code for notice in assemble(make.manifest(quiet, unit), parts, {}, None).result.warnings
    ]


def test_seconds_of_another_machine_are_not_priced_as_lambda_s(make) -> None:
    """A media file has the same estimate, however slow the machine that processed it."""
    manifest, parts = _run(make)
    film = VideoStream(codec="h264", width=1280, height=720, fps=30)
    probe = Probe(container="mp4", duration_s=300.0, video=film, audio=None)

    def usd(seconds: float, *, elsewhere: bool) -> float:
        usage = Usage(stage="split", seconds=seconds, memory_mb=2048, elsewhere=elsewhere)
        changed = manifest.model_copy(update={"probe": probe, "duration_s": 300.0, "usage": usage})
        return assemble(changed, parts, {}, make.gallery()).result.processing.cost.usd

    assert usd(10, elsewhere=True) == usd(1000, elsewhere=True) > 0
    assert usd(1000, elsewhere=False) > 5 * usd(10, elsewhere=False)
