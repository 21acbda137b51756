"""Whisper through openai-whisper, the reference implementation (PyTorch, float32 on CPUs).

Source: https://github.com/openai/whisper (MIT), weights MIT. It hears only what Silero VAD takes for
speech. On CPUs it is the slowest of the family and takes the most memory; it is the one to compare with.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

from castline.engines import EngineInfo, Speech, Transcription
from castline.errors import ModelCorrupt, ModelNotFound
from castline.models.session import thread_count
from castline.records import Segment, SpeechOptions
from castline.speech import whisper
from castline.speech.declared import OPENAI_WHISPER
from castline.speech.packing import Pack, packs


class OpenAIWhisperTranscriber:
    """Loads one checkpoint in OpenAI's format (a ``.pt`` file with ``dims`` and ``model_state_dict``).

    torch's number of threads is the process's, so the last engine loaded decides it.

    Raises:
        ModelNotFound: no such file.
        ModelCorrupt: the file is no such checkpoint.
    """

    def __init__(self, file: Path, *, threads: int = 0, info: EngineInfo = OPENAI_WHISPER.info) -> None:
        if not file.is_file():
            raise ModelNotFound(f"{file} does not exist")
        import torch
        import whisper as library
        from whisper.tokenizer import LANGUAGES

        torch.set_num_threads(thread_count(threads))
        try:
            self._model = library.load_model(str(file), device="cpu")
        except Exception as error:  # pickle, zip and torch raise whatever they meet
            raise ModelCorrupt(f"{file} cannot be loaded: {_first_line(error)}") from error
        heads = library._ALIGNMENT_HEADS.get(OPENAI_WHISPER.model(file.name))
        if heads is not None:  # the attention heads that follow the words in time; known for the usual models
            with contextlib.suppress(RuntimeError):  # a net of other dimensions under a usual name
                self._model.set_alignment_heads(heads)
        codes = list(LANGUAGES)[: self._model.num_languages]
        self.info = whisper.describe(OPENAI_WHISPER, info, file, multilingual=self._model.is_multilingual, codes=codes)

    def transcribe(self, speech: Speech) -> Transcription:
        options = speech.options
        language = whisper.code(options) if self._model.is_multilingual else "en"
        segments: list[Segment] = []
        for pack in packs(speech.samples):
            found = self._hear(pack, options, language)
            language = found["language"]
            for item in found["segments"]:
                segments += _segments(pack, item)
        return Transcription(language=language if segments else options.language, segments=tuple(segments))

    def _hear(self, pack: Pack, options: SpeechOptions, language: str | None) -> dict[str, Any]:
        with warnings.catch_warnings():
            # Words of a translation are where its sound is, roughly; every engine of the family has them so.
            warnings.filterwarnings("ignore", "Word-level timestamps on translations")
            found: dict[str, Any] = self._model.transcribe(
                pack.samples,
                language=language,
                task=options.task,
                beam_size=options.beam if options.beam > 1 else None,
                initial_prompt=whisper.prompt(options),
                carry_initial_prompt=True,
                word_timestamps=True,
                condition_on_previous_text=False,
                temperature=0.0,  # other temperatures sample, and a part must not depend on chance
                compression_ratio_threshold=None,
                logprob_threshold=None,
                no_speech_threshold=None,  # what is likely invented is marked, not dropped
                fp16=False,
            )
        return found


def _segments(pack: Pack, item: dict[str, Any]) -> list[Segment]:
    spoken = [
        (each["word"], whisper.word(each["word"], *pack.in_audio(each["start"], each["end"]), each["probability"]))
        for each in item["words"]
        if each["word"].strip()
    ]
    return [
        whisper.segment(
            text,
            words[0].start_s,
            words[-1].end_s,
            words,
            avg_logprob=item["avg_logprob"],
            no_speech_prob=item["no_speech_prob"],
            ratio=item["compression_ratio"],
        )
        for text, words in whisper.sentences(spoken)
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
