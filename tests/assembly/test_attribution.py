"""Voices, faces and mouths: who says a line, and to whom it must not be attributed."""

from dataclasses import replace

import numpy as np
import pytest

from castline.assembly.assemble import assemble
from castline.assembly.attribution import HeardAs, Turn, join, watched
from castline.records import (
    Embedding,
    EnrolledVoice,
    KnownVoice,
    Options,
    Person,
    Range,
    Result,
    Sighting,
    Speaking,
    SpeakingFace,
    Track,
    Voices,
)

LEFT, RIGHT = (0.1, 0.2, 0.3, 0.6), (0.6, 0.2, 0.8, 0.6)
MOVES, RESTS = 2.4, -1.2


def somebody(number, name, *spans, speaking=(), box=LEFT, identity="known"):
    """On screen in ``spans``; ``speaking``: (start, end, logit)."""
    ranges = tuple(Range(start_s=start, end_s=end) for start, end in spans)
    track = Track(
        id=f"person-{number}-track-1",
        start_s=spans[0][0],
        end_s=spans[-1][1],
        sightings=tuple(Sighting(time_s=start, box=box, score=1.0) for start, _ in spans),
        speaking=tuple(Speaking(start_s=a, end_s=b, score=score, engine="test") for a, b, score in speaking),
    )
    on_screen = sum(end - start for start, end in spans)
    return Person(
        id=f"person-{number}", name=name, identity=identity, confidence=0.9, on_screen_s=on_screen, ranges=ranges,
        tracks=(track,),
    )  # fmt: skip


DIALOGUE = [Turn(6.0 * at, 6.0 * at + 6, f"Speaker {at % 2 + 1}") for at in range(4)]


def mouth(*scores):
    """The name given to each line of the dialogue."""
    return [(6.0 * at, 6.0 * at + 6, score) for at, score in enumerate(scores) if score is not None]


def names(joined):
    return [(line.outcome, line.name) for line in joined.lines]


def in_turn():
    """Two people whose mouths take turns: their own voices, or a film that is dubbed throughout."""
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(MOVES, RESTS, MOVES, RESTS))
    return ada, somebody(2, "Bob", (0, 24), speaking=mouth(RESTS, MOVES, RESTS, MOVES), box=RIGHT)


def test_mouths_that_take_turns_may_be_dubbed():
    joined = join(DIALOGUE, in_turn(), {})
    assert names(joined) == [("maybe", "Ada"), ("maybe", "Bob")] * 2
    assert {voice.identity for voice in joined.voices.values()} == {"ambiguous"}
    assert all("no enrolled voice confirms it" in line.reasons for line in joined.lines)


@pytest.mark.parametrize("identity", ["known", "ambiguous"])
def test_a_mouth_and_a_similar_voice_give_a_name(identity):
    heard = {"Speaker 1": HeardAs(identity, "Ada", 0.76), "Speaker 2": HeardAs(identity, "Bob", 0.76)}
    joined = join(DIALOGUE, in_turn(), heard)
    assert names(joined) == [("says", "Ada"), ("says", "Bob")] * 2
    assert all(line.confidence > 0.9 and len(line.reasons) >= 2 for line in joined.lines)


@pytest.mark.parametrize("identity", ["known", "ambiguous"])
def test_swapped_voices_of_people_on_screen_name_nobody(identity):
    heard = {"Speaker 1": HeardAs(identity, "Bob", 0.9), "Speaker 2": HeardAs(identity, "Ada", 0.9)}
    assert names(join(DIALOGUE, in_turn(), heard)) == [("unknown", None)] * 4


def test_a_voice_that_clearly_differs_from_the_mouth_s_owner_names_nobody():
    heard = {voice: HeardAs(against=frozenset({"Ada", "Bob"})) for voice in ("Speaker 1", "Speaker 2")}
    assert names(join(DIALOGUE, in_turn(), heard)) == [("unknown", None)] * 4


