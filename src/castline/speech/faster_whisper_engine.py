"""Whisper through faster-whisper (CTranslate2, int8, Silero VAD): the production default.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022;
https://github.com/SYSTRAN/faster-whisper (MIT), weights MIT.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from castline.engines import EngineInfo, Speech, Transcription
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.records import Segment, Word

#: Without tokenizer.json the library asks a hub; with a missing folder it blames the folder's name.
REQUIRED_FILES = ("model.bin", "config.json", "tokenizer.json")

INFO = EngineInfo(
    id="faster-whisper",
    role="transcriber",
    title="Whisper (faster-whisper, int8)",
    licence="MIT",
    languages=("*",),
    word_times=True,
)

# Whisper invents text where nothing is said; such segments have a high no-speech probability and a
# low mean log probability. The two limits are those of the reference implementation.
_NO_SPEECH, _LOGPROB, _COMPRESSION = 0.6, -1.0, 2.4


def missing_files(folder: Path) -> list[str]:
    """Names of the files a CTranslate2 Whisper folder lacks."""
    lacking = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in ("vocabulary.json", "vocabulary.txt")):
        lacking.append("vocabulary.json")
    return lacking


class FasterWhisperTranscriber:
    """Loads one CTranslate2 model folder; never reaches for a hub.

    Raises:
        ModelNotFound: the folder lacks a file.
        ModelCorrupt: CTranslate2 cannot read it.
    """

    def __init__(self, folder: Path, *, threads: int = 0, info: EngineInfo = INFO) -> None:
        lacking = missing_files(folder)
        if lacking:
            raise ModelNotFound(f"{folder} is no CTranslate2 Whisper model: {', '.join(lacking)} missing")
        from faster_whisper import WhisperModel

        try:
            self._model = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except Exception as error:  # the tokenizer's library raises no narrower type
            raise ModelCorrupt(f"{folder} cannot be loaded: {error}") from error
        self.info = replace(info, id=f"{info.id}:{folder.name}", source=str(folder))

    def _language(self, tag: str | None) -> str | None:
        """Whisper's code of a BCP-47 tag: ``en-GB`` is ``en``."""
        if tag is None:
            return None
        code = tag.partition("-")[0].lower()
        if self._model.model.is_multilingual and code not in self._model.supported_languages:
            raise ModelError(f"Whisper does not know the language {tag!r}")
        return code

    def transcribe(self, speech: Speech) -> Transcription:
        found, facts = self._model.transcribe(
            speech.samples,
            language=self._language(speech.options.language),
            vad_filter=True,
            word_timestamps=True,
            condition_on_previous_text=False,  # chunks stand alone; a loop in one must not reach the next
            temperature=0.0,  # the fallback temperatures sample, and a part must not depend on chance
        )
        segments = []
        for item in found:
            words = tuple(
                Word(
                    start_s=round(word.start, 3),
                    end_s=round(word.end, 3),
                    text=word.word.strip(),
                    probability=round(word.probability, 4),
                )
                for word in item.words or ()
            )
            silent = item.no_speech_prob > _NO_SPEECH and item.avg_logprob < _LOGPROB
            segments.append(
                Segment(
                    start_s=round(item.start, 3),
                    end_s=round(item.end, 3),
                    text=item.text.strip(),
                    words=words,
                    avg_logprob=round(item.avg_logprob, 4),
                    no_speech_prob=round(item.no_speech_prob, 4),
                    compression_ratio=round(item.compression_ratio, 4),
                    suspect=silent or item.compression_ratio > _COMPRESSION,
                )
            )
        return Transcription(language=facts.language if segments else speech.options.language, segments=tuple(segments))
