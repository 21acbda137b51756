"""The voice of each line: words go to voices by time, and segments are split where the voice changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from castline.assembly.attribution import HeardAs, Named, Turn, join
from castline.assembly.known_voices import Enrolled, like, whose
from castline.assembly.stitch import excerpt, words_of
from castline.engines.plugins import find_engine
from castline.engines.thresholds import VoiceThresholds
from castline.recognition.voices import Chunk, Heard, tell_apart
from castline.records import (
    Attribution,
    AudioPart,
    AudioUnit,
    KnownVoice,
    Notice,
    Person,
    Segment,
    Speaker,
    Voices,
    Word,
)

_ISLAND_S = 0.5  # shorter runs of another voice amid one voice's words are words that the windows cannot place
#: Where the voice seems to change within a line, a piece that one window judges lasts for so much of that window.
_MOSTLY = 0.55
#: A line between two voices whose only window lies less than so much within it is not the voice's that goes on in that
#: window, if the other voice was heard so shortly before (or is heard so soon after).
_OWN, _SOON_S = 0.6, 0.5


@dataclass(frozen=True, slots=True)
class Line:
    """Attributes:
    speaker: name of the voice, or None.
    said_by: set if faces were compared.
    """

    segment: Segment
    speaker: str | None = None
    said_by: Attribution | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    lines: tuple[Line, ...]
    speakers: tuple[Speaker, ...] = ()
    warnings: tuple[Notice, ...] = ()
    model: str | None = None


def said_by(
    segments: Sequence[Segment],
    audio: Sequence[tuple[AudioUnit, AudioPart]],
    people: Sequence[Person] | None,
    *,
    known: Sequence[KnownVoice] = (),
    pictures: bool = False,
) -> Lines:
    """Segments with their voices; unchanged if no part has voices.

    Args:
        segments: in seconds of the recording.
        people: the people on screen, to be compared with the voices; None to leave faces out.
        known: enrolled voices.
        pictures: whether there are any pictures.
    """
    found = [(unit, part.voices) for unit, part in audio if part.voices]
    spaces = Counter(voices.space for _, voices in found if voices.windows)
    if not spaces:
        return Lines(tuple(map(Line, segments)))
    space = min(spaces, key=lambda each: (-spaces[each], each))
    comparable = [(unit, voices) for unit, voices in found if voices.space == space]
    engine = find_engine(space[0])
    heard = tell_apart([_chunk(unit, voices) for unit, voices in comparable], engine.same_voice or 1.0)
    placed = _placed(segments, heard)
    numbers = {voice: at for at, voice in enumerate(dict.fromkeys(v for _, v in placed if v is not None), 1)}
    lines = tuple(Line(segment, None if voice is None else f"Speaker {numbers[voice]}") for segment, voice in placed)
    speakers = tuple(
        Speaker(id=f"speaker-{number}", name=f"Speaker {number}", voice_s=round(heard.seconds(voice), 3))
        for voice, number in numbers.items()
    )
    if people is not None:
        limits, enrolled = engine.voice_thresholds, Enrolled(known, *space)
        heard_as = {
            f"Speaker {number}": whose(heard.mean(voice), heard.seconds(voice), enrolled, limits)
            for voice, number in numbers.items()
            if limits
        }
        turns = [_turn(line, heard, enrolled, limits) for line in lines]
        lines, speakers = _with_names(lines, turns, speakers, people, heard_as, pictures=pictures)
    return Lines(lines, speakers, _left_out(len(found) - len(comparable), len(found)), space[0])


def _turn(line: Line, heard: Heard, enrolled: Enrolled, limits: VoiceThresholds | None) -> Turn:
    start, end = line.segment.start_s, line.segment.end_s
    alone = heard.between(start, end)
    alike = frozenset[str]() if alone is None or limits is None else like(alone, enrolled, limits)
    return Turn(start, end, line.speaker, alike)


def _with_names(
    lines: tuple[Line, ...],
    turns: Sequence[Turn],
    speakers: tuple[Speaker, ...],
    people: Sequence[Person],
    heard_as: Mapping[str, HeardAs],
    *,
    pictures: bool,
) -> tuple[tuple[Line, ...], tuple[Speaker, ...]]:
    """Rename each voice that belongs to a person; two voices of one person become one."""
    joined = join(turns, people, heard_as, pictures=pictures)
    found: dict[str, Speaker] = {}
    for speaker in speakers:
        named = _introduced(speaker, joined.voices.get(speaker.name, Named()))
        before = found.get(named.name)
        if before:
            named = before.model_copy(
                update={
                    "voice_s": round(before.voice_s + named.voice_s, 3),
                    "confidence": min(before.confidence, named.confidence),
                    "reasons": tuple(dict.fromkeys((*before.reasons, *named.reasons))),
                }
            )
        found[named.name] = named
    names = {voice: named.name for voice, named in joined.voices.items() if named.identity == "known"}
    return (
        tuple(
            # If somebody else's mouth moves in a line of a named voice, the line has no speaker.
            replace(
                line,
                said_by=by,
                speaker=None if line.speaker in names and not by.name else names.get(line.speaker or "", line.speaker),
            )
            for line, by in zip(lines, joined.lines, strict=True)
        ),
        tuple(found.values()),
    )


def _introduced(speaker: Speaker, named: Named) -> Speaker:
    known = named.identity == "known"
    return speaker.model_copy(
        update={
            "name": named.name if known else speaker.name,
            "identity": named.identity,
            "maybe": None if known else named.name,
            "confidence": named.confidence,
            "reasons": named.reasons,
        }
    )


def _left_out(count: int, of: int) -> tuple[Notice, ...]:
    if not count:
        return ()
    message = f"{count} of {of} chunks of sound have voices of another model, or none; they are left out"
    return (Notice(code="mixed_models", message=message),)


def _chunk(unit: AudioUnit, voices: Voices) -> Chunk:
    windows = [(start + unit.start_s, end + unit.start_s) for start, end in voices.windows]
    return Chunk(windows, voices.vectors())


# --- words to voices ----------------------------------------------------------------------------


def _placed(segments: Sequence[Segment], heard: Heard) -> list[tuple[Segment, int | None]]:
    """All segments with their voices, cut where the voice changes."""
    pieces = [_split(segment, heard) for segment in segments]
    placed = [piece for group in pieces for piece in group]
    whole = [len(group) == 1 for group in pieces for _ in group]
    borrowed = [is_whole and _is_borrowed(at, placed, heard) for at, is_whole in enumerate(whole)]
    return [(piece, None if lent else voice) for (piece, voice), lent in zip(placed, borrowed, strict=True)]


def _is_borrowed(at: int, placed: Sequence[tuple[Segment, int | None]], heard: Heard) -> bool:
    """Whether a line may have its voice from the line that follows (or precedes) it in its only window.

    It may as well be the end (or the beginning) of what another voice says on the other side.
    """
    line, voice = placed[at]
    window = heard.only_window(line.start_s, line.end_s)
    if voice is None or window is None:
        return False
    start, end = window
    if min(end, line.end_s) - max(start, line.start_s) >= _OWN * (end - start):
        return False
    follows = end - line.end_s > line.start_s - start
    lender, other = (at + 1, at - 1) if follows else (at - 1, at + 1)
    if not (0 <= lender < len(placed) and 0 <= other < len(placed)):
        return False
    pause = line.start_s - placed[other][0].end_s if follows else placed[other][0].start_s - line.end_s
    return placed[lender][1] == voice != placed[other][1] and pause < _SOON_S


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
    """The voice of each word, by its index. Words outside the measured windows go with the nearest word inside."""
    middles = [(word.start_s + word.end_s) / 2 for word in words]
    known = [at for at, moment in enumerate(middles) if heard.within(moment)]
    if not known:
        return [(at, None) for at in range(len(words))]
    nearest = [min(known, key=lambda each: (abs(middles[each] - moment), each)) for moment in middles]
    voices = [heard.at(middles[at]) for at in nearest]
    agreed = [heard.agreed(middles[at]) for at in nearest]
    return list(enumerate(_without_islands(voices, words, agreed, heard)))


def _without_islands(
    voices: list[int | None], words: Sequence[Word], agreed: Sequence[bool], heard: Heard
) -> list[int | None]:
    runs = [list(group) for _, group in groupby(range(len(voices)), key=lambda at: voices[at])]
    smooth = list(voices)
    for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
        brief = words[run[-1]].end_s - words[run[0]].start_s < _ISLAND_S
        if brief and voices[before[0]] == voices[after[0]]:
            smooth[run[0] : run[-1] + 1] = [voices[before[0]]] * len(run)
    runs = [list(group) for _, group in groupby(range(len(smooth)), key=lambda at: smooth[at])]
    for run in runs:
        start, end = words[run[0]].start_s, words[run[-1]].end_s
        # Otherwise the whole run may belong to the previous or the next voice.
        told = any(agreed[at] for at in run) and heard.judged(start, end)
        if told and len(runs) > 1 and (window := heard.only_window(start, end)):
            told = end - start >= _MOSTLY * (window[1] - window[0])
        if not told:
            smooth[run[0] : run[-1] + 1] = [None] * len(run)
    return smooth