def test_without_mouths_two_faces_name_nobody():
    joined = join(DIALOGUE, (somebody(1, "Ada", (0, 24)), somebody(2, "Bob", (0, 24), box=RIGHT)), {})
    assert names(joined) == [("unknown", None)] * 4


def test_a_cut_to_the_speaker_is_a_guess():
    joined = join(DIALOGUE, (somebody(1, "Ada", (0, 6), (12, 18)), somebody(2, "Bob", (6, 12), (18, 24))), {})
    assert names(joined) == [("maybe", "Ada"), ("maybe", "Bob")] * 2


def test_a_cut_to_the_listener_is_no_guess_once_mouths_are_watched():
    ada = somebody(1, "Ada", (0, 6), (12, 18), speaking=mouth(RESTS, None, RESTS, None))
    bob = somebody(2, "Bob", (6, 12), (18, 24), speaking=mouth(None, RESTS, None, RESTS))
    assert names(join(DIALOGUE, (ada, bob), {})) == [("off_screen", None)] * 4


def test_narration_over_a_silent_face_is_off_screen():
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(RESTS, RESTS, RESTS, RESTS))
    alone = [Turn(turn.start_s, turn.end_s, "Speaker 1") for turn in DIALOGUE]
    assert names(join(alone, (ada,), {})) == [("off_screen", None)] * 4


def test_one_moving_mouth_with_its_voice_may_be_dubbed():
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(MOVES, MOVES, MOVES, MOVES))
    alone = [Turn(turn.start_s, turn.end_s, "Speaker 1") for turn in DIALOGUE]
    assert names(join(alone, (ada,), {})) == [("maybe", "Ada")] * 4
    # Her own voice is enrolled, and this one is different.
    assert names(join(alone, (ada,), {"Speaker 1": HeardAs(against=frozenset({"Ada"}))})) == [("unknown", None)] * 4
    hers = HeardAs("known", "Ada", 0.97)
    assert names(join(alone, (ada,), {"Speaker 1": hers})) == [("says", "Ada")] * 4


def test_a_mouth_that_moves_for_every_voice_names_nobody():
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(MOVES, MOVES, MOVES, MOVES))
    assert names(join(DIALOGUE, (ada,), {})) == [("unknown", None)] * 4


def test_one_person_s_voice_and_another_s_mouth_contradict():
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(MOVES, RESTS, MOVES, RESTS))
    joined = join(DIALOGUE, (ada,), {"Speaker 1": HeardAs("known", "Bob", 0.97)})
    assert names(joined)[::2] == [("unknown", None)] * 2
    assert "the voice is like that of Bob" in joined.lines[0].reasons


def test_a_known_voice_needs_no_picture():
    heard = {"Speaker 1": HeardAs("known", "Ada", 0.97), "Speaker 2": HeardAs("ambiguous", "Bob", 0.4)}
    joined = join(DIALOGUE, (), heard, pictures=False)
    assert names(joined) == [("says", "Ada"), ("maybe", "Bob")] * 2


def test_without_frames_nobody_is_off_screen():
    assert {line.outcome for line in join(DIALOGUE, (), {}, pictures=False).lines} == {"unknown"}
    assert {line.outcome for line in join(DIALOGUE, (), {}).lines} == {"off_screen"}


def test_a_line_during_which_another_mouth_moves_is_not_the_voice_s_owner_s():
    ada = somebody(1, "Ada", (0, 24), speaking=[*mouth(MOVES, RESTS, MOVES, RESTS), (24, 36, MOVES), (36, 38, RESTS)])
    bob = somebody(2, "Bob", (0, 40), speaking=[(0, 36, RESTS), (36, 38, MOVES)], box=RIGHT)
    turns = [*DIALOGUE, Turn(24, 36, "Speaker 1"), Turn(36, 38, "Speaker 1")]
    heard = {"Speaker 1": HeardAs("known", "Ada", 0.9)}
    assert names(join(turns, (ada, bob), heard))[-2:] == [("says", "Ada"), ("unknown", None)]


