"""A result as people see it: the machine's result with people's corrections applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import count

from castline.assembly import excerpt, timeline_of, visible_during
from castline.corrections.bind import (
    Spoken,
    letters,
    overlap_s,
    place_faces,
    place_lines,
    place_voice,
    spoken,
    tokens,
)
from castline.corrections.said import what
from castline.cues import cues_of
from castline.records import (
    Correction,
    FacesCorrection,
    LinesCorrection,
    Notice,
    Person,
    Range,
    Result,
    Speaker,
    SpokenSegment,
    Track,
    VoiceCorrection,
    Word,
    merge_ranges,
    spaced,
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as shown.

    Attributes:
        correction: id of the correction that made it; empty if it is as transcribed.
        heard: the machine's text; for a correction, the text that all of its lines replace.
    """

    segment: SpokenSegment
    correction: str
    heard: tuple[SpokenSegment, ...]


@dataclass(frozen=True, slots=True)
class Corrected:
    """Attributes:
    result: what is published in every format except ``result.json``.
    lines: its segments, and the source of each.
    left: corrections that fit nothing in this result. They are kept.
    voices: the machine's names of voices, by the names that are shown.
    """

    result: Result
    lines: tuple[Line, ...]
    left: tuple[Correction, ...] = ()
    voices: Mapping[str, str] | None = None


def corrected(result: Result, corrections: Sequence[Correction]) -> Corrected:
    """Apply corrections to a result. If none fits, the result is unchanged.

    A correction is applied only if it fits; those that fit nothing are in ``left`` and in the result's warnings.
    """
    people, left_faces = _with_faces(result.people, [each for each in corrections if isinstance(each, FacesCorrection)])
    segments = result.transcript.segments
    renamed, left_voices = _voices(segments, [each for each in corrections if isinstance(each, VoiceCorrection)])
    called = [
        segment.model_copy(update={"speaker": renamed[segment.speaker]}) if segment.speaker in renamed else segment
        for segment in segments
    ]
    lines, left_lines = _with_lines(called, [each for each in corrections if isinstance(each, LinesCorrection)])
    left = tuple(each for each in corrections if each in left_faces or each in left_voices or each in left_lines)
    shown = {renamed.get(voice, voice): voice for voice in dict.fromkeys(_speakers(segments))}
    if len(left) == len(corrections):
        return Corrected(_warned(result, left), lines, left, shown)
    lines = tuple(
        replace(
            line,
            segment=line.segment.model_copy(
                update={"id": f"speech-{number}", "visible": visible_during(line.segment, people)}
            ),
        )
        for number, line in enumerate(lines, 1)
    )
    said = tuple(line.segment for line in lines)
    transcript = result.transcript.model_copy(
        update={
            "text": " ".join(segment.text.strip() for segment in said if not segment.suspect),
            "segments": said,
            "cues": cues_of(said, result.transcript.language),
            "speakers": _introduced(result.transcript.speakers, renamed, said),
        }
    )
    whole = result.model_copy(
        update={"people": people, "transcript": transcript, "timeline": timeline_of(people, said)}
    )
    return Corrected(_warned(whole, left), lines, left, shown)


def _warned(result: Result, left: Sequence[Correction]) -> Result:
    if not left:
        return result
    notices = (
        Notice(code="correction_left", message=f"a correction fits nothing here any more and is kept: {what(each)}")
        for each in left
    )
    return result.model_copy(update={"warnings": (*result.warnings, *notices)})


# --- lines --------------------------------------------------------------------------------------


def _with_lines(
    segments: Sequence[SpokenSegment], corrections: Sequence[LinesCorrection]
) -> tuple[tuple[Line, ...], list[LinesCorrection]]:
    if not corrections:
        return tuple(Line(segment, "", (segment,)) for segment in segments), []
    words = spoken(segments)
    placed = place_lines(corrections, words, segments)
    lines: list[Line] = []
    at = 0
    for correction in sorted((each for each in corrections if each.id in placed), key=lambda each: placed[each.id]):
        first, last = placed[correction.id]
        lines += [Line(each, "", (each,)) for each in _pieces(words[at:first], words, segments)]
        replaced = _pieces(words[first : last + 1], words, segments)
        heard = tuple(replaced)
        lines += [Line(each, correction.id, heard) for each in _said(correction, replaced)]
        at = last + 1
    lines += [Line(each, "", (each,)) for each in _pieces(words[at:], words, segments)]
    return tuple(lines), [each for each in corrections if each.id not in placed]


