"""Enrols voices from files and from recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castline.errors import GalleryError
from castline.media import AudioPiece, SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.media.flac import decode_flac
from castline.people.likeness import Span, mostly_within, spans_of
from castline.recognition.voices import Chunk, tell_apart, windows_of
from castline.records import (
    AudioPart,
    AudioUnit,
    Embedding,
    EnrolledVoice,
    Manifest,
    Options,
    Result,
    merge_ranges,
)
from castline.runs.common import read_result, why_no_result
from castline.runs.sets import read_manifest, read_part, written_parts
from castline.runs.written import as_shown
from castline.settings import Settings
from castline.storage.base import ObjectStore

if TYPE_CHECKING:
    from castline.engines.process import EngineSet

#: Seconds of speech that are needed to enrol a voice.
LEAST_S = 5.0
_MOST_S = 600.0
_ONE_VOICE = 0.58  # windows of one person are more alike on average (docs/VOICES.md)


def voice_in_file(path: Path, settings: Settings, engines: EngineSet, least_s: float = LEAST_S) -> EnrolledVoice:
    """The one voice in a recording, of its first ten minutes.

    Args:
        least_s: seconds of speech that are needed.

    Raises:
        GalleryError: there are several voices, or too little speech.
        ModelNotFound: no voice encoder.
        MediaError: it cannot be decoded, or has no sound.
    """
    from castline.engines.speech.voice import stretches

    encoder, options = engines.voice_encoder, Options()
    probed = probe(path, Limits.of(settings), options).only("audio")
    if probed.audio is None:
        raise GalleryError(f"{path.name} has no sound")
    chunks: list[Chunk] = []
    for piece in split(path, probed, options, Limits.of(settings), SplitSummary(), max_duration_s=_MOST_S):
        if isinstance(piece, AudioPiece):
            samples = decode_flac(piece.body)
            windows = windows_of(stretches(samples))
            shifted = [(start + piece.unit.start_s, end + piece.unit.start_s) for start, end in windows]
            chunks.append(Chunk(shifted, encoder.embed_voices(samples, windows)))
    heard = tell_apart(chunks, _ONE_VOICE)
    if len(heard.voices()) > 1:
        raise GalleryError(
            f"{len(heard.voices())} voices speak in {path.name}; give a recording of one person, or process it and say "
            "which speaker is meant (--speaker)"
        )
    windows = [window for chunk in chunks for window in chunk.windows]
    vectors = [vector for chunk in chunks for vector in chunk.vectors]
    return _enrolled(encoder.info.id, windows, vectors, path.name, least_s)


def voice_in_recording(media: str, speaker: str, store: ObjectStore, settings: Settings) -> EnrolledVoice:
    """The voice of somebody who speaks in a processed recording.

    Args:
        speaker: the voice's name in the result (``Speaker 2``), or its id.

    Raises:
        GalleryError: no such result or speaker, its parts are gone, or it speaks too little.
    """
    result = read_result(media, store, settings)
    if result is None:
        raise GalleryError(why_no_result(media, store, settings))
    shown = as_shown(result, store, settings)
    names = {each.name for each in shown.transcript.speakers if speaker in (each.name, each.id)}
    if not names:
        there = (
            ", ".join(each.name for each in shown.transcript.speakers) or "nobody: it was processed without --speakers"
        )
        raise GalleryError(f"{speaker!r} does not speak in {media}; who does: {there}")
    found: dict[str, tuple[list[Span], list[NDArray[np.float32]]]] = {}
    spans = spans_of(shown, names)
    for unit, part in _audio_parts(result, store, settings):
        if part.voices:
            windows, vectors = found.setdefault(part.voices.model, ([], []))
            for (start, end), vector in zip(part.voices.windows, part.voices.vectors(), strict=True):
                if mostly_within(start + unit.start_s, end + unit.start_s, spans):
                    windows.append((start + unit.start_s, end + unit.start_s))
                    vectors.append(vector)
    if not found:
        raise GalleryError(f"the voices' embeddings of {media} are gone; process it again (castline run --again)")
    model = max(found, key=lambda each: (len(found[each][0]), each))
    return _enrolled(model, *found[model], media)


def _enrolled(
    model: str, windows: Sequence[Span], vectors: Sequence[NDArray[np.float32]], where: str, least_s: float = LEAST_S
) -> EnrolledVoice:
    seconds = sum(end - start for start, end in merge_ranges(list(windows)))
    if seconds < least_s:
        raise GalleryError(f"{seconds:.1f} s of speech in {where} are too little to know a voice by: {least_s:g} s")
    mean = np.mean(vectors, axis=0)
    unit = np.asarray(mean / (np.linalg.norm(mean) or 1.0), np.float32)
    return EnrolledVoice(embedding=Embedding.of(model, unit), voice_s=round(seconds, 3))


def _audio_parts(result: Result, store: ObjectStore, settings: Settings) -> Iterator[tuple[AudioUnit, AudioPart]]:
    manifest: Manifest | None = read_manifest(result.media, result.run, store, settings)
    units = {unit.name: unit for unit in manifest.units if isinstance(unit, AudioUnit)} if manifest else {}
    done, _ = written_parts(result.media, result.run, store, settings)
    for name, unit in units.items():
        if name in done:
            part = read_part(done[name], store, settings)
            if isinstance(part, AudioPart):
                yield unit, part
