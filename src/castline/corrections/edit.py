"""Turns a requested edit into corrections to add and corrections to remove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from castline import keys
from castline.corrections.apply import Corrected
from castline.corrections.bind import letters
from castline.corrections.said import names_in
from castline.cues import clean
from castline.errors import CastlineError, CorrectionError
from castline.records import (
    Change,
    Correction,
    Corrections,
    FacesCorrection,
    HeardLine,
    LinesCorrection,
    Range,
    SaidLine,
    Sighting,
    Track,
    VoiceCorrection,
)
from castline.records.corrections import MAX_LINES, MAX_TEXT

_ANCHORS = 600  # appearances of one person that are stored, three sightings each


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that has not been made yet.

    Attributes:
        removed: ids of corrections.
        added: without their ids.
        undoes: number of the change that is undone.
    """

    removed: tuple[str, ...] = ()
    added: tuple[Correction, ...] = ()
    undoes: int | None = None


def change_lines(view: Corrected, corrections: Corrections, first: int, last: int, said: Sequence[SaidLine]) -> Draft:
    """Replace some of the shown lines by others, or by none to remove them.

    A correction that includes one of the lines is removed, and its other lines are carried over into the new one. Lines
    that end up as transcribed need no correction.

    Args:
        first, last: numbers of lines in ``view.lines``, both included.

    Raises:
        CorrectionError: no words, too many, or an impossible name.
    """
    wanted = tuple(_line(each) for each in said)
    ids = {line.correction for line in view.lines[first : last + 1]} - {""}
    while first > 0 and view.lines[first - 1].correction in ids:
        first -= 1
        wanted = (_kept(view, first), *wanted)
    while last + 1 < len(view.lines) and view.lines[last + 1].correction in ids:
        last += 1
        wanted = (*wanted, _kept(view, last))
    heard = tuple(dict.fromkeys(each for line in view.lines[first : last + 1] for each in line.heard))
    if max(len(heard), len(wanted)) > MAX_LINES:
        raise CorrectionError(f"one correction is about {MAX_LINES} lines at most")
    voices = {segment.speaker for segment in heard}
    if len(voices) == 1:  # then it is the voice's name, and changes with it
        wanted = tuple(line.model_copy(update={"speaker": None}) if line.speaker in voices else line for line in wanted)
    as_heard = tuple(SaidLine(text=segment.text.strip()) for segment in heard)
    if wanted == as_heard and not any(segment.suspect for segment in heard):
        return Draft(removed=tuple(sorted(ids)))
    lines = tuple(HeardLine(start_s=each.start_s, end_s=each.end_s, text=each.text) for each in heard)
    return Draft(tuple(sorted(ids)), (LinesCorrection(id="", heard=lines, said=wanted),))


def _kept(view: Corrected, number: int) -> SaidLine:
    line = view.lines[number]
    return SaidLine(text=line.segment.text, speaker=line.segment.speaker)


def _line(said: SaidLine) -> SaidLine:
    text = clean(said.text)
    if not letters(text):
        raise CorrectionError("a line needs words; remove it instead, if nobody says it")
    if len(text) > MAX_TEXT:
        raise CorrectionError(f"a line has {MAX_TEXT} characters at most")
    return SaidLine(text=text, speaker=_name(said.speaker) if said.speaker else None)


def name_voice(view: Corrected, corrections: Corrections, shown: str, name: str) -> Draft:
    """Another name for a voice, in all lines that it says.

    Raises:
        CorrectionError: no line is said by ``shown``, or the name is impossible.
    """
    name = _name(name)
    removed: list[str] = []
    added: list[Correction] = []
    voice = (view.voices or {}).get(shown)
    for each in corrections.now():
        if isinstance(each, VoiceCorrection) and each.name == shown:
            removed.append(each.id)
        elif isinstance(each, LinesCorrection) and any(line.speaker == shown for line in each.said):
            lines = tuple(
                line.model_copy(update={"speaker": name}) if line.speaker == shown else line for line in each.said
            )
            added.append(each.model_copy(update={"said": lines}))
            removed.append(each.id)
    heard = [each for line in view.lines for each in line.heard if each.speaker == shown]
    if voice is not None and heard and name != voice:
        spans = sorted({(each.start_s, each.end_s) for each in heard}, key=lambda span: span[0] - span[1])[:MAX_LINES]
        at = tuple(Range(start_s=start, end_s=end) for start, end in sorted(spans))
        added.append(VoiceCorrection(id="", was=voice, name=name, at=at))
    if not removed and not added:
        raise CorrectionError(f"no line is said by {shown}")
    return Draft(tuple(removed), tuple(added))