def _pieces(run: Sequence[Spoken], words: Sequence[Spoken], segments: Sequence[SpokenSegment]) -> list[SpokenSegment]:
    """The segments of consecutive words, or the parts of segments that they form."""
    pieces = []
    for number in dict.fromkeys(each.segment for each in run):
        segment = segments[number]
        own = [each for each in run if each.segment == number]
        total = sum(each.segment == number for each in words)
        if len(own) == total:
            pieces.append(segment)
            continue
        times = {
            "start_s": own[0].word.start_s if own[0].place else segment.start_s,
            "end_s": own[-1].word.end_s if own[-1].place < total - 1 else segment.end_s,
        }
        piece = excerpt(segment, [each.word for each in own])
        if piece.text:
            pieces.append(piece.model_copy(update=times))
    return pieces


def _said(correction: LinesCorrection, heard: Sequence[SpokenSegment]) -> list[SpokenSegment]:
    """The lines of a correction, with the times of the original words."""
    if not correction.said or not heard:
        return []
    timed = all(segment.words for segment in heard)
    words = _retimed([tokens(line.text) for line in correction.said], heard)
    begins = [heard[0].start_s, *(line[0].start_s for line in words[1:])]
    ends = [*(line[-1].end_s for line in words[:-1]), max(segment.end_s for segment in heard)]
    lines = []
    for said, own, start, end in zip(correction.said, words, begins, ends, strict=True):
        end = max(start, end)
        base = max(heard, key=lambda each: overlap_s((each.start_s, each.end_s), (start, end)))
        lines.append(
            base.model_copy(
                update={
                    "start_s": start,
                    "end_s": end,
                    "text": said.text,
                    "words": spaced(said.text, tuple(own)) if timed else (),
                    "suspect": False,
                    "speaker": said.speaker or base.speaker,
                }
            )
        )
    return lines


def _retimed(lines: Sequence[Sequence[str]], heard: Sequence[SpokenSegment]) -> list[list[Word]]:
    """Words of lines that were written by hand. Transcribed ones keep their times; others share the time in between.

    Args:
        lines: each has at least one word.
    """
    old = [each.word for each in spoken(heard)]
    new = [token for line in lines for token in line]
    start_s, end_s = heard[0].start_s, max(segment.end_s for segment in heard)
    same = SequenceMatcher(
        None, [letters(word.text) for word in old], [letters(token) for token in new], autojunk=False
    )
    times: dict[int, Word] = {}
    for block in same.get_matching_blocks():
        times |= {block.b + step: old[block.a + step] for step in range(block.size)}
    words: list[Word] = []
    at = 0
    while at < len(new):
        if at in times:
            words.append(times[at].model_copy(update={"text": new[at]}))
            at += 1
            continue
        until = next((place for place in range(at, len(new)) if place in times), len(new))
        begin = words[-1].end_s if words else start_s
        end = max(begin, times[until].start_s if until in times else end_s)
        letters_ = sum(map(len, new[at:until]))
        for token in new[at:until]:
            share = (end - begin) * len(token) / letters_ if at < until - 1 else end - begin
            stop = min(begin + share, end)
            words.append(Word(start_s=round(begin, 3), end_s=round(stop, 3), text=token))
            letters_ -= len(token)
            begin, at = stop, at + 1
    queue = iter(words)
    return [[next(queue) for _ in line] for line in lines]


# --- voices -------------------------------------------------------------------------------------


def _voices(
    segments: Sequence[SpokenSegment], corrections: Sequence[VoiceCorrection]
) -> tuple[dict[str, str], list[VoiceCorrection]]:
    """New names by the machine's, and corrections that fit no voice."""
    names: dict[str, str] = {}
    left = []
    for correction in corrections:
        voice = place_voice(correction.at, segments, [segment.speaker for segment in segments])
        if voice is None:
            left.append(correction)
        else:
            names[voice] = correction.name
    return names, left


def _speakers(segments: Sequence[SpokenSegment]) -> list[str]:
    return [segment.speaker for segment in segments if segment.speaker]


