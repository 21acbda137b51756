"""The one border between untrusted bytes and our records.

Whatever is wrong with an object (truncated, not UTF-8, a lone surrogate, infinite, gigantic, ten thousand brackets
deep, of another version), reading it returns a record or raises `UnreadableObject`, and takes bounded time and memory:
sizes are checked before parsing, and the parser stops at 200 levels and at numbers of 4 300 digits.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from castline.errors import UnreadableObject

#: Size of an object that may be read into memory. The largest we write, a batch of 1000 frames, is smaller.
MAX_BYTES = 256 * 1024 * 1024

R = TypeVar("R", bound=BaseModel)
Kind = type[R] | TypeAdapter[R]

_SHOWN = 300  # characters of a parser's message


def read_record(kind: Kind[R], body: bytes | str, name: str = "", *, max_bytes: int = MAX_BYTES) -> R:
    """A record from JSON.

    Args:
        name: the object's name in errors, mostly its key.

    Raises:
        UnreadableObject: the bytes are not such a record.
    """
    name = name or getattr(kind, "__name__", "object")
    check_size(len(body), name, max_bytes)
    try:
        return kind.validate_json(body) if isinstance(kind, TypeAdapter) else kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        why = f"{where[:_SHOWN]}: {first['msg']}" if where else str(first["msg"])
        raise UnreadableObject(f"{name} cannot be read: {why[:_SHOWN]}") from error
    except MemoryError:
        raise
    except Exception as error:  # an unforeseen error in one of our validators: still the fault of this object alone
        raise UnreadableObject(f"{name} cannot be read: {type(error).__name__}: {error}"[:_SHOWN]) from error


def read_json(body: bytes, name: str, *, max_bytes: int) -> Any:
    """A JSON value that a person wrote, in any Unicode encoding, as some editors have it.

    Numbers may be infinite: the caller checks which fields must be finite.

    Raises:
        UnreadableObject: it is not JSON, or larger than ``max_bytes``.
    """
    check_size(len(body), name, max_bytes)
    try:
        return from_json(body.decode(json.detect_encoding(body)).removeprefix("\ufeff"))
    except ValueError as error:  # also for bytes that are not text
        raise UnreadableObject(f"{name} is not JSON: {str(error)[:_SHOWN]}") from error


def check_size(size: int, name: str, max_bytes: int) -> None:
    """
    Raises:
        UnreadableObject: the object is too large.
    """
    if size > max_bytes:
        raise UnreadableObject(f"{name} has {size} bytes; {max_bytes} are the most it can have")
