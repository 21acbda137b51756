"""Options of one media file as flags; they travel as its sidecar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from castline import keys
from castline.records.reading import read_json
from castline.runs.request import MAX_SIDECAR_BYTES, override
from castline.settings import Settings

Language = Annotated[
    str | None,
    typer.Option(help="Language of the speech (en, de, pt-BR …); default: detect, with a multilingual model."),
]
Translate = Annotated[bool, typer.Option("--translate", help="Write down in English what is said.")]
Prompt = Annotated[str | None, typer.Option(help="Text that sets vocabulary and style.")]
Hotword = Annotated[list[str] | None, typer.Option("--hotword", help="A name or term to listen for; repeatable.")]
Beam = Annotated[int | None, typer.Option(min=1, max=20, help="Width of the beam search; 1 is fastest.")]
WordTimes = Annotated[bool | None, typer.Option("--word-times/--no-word-times", help="Times of every word.")]

AudioTrack = Annotated[
    int | None, typer.Option("--audio-track", min=1, help="Which sound track to hear, from 1; default: chosen.")
]


def asked(
    language: str | None,
    translate: bool,
    prompt: str | None,
    hotword: list[str] | None,
    beam: int | None,
    word_times: bool | None,
    audio_track: int | None,
) -> dict[str, Any]:
    """What the flags say, as a sidecar says it; empty without flags."""
    said = {
        "language": language,
        "task": "translate" if translate else None,
        "prompt": prompt,
        "hotwords": hotword or None,
        "beam": beam,
        "word_times": word_times,
        "audio_track": audio_track,
    }
    return {key: value for key, value in said.items() if value is not None}


def sidecar(media: Path, flags: Mapping[str, Any], settings: Settings) -> bytes | None:
    """The sidecar to upload with a media file: the ``<media>.json`` beside it, and flags over it.

    Raises:
        OptionsError: it says what the pipeline would refuse.
    """
    beside = media.with_name(keys.sidecar_key(media.name))
    body = beside.read_bytes() if beside.is_file() else b"{}"
    if not flags and not beside.is_file():
        return None
    override(settings.options(), body, beside.name)
    beside_it = read_json(body, beside.name, max_bytes=MAX_SIDECAR_BYTES)
    # With escapes, so that what is no text in a flag (half a character) is refused and not met by the encoder.
    merged = json.dumps({**beside_it, **flags}).encode()
    override(settings.options(), merged, "the flags")
    return merged
