"""Whisper through faster-whisper (CTranslate2, int8 on the processor): the production default.

Windows of one language are decoded together, with timestamps: without them whole sentences are left out (14.8 % errors
against 4 % on the same windows). Only the text is taken from the decoder: words after a window's last pair of
timestamps count, too, and every word gets its times from the cross-attention. Speech that a window left out is
transcribed again (``listening``).

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022;
https://github.com/SYSTRAN/faster-whisper (MIT), weights MIT.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from castline.engines.base import EngineInfo, Speech, Transcription
from castline.engines.device import device_of
from castline.engines.session import thread_count
from castline.engines.speech import whisper
from castline.engines.speech.declared import FASTER_WHISPER
from castline.engines.speech.listening import Hearing, listen
from castline.engines.speech.packing import Pack
from castline.errors import ModelCorrupt, ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions, Word

if TYPE_CHECKING:
    from faster_whisper.tokenizer import Tokenizer

#: Without tokenizer.json the library asks a hub; with a missing folder it blames the folder's name.
REQUIRED_FILES = ("model.bin", "config.json", "tokenizer.json")
#: Windows decoded together. A chunk of the usual length has two or three; attention scores of the encoder
#: take 72 MB per window of base, 180 MB of large.
_BATCH = 4
#: Speech begins within the first second of a window (Whisper's own limit), in steps of 0.02 s.
_INITIAL_TIMESTAMP = 50
#: Punctuation that belongs to the word after it, or before it; Whisper's own lists.
_PREPENDED, _APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"


def missing_files(folder: Path) -> list[str]:
    """Names of the files a CTranslate2 Whisper folder lacks."""
    lacking = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in ("vocabulary.json", "vocabulary.txt")):
        lacking.append("vocabulary.json")
    return lacking


class FasterWhisperTranscriber:
    """Loads one CTranslate2 model folder; never contacts a hub.

    Raises:
        ModelNotFound: the folder lacks a file.
        ModelCorrupt: CTranslate2 cannot read it.
        DeviceMissing: the device is ``cuda``, and CTranslate2 sees no GPU.
    """

    def __init__(
        self, folder: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo = FASTER_WHISPER.info
    ) -> None:
        lacking = missing_files(folder)
        if lacking:
            raise ModelNotFound(f"{folder} is not a CTranslate2 Whisper model: {', '.join(lacking)} missing")
        from ctranslate2 import get_cuda_device_count
        from faster_whisper import WhisperModel

        chosen = device_of(device, "CTranslate2", lambda: get_cuda_device_count() > 0)
        try:
            self._model = WhisperModel(
                str(folder),
                device=chosen,
                compute_type="int8" if chosen == "cpu" else "auto",  # the fastest type that the GPU has
                cpu_threads=thread_count(threads),
                local_files_only=True,
            )
            codes = tuple(self._model.supported_languages)
        except Exception as error:  # the tokenizer's library raises no narrower type
            raise ModelCorrupt(f"{folder} cannot be loaded: {error}") from error
        self._multilingual = bool(self._model.model.is_multilingual)
        self.info = whisper.describe(FASTER_WHISPER, info, folder, multilingual=self._multilingual, codes=codes)

    def transcribe(self, speech: Speech) -> Transcription:
        options, warnings = whisper.fit_prompt(speech.options, lambda text: len(self._tokenizer("en").encode(text)))

        def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
            batches = [wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH)]
            return [hearing for batch in batches for hearing in self._hear(batch, language, options)]

        language = whisper.code(options) if self._multilingual else "en"
        return listen(speech.samples, hear, language, warnings)

    def _tokenizer(self, language: str, task: str = "transcribe") -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        return Tokenizer(self._model.hf_tokenizer, self._multilingual, task=task, language=language)

    def _hear(self, batch: Sequence[Pack], language: str | None, options: SpeechOptions) -> list[Hearing]:
        from faster_whisper.transcribe import pad_or_trim

        extract = self._model.feature_extractor
        features = np.stack([pad_or_trim(extract(each.samples)[..., :-1]) for each in batch])
        encoded = self._model.encode(features)
        if language is not None:
            return self._say(encoded, batch, [language] * len(batch), None, options)
        found = [answers[0] for answers in self._model.model.detect_language(encoded)]
        return self._say(
            encoded, batch, [token[2:-2] for token, _ in found], [probability for _, probability in found], options
        )

    def _say(
        self,
        encoded: Any,
        batch: Sequence[Pack],
        languages: Sequence[str],
        probabilities: Sequence[float] | None,
        options: SpeechOptions,
    ) -> list[Hearing]:
        """Decode windows that are already encoded; those of one language together."""
        hearings: dict[int, Hearing] = {}
        for language in dict.fromkeys(languages):
            rows = [row for row, each in enumerate(languages) if each == language]
            some = encoded if len(rows) == len(batch) else _rows(encoded, rows)
            decoded = self._decode(some, [batch[row] for row in rows], language, options)
            for row, (spoken, no_speech_prob) in zip(rows, decoded, strict=True):
                sure = None if probabilities is None else probabilities[row]
                hearings[row] = Hearing(tuple(spoken), language, sure, no_speech_prob)
        return [hearings[row] for row in range(len(batch))]

    def _decode(
        self, encoded: Any, batch: Sequence[Pack], language: str, options: SpeechOptions
    ) -> Iterator[tuple[list[Word], float]]:
        from faster_whisper.transcribe import get_suppressed_tokens

        tokenizer = self._tokenizer(language, options.task)
        asked = whisper.prompt(options)
        prompt = self._model.get_prompt(tokenizer, tokenizer.encode(f" {asked}") if asked else [])
        results = self._model.model.generate(
            encoded,
            [prompt] * len(batch),
            beam_size=options.beam,
            max_length=self._model.max_length,
            suppress_blank=True,
            suppress_tokens=list(get_suppressed_tokens(tokenizer, [-1])),
            return_no_speech_prob=True,
            max_initial_timestamp_index=_INITIAL_TIMESTAMP,
            sampling_temperature=0.0,  # other temperatures sample, but parts must be reproducible
        )
        lengths = [len(each.samples) / SAMPLE_RATE for each in batch]
        windows: list[list[dict[str, Any]]] = [
            [{"tokens": [token for token in result.sequences_ids[0] if token < tokenizer.eot],
              "seek": 0, "start": 0.0, "end": length}]
            for result, length in zip(results, lengths, strict=True)
        ]  # fmt: skip
        frames = [math.ceil(length) * self._model.frames_per_second for length in lengths]
        self._model.add_word_timestamps(windows, tokenizer, encoded, frames, _PREPENDED, _APPENDED, 0.0)
        for [window], result, length in zip(windows, results, lengths, strict=True):
            spoken = [
                whisper.word(each["word"], min(each["start"], length), min(each["end"], length), each["probability"])
                for each in window["words"]
                if each["word"].strip()
            ]
            yield spoken, float(result.no_speech_prob)


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    """Some rows of the encoder's output for several windows."""
    from ctranslate2 import StorageView

    return StorageView.from_array(np.ascontiguousarray(np.asarray(encoded)[list(rows)]))