def name_faces(
    view: Corrected, person: str, name: str, *, holds: bool = True, tracks: Sequence[str] | None = None
) -> Draft:
    """Give somebody in this recording a name, or say that they are not the named person.

    Args:
        person: id of the person as shown.
        tracks: ids of the appearances it is about; all by default.

    Raises:
        CorrectionError: there is no such person or appearance, or the name is impossible.
    """
    found = next((each for each in view.result.people if each.id == person), None)
    if found is None:
        raise CorrectionError(f"nobody in {view.result.media} is called {person!r}")
    chosen = [track for track in found.tracks if tracks is None or track.id in tracks]
    if not chosen:
        raise CorrectionError(f"none of these appearances of {found.name} is left")
    known = (found.name, *(candidate.name for candidate in found.candidates))
    name = _name(name) if holds else keys.spelled(name)
    if not holds and name not in known:
        raise CorrectionError(f"nobody took {found.name} for {name}")
    seen = tuple(sighting for track in chosen[:_ANCHORS] for sighting in _anchors(track))
    return Draft(added=(FacesCorrection(id="", was=found.name, name=name, holds=holds, seen=seen),))


def _anchors(track: Track) -> list[Sighting]:
    all_ = track.sightings
    return [all_[at] for at in sorted({0, len(all_) // 2, len(all_) - 1})] if all_ else []


def not_undone(corrections: Corrections) -> list[Change]:
    """Changes that can be undone, oldest first."""
    gone = {change.undoes for change in corrections.changes}
    return [change for change in corrections.changes if change.undoes is None and change.number not in gone]


def take_back(corrections: Corrections) -> Draft:
    """Undo the last change that has not been undone yet.

    Raises:
        CorrectionError: there is nothing to undo.
    """
    found = not_undone(corrections)
    if not found:
        raise CorrectionError("there is nothing to undo")
    change = found[-1]
    everything = {each.id: each for earlier in corrections.changes for each in earlier.added}
    back = tuple(everything[id_] for id_ in change.removed if id_ in everything)
    return Draft(tuple(each.id for each in change.added), back, change.number)


def withdraw(corrections: Corrections, correction: str) -> Draft:
    """Withdraw one correction.

    Raises:
        CorrectionError: it is not in force now.
    """
    if all(each.id != correction for each in corrections.now()):
        raise CorrectionError(f"there is no correction {correction!r} any more")
    return Draft(removed=(correction,))


def without_name(corrections: Corrections, name: str) -> Corrections:
    """The corrections as if this name had never been given; spoken words stay."""
    changes, dropped = [], set[int]()
    for change in corrections.changes:
        added = tuple(kept for each in change.added if (kept := _without(each, name)) is not None)
        if change.undoes in dropped or (change.added and not added and not change.removed):
            dropped.add(change.number)
            continue
        changes.append(change.model_copy(update={"added": added}))
    return corrections.model_copy(update={"changes": tuple(changes)})


def with_name(corrections: Corrections, old: str, new: str) -> Corrections:
    """The corrections after somebody was renamed: a face that is not Ada is not Ada King either."""
    changes = tuple(
        change.model_copy(update={"added": tuple(_called(each, old, new) for each in change.added)})
        for change in corrections.changes
    )
    return corrections.model_copy(update={"changes": changes})


def _called(correction: Correction, old: str, new: str) -> Correction:
    if old not in names_in(correction):
        return correction
    if isinstance(correction, LinesCorrection):
        said = (line.model_copy(update={"speaker": new}) if line.speaker == old else line for line in correction.said)
        return correction.model_copy(update={"said": tuple(said)})
    names = {"name": correction.name, "was": correction.was}
    return correction.model_copy(update={key: new if name == old else name for key, name in names.items()})


def _without(correction: Correction, name: str) -> Correction | None:
    if name not in names_in(correction):
        return correction
    if isinstance(correction, LinesCorrection):
        said = (line.model_copy(update={"speaker": None}) if line.speaker == name else line for line in correction.said)
        return correction.model_copy(update={"said": tuple(said)})
    return correction.model_copy(update={"was": ""}) if correction.name != name else None


def _name(name: str) -> str:
    try:
        return keys.check_person_name(name)
    except CastlineError as error:
        raise CorrectionError(error.message) from error
