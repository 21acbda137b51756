"""Whisper through openai-whisper, the reference implementation (PyTorch, float32 on CPUs, float16 on GPUs).

Source: https://github.com/openai/whisper (MIT), weights MIT. It gets only what Silero VAD detects as speech. On CPUs it
is the slowest of the family and needs the most memory; it is the reference for comparisons.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castline.engines.base import EngineInfo, Speech, Transcription
from castline.engines.device import device_of
from castline.engines.session import thread_count
from castline.engines.speech import whisper
from castline.engines.speech.declared import OPENAI_WHISPER
from castline.engines.speech.listening import Hearing, listen
from castline.engines.speech.packing import Pack
from castline.errors import ModelCorrupt, ModelNotFound
from castline.records import SpeechOptions


class OpenAIWhisperTranscriber:
    """Loads one checkpoint in OpenAI's format (a ``.pt`` file with ``dims`` and ``model_state_dict``).

    torch's number of threads is that of the process, so the last engine loaded decides it.

    Raises:
        ModelNotFound: no such file.
        ModelCorrupt: the file is not such a checkpoint.
        DeviceMissing: the device is ``cuda``, and PyTorch sees no GPU.
    """

    def __init__(
        self, file: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo = OPENAI_WHISPER.info
    ) -> None:
        if not file.is_file():
            raise ModelNotFound(f"{file} does not exist")
        import torch
        import whisper as library
        from whisper.tokenizer import LANGUAGES, get_tokenizer

        torch.set_num_threads(thread_count(threads))
        chosen = device_of(device, "PyTorch", torch.cuda.is_available)
        self._half = chosen == "cuda"
        try:
            self._model = library.load_model(str(file), device=chosen)
        except Exception as error:  # pickle, zip and torch raise all kinds of errors
            raise ModelCorrupt(f"{file} cannot be loaded: {_first_line(error)}") from error
        heads = library._ALIGNMENT_HEADS.get(OPENAI_WHISPER.model(file.name))
        if heads is not None:  # the attention heads that follow the words in time; known for the usual models
            with contextlib.suppress(RuntimeError):  # a net of other dimensions under a usual name
                self._model.set_alignment_heads(heads)
        self._tokenizer = get_tokenizer(self._model.is_multilingual, num_languages=self._model.num_languages)
        codes = list(LANGUAGES)[: self._model.num_languages]
        self.info = whisper.describe(OPENAI_WHISPER, info, file, multilingual=self._model.is_multilingual, codes=codes)

    def transcribe(self, speech: Speech) -> Transcription:
        options, cut = whisper.fit_prompt(speech.options, lambda text: len(self._tokenizer.encode(text)))

        def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
            return [self._hear(each, options, language) for each in wanted]

        return listen(speech.samples, hear, whisper.code(options) if self._model.is_multilingual else "en", cut)

    def _hear(self, pack: Pack, options: SpeechOptions, language: str | None) -> Hearing:
        probability = None
        if language is None:
            language, probability = self._language(pack)
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
                temperature=0.0,  # other temperatures sample, but parts must be reproducible
                compression_ratio_threshold=None,
                logprob_threshold=None,
                no_speech_threshold=None,  # text that is probably invented is marked, not dropped
                fp16=self._half,
            )
        spoken = tuple(
            whisper.word(each["word"], each["start"], each["end"], each["probability"])
            for item in found["segments"]
            for each in item["words"]
            if each["word"].strip()
        )
        silent = max((item["no_speech_prob"] for item in found["segments"]), default=None)
        return Hearing(spoken, language, probability, silent)

    def _language(self, pack: Pack) -> tuple[str, float]:
        """The likeliest language, and its probability."""
        import whisper as library

        mel = library.log_mel_spectrogram(library.pad_or_trim(pack.samples), n_mels=self._model.dims.n_mels)
        _, found = self._model.detect_language(mel.to(self._model.device))
        code = max(found, key=lambda each: found[each])
        return code, float(found[code])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
