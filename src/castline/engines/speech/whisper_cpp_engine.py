"""Whisper through whisper.cpp (pywhispercpp): one small file, also quantised, and the least memory.

Source: https://github.com/ggml-org/whisper.cpp (MIT), https://github.com/absadiki/pywhispercpp (MIT), weights MIT.
It gets only what Silero VAD detects as speech. A word's times are whisper.cpp's estimates from the probabilities of its
timestamps. It has no no-speech probability.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from castline.engines.base import EngineInfo, Speech, Transcription
from castline.engines.device import device_of
from castline.engines.session import thread_count
from castline.engines.speech import ggml, whisper
from castline.engines.speech.declared import WHISPER_CPP
from castline.engines.speech.listening import Hearing, listen
from castline.engines.speech.packing import Pack
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.records import SpeechOptions, Word

_TICK_S = 0.01  # whisper.cpp's unit of time
_BYTES_PER_TOKEN = 3.5  # characters per token of English prose; fewer with other characters
_ERROR = 4  # ggml's log level for errors

_complaints: list[str] = []


@lru_cache(maxsize=1)
def _library() -> Any:
    """The binding with its log captured: otherwise it writes pages to stderr.

    The callback must be removed before the interpreter ends, or the process aborts.
    """
    import _pywhispercpp as library

    def log(level: int, text: str) -> None:
        if level == _ERROR:
            _complaints.append(text.strip())

    library.whisper_log_set(log)
    atexit.register(library.whisper_log_set, None)
    return library


class WhisperCppTranscriber:
    """Loads one ggml file.

    Raises:
        ModelNotFound: no such file.
        ModelCorrupt: the file is not a complete ggml Whisper model.
        DeviceMissing: the device is ``cuda``, and the package was not built for GPUs; the published one is not.
    """

    def __init__(
        self, file: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo = WHISPER_CPP.info
    ) -> None:
        if not file.is_file():
            raise ModelNotFound(f"{file} does not exist")
        ggml.check(file)
        library = self._lib = _library()
        wanted = library.whisper_context_default_params()
        chosen = device_of(device, "whisper.cpp", lambda: "CUDA :" in library.whisper_print_system_info())
        wanted.use_gpu = chosen == "cuda"
        _complaints.clear()
        self._context = library.whisper_init_from_file_with_params(str(file), wanted)
        if _complaints:  # the binding does not report that nothing was loaded
            raise ModelCorrupt(f"{file} cannot be loaded: {_complaints[0]}")
        self._threads = thread_count(threads)
        self._end: int = library.whisper_token_eot(self._context)
        self._multilingual = bool(library.whisper_is_multilingual(self._context))
        codes = [library.whisper_lang_str(number) for number in range(library.whisper_lang_max_id() + 1)]
        self.info = whisper.describe(WHISPER_CPP, info, file, multilingual=self._multilingual, codes=codes)

    def __del__(self) -> None:
        if context := getattr(self, "_context", None):
            self._lib.whisper_free(context)

    def transcribe(self, speech: Speech) -> Transcription:
        options, cut = whisper.fit_prompt(speech.options, _about_tokens)

        def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
            return [self._hear(each, options, language) for each in wanted]

        return listen(speech.samples, hear, whisper.code(options) if self._multilingual else "en", cut)

    def _hear(self, pack: Pack, options: SpeechOptions, language: str | None) -> Hearing:
        probability = None
        _complaints.clear()
        if language is None:
            language, probability = self._language(pack)
        wanted = self._parameters(options, language)
        if self._lib.whisper_full(self._context, wanted, pack.samples, len(pack.samples)) != 0:
            raise ModelError(f"whisper.cpp failed: {'; '.join(_complaints) or 'no reason given'}")
        spoken = [
            each
            for index in range(self._lib.whisper_full_n_segments(self._context))
            for each in self._words(index, language)
        ]
        return Hearing(tuple(spoken), language, probability)

    def _language(self, pack: Pack) -> tuple[str, float]:
        """The likeliest language, and its probability."""
        lib, context = self._lib, self._context
        if lib.whisper_pcm_to_mel(context, pack.samples, len(pack.samples), self._threads) != 0:
            raise ModelError(f"whisper.cpp failed: {'; '.join(_complaints) or 'no reason given'}")
        found = np.zeros(lib.whisper_lang_max_id() + 1, np.float32)
        number = lib.whisper_lang_auto_detect(context, 0, self._threads, found)
        if number < 0:
            raise ModelError("whisper.cpp could not detect the language")
        return lib.whisper_lang_str(number), float(found[number])

    def _parameters(self, options: SpeechOptions, language: str) -> Any:
        kinds = self._lib.whisper_sampling_strategy
        kind = kinds.WHISPER_SAMPLING_BEAM_SEARCH if options.beam > 1 else kinds.WHISPER_SAMPLING_GREEDY
        wanted = self._lib.whisper_full_default_params(kind)
        wanted.beam_search = {"beam_size": options.beam, "patience": -1.0}
        wanted.n_threads = self._threads
        wanted.print_progress = False
        wanted.language = language
        wanted.translate = options.task == "translate"
        wanted.initial_prompt = whisper.prompt(options) or ""
        wanted.carry_initial_prompt = True
        wanted.no_context = True
        wanted.token_timestamps = True
        wanted.suppress_nst = True  # as in the other engines
        wanted.temperature = wanted.temperature_inc = 0.0  # others sample, but parts must be reproducible
        wanted.no_speech_thold = 1.0  # text that is probably invented is marked, not dropped
        return wanted

    def _words(self, index: int, language: str) -> Iterator[Word]:
        """Words from tokens: a word begins with a space, or in languages without spaces, with a complete character."""
        current: list[Any] = []
        body = b""
        for place in range(self._lib.whisper_full_n_tokens(self._context, index)):
            token = self._lib.whisper_full_get_token_data(self._context, index, place)
            if token.id >= self._end:
                continue
            piece = self._lib.whisper_token_to_bytes(self._context, token.id)
            begins = _is_whole(body) if language in whisper.WITHOUT_SPACES else piece.startswith(b" ")
            if current and begins:
                yield from _word(body, current)
                current, body = [], b""
            current.append(token)
            body += piece
        yield from _word(body, current)


def _word(body: bytes, tokens: list[Any]) -> Iterator[Word]:
    written = body.decode(errors="replace")
    if written.strip():
        start, end = tokens[0].t0 * _TICK_S, tokens[-1].t1 * _TICK_S
        yield whisper.word(written, start, end, sum(token.p for token in tokens) / len(tokens))


def _about_tokens(text: str) -> int:
    """The binding cannot count tokens; whisper.cpp itself drops excess tokens from the beginning."""
    return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)


def _is_whole(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
