"""Options of one media file as flags; they travel as its sidecar."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from annotated_types import Ge, Le

from castline import keys
from castline.cli.plain import with_flags
from castline.records import Options
from castline.records.options import Doors, bound, doors
from castline.records.reading import read_json
from castline.runs.request import MAX_SIDECAR_BYTES, override
from castline.settings import Settings

Flags = Mapping[str, Any]
"""The flags of one command, in the form of a sidecar; empty without flags."""


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of one media file as flags, made from their declarations (``records/options.py``).

    Args:
        command: its parameter ``flags`` receives their values.
    """
    declared = {name: door for name, door in doors() if door.flag}

    def chosen(said: dict[str, Any]) -> Flags:
        said |= {name: door.sets if said[name] else None for name, door in declared.items() if door.sets}
        return {name: value for name, value in said.items() if value not in (None, [])}

    return with_flags(command, "flags", [_flag(name, door) for name, door in declared.items()], chosen)


def _flag(name: str, door: Doors) -> inspect.Parameter:
    """An option as typer reads it; unset means the deployment's value."""
    field = Options.model_fields[name]
    default: Any = None
    bounds: dict[str, Any] = {}
    if door.sets:
        kind: Any = bool
        default = False
    elif field.annotation is bool:
        kind = bool | None
    elif field.annotation in (int, int | None):
        kind = int | None
        bounds = {"min": bound(name, Ge).ge, "max": bound(name, Le).le}
    else:
        kind = list[str] | None if isinstance(field.default, tuple) else str | None
    text = f"{door.says or field.description}{' Repeatable.' if isinstance(field.default, tuple) else ''}"
    annotation = Annotated[kind, typer.Option(door.flag, help=text, **bounds)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def sidecars(files: Sequence[tuple[Path, str]], flags: Mapping[str, Any], settings: Settings) -> list[bytes | None]:
    """The sidecar of each (file, key), as `sidecar`; made before anything is started or sent.

    Raises:
        OptionsError: one of them says what the pipeline would refuse.
    """
    return [sidecar(path, flags, settings) for path, _ in files]


def sidecar(media: Path, flags: Mapping[str, Any], settings: Settings) -> bytes | None:
    """The sidecar to upload with a media file: the ``<media>.json`` beside it, overridden by flags.

    Raises:
        OptionsError: it has a value that the pipeline would refuse.
    """
    beside = media.with_name(keys.sidecar_key(media.name))
    body = beside.read_bytes() if beside.is_file() else b"{}"
    if not flags and not beside.is_file():
        return None
    override(settings.options(), body, beside.name)
    beside_it = read_json(body, beside.name, max_bytes=MAX_SIDECAR_BYTES)
    # With escapes, so that invalid text in a flag (half a character) is refused and does not reach the encoder.
    merged = json.dumps({**beside_it, **flags}).encode()
    override(settings.options(), merged, "the flags")
    return merged
