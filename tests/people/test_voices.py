"""Voices are enrolled, name the speaker if there is no picture, and are forgotten with their person."""

from __future__ import annotations

import numpy as np
import pytest

from castline import keys
from castline import people as api
from castline.assembly.known_voices import Enrolled, like, whose
from castline.engines.thresholds import VoiceThresholds
from castline.errors import GalleryError
from castline.operations.forget import forget_person
from castline.people import enrol_voice, prove_forgotten, unname, voice_in_recording
from castline.records import (
    AudioPart,
    AudioUnit,
    Embedding,
    EnrolledVoice,
    KnownVoice,
    Manifest,
    Options,
    Segment,
    Usage,
    Voices,
)
from castline.runs.complete import complete_run
from castline.runs.request import read_source

NOTE, RUN = "2026-11-26/note.ogg", "0123456789abcdef"
LIMITS = VoiceThresholds(known=0.8, ambiguous=0.74, unlike=0.62, apart=0.05)


def look(person: int, likeness: float = 1.0, variant: int = 100) -> np.ndarray:
    vector = np.zeros(256, np.float32)
    vector[person], vector[variant] = likeness, np.sqrt(1 - likeness**2)
    return vector


def voice(person: int, model: str = "ge2e") -> EnrolledVoice:
    return EnrolledVoice(embedding=Embedding.of(model, look(person)), voice_s=9.0)


def publish(people, *turns: int, media: str = NOTE, likeness: float = 1.0) -> None:
    """A voice note in which everybody in ``turns`` says one line of six seconds."""
    store, settings = people.store, people.settings
    windows = [
        (6.0 * turn + 1.5 * step, 6.0 * turn + 1.5 * step + 1.5) for turn in range(len(turns)) for step in range(4)
    ]
    vectors = np.array([look(who, likeness) for who in turns for _ in range(4)])
    lines = tuple(
        Segment(start_s=6.0 * turn, end_s=6.0 * turn + 5.9, text=f"line {turn} is said") for turn in range(len(turns))
    )
    usage = Usage(stage="speech", seconds=1, memory_mb=1024)
    unit = AudioUnit(index=0, start_s=0.0, end_s=6.0 * len(turns))
    part = AudioPart(
        unit=unit.name, transcriber="fake", language="en", segments=lines, usage=usage,
        voices=Voices.of("ge2e", windows, vectors),
    )  # fmt: skip
    store.put(settings.input_bucket, media, b"media")
    source = read_source(settings.input_bucket, media, store)
    assert source
    manifest = Manifest(
        run=RUN, source=source, options=Options(speakers="auto"), probe=None, duration_s=unit.end_s, units=(unit,),
        usage=usage,
    )  # fmt: skip
    store.put(settings.stage1_bucket, keys.manifest_key(media, RUN), manifest.to_json())
    store.put(settings.output_bucket, keys.UnitId(media, RUN, "audio", 0).part_key, part.to_json())
    assert complete_run(media, RUN, store, settings)


def said(people, media: str = NOTE) -> list[tuple[str | None, str]]:
    lines = people.result(media).transcript.segments
    return [(line.speaker, line.said_by.outcome) for line in lines if line.said_by]


def windows_left(people, media: str = NOTE) -> int:
    key = keys.UnitId(media, RUN, "audio", 0).part_key
    return len(AudioPart.from_json(people.store.get(people.settings.output_bucket, key)).voices.windows)


def test_a_voice_note_without_pictures_gets_its_name_when_the_voice_is_enrolled(people) -> None:
    publish(people, 0, 1)
    assert said(people) == [("Speaker 1", "unknown"), ("Speaker 2", "unknown")]
    enrol_voice("Ada", voice(0), people.store, people.settings)
    assert people.reassemble() == [NOTE]
    assert said(people) == [("Ada", "says"), ("Speaker 2", "unknown")]
    assert b"<v Ada>line 0" in people.published(NOTE)["transcript.vtt"]
    assert people.reassemble() == []


def test_a_voice_that_is_nearly_hers_may_be_hers_but_is_not_named(people) -> None:
    enrol_voice("Ada", voice(0), people.store, people.settings)
    publish(people, 0, likeness=0.77)
    assert said(people) == [("Speaker 1", "maybe")]
    assert people.result(NOTE).transcript.speakers[0].maybe == "Ada"
    assert b"Ada" not in people.published(NOTE)["transcript.txt"]


@pytest.mark.parametrize(
    ("enrolled", "likeness", "seconds", "expected"),
    [
        ({"Ada": 0}, 0.9, 5.0, ("known", "Ada")),
        ({"Ada": 0}, 0.79, 5.0, ("ambiguous", "Ada")),
        ({"Ada": 0}, 0.7, 5.0, ("unknown", None)),
        ({"Ada": 0}, 1.0, 2.5, ("unknown", None)),  # speaks too briefly
        ({"Ada": 0, "Bob": 0}, 0.9, 5.0, ("ambiguous", "Ada")),  # equally similar to both
        ({}, 1.0, 5.0, ("unknown", None)),
    ],
)
def test_a_voice_has_three_outcomes(enrolled, likeness, seconds, expected) -> None:
    known = [KnownVoice(name=name, key="", voice=voice(who)) for name, who in enrolled.items()]
    found = whose(look(0, likeness), seconds, Enrolled(known, "ge2e", len(look(0))), LIMITS)
    assert (found.identity, found.name) == expected


