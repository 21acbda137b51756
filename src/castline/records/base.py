"""The base of all records, and the types of their fields."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticSerializationError

from castline.errors import CastlineError, UnreadableObject
from castline.records.reading import read_record

SCHEMA_VERSION = 2

# Thirty years. Sums, products and roundings of times within this limit always fit a float or 64 bits.
Seconds = Annotated[float, Field(ge=-1e9, le=1e9)]
Milliseconds = Annotated[int, Field(ge=-(10**12), le=10**12)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Count = Annotated[int, Field(ge=0, le=10**15)]
# For messages, which quote others' text: lone surrogates are replaced, so that the message can always be written.
Message = Annotated[str, BeforeValidator(lambda text: str(text).encode(errors="replace").decode())]
Fraction = Annotated[float, Field(ge=0, le=1)]
Box = tuple[Fraction, Fraction, Fraction, Fraction]
Point = tuple[Fraction, Fraction]
Status = Literal["complete", "partial", "failed"]
#: How far a face's appearance can be trusted (``recognition/grade.py``).
Grade = Literal["clear", "degraded", "poor", "useless"]
Identity = Literal["known", "ambiguous", "unknown"]
NoticeCode = Literal[
    "damaged_input",  # decoded as far as possible
    "no_frames",  # a video stream that gave no picture
    "no_sound",  # an audio stream that gave no sound
    "range_missing",  # a range of a recording that was cut into ranges is missing
    "short_decode",  # less could be decoded than the file claims to contain
    "stretch_missing",  # no pictures or no sound for a long time in the middle
    "recordings_passed_over",  # others follow in the file, of which only the first is read
    "streams_passed_over",  # one of several video streams or sound tracks was chosen
    "stream_unreadable",  # pictures or sound that no decoder can read
    "one_frame",  # one picture stands for a long video
    "capped",  # more than a limit on length, frames or units
    "channels_cancel",  # the channels cancel each other when mixed: one was used
    "noisy_channel",  # one channel is loud noise: the other one was used
    "nothing_heard",  # there is sound, but no word in it
    "no_speech_engine",  # no speech was transcribed
    "option_ignored",  # the engine cannot do what was requested, which only makes the words worse
    "words_cut",  # a prompt or hot words that did not fit
    "no_voices",  # voices are not told apart
    "no_mouths",  # mouths are not watched
    "mouths_capped",  # more lines with faces than can be watched
    "mouths_missing",  # small pictures of mouths are gone or damaged
    "language_guessed",  # other languages may be spoken than the one the engine knows
    "speech_not_read",  # somebody speaks, but nothing could be transcribed
    "mixed_models",  # parts of another model than most were left out
    "gallery_photo",  # a photo that cannot be used
    "correction_left",  # in views only: a correction no longer fits anything
]


class Record(BaseModel):
    """Base of all records: immutable, strict about field names, with finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON with fields in declaration order: equal records give equal bytes.

        Raises:
            UnreadableObject: it contains a lone surrogate, so it could not be read again.
        """
        try:
            return self.model_dump_json().encode()
        except PydanticSerializationError as error:
            raise UnreadableObject(f"{type(self).__name__} cannot be written: {error}") from error

    @classmethod
    def from_json(cls, data: bytes | str, name: str = "") -> Self:
        """Read a record.

        Args:
            name: what the error calls it.

        Raises:
            UnreadableObject: as ``read_record``.
        """
        return read_record(cls, data, name)


class Notice(Record):
    """Why a result is incomplete or degraded; everything else was done.

    Attributes:
        start_s, end_s: seconds of the media it is about, relative to the chunk inside a part; None for all of it.
        about: key of the object, or ``pictures`` or ``sound``, if it is not about all of the media.
    """

    code: NoticeCode
    message: Message
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    about: str = ""

    def __str__(self) -> str:
        return self.message


class Failure(Record):
    """Why something ended without its result."""

    code: str
    message: Message
    detail: Message = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, CastlineError):
            return cls(code=error.code, message=error.message, detail=error.detail[-4000:])
        return cls(code="internal", message=f"{type(error).__name__}: {error}"[:500])