def _introduced(
    speakers: Sequence[Speaker], renamed: Mapping[str, str], said: Sequence[SpokenSegment]
) -> tuple[Speaker, ...]:
    """Everybody who says a line, once each."""
    found: dict[str, Speaker] = {}
    for speaker in speakers:
        name = renamed.get(speaker.name, speaker.name)
        if name in found:
            together = round(found[name].voice_s + speaker.voice_s, 3)
            found[name] = found[name].model_copy(update={"voice_s": together})
        elif name != speaker.name:
            known = {"name": name, "maybe": None, "confidence": 0.0, "reasons": ()}
            found[name] = speaker.model_copy(update=known)
        else:
            found[name] = speaker
    taken = {speaker.id for speaker in speakers}
    free = (id_ for number in count(1) if (id_ := f"speaker-{number}") not in taken)
    for name in dict.fromkeys(_speakers(said)):
        if name not in found:
            lines = [(line.start_s, line.end_s) for line in said if line.speaker == name]
            voice_s = round(sum(end - start for start, end in merge_ranges(lines)), 3)
            found[name] = Speaker(id=next(free), name=name, voice_s=voice_s)
    return tuple(found.values())


# --- faces --------------------------------------------------------------------------------------

_Whose = tuple[str, str]
"""``("is", name)``, or ``("stranger", id of the person)``, or ``("not", id of the person)``."""


def _with_faces(
    people: tuple[Person, ...], corrections: Sequence[FacesCorrection]
) -> tuple[tuple[Person, ...], list[FacesCorrection]]:
    if not corrections:
        return people, []
    person_of = {track.id: person for person in people for track in person.tracks}
    before: dict[str, _Whose] = {track: _whose(person) for track, person in person_of.items()}
    now = dict(before)
    refused: dict[str, set[str]] = {}
    left = []
    for correction in corrections:
        found = place_faces(correction, people)
        if not found:
            left.append(correction)
        for id_ in found:
            if correction.holds:
                now[id_] = ("is", correction.name)
            else:
                refused.setdefault(id_, set()).add(correction.name)
                if now[id_] == ("is", correction.name):
                    now[id_] = ("not", person_of[id_].id)
    groups: dict[_Whose, list[Track]] = {}
    for person in people:
        for track in person.tracks:
            groups.setdefault(now[track.id], []).append(track)
    taken_ids, taken_names = set[str](), {person.name for person in people} | {name for _, name in now.values()}
    shown = []
    for whose, tracks in groups.items():
        base = max(
            (person for person in people if any(person_of[track.id] is person for track in tracks)),
            key=lambda person: sum(person_of[track.id] is person for track in tracks),
        )
        unchanged = whose == _whose(base) and len(tracks) == len(base.tracks)
        person = _doubted(base, refused) if unchanged else _regrouped(base, whose, tracks, taken_names)
        if person.id in taken_ids:
            person = person.model_copy(update={"id": _free("person-", {each.id for each in people} | taken_ids)})
        taken_ids.add(person.id)
        taken_names.add(person.name)
        shown.append(person)
    shown += [person for person in people if not person.tracks]
    return tuple(shown), left


def _whose(person: Person) -> _Whose:
    return ("is", person.name) if person.identity == "known" else ("stranger", person.id)


def _doubted(person: Person, refused: Mapping[str, set[str]]) -> Person:
    """A stranger, without the candidates that corrections have ruled out."""
    names = set.intersection(*(refused.get(track.id, set()) for track in person.tracks))
    left = tuple(candidate for candidate in person.candidates if candidate.name not in names)
    if left == person.candidates:
        return person
    identity = "unknown" if person.identity == "ambiguous" and not left else person.identity
    return person.model_copy(update={"candidates": left, "identity": identity})


def _regrouped(base: Person, whose: _Whose, tracks: Sequence[Track], taken: set[str]) -> Person:
    known = whose[0] == "is"
    spans = merge_ranges([(track.start_s, track.end_s) for track in tracks], gap_s=0.001)
    same_faces = len(tracks) == len(base.tracks)
    spans = [(each.start_s, each.end_s) for each in base.ranges] if same_faces else spans
    most = sum(track in base.tracks for track in tracks) * 2 > len(base.tracks)
    stranger = base.name if base.identity != "known" and base.name else ""
    return base.model_copy(
        update={
            "name": whose[1] if known else stranger if whose[0] == "stranger" else _free("Person ", taken),
            "identity": "known" if known else "unknown" if whose[0] == "not" else base.identity,
            "confidence": 1.0 if known else base.confidence,
            "candidates": () if known or whose[0] == "not" else base.candidates,
            "on_screen_s": round(sum(end - start for start, end in spans), 3),
            "ranges": tuple(Range(start_s=start, end_s=end) for start, end in spans),
            "tracks": tuple(sorted(tracks, key=lambda track: (track.start_s, track.id))),
            "image": base.image if most else None,
        }
    )


def _free(stem: str, taken: set[str]) -> str:
    return next(name for number in count(1) if (name := f"{stem}{number}") not in taken)