def test_a_mouth_does_not_contradict_a_line_that_sounds_like_the_voice_s_owner():
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(MOVES, RESTS, RESTS, RESTS))
    bob = somebody(2, "Bob", (0, 24), speaking=mouth(RESTS, RESTS, MOVES, RESTS), box=RIGHT)
    heard = {"Speaker 1": HeardAs("known", "Ada", 0.9)}
    assert names(join(DIALOGUE, (ada, bob), heard))[::2] == [("says", "Ada"), ("unknown", None)]
    hers = [replace(turn, like=frozenset({"Ada"})) for turn in DIALOGUE]
    assert names(join(hers, (ada, bob), heard))[::2] == [("says", "Ada")] * 2


def test_if_one_voice_is_dubbed_no_mouth_is_a_hint():
    heard = {"Speaker 1": HeardAs("known", "Bob", 0.9)}
    short = Turn(24, 24.5, None)
    ada = somebody(1, "Ada", (0, 25), speaking=[*mouth(MOVES, RESTS, MOVES, RESTS), (24, 24.5, MOVES)])
    bob = somebody(2, "Bob", (0, 25), speaking=[*mouth(RESTS, MOVES, RESTS, MOVES), (24, 24.5, RESTS)], box=RIGHT)
    assert names(join([*DIALOGUE, short], (ada, bob), {}))[1::3] == [("maybe", "Bob"), ("maybe", "Ada")]
    joined = join([*DIALOGUE, short], (ada, bob), heard)
    assert names(joined) == [("unknown", None)] * 5
    assert "another mouth in this film moves with a voice that is not its owner's" in joined.voices["Speaker 2"].reasons


def test_a_second_of_each_line_is_enough():
    glances = [(6.0 * at + 2.5, 6.0 * at + 3.5, MOVES if at % 2 == 0 else RESTS) for at in range(4)]
    ada = somebody(1, "Ada", (0, 24), speaking=glances)
    bob = somebody(2, "Bob", (0, 24), speaking=[(start, end, -score) for start, end, score in glances], box=RIGHT)
    assert names(join(DIALOGUE, (ada, bob), {})) == [("maybe", "Ada"), ("maybe", "Bob")] * 2


def test_a_voice_whose_mouths_contradict_stays_unnamed():
    ada = somebody(1, "Ada", (0, 24), speaking=mouth(0.0, RESTS, 0.0, RESTS))
    bob = somebody(2, "Bob", (0, 24), speaking=[(0, 4, MOVES), (4, 6, 0.0), (12, 16, MOVES), (16, 18, 0.0)], box=RIGHT)
    joined = join(DIALOGUE, (ada, bob), {"Speaker 1": HeardAs("known", "Ada", 0.9)})
    assert joined.voices["Speaker 1"].name is None
    assert names(joined)[::2] == [("unknown", None)] * 2


@pytest.mark.parametrize("there", [False, True])
def test_an_unknown_face_may_own_the_voice_unless_the_enrolled_owner_is_there(there):
    stranger = somebody(1, "Person 1", (0, 24), speaking=mouth(MOVES, RESTS, MOVES, RESTS), identity="unknown")
    ada = somebody(2, "Ada", (0, 24), speaking=mouth(RESTS, RESTS, RESTS, RESTS), box=RIGHT)
    people = (stranger, ada) if there else (stranger,)
    joined = join(DIALOGUE, people, {"Speaker 1": HeardAs("known", "Ada", 0.9)})
    assert names(joined)[::2] == [("unknown", None) if there else ("says", "Ada")] * 2


def test_a_stranger_s_mouth_gives_no_name():
    ada = somebody(1, "Person 1", (0, 24), speaking=mouth(MOVES, RESTS, MOVES, RESTS), identity="unknown")
    assert names(join(DIALOGUE, (ada,), {}))[::2] == [("unknown", None)] * 2


