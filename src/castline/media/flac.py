"""Stage-1 audio as samples."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from castline.errors import UnitError
from castline.media.chunks import SAMPLE_RATE

_LONGEST_S = 3600  # far beyond any chunk: a damaged header may promise terabytes


def decode_flac(body: bytes) -> NDArray[np.float32]:
    """Mono 16 kHz samples of an audio unit, shape (n,), float32 in -1..1.

    Raises:
        UnitError: not readable, not mono 16 kHz, or longer than any unit.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(body)) as file:
            rate, channels, length = file.samplerate, file.channels, file.frames
            if rate != SAMPLE_RATE or channels != 1:
                raise UnitError(f"the audio unit is {rate} Hz with {channels} channels; expected mono {SAMPLE_RATE} Hz")
            if length > _LONGEST_S * SAMPLE_RATE:
                raise UnitError(f"the audio unit says it is {length / SAMPLE_RATE:.0f} s long")
            samples: NDArray[np.float32] = file.read(dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UnitError(f"the audio unit cannot be read: {error}") from error
    return samples
