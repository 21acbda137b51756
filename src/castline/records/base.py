"""What all records share, and the words of their fields."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from castline.errors import CastlineError

SCHEMA_VERSION = 1

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Sampling = Literal["auto", "interval", "keyframes"]
Status = Literal["complete", "partial", "failed"]
Identity = Literal["known", "ambiguous", "unknown"]


class Record(BaseModel):
    """Base of all records: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON with fields in declaration order: equal records give equal bytes."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        return cls.model_validate_json(data)


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