@pytest.mark.parametrize(("box", "expected"), [(LEFT, [1, 0]), (RIGHT, [0, 1]), ((0.4, 0.7, 0.5, 0.9), [0, 0])])
def test_mouth_scores_go_to_the_face_at_that_place(box, expected):
    people = (somebody(1, "Ada", (0, 9)), somebody(2, "Bob", (0, 9), box=RIGHT))
    face = SpeakingFace(start_s=2, end_s=3, score=1.5, engine="test", box=box)
    assert [len(person.tracks[0].speaking) for person in watched(people, [face])] == expected


def test_mouths_in_parts_name_the_lines_of_a_result(make):
    texts = ["one two three four five six", "seven eight nine ten eleven twelve"]
    timed = [
        [(6.0 * turn + at, 6.0 * turn + at + 0.8, text) for at, text in enumerate(texts[turn % 2].split())]
        for turn in range(4)
    ]
    spans = [(6.0 * turn + 1.5 * step, turn % 2) for turn in range(4) for step in range(4)]
    vectors = np.eye(256, dtype=np.float32)[[who for _, who in spans]]
    voices = Voices.of("ge2e", [(start, start + 1.5) for start, _ in spans], vectors)
    rows = [[make.face(make.look(0)), make.face(make.look(1), make.right)] for _ in range(24)]
    mouths = tuple(
        SpeakingFace(start_s=6.0 * turn, end_s=6.0 * turn + 6, score=MOVES if turn % 2 == who else RESTS, engine="test",
                     box=(make.left, make.right)[who])
        for turn in range(4) for who in (0, 1)
    )  # fmt: skip
    parts = {
        "frames-0000": make.frames_part(0, make.frames(*rows)).model_copy(update={"mouths": mouths}),
        "audio-0000": make.audio_part(0, *(make.segment(*words) for words in timed)).model_copy(
            update={"voices": voices}
        ),
    }
    units = (make.frames_unit(0, *(1000 * second for second in range(24))), make.audio_unit(0, 0, 24))
    manifest = make.manifest(*units, options=Options(speakers="auto"), duration_s=24.0)
    gallery = make.gallery(Ada=[make.look(0)], Bob=[make.look(1)])
    alone = assemble(manifest, parts, {}, gallery).result
    assert [(each.name, each.maybe) for each in alone.transcript.speakers] == [
        ("Speaker 1", "Ada"), ("Speaker 2", "Bob"),
    ]  # fmt: skip
    assert [line.speaker for line in alone.transcript.segments] == ["Speaker 1", "Speaker 2"] * 2
    enrolled = tuple(
        KnownVoice(
            name=name, key=f"{name}/0.voice", voice=EnrolledVoice(embedding=Embedding.of("ge2e", alike), voice_s=9)
        )
        for name, alike in (("Ada", like(0)), ("Bob", like(1)))
    )
    result = assemble(manifest, parts, {}, gallery.model_copy(update={"voices": enrolled})).result
    assert [line.speaker for line in result.transcript.segments] == ["Ada", "Bob", "Ada", "Bob"]
    assert {cue.speaker for cue in result.transcript.cues} == {"Ada", "Bob"}
    assert [(each.id, each.name, each.identity) for each in result.transcript.speakers] == [
        ("speaker-1", "Ada", "known"), ("speaker-2", "Bob", "known"),
    ]  # fmt: skip
    assert all(len(track.speaking) == 4 for person in result.people for track in person.tracks)
    assert Result.from_json(result.to_json()) == result


def like(person):
    """Similar to somebody's voice, but not enough to be recognised by it alone."""
    vector = np.zeros(256, np.float32)
    vector[person], vector[9 + person] = 0.76, np.sqrt(1 - 0.76**2)
    return vector
