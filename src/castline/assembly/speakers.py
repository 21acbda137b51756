"""Who says a line: words go to voices by time, segments are split where the voice changes, faces are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from castline.assembly.stitch import excerpt, words_of
from castline.engines.plugins import find_engine
from castline.recognition.voices import Chunk, Heard, tell_apart
from castline.records import AudioPart, AudioUnit, Notice, Person, Segment, Speaker, Voices, Word, merge_ranges

_ISLAND_S = 0.5  # of another voice amid one voice's words: a word the windows cannot place
# When a face may go with a voice: heard so long in so many lines, on screen for so much of it, anybody else for no more
# than that, and while others speak for no more than that.
_HEARD_S, _LINES = 5.0, 2
_WITH, _ANOTHER, _WITHOUT = 0.9, 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Line:
    """Attributes:
    speaker: name of the voice, or None.
    """

    segment: Segment
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    lines: tuple[Line, ...]
    speakers: tuple[Speaker, ...] = ()
    warnings: tuple[Notice, ...] = ()
    model: str | None = None


def said_by(
    segments: Sequence[Segment], audio: Sequence[tuple[AudioUnit, AudioPart]], people: Sequence[Person]
) -> Lines:
    """Segments with their voices; as they are, where no part has any.

    Args:
        segments: in seconds of the recording.
        people: those on screen who may be compared with the voices; empty to leave faces out.
    """
    found = [(unit, part.voices) for unit, part in audio if part.voices]
    spaces = Counter(voices.space for _, voices in found if voices.windows)
    if not spaces:
        return Lines(tuple(map(Line, segments)))
    space = min(spaces, key=lambda each: (-spaces[each], each))
    comparable = [(unit, voices) for unit, voices in found if voices.space == space]
    engine = find_engine(space[0])
    heard = tell_apart([_chunk(unit, voices) for unit, voices in comparable], engine.same_voice or 1.0)
    placed = [piece for segment in segments for piece in _split(segment, heard)]
    numbers = {voice: at for at, voice in enumerate(dict.fromkeys(v for _, v in placed if v is not None), 1)}
    lines = tuple(Line(segment, None if voice is None else f"Speaker {numbers[voice]}") for segment, voice in placed)
    speakers = tuple(
        _speaker(f"Speaker {number}", f"speaker-{number}", heard.seconds(voice), lines, people)
        for voice, number in numbers.items()
    )
    return Lines(lines, speakers, _left_out(len(found) - len(comparable), len(found)), space[0])


def _left_out(count: int, of: int) -> tuple[Notice, ...]:
    if not count:
        return ()
    message = f"{count} of {of} chunks of sound have voices of another model, or none; they are left out"
    return (Notice(code="mixed_models", message=message),)


def _chunk(unit: AudioUnit, voices: Voices) -> Chunk:
    windows = [(start + unit.start_s, end + unit.start_s) for start, end in voices.windows]
    return Chunk(windows, voices.vectors())


# --- words to voices ----------------------------------------------------------------------------


def _split(segment: Segment, heard: Heard) -> list[tuple[Segment, int | None]]:
    """A segment cut where the voice changes."""
    words = words_of(segment)
    runs = [
        (voice, [at for at, _ in group]) for voice, group in groupby(_voices(words, heard), key=lambda each: each[1])
    ]
    if len(runs) == 1:
        return [(segment, runs[0][0])]
    pieces: list[tuple[Segment, int | None]] = []
    for voice, places in runs:
        own = words[places[0] : places[-1] + 1]
        piece = excerpt(segment, own)
        times = {
            "start_s": own[0].start_s if pieces else segment.start_s,
            "end_s": segment.end_s if places[-1] == len(words) - 1 else own[-1].end_s,
        }
        if piece.text:
            pieces.append((piece.model_copy(update=times), voice))
    return pieces


def _voices(words: Sequence[Word], heard: Heard) -> list[tuple[int, int | None]]:
    """The voice of each word, by its place. Words outside of what was measured go with the nearest one inside."""
    middles = [(word.start_s + word.end_s) / 2 for word in words]
    known = [at for at, moment in enumerate(middles) if heard.within(moment)]
    if not known:
        return [(at, None) for at in range(len(words))]
    nearest = [min(known, key=lambda each: (abs(middles[each] - moment), each)) for moment in middles]
    voices = [heard.at(middles[at]) for at in nearest]
    return list(enumerate(_without_islands(voices, words)))


def _without_islands(voices: list[int | None], words: Sequence[Word]) -> list[int | None]:
    runs = [list(group) for _, group in groupby(range(len(voices)), key=lambda at: voices[at])]
    smooth = list(voices)
    for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
        brief = words[run[-1]].end_s - words[run[0]].start_s < _ISLAND_S
        if brief and voices[before[0]] == voices[after[0]]:
            smooth[run[0] : run[-1] + 1] = [voices[before[0]]] * len(run)
    return smooth


# --- voices and faces ---------------------------------------------------------------------------


def _speaker(name: str, identifier: str, voice_s: float, lines: Sequence[Line], people: Sequence[Person]) -> Speaker:
    """A voice with the known face that goes with it, if exactly one does.

    Faces alone cannot tell a speaker from a listener whom the camera stays with, nor from one who is talked about: what
    is found here is no more than a guess.
    """
    own = [line.segment for line in lines if line.speaker == name]
    others = [line.segment for line in lines if line.speaker not in (name, None)]
    shares = sorted(
        ((_share(person, own), person.id, person) for person in people), key=lambda each: (-each[0], each[1])
    )
    best = shares[0][2] if shares else None
    speaker = Speaker(id=identifier, name=name, voice_s=round(voice_s, 3))
    if best is None:
        return speaker
    share, second = shares[0][0], shares[1][0] if len(shares) > 1 else 0.0
    against = _against(own, others, share, second, _share(best, others))
    if best.identity != "known":
        against = [*against, "the face is not known"]
    during = f"the face is on screen during {share:.0%} of what the voice says"
    elsewhere = f"and {_share(best, others):.0%} of what others say"
    if against:
        return speaker.model_copy(update={"reasons": tuple(against)})
    return speaker.model_copy(
        update={"maybe": best.name, "confidence": round(share, 3), "reasons": (f"{during} {elsewhere}",)}
    )


def _against(
    own: Sequence[Segment], others: Sequence[Segment], share: float, second: float, elsewhere: float
) -> list[str]:
    """Why the face that is most on screen with a voice may not be taken for it."""
    checks = (
        (_seconds(own) < _HEARD_S or len(own) < _LINES, "the voice says too little"),
        (_seconds(others) < _HEARD_S or len(others) < _LINES, "nobody else says enough to compare with"),
        (share < _WITH, "no face is on screen whenever the voice is heard"),
        (second > _ANOTHER, "more than one face is on screen with the voice"),
        (elsewhere > _WITHOUT, "the face is on screen when others speak, too"),
    )
    return [reason for applies, reason in checks if applies]


def _seconds(segments: Sequence[Segment]) -> float:
    return sum(end - start for start, end in merge_ranges([(each.start_s, each.end_s) for each in segments]))


def _share(person: Person, segments: Sequence[Segment]) -> float:
    """The share of what is said for which a person is on screen."""
    spans = merge_ranges([(each.start_s, each.end_s) for each in segments])
    total = sum(end - start for start, end in spans)
    seen = sum(
        max(0.0, min(end, item.end_s) - max(start, item.start_s)) for start, end in spans for item in person.ranges
    )
    return seen / total if total else 0.0
