"""Corrections of a result: what they change, and where they belong when the recording is processed again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from castline.corrections import (
    change_lines,
    name_faces,
    name_voice,
    names_in,
    not_undone,
    take_back,
    what,
    withdraw,
    without_name,
)
from castline.errors import CorrectionError
from castline.records import Person, Result, SaidLine
from castline.report import render_views
from tests.corrections.conftest import Desk, Make

_LINES = ("Hello and welcome.", "The buget is too small.", "Yes.", "Let us see next year.")


def _result(make: Make, lines: Sequence[str] = _LINES, shift: float = 0.0, **fields: object) -> Result:
    segments = [
        make.segment(at + 1, line, 10.0 * at + shift, 10.0 * at + 4 + shift, timed=True)
        for at, line in enumerate(lines)
    ]
    return make.result(segments=segments, **fields)


def _say(desk: Desk, first: int, last: int, *said: str | SaidLine) -> None:
    lines = [each if isinstance(each, SaidLine) else SaidLine(text=each) for each in said]
    desk.do(lambda view, corrections: change_lines(view, corrections, first, last, lines))


def test_without_corrections_nothing_changes(make: Make) -> None:
    result = _result(make)
    assert Desk(result).view.result is result


def test_a_corrected_line_keeps_the_times_of_its_unchanged_words(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 1, 1, "The  budget\nis far too small.")
    line = desk.view.result.transcript.segments[1]
    assert line.text == "The budget is far too small."
    heard = {word.text.strip(): word for word in desk.result.transcript.segments[1].words}
    now = {word.text.strip(): word for word in line.words}
    for same in ("The", "is", "too", "small."):
        assert (now[same].start_s, now[same].end_s) == (heard[same].start_s, heard[same].end_s)
    assert now["The"].end_s <= now["budget"].start_s <= now["budget"].end_s <= now["is"].start_s
    assert [word.start_s for word in line.words] == sorted(word.start_s for word in line.words)
    views = render_views(desk.view.result)
    for name, body in views.items():
        assert b"buget" not in body and b"budget" in body, name
    assert any("budget" in entry.label for entry in desk.view.result.timeline)


def test_lines_are_divided_differently(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 1, 1, "The buget", "is too small.")
    first, second = desk.view.result.transcript.segments[1:3]
    words = desk.result.transcript.segments[1].words
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (
        words[0].start_s, words[1].end_s, words[2].start_s, words[-1].end_s,
    )  # fmt: skip
    assert [*first.words, *second.words][3].start_s == words[3].start_s
    _say(desk, 1, 3, "The budget is too small. Yes.")
    assert desk.texts == ["Hello and welcome.", "The budget is too small. Yes.", "Let us see next year."]
    assert len(desk.corrections.now()) == 1
    assert [segment.id for segment in desk.view.result.transcript.segments] == ["speech-1", "speech-2", "speech-3"]


def test_one_half_of_a_divided_line_is_corrected_and_the_other_stays(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 1, 1, "The buget", "is too small.")
    _say(desk, 1, 1, "The budget")
    assert desk.texts[1:3] == ["The budget", "is too small."]
    _say(desk, 2, 2)
    assert desk.texts[:3] == ["Hello and welcome.", "The budget", "Yes."]


def test_the_original_text_is_not_a_correction(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 1, 1, "The buget is too small.")
    assert not desk.corrections.changes
    _say(desk, 1, 1, "Other words.")
    _say(desk, 1, 1, "The buget is too small.")
    assert desk.corrections.now() == () and desk.view.result == desk.result


def test_a_suspect_line_is_confirmed(make: Make) -> None:
    segment = make.segment(1, "Thank you.", 0, 2, timed=True, suspect=True)
    desk = Desk(make.result(segments=[segment]))
    assert b"Thank" not in render_views(desk.view.result)["transcript.txt"]
    _say(desk, 0, 0, "Thank you.")
    assert b"Thank you." in render_views(desk.view.result)["transcript.txt"]


@pytest.mark.parametrize("text", ["", "  ", "…", "\u202e"])
def test_a_line_must_have_words(make: Make, text: str) -> None:
    with pytest.raises(CorrectionError, match="needs words"):
        _say(Desk(_result(make)), 0, 0, text)


# --- the recording runs again -----------------------------------------------------------------------


def _again(desk: Desk, result: Result) -> list[str]:
    desk.result = result
    return desk.texts


def test_corrections_follow_their_words(make: Make) -> None:
    """Other ids, a fraction of a second later, and divided elsewhere: the words are the same."""
    desk = Desk(_result(make))
    _say(desk, 1, 1, "The budget is too small.")
    _say(desk, 3, 3)
    segments = [
        make.segment(1, "Hello", 0.2, 1.0, timed=True),
        make.segment(2, "and welcome. The buget", 2.0, 11.8, timed=True),
        make.segment(3, "is too small. Yes.", 11.9, 23.0, timed=True),
        make.segment(4, "let us see next year", 30.3, 34.0, timed=True),
    ]
    words = [
        *make.words("and welcome.", 2.0, 4.0), *make.words("The buget", 10.3, 11.8),
        *make.words("is too small.", 11.9, 14.1), *make.words("Yes.", 20.3, 23.0),
    ]  # fmt: skip
    segments[1] = segments[1].model_copy(update={"words": tuple(words[:4])})
    segments[2] = segments[2].model_copy(update={"words": tuple(words[4:])})
    assert _again(desk, make.result(segments=segments)) == ["Hello", "and welcome.", "The budget is too small.", "Yes."]
    assert not desk.view.left


def test_an_engine_that_hears_another_word_keeps_the_correction(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 1, 1, "The budget is far too small.")
    for heard in ("A budget is too small.", "The budget is too small", "The buget's too small."):
        texts = _again(desk, _result(make, (_LINES[0], heard, *_LINES[2:]), 0.3))
        assert texts[1] == "The budget is far too small.", heard


def test_a_correction_that_no_longer_fits_is_kept_reported_and_applied_nowhere_else(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 2, 2, "Yep.")
    _say(desk, 1, 1, "The budget is too small.")
    others = ("Hello and welcome.", "Who has seen my other hat?", "No.", "Yes. Let us see next year.")
    assert _again(desk, _result(make, others)) == list(others)
    assert len(desk.view.left) == 2 and len(desk.corrections.now()) == 2
    said = [notice.message for notice in desk.view.result.warnings]
    assert any("“Yes.” is “Yep.”" in message for message in said)
    assert b"is kept" in render_views(desk.view.result)["report.html"]
    desk.result = _result(make)
    assert desk.texts[1:3] == ["The budget is too small.", "Yep."] and not desk.view.left


def test_a_repetition_of_the_words_is_another_line(make: Make) -> None:
    yes = [make.segment(at, "Yes.", at, at + 0.4, timed=True) for at in (1, 2, 3)]
    desk = Desk(make.result(segments=yes))
    _say(desk, 1, 1, "Jess.")
    assert desk.texts == ["Yes.", "Jess.", "Yes."]
    assert _again(desk, make.result(segments=[yes[0], yes[2]])) == ["Yes.", "Yes."]
    later = [segment.model_copy(update={"start_s": segment.start_s + 0.1, "words": ()}) for segment in yes]
    assert _again(desk, make.result(segments=later)) == ["Yes.", "Jess.", "Yes."]


def test_without_word_times_lines_are_corrected_too(make: Make) -> None:
    lines = [make.segment(at, line, 10.0 * at, 10.0 * at + 4) for at, line in enumerate(_LINES)]
    desk = Desk(make.result(segments=lines))
    _say(desk, 1, 1, "The budget", "is too small.")
    segments = desk.view.result.transcript.segments
    assert [segment.text for segment in segments][1:3] == ["The budget", "is too small."]
    assert 10 < segments[1].end_s < 14 and not segments[1].words
    assert [cue.start_s for cue in desk.view.result.transcript.cues] == sorted(
        cue.start_s for cue in desk.view.result.transcript.cues
    )


def test_chinese_is_corrected_character_by_character(make: Make) -> None:
    words = [(" 预" if not at else char, at) for at, char in enumerate("预算太少")]
    segment = make.segment(1, "预算太少", 0, 4).model_copy(
        update={"words": tuple(make.words(char, at, at + 1)[0] for char, at in words)}
    )
    desk = Desk(make.result(segments=[segment]))
    _say(desk, 0, 0, "预算太小")
    now = desk.view.result.transcript.segments[0]
    assert now.text == "预算太小" and [word.start_s for word in now.words][:3] == [0, 1, 2]


# --- voices -----------------------------------------------------------------------------------------


def _voiced(make: Make, *voices: str) -> Result:
    result = _result(make)
    segments = tuple(
        segment.model_copy(update={"speaker": voice})
        for segment, voice in zip(result.transcript.segments, voices, strict=True)
    )
    return result.model_copy(
        update={"transcript": result.transcript.model_copy(update={"segments": segments, "speakers": ()})}
    )


def _speakers(desk: Desk) -> list[str | None]:
    return [segment.speaker for segment in desk.view.result.transcript.segments]


def test_a_named_voice_keeps_its_name_when_voices_are_renumbered(make: Make) -> None:
    desk = Desk(_voiced(make, "Speaker 1", "Speaker 2", "Speaker 1", "Speaker 2"))
    desk.do(lambda view, corrections: name_voice(view, corrections, "Speaker 2", "Ada"))
    assert _speakers(desk) == ["Speaker 1", "Ada", "Speaker 1", "Ada"]
    assert b"<v Ada>" in render_views(desk.view.result)["transcript.vtt"]
    desk.result = _voiced(make, "Speaker 2", "Speaker 1", "Speaker 2", "Speaker 1")
    assert _speakers(desk) == ["Speaker 2", "Ada", "Speaker 2", "Ada"]
    desk.result = _voiced(make, "Speaker 1", "Speaker 1", "Speaker 1", "Speaker 2")
    assert len(desk.view.left) == 0 or _speakers(desk)[0] == "Speaker 1"


def test_a_line_given_to_another_voice_follows_its_name(make: Make) -> None:
    desk = Desk(_voiced(make, "Speaker 1", "Speaker 2", "Speaker 1", "Speaker 2"))
    _say(desk, 2, 2, SaidLine(text="Yes.", speaker="Ada"))
    assert _speakers(desk)[2] == "Ada"
    assert [speaker.name for speaker in desk.view.result.transcript.speakers] == ["Speaker 1", "Speaker 2", "Ada"]
    desk.do(lambda view, corrections: name_voice(view, corrections, "Ada", "Grace"))
    assert _speakers(desk)[2] == "Grace"
    desk.do(lambda view, corrections: name_voice(view, corrections, "Speaker 2", "Grace"))
    desk.do(lambda view, corrections: name_voice(view, corrections, "Grace", "Ada"))
    assert _speakers(desk) == ["Speaker 1", "Ada", "Ada", "Ada"]


# --- faces ------------------------------------------------------------------------------------------


def _named(desk: Desk) -> list[tuple[str, str, float]]:
    return [(person.name, person.identity, person.on_screen_s) for person in desk.view.result.people]


def _people(make: Make) -> list[Person]:
    return [
        make.person(1, "Ada", (0, 5), (12, 15), image="people/ada.jpg"),
        make.person(2, "", (0, 9), identity="unknown", image="people/person-2.jpg"),
    ]


def test_a_person_is_named_in_this_recording(make: Make) -> None:
    desk = Desk(_result(make, people=_people(make)))
    desk.do(lambda view, _: name_faces(view, "person-2", "Grace"))
    assert _named(desk) == [("Ada", "known", 8), ("Grace", "known", 9)]
    assert desk.view.result.people[1].id == "person-2"
    desk.do(lambda view, _: name_faces(view, "person-2", "Ada"))
    assert _named(desk) == [("Ada", "known", 12)]


def test_a_denied_name_does_not_return_under_another_id(make: Make) -> None:
    desk = Desk(_result(make, people=_people(make)))
    desk.do(lambda view, _: name_faces(view, "person-1", "Ada", holds=False))
    assert _named(desk) == [("Person 1", "unknown", 8), ("Person 2", "unknown", 9)]
    assert all(segment.visible is None for segment in desk.view.result.transcript.segments)
    with pytest.raises(CorrectionError, match="nobody took"):
        desk.do(lambda view, _: name_faces(view, "person-2", "Ada", holds=False))
    # In another run she is the second person and still not Ada; anyone else of that name keeps it.
    first = make.person(4, "Ada", (0, 5))
    second = make.person(1, "Ada", (0, 5), (12, 15)).model_copy(update={"id": "person-9"})
    renumbered = [
        track.model_copy(update={"id": f"t{at}", "sightings": track.sightings[:4]})
        for at, track in enumerate(second.tracks)
    ]
    second = second.model_copy(update={"tracks": tuple(renumbered)})
    desk.result = _result(make, people=[first, second])
    assert [name for name, _, _ in _named(desk)] == ["Ada", "Person 1"]


def test_a_person_who_is_two_is_split(make: Make) -> None:
    desk = Desk(_result(make, people=_people(make)))
    second = desk.result.people[0].tracks[1].id
    desk.do(lambda view, _: name_faces(view, "person-1", "Eve", tracks=[second]))
    assert _named(desk) == [("Ada", "known", 5), ("Eve", "known", 3), ("Person 2", "unknown", 9)]
    assert len({person.id for person in desk.view.result.people}) == 3
    assert desk.view.result.people[1].image is None


def test_corrections_of_faces_that_are_gone_are_kept(make: Make) -> None:
    desk = Desk(_result(make, people=_people(make)))
    desk.do(lambda view, _: name_faces(view, "person-2", "Grace"))
    desk.result = _result(make, people=[make.person(3, "", (0, 9), identity="unknown")])
    assert _named(desk) == [("Person 3", "unknown", 9)] and len(desk.view.left) == 1
    assert "Person 2 is Grace" in desk.view.result.warnings[0].message


# --- history ----------------------------------------------------------------------------------------


def test_changes_are_undone_one_by_one(make: Make) -> None:
    desk = Desk(_result(make))
    _say(desk, 1, 1, "One.")
    _say(desk, 1, 1, "Two.")
    _say(desk, 2, 2)
    assert desk.texts == ["Hello and welcome.", "Two.", "Let us see next year."]
    seen = []
    for _ in range(3):
        desk.do(lambda _, corrections: take_back(corrections))
        seen.append(desk.texts[1])
    assert seen == ["Two.", "One.", "The buget is too small."] and desk.view.result == desk.result
    with pytest.raises(CorrectionError, match="nothing to undo"):
        desk.do(lambda _, corrections: take_back(corrections))
    assert len(desk.corrections.changes) == 6 and not not_undone(desk.corrections)
    _say(desk, 0, 0, "Hi.")
    desk.do(lambda _, corrections: withdraw(corrections, corrections.now()[0].id))
    assert desk.texts[0] == "Hello and welcome."
    desk.do(lambda _, corrections: take_back(corrections))
    assert desk.texts[0] == "Hi."


def test_a_name_is_removed_from_the_history_and_spoken_words_stay(make: Make) -> None:
    desk = Desk(_voiced(make, "Speaker 1", "Speaker 2", "Speaker 1", "Speaker 2"))
    desk.result = desk.result.model_copy(update={"people": tuple(_people(make))})
    _say(desk, 0, 0, SaidLine(text="Hello Grace.", speaker="Grace"))
    desk.do(lambda view, corrections: name_voice(view, corrections, "Speaker 2", "Grace"))
    desk.do(lambda view, _: name_faces(view, "person-2", "Grace"))
    desk.do(lambda view, _: name_faces(view, "person-2", "Ada"))
    desk.do(lambda _, corrections: take_back(corrections))
    left = without_name(desk.corrections, "Grace")
    assert "Grace" not in {name for change in left.changes for each in change.added for name in names_in(each)}
    assert [what(each) for change in left.changes for each in change.added] == [
        "at 0:00.0 “Hello and welcome.” is “Hello Grace.”",
        "somebody is Ada",
    ]
    desk.corrections = left
    assert desk.texts[0] == "Hello Grace." and [name for name, _, _ in _named(desk)] == ["Ada", "Person 2"]
