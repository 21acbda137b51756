"""The options of a run, declared only here.

A deployment's variable (``CASTLINE_<NAME>``), the template's parameter, the sidecar's key and the command's flag are
made from these declarations (``settings``, ``runs.request``, ``cli.asked``, ``local.deploy``) or, if they are files,
tested against them (``template.yaml``, docs/sidecar.schema.json).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from castline.records.base import Record

Sampling = Literal["auto", "interval", "keyframes"]
MAX_FRAMES_PER_UNIT = 1000
_MAX_WORDS = 100
T = TypeVar("T")
Speakers = Literal["auto", "voices", "off"]


@dataclass(frozen=True, slots=True)
class Doors:
    """Where an option can be set, besides the environment of a process.

    Attributes:
        sidecar: whether ``<media>.json`` may set it; if not, only the deployment may, whose image contains the engines.
        parameter: the template's parameter; empty if the default suits every deployment.
        flag: of ``castline run`` and ``upload``, as typer declares it; empty for none.
        sets: the value that the flag stands for, if it takes none; ``says`` is then what it does, for its help.
    """

    sidecar: bool = False
    parameter: str = ""
    flag: str = ""
    sets: str = ""
    says: str = ""


class SpeechOptions(Record):
    """Options of speech recognition."""

    language: Annotated[str | None, Doors(sidecar=True, parameter="Language", flag="--language")] = Field(
        None,
        min_length=2,
        max_length=35,
        description="Language of the speech (en, de, pt-BR); unset detects it, with a multilingual model.",
    )
    task: Annotated[
        Literal["transcribe", "translate"],
        Doors(
            sidecar=True,
            parameter="SpeechTask",
            flag="--translate",
            sets="translate",
            says="Write in English what is said in another language.",
        ),
    ] = Field("transcribe", description="Write down what is said (transcribe), or say it in English (translate).")
    prompt: Annotated[str | None, Doors(sidecar=True, parameter="SpeechPrompt", flag="--prompt")] = Field(
        None, max_length=1000, description="Text that sets vocabulary and style, as if it had been said just before."
    )
    hotwords: Annotated[
        tuple[Annotated[str, Field(max_length=200)], ...],
        Doors(sidecar=True, parameter="HotWords", flag="--hotword"),
    ] = Field((), max_length=_MAX_WORDS, description="Names and terms to listen for.")
    beam: Annotated[int, Doors(sidecar=True, parameter="BeamSize", flag="--beam")] = Field(
        5, ge=1, le=20, description="Width of the beam search; 1 is greedy and fastest."
    )


class Options(SpeechOptions):
    """Every choice that changes what is computed; part of the run's identity.

    The order of the fields is part of that identity, too.
    """

    sampling: Annotated[Sampling, Doors(sidecar=True, parameter="Sampling")] = Field(
        "auto", description="How frames are chosen."
    )
    interval_s: Annotated[float, Doors(sidecar=True, parameter="IntervalSeconds")] = Field(
        1.0, ge=0.0001, le=3600, description="Wanted distance of sampled frames, seconds."
    )
    long_side: Annotated[int, Doors(sidecar=True)] = Field(
        960, ge=64, le=4096, description="Longer side of an analysed frame in pixels, at most."
    )
    frames_per_unit: Annotated[int, Doors()] = Field(
        30, ge=1, le=MAX_FRAMES_PER_UNIT, description="Frames in one stage-1 batch."
    )
    chunk_s: Annotated[float, Doors(sidecar=True, parameter="ChunkSeconds")] = Field(
        60.0, ge=10, le=600, description="Wanted length of an audio chunk, seconds; cuts fall on silences near it."
    )
    audio_track: Annotated[int | None, Doors(sidecar=True, flag="--audio-track")] = Field(
        None, ge=1, le=100, description="Which sound track to use, counted from 1; if unset, Castline chooses."
    )
    detector: Annotated[str, Doors(parameter="Detector")] = Field(
        "auto", description="Face detector; `castline models list` has them."
    )
    embedder: Annotated[str, Doors(parameter="Embedder")] = Field(
        "auto", description="Face embedder; auto takes the best one whose weights are present."
    )
    transcriber: Annotated[str, Doors(parameter="Transcriber")] = Field(
        "auto",
        description="Speech engine, with :model if one is meant; auto takes the best one whose weights are present.",
    )
    word_times: Annotated[bool, Doors(sidecar=True, parameter="WordTimes", flag="--word-times/--no-word-times")] = (
        Field(True, description="Whether results have every word with its times, or segments only.")
    )
    # The options below are written only if they differ from the default, so that earlier runs and results still match.
    speakers: Annotated[
        Speakers,
        Doors(
            sidecar=True,
            flag="--speakers",
            sets="auto",
            says="Say who speaks: tell voices apart, also beside the faces on screen.",
        ),
    ] = Field(
        "off",
        exclude_if=lambda value: value == "off",
        description="Tell voices apart (voices), also beside the faces on screen (auto), or not at all (off).",
    )
    voice_encoder: Annotated[str, Doors()] = Field(
        "auto",
        exclude_if=lambda value: value == "auto",
        description="Voice encoder; auto takes the best one whose weights are present.",
    )
    active_speaker: Annotated[str, Doors()] = Field(
        "auto",
        exclude_if=lambda value: value == "auto",
        description="Detector of speaking faces; auto takes the best one whose weights are present.",
    )


def doors() -> Iterator[tuple[str, Doors]]:
    """Every option, and where it can be set."""
    for name, field in Options.model_fields.items():
        (found,) = (entry for entry in field.metadata if isinstance(entry, Doors))
        yield name, found


def bound(name: str, kind: type[T]) -> T:
    """The bound of a kind (``annotated_types``) that an option has."""
    return next(entry for entry in Options.model_fields[name].metadata if isinstance(entry, kind))


#: The keys of a sidecar.
PER_MEDIA = tuple(name for name, door in doors() if door.sidecar)


def sidecar_schema() -> dict[str, Any]:
    """JSON Schema of a sidecar, ``<media>.json``: docs/sidecar.schema.json."""
    schema = Options.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Castline sidecar: options of one media file, over the deployment's",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: schema["properties"][name] for name in PER_MEDIA},
    }
