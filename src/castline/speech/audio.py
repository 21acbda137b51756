"""Stage-1 audio as samples."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from castline.errors import UnitError
from castline.media.chunks import SAMPLE_RATE


def decode_flac(body: bytes) -> NDArray[np.float32]:
    """Mono 16 kHz samples of an audio unit, shape (n,), float32 in -1..1.

    Raises:
        UnitError: not readable, or not mono 16 kHz.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UnitError(f"the audio unit cannot be read: {error}") from error
    if rate != SAMPLE_RATE or samples.shape[1] != 1:
        raise UnitError(f"the audio unit is {rate} Hz with {samples.shape[1]} channels; expected mono {SAMPLE_RATE} Hz")
    mono: NDArray[np.float32] = samples[:, 0]
    return mono
