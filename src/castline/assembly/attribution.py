"""Who says a line: combines voices, the faces on screen meanwhile, and moving mouths. Pure.

A name is given to a voice, not to a line. The voice must be enrolled and known; or it must resemble the enrolled voice
of a person whose mouth moves with it and rests while others speak. Nothing may contradict. A mouth alone gives only a
``maybe``, because a dubbed film looks the same (docs/VOICES.md). So does a face that is merely on screen: cameras also
show listeners, and anybody may narrate over a silent face.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from castline.recognition.mouths import MOVES, RESTS
from castline.records import Attribution, Box, Identity, Person, Range, Speaking, SpeakingFace, Track, merge_ranges

Spans = list[tuple[float, float]]

_SAME_PLACE = 0.3  # intersection over union of the box that was watched and the face of the track
# A mouth names a voice if it was watched for so long in so many of its lines, moves for so much of that, nobody else's
# moves for more than that, and, if watched for so long while others speak, moves for no more than that. Of most lines,
# one second is watched.
_WATCHED_S, _LINES, _WITH, _ANOTHER = 1.5, 2, 0.8, 0.1
_COMPARED_S, _WITHOUT = 1.5, 0.2
_UNHEARD = "no enrolled voice confirms it"
# Reasons that contain a name; `names_told` reads it back.
_UNLIKE = "the voice is not like that of {}"
_LIKE = "the voice is like that of {}"
_OWN = "the voice is that of {}"
_UNLIKE_SHOWN = "the voice is not like that of {}, who is on screen"
_WHOSE, _GLANCE_S = 0.5, 0.4  # of the watched part of a line, in which a mouth moves or rests; less is inconclusive
# A face may belong to a voice if the voice speaks for so long in so many lines, the face is on screen for so much of
# that, nobody else is for more than that, and it is for no more than that while others speak.
_HEARD_S, _ON, _TWO, _ELSEWHERE = 5.0, 0.9, 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Turn:
    """A line and its voice.

    Attributes:
        voice: ``Speaker 1`` …; None if the voice could not be determined.
        like: people whose enrolled voices this line by itself resembles.
    """

    start_s: float
    end_s: float
    voice: str | None
    like: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HeardAs:
    """How a voice compares with the enrolled ones.

    Attributes:
        name: the person whose voice is most similar; None for nobody enrolled.
        confidence: 0..1 that the name is right; 0 if unknown.
        against: people whose enrolled voice this one does not resemble.
    """

    identity: Identity = "unknown"
    name: str | None = None
    confidence: float = 0.0
    against: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Named:
    """The person a voice belongs to.

    Attributes:
        identity: ``known`` for a name, ``ambiguous`` for a ``maybe``.
        dubbed: whether a mouth moves with it although the owner's enrolled voice is a different one.
    """

    identity: Identity = "unknown"
    name: str | None = None
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()
    dubbed: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """Attributes:
    voices: by the voice's name.
    lines: one for each turn.
    """

    voices: Mapping[str, Named] = field(default_factory=dict)
    lines: tuple[Attribution, ...] = ()


def join(
    turns: Sequence[Turn], people: Sequence[Person], heard_as: Mapping[str, HeardAs], *, pictures: bool = True
) -> Joined:
    """Find out whose the voices are, and who says each line.

    Args:
        turns: all lines in order of time.
        people: everybody on screen; their tracks contain what was seen of their mouths, if anything.
        heard_as: how the voices compare with the enrolled ones; a voice without an entry is unknown.
        pictures: whether there are any pictures; without them, nobody is off screen.
    """
    seen = [_Seen(person) for person in people]
    names = dict.fromkeys(turn.voice for turn in turns if turn.voice)
    voices = {
        voice: _unless_contradicted(voice, _named(voice, turns, seen, heard_as.get(voice, HeardAs())), turns, seen)
        for voice in names
    }
    dubbed = any(named.dubbed for named in voices.values())
    if dubbed:
        voices = {voice: _unless_seen_alone(named, heard_as.get(voice, HeardAs())) for voice, named in voices.items()}
    lines = (_line(turn, voices, seen, pictures=pictures, believed=not dubbed) for turn in turns)
    return Joined(voices, tuple(lines))


def watched(people: Sequence[Person], faces: Iterable[SpeakingFace]) -> tuple[Person, ...]:
    """Assign what was seen of mouths to people's tracks, by time and position.

    A face that fits no track, or two equally well, is left out.
    """
    tracks = [track for person in people for track in person.tracks]
    found: dict[str, list[Speaking]] = {}
    for face in sorted(faces, key=lambda each: (each.start_s, each.end_s, each.box)):
        middle = (face.start_s + face.end_s) / 2
        there = [
            track.id
            for track in tracks
            if track.start_s <= middle <= track.end_s and same_place(_box_at(track, middle), face.box)
        ]
        if len(there) == 1:
            seen = Speaking(start_s=face.start_s, end_s=face.end_s, score=face.score, engine=face.engine)
            found.setdefault(there[0], []).append(seen)
    if not found:
        return tuple(people)
    return tuple(
        person.model_copy(
            update={
                "tracks": tuple(
                    track.model_copy(update={"speaking": tuple(found[track.id])}) if track.id in found else track
                    for track in person.tracks
                )
            }
        )
        for person in people
    )


def _box_at(track: Track, time_s: float) -> Box:
    return min(track.sightings, key=lambda each: (abs(each.time_s - time_s), each.time_s)).box


def names_told(reason: str) -> set[str]:
    """The names in a reason, of which there is one at most; a name that ends like a reason of ours gives two."""
    parts = (each.split("{}") for each in (_UNLIKE, _LIKE, _OWN, _UNLIKE_SHOWN))
    return {
        reason[len(before) : len(reason) - len(after)]
        for before, after in parts
        if reason.startswith(before) and reason.endswith(after)
    }


def same_place(one: Box, other: Box) -> bool:
    """Whether a watched box and a face are at the same place."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - width * height
    return both > 0 and width * height / both >= _SAME_PLACE


