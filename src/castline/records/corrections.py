"""``corrections.json``: people's corrections of a recording, beside its result and never inside it.

The object is the history: a list of changes. The corrections in force are those that changes added and none removed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from castline.records.base import Count, Record, Seconds
from castline.records.result import Range, Sighting

#: Limits: characters of a line, lines of a correction, changes of a recording, and bytes of all of them.
MAX_TEXT, MAX_LINES, MAX_CHANGES, MAX_BYTES = 5000, 100, 20_000, 16 * 1024 * 1024
_MAX_SEEN = 2000


class HeardLine(Record):
    """A line as it was in the result when it was corrected, by which the correction finds its place again."""

    start_s: Seconds
    end_s: Seconds
    text: str


class SaidLine(Record):
    """A corrected line. Its times are those of its words.

    Attributes:
        speaker: None keeps the original voice.
    """

    text: str = Field(max_length=MAX_TEXT)
    speaker: str | None = Field(None, max_length=200)


class LinesCorrection(Record):
    """Lines that replace others: the same number changes words, more or fewer change the cuts, none deletes.

    Attributes:
        id: number of the change that made it.
    """

    kind: Literal["lines"] = "lines"
    id: str
    heard: tuple[HeardLine, ...] = Field(min_length=1, max_length=MAX_LINES)
    said: tuple[SaidLine, ...] = Field(max_length=MAX_LINES)


class VoiceCorrection(Record):
    """The name of a voice of the recording.

    Attributes:
        was: the voice as the result calls it.
        at: when it speaks: its longest lines.
    """

    kind: Literal["voice"] = "voice"
    id: str
    was: str
    name: str = Field(max_length=200)
    at: tuple[Range, ...] = Field(min_length=1, max_length=MAX_LINES)


class FacesCorrection(Record):
    """Whose faces these are, in this recording only.

    Attributes:
        was: the original name; empty if that person was forgotten.
        holds: whether they are ``name`` or are not.
        seen: when and where the faces are: first, middle and last sighting of each appearance.
    """

    kind: Literal["faces"] = "faces"
    id: str
    was: str
    name: str = Field(max_length=200)
    holds: bool = True
    seen: tuple[Sighting, ...] = Field(min_length=1, max_length=_MAX_SEEN)


Correction = Annotated[LinesCorrection | VoiceCorrection | FacesCorrection, Field(discriminator="kind")]


class Change(Record):
    """Attributes:
    who: the user of ``castline serve``, or of the machine.
    removed: ids of corrections that are no longer in force.
    added: corrections that are in force from now on; if the change undoes another one, those that the other one
        removed.
    undoes: number of the change that is undone.
    """

    number: Count
    who: str
    when: datetime
    removed: tuple[str, ...] = ()
    added: tuple[Correction, ...] = ()
    undoes: Count | None = Field(None, exclude_if=lambda number: number is None)


class Corrections(Record):
    """``corrections.json``, schema version 1."""

    schema_version: Literal[1] = 1
    media: str
    changes: tuple[Change, ...] = Field((), max_length=MAX_CHANGES)

    def now(self) -> tuple[Correction, ...]:
        """The corrections in force, in the order in which they were made."""
        held: dict[str, Correction] = {}
        for change in self.changes:
            for gone in change.removed:
                held.pop(gone, None)
            held |= {each.id: each for each in change.added}
        return tuple(held.values())


def corrections_schema() -> dict[str, Any]:
    """JSON Schema of ``corrections.json`` (draft 2020-12), as committed in docs/."""
    schema = Corrections.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
