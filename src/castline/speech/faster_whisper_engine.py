"""Whisper through faster-whisper (CTranslate2, int8, Silero VAD, batched): the production default.

Silero finds the speech, faster-whisper packs it into windows of at most thirty seconds, and all windows
of a chunk are decoded together. Random weights of base's dimensions, a minute of speech, two threads, beam of 5:
4.4 s, against 5.3 to 6.0 s one window after the other. No timestamp tokens are decoded (with them, batches lose
the words behind a window's last timestamp); the cross-attention gives every word its times, and segments are
cut at sentences and pauses. The numbers of a segment are those of its window.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022;
https://github.com/SYSTRAN/faster-whisper (MIT), weights MIT.
"""

from __future__ import annotations

from pathlib import Path

from castline.engines import EngineInfo, Speech, Transcription
from castline.errors import ModelCorrupt, ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.models.session import thread_count
from castline.records import Segment
from castline.speech import whisper
from castline.speech.declared import FASTER_WHISPER

#: Without tokenizer.json the library asks a hub; with a missing folder it blames the folder's name.
REQUIRED_FILES = ("model.bin", "config.json", "tokenizer.json")
#: Windows decoded together. A chunk of the usual length has two or three; attention scores of the encoder
#: take 72 MB per window of base, 180 MB of large.
_BATCH = 4


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

    def __init__(self, folder: Path, *, threads: int = 0, info: EngineInfo = FASTER_WHISPER.info) -> None:
        lacking = missing_files(folder)
        if lacking:
            raise ModelNotFound(f"{folder} is no CTranslate2 Whisper model: {', '.join(lacking)} missing")
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        try:
            self._model = WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=thread_count(threads),
                local_files_only=True,
            )
            codes = tuple(self._model.supported_languages)
        except Exception as error:  # the tokenizer's library raises no narrower type
            raise ModelCorrupt(f"{folder} cannot be loaded: {error}") from error
        self._pipeline = BatchedInferencePipeline(self._model)
        self.info = whisper.describe(
            FASTER_WHISPER, info, folder, multilingual=self._model.model.is_multilingual, codes=codes
        )

    def transcribe(self, speech: Speech) -> Transcription:
        options = speech.options
        found, facts = self._pipeline.transcribe(
            speech.samples,
            language=whisper.code(options) if self._model.model.is_multilingual else "en",
            task=options.task,
            beam_size=options.beam,
            initial_prompt=options.prompt,
            hotwords=whisper.hotwords(options),
            vad_filter=True,
            word_timestamps=True,
            without_timestamps=True,
            temperature=0.0,  # other temperatures sample, and a part must not depend on chance
            batch_size=_BATCH,
        )
        length_s = len(speech.samples) / SAMPLE_RATE  # its last words may reach over the end
        segments: list[Segment] = []
        for item in found:
            spoken = [
                (
                    each.word,
                    whisper.word(each.word, min(each.start, length_s), min(each.end, length_s), each.probability),
                )
                for each in item.words or ()
                if each.word.strip()
            ]
            segments += [
                whisper.segment(
                    text,
                    words[0].start_s,
                    words[-1].end_s,
                    words,
                    avg_logprob=item.avg_logprob,
                    no_speech_prob=item.no_speech_prob,
                    ratio=item.compression_ratio,
                )
                for text, words in whisper.sentences(spoken)
            ]
        return Transcription(language=facts.language if segments else options.language, segments=tuple(segments))
