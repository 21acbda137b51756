"""What all records share, and the words of their fields."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from castline.errors import CastlineError

SCHEMA_VERSION = 2

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Sampling = Literal["auto", "interval", "keyframes"]
Status = Literal["complete", "partial", "failed"]
#: How far a face's looks can be trusted (``faces/grade.py``).
Grade = Literal["clear", "poor", "useless"]
Identity = Literal["known", "ambiguous", "unknown"]
NoticeCode = Literal[
    "damaged_input",  # decoded as far as possible
    "no_frames",  # a video stream that gave no picture
    "no_sound",  # an audio stream that gave no sound
    "short_decode",  # less could be decoded than the file says there is
    "streams_passed_over",  # of several pictures or sound tracks one was taken
    "stream_unreadable",  # pictures or sound that no decoder can read
    "one_frame",  # one picture stands for a long video
    "capped",  # more than a limit on length, frames or units
    "channels_cancel",  # the channels cancel each other when mixed: one was taken
    "nothing_heard",  # there is sound, and no word in it
    "no_speech_engine",  # nobody listened
    "option_ignored",  # the engine cannot do what was asked, and its words are only worse for it
    "words_cut",  # a prompt or hot words that did not fit
    "language_guessed",  # more is spoken than the language the engine knows
    "speech_not_read",  # somebody speaks, and no engine could tell what
    "mixed_models",  # parts of another model than most were left out
    "gallery_photo",  # a photo nobody can be known by
]


class Record(BaseModel):
    """Base of all records: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON with fields in declaration order: equal records give equal bytes."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        return cls.model_validate_json(data)


class Notice(Record):
    """Why a result is worth less than it looks. What could be done was done.

    Attributes:
        start_s, end_s: seconds of the media it is about; relative to the chunk inside a part; None for all of it.
        about: key of the object it is about, where that is not the media.
    """

    code: NoticeCode
    message: str
    start_s: float | None = None
    end_s: float | None = None
    about: str = ""

    def __str__(self) -> str:
        return self.message


class Failure(Record):
    """Why something ended without its result."""

    code: str
    message: str
    detail: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, CastlineError):
            return cls(code=error.code, message=error.message, detail=error.detail[-4000:])
        return cls(code="internal", message=f"{type(error).__name__}: {error}"[:500])
