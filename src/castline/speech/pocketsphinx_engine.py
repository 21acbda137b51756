"""PocketSphinx with the US-English model its package carries: no download, always there.

Source: CMU Sphinx, https://github.com/cmusphinx/pocketsphinx (BSD-2-Clause). It gets only what ``voice``
takes for speech: its own endpointer (the WebRTC voice activity detector) lets music and rain through, and
the recogniser reads words into them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from castline.engines import EngineInfo, Speech, Transcription
from castline.media.chunks import SAMPLE_RATE
from castline.records import Segment, Word
from castline.speech import voice

_FRAME_S = 0.01  # the recogniser's frame
_FRAME = int(_FRAME_S * SAMPLE_RATE)
_UTTERANCE_MAX_S = 30.0  # bounds what the recogniser keeps of its search
_SEGMENT_PAUSE_S = 0.5
_SEGMENT_MAX_S = 12.0
_VARIANT = re.compile(r"\(\d+\)$")

INFO = EngineInfo(
    id="pocketsphinx-en-us",
    role="transcriber",
    title="PocketSphinx 5, US English",
    licence="BSD-2-Clause",
    source="bundled",
    languages=("en",),
    word_times=True,
)


class PocketSphinxTranscriber:
    """One decoder per process; each call starts from the model's own estimate of the channel, so that
    the same audio gives the same words whatever was heard before."""

    def __init__(self, info: EngineInfo = INFO) -> None:
        import pocketsphinx

        self.info = info
        self._decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")

    def transcribe(self, speech: Speech) -> Transcription:
        clipped = np.clip(speech.samples, -1, 1)
        samples = (clipped * 32767).astype(np.int16)
        segments: list[Segment] = []
        for start, end in voice.windows(clipped, longest_s=_UTTERANCE_MAX_S):
            begin, until = _in_phase(samples, int(start * SAMPLE_RATE), int(end * SAMPLE_RATE))
            words = self._words(samples[begin:until], begin / SAMPLE_RATE)
            segments.extend(_segments(words))
        return Transcription(language="en", segments=tuple(segments))

    def _words(self, samples: NDArray[np.int16], offset: float) -> list[Word]:
        self._decoder.reinit_feat()  # drops the running estimates of channel and noise
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        words = []
        for item in self._decoder.seg() or ():
            if item.word.startswith(("<", "[")):  # silence, noise and filler markers
                continue
            words.append(
                Word(
                    start_s=round(offset + item.start_frame * _FRAME_S, 3),
                    end_s=round(offset + (item.end_frame + 1) * _FRAME_S, 3),
                    text=_VARIANT.sub("", item.word),
                    probability=round(min(1.0, item.prob), 4),
                )
            )
        return words


def _in_phase(samples: NDArray[np.int16], begin: int, until: int) -> tuple[int, int]:
    """Bounds (samples) moved by less than a frame, so that frames lie the same way over the same speech.

    What the recogniser hears depends on where its frames begin. So they are counted from the loudest sample,
    and not from wherever a chunk happened to be cut: cut or uncut, the same words.
    """
    if until <= begin:
        return begin, until
    loudest = begin + int(np.argmax(np.abs(samples[begin:until].astype(np.int32))))
    return begin + (loudest - begin) % _FRAME, until - (until - loudest) % _FRAME


def _segments(words: list[Word]) -> Iterator[Segment]:
    """Split an utterance where the speaker pauses, and anyway before it gets too long to read."""
    current: list[Word] = []
    for word in words:
        if current and (
            word.start_s - current[-1].end_s > _SEGMENT_PAUSE_S or word.end_s - current[0].start_s > _SEGMENT_MAX_S
        ):
            yield _segment(current)
            current = []
        current.append(word)
    if current:
        yield _segment(current)


def _segment(words: list[Word]) -> Segment:
    probabilities = [max(word.probability or 0.0, 1e-6) for word in words]
    return Segment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=" ".join(word.text for word in words),
        words=tuple(words),
        avg_logprob=round(sum(map(math.log, probabilities)) / len(probabilities), 4),
    )