class _Seen:
    """When somebody is on screen, when the mouth is watched, moves and rests."""

    def __init__(self, person: Person) -> None:
        self.id, self.name, self.known = person.id, person.name, person.identity == "known"
        self.on = _spans(person.ranges)
        looks = [look for track in person.tracks for look in track.speaking]
        self.watched = _spans(looks)
        self.moves = _spans(look for look in looks if look.score >= MOVES)
        self.rests = _spans(look for look in looks if look.score <= RESTS)

    def moves_in(self, line: Spans) -> bool:
        """Whether the mouth moves in most of the watched part of a line."""
        return self._mostly(self.moves, line)

    def rests_in(self, line: Spans) -> bool:
        return self._mostly(self.rests, line)

    def _mostly(self, what: Spans, line: Spans) -> bool:
        watched = _both(self.watched, line)
        return _length(watched) >= min(_GLANCE_S, _length(line)) and _share(what, watched) >= _WHOSE


def _spans(items: Iterable[Range | Speaking | Turn]) -> Spans:
    return merge_ranges([(item.start_s, item.end_s) for item in items])


def _length(spans: Spans) -> float:
    return sum(end - start for start, end in spans)


def _both(one: Spans, other: Spans) -> Spans:
    """The intersection of two lists of spans, each sorted and without overlaps."""
    found: Spans = []
    at = 0
    for start, end in one:
        while at < len(other) and other[at][1] <= start:
            at += 1
        for first, last in other[at:]:
            if first >= end:
                break
            found.append((max(start, first), min(end, last)))
    return found


def _share(spans: Spans, of: Spans) -> float:
    total = _length(of)
    return _length(_both(spans, of)) / total if total else 0.0


# --- a voice ------------------------------------------------------------------------------------


def _named(voice: str, turns: Sequence[Turn], seen: Sequence[_Seen], heard: HeardAs) -> Named:
    own = [turn for turn in turns if turn.voice == voice]
    others = [turn for turn in turns if turn.voice not in (voice, None)]
    mouth = _by_mouth(own, others, seen)
    if mouth.name in heard.against:
        return Named(reasons=(*mouth.reasons, _UNLIKE.format(mouth.name)), dubbed=True)
    if heard.identity == "known":
        if mouth.name not in (None, heard.name):
            return Named(reasons=(*mouth.reasons, _LIKE.format(heard.name)), dubbed=True)
        why = (_OWN.format(heard.name), *(mouth.reasons if mouth.name else ()))
        return Named("known", heard.name, max(heard.confidence, mouth.confidence if mouth.name else 0.0), why)
    if heard.identity == "ambiguous":
        like = _LIKE.format(heard.name)
        if mouth.name not in (None, heard.name):
            return Named(reasons=(*mouth.reasons, like))
        if mouth.identity == "known":
            return replace(mouth, reasons=(like, *mouth.reasons))
        return Named("ambiguous", heard.name, heard.confidence, (like,))
    if mouth.identity == "known":
        return replace(mouth, identity="ambiguous", reasons=(*mouth.reasons, _UNHEARD))
    if mouth.name or mouth.reasons:
        return mouth
    face = _by_face(own, others, seen)
    if face.name in heard.against:
        return Named(reasons=(_UNLIKE_SHOWN.format(face.name),))
    return face


def _unless_contradicted(voice: str, named: Named, turns: Sequence[Turn], seen: Sequence[_Seen]) -> Named:
    """Withdraw a name that mouths contradict in most of what the voice says; the voice itself stays."""
    own = [turn for turn in turns if turn.voice == voice]
    against = [turn for turn in own if named.name and _another_moves(named.name, turn, seen)]
    if _length(_spans(against)) <= _WHOSE * _length(_spans(own)):
        return named
    return Named(reasons=(*named.reasons, "in most of its lines, another mouth moves"))


def _unless_seen_alone(named: Named, heard: HeardAs) -> Named:
    """If one mouth in a film moves with a voice that is not its owner's, no mouth and no face is evidence any more."""
    if named.identity != "ambiguous" or heard.identity != "unknown":
        return named
    return Named(reasons=(*named.reasons, "another mouth in this film moves with a voice that is not its owner's"))