def test_voices_of_another_encoder_do_not_count() -> None:
    known = [KnownVoice(name="Ada", key="", voice=voice(0, model="other"))]
    assert whose(look(0), 9.0, Enrolled(known, "ge2e", len(look(0))), LIMITS).identity == "unknown"


def test_a_recording_s_speaker_is_enrolled_and_recognised_in_the_next(people) -> None:
    publish(people, 0, 1)
    publish(people, 1, media="other.ogg")
    found = voice_in_recording(NOTE, "Speaker 2", people.store, people.settings)
    assert found.voice_s == 6.0
    enrol_voice("Bob", found, people.store, people.settings)
    people.reassemble()
    assert said(people) == [("Speaker 1", "unknown"), ("Bob", "says")]
    assert said(people, "other.ogg") == [("Bob", "says")]
    with pytest.raises(GalleryError, match="does not speak"):
        voice_in_recording(NOTE, "Speaker 9", people.store, people.settings)


def test_forgetting_removes_the_voice_from_the_gallery_the_parts_and_the_lines(people) -> None:
    enrol_voice("Ada", voice(0), people.store, people.settings)
    publish(people, 0, 1, 0)
    assert [name for name, _ in said(people)] == ["Ada", "Speaker 2", "Ada"]
    assert prove_forgotten("Ada", people.store, people.settings).left
    done = forget_person("Ada", people.store, people.settings, people.embed, tell=print)
    assert done.proof.left == []
    assert done.windows == 8
    assert windows_left(people) == 4
    assert not any("Ada" in key for key in people.gallery())
    assert [name for name, _ in said(people)] == [None, "Speaker 1", None]
    assert all(b"Ada" not in body for body in people.published(NOTE).values())


def test_the_proof_searches_parts_for_voices(people) -> None:
    enrol_voice("Ada", voice(0), people.store, people.settings)
    publish(people, 0, 1)
    publish(people, 0, media="other.ogg")
    store, bucket = people.store, people.settings.output_bucket
    key = keys.UnitId(NOTE, RUN, "audio", 0).part_key
    before, likeness = store.get(bucket, key), api.Likeness("Ada", store, people.settings)
    api.erase_from_parts(likeness, store, people.settings)
    api.forget("Ada", store, people.settings)
    people.reassemble(everything=True)
    assert prove_forgotten("Ada", store, people.settings, likeness).left == []
    store.put(bucket, key, before)
    assert [tuple(trace) for trace in prove_forgotten("Ada", store, people.settings, likeness).left] == [
        (f"s3://{bucket}/{key}", "a moment of the voice, recognised as theirs")
    ]
    store.put(bucket, key, b"{")
    assert [trace.why for trace in prove_forgotten("Ada", store, people.settings, likeness).left] == [
        "it cannot be read, and may contain them"
    ]


def test_a_chunk_s_start_is_never_guessed(people) -> None:
    """Without a manifest, a result's lines cannot be matched to the part, and the proof says so."""
    enrol_voice("Ada", voice(0), people.store, people.settings)
    publish(people, 0, 1)
    store, settings = people.store, people.settings
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        store.put(bucket, keys.manifest_key(NOTE, RUN), b"{")
    done = forget_person("Ada", store, settings, people.embed, tell=lambda _: None)
    assert windows_left(people) == 4, "those recognised by their sound are removed"
    key = keys.UnitId(NOTE, RUN, "audio", 0).part_key
    assert (f"s3://{settings.output_bucket}/{key}", "it cannot be read, and may contain them") in [
        tuple(trace) for trace in done.proof.left
    ]


def test_a_result_whose_parts_expired_loses_the_name_of_the_voice(people) -> None:
    enrol_voice("Ada", voice(0), people.store, people.settings)
    publish(people, 0, 1)
    for info in list(people.store.find(people.settings.output_bucket, keys.parts_prefix(NOTE, RUN))):
        people.store.delete(people.settings.output_bucket, [info.key])
    api.forget("Ada", people.store, people.settings)
    assert list(unname("Ada", people.store, people.settings)) == [NOTE]
    assert prove_forgotten("Ada", people.store, people.settings).left == []
    assert [name for name, _ in said(people)] == ["Speaker 1", "Speaker 2"]


def test_a_voice_is_renamed_and_restored_with_the_photos(people) -> None:
    enrol_voice("Ada", voice(0), people.store, people.settings)
    publish(people, 0)
    api.rename("Ada", "Ada King", people.store, people.settings)
    people.reassemble()
    assert said(people) == [("Ada King", "says")]
    api.undo(people.store, people.settings)
    people.reassemble()
    assert said(people) == [("Ada", "says")]
    assert [(each.name, len(each.voices)) for each in api.known_people(people.store, people.settings)] == [("Ada", 1)]


def test_a_damaged_voice_names_nobody_and_stops_nothing(people) -> None:
    people.store.put(people.settings.gallery_bucket, "Ada/0000.voice", b'{"embedding": ')
    publish(people, 0)
    assert said(people) == [("Speaker 1", "unknown")]


def test_a_single_line_lists_the_voices_that_it_resembles() -> None:
    known = [KnownVoice(name=name, key="", voice=voice(who)) for name, who in (("Ada", 0), ("Bob", 1))]
    enrolled, other = (Enrolled(known, model, len(look(0))) for model in ("ge2e", "other"))
    assert like(look(0, 0.75), enrolled, LIMITS) == {"Ada"}
    assert like(look(0, 0.70), enrolled, LIMITS) == set()
    assert like(look(0), other, LIMITS) == set()