def _another_moves(name: str, turn: Turn, seen: Sequence[_Seen]) -> bool:
    """Whether another known person's mouth moves, or anybody's while the person of this name is on screen and rests.

    Not if the line by itself sounds like this person: people chew, nod and laugh while others speak.
    """
    if name in turn.like:
        return False
    line = _spans([turn])
    there = [each for each in seen if _both(each.on, line)]
    movers = [each for each in there if each.moves_in(line)]
    if any(each.name == name for each in movers):
        return False
    return any(each.known for each in movers) or bool(movers and any(each.name == name for each in there))


def _by_mouth(own: Sequence[Turn], others: Sequence[Turn], seen: Sequence[_Seen]) -> Named:
    """The person whose mouth moves with a voice; without a reason if nobody was watched for long enough.

    ``known`` means that everything visible agrees, which is also the case in a dubbed film.
    """
    voice, rest = _spans(own), _spans(others)
    looked = [each for each in seen if _length(_both(each.watched, voice)) >= _WATCHED_S]
    if not looked:
        return Named()
    best = max(looked, key=lambda each: (_length(_both(each.moves, voice)), each.id))
    moves = _share(best.moves, _both(best.watched, voice))
    if moves < _WITH:
        return Named(reasons=("no mouth on screen moves with the voice",))
    watched_voice = _both(merge_ranges([span for each in seen for span in each.watched]), voice)
    another = max((_share(each.moves, watched_voice) for each in seen if each is not best), default=0.0)
    if another > _ANOTHER:
        return Named(reasons=("more than one mouth moves with the voice",))
    if not best.known:
        return Named(reasons=("the face whose mouth moves with the voice is not known",))
    found = Named("ambiguous", best.name, round(moves, 3), (f"the mouth moves for {moves:.0%} of what the voice says",))
    compared = _both(best.watched, rest)
    if sum(_length(_both(best.moves, _spans([turn]))) > 0 for turn in own) < _LINES:
        return replace(found, reasons=(*found.reasons, "in one line only"))
    if _length(compared) < _COMPARED_S:
        return replace(found, reasons=(*found.reasons, "nobody else is heard while the face is on screen"))
    elsewhere = _share(best.moves, compared)
    if elsewhere > _WITHOUT:
        return Named(reasons=(f"the mouth moves for {elsewhere:.0%} of what others say, too",))
    return replace(found, identity="known", reasons=(*found.reasons, f"and for {elsewhere:.0%} of what others say"))


def _by_face(own: Sequence[Turn], others: Sequence[Turn], seen: Sequence[_Seen]) -> Named:
    """The known face that fits a voice, if exactly one does; a guess."""
    if not seen:
        return Named()
    voice, rest = _spans(own), _spans(others)
    shares = sorted(((_share(each.on, voice), each.id, each) for each in seen), key=lambda item: (-item[0], item[1]))
    share, best = shares[0][0], shares[0][2]
    second = shares[1][0] if len(shares) > 1 else 0.0
    elsewhere = _share(best.on, rest)
    checks = (
        (_length(voice) < _HEARD_S or len(own) < _LINES, "the voice says too little"),
        (_length(rest) < _HEARD_S or len(others) < _LINES, "nobody else says enough to compare with"),
        (share < _ON, "no face is on screen whenever the voice is heard"),
        (second > _TWO, "more than one face is on screen with the voice"),
        (elsewhere > _ELSEWHERE, "the face is on screen when others speak, too"),
        (not best.known, "the face is not known"),
    )
    if against := tuple(reason for applies, reason in checks if applies):
        return Named(reasons=against)
    during = f"the face is on screen during {share:.0%} of what the voice says and {elsewhere:.0%} of what others say"
    return Named("ambiguous", best.name, round(share, 3), (during,))


# --- a line -------------------------------------------------------------------------------------


def _line(
    turn: Turn, voices: Mapping[str, Named], seen: Sequence[_Seen], *, pictures: bool, believed: bool
) -> Attribution:
    line = _spans([turn])
    named = voices.get(turn.voice or "", Named())
    there = [each for each in seen if _both(each.on, line)]
    movers = [each for each in there if each.moves_in(line)]
    if named.name:
        if _another_moves(named.name, turn, seen):
            return Attribution(outcome="unknown", reasons=(*named.reasons, "in this line, another mouth moves"))
        outcome = "says" if named.identity == "known" else "maybe"
        return Attribution(outcome=outcome, name=named.name, confidence=named.confidence, reasons=named.reasons)
    if believed and turn.voice is None and len(movers) == 1 and movers[0].known:
        moves = round(_share(movers[0].moves, _both(movers[0].watched, line)), 3)
        why = (
            "the voice speaks too briefly to be determined",
            f"the mouth moves for {moves:.0%} of what is watched of the line",
        )
        return Attribution(outcome="maybe", name=movers[0].name, confidence=moves, reasons=why)
    if pictures and not there:
        return Attribution(outcome="off_screen", reasons=("no face is on screen",))
    if there and all(each.rests_in(line) for each in there):
        return Attribution(outcome="off_screen", reasons=("no mouth on screen moves",))
    return Attribution(outcome="unknown", reasons=named.reasons)
