"""Mel-frequency cepstral coefficients, as LR-ASD needs them (S. Davis and P. Mermelstein, 1980; HTK's lifter)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE

#: Coefficients per moment, and moments per second.
COEFFICIENTS, RATE = 13, 100
_FRAME, _HOP, _POINTS = 400, 160, 512
_BANDS = 26
_LIFTER = 22
_EMPHASIS = 0.97
_FULL_SCALE = 32768  # the net was trained on 16-bit samples
_LEAST = np.finfo(np.float64).eps


def cepstra(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """13 coefficients every 10 ms, the first of them the logarithm of the energy.

    Equal to ``python_speech_features.mfcc`` (MIT) with its defaults: windows of 25 ms without a taper, 26 triangles
    on the mel scale of HTK up to 8 kHz over 512 points, an orthonormal cosine transform.

    Args:
        samples: mono 16 kHz, shape (n,), float32 in -1..1.

    Returns:
        Shape (1 + ceil((n - 400) / 160), 13), at least one row; beyond the end are zeros.
    """
    signal = samples.astype(np.float64) * _FULL_SCALE
    signal = np.append(signal[:1], signal[1:] - _EMPHASIS * signal[:-1])
    count = 1 + max(0, -(-(len(signal) - _FRAME) // _HOP))
    padded = np.pad(signal, (0, (count - 1) * _HOP + _FRAME - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    powers = np.square(np.abs(np.fft.rfft(frames, _POINTS, axis=1))) / _POINTS
    # Not @: for so small a product, BLAS wakes threads that cost many times as much where cores are busy.
    bands = np.log(np.maximum(np.einsum("tf,bf->tb", powers, _triangles()), _LEAST))
    found = np.einsum("tb,cb->tc", bands, _cosines())
    found[:, 0] = np.log(np.maximum(powers.sum(axis=1), _LEAST))
    return np.asarray(found, np.float32)


@cache
def _triangles() -> NDArray[np.float64]:
    """Weights of a spectrum's bins in each band, shape (26, 257)."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), _BANDS + 2)
    edges = np.floor((_POINTS + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE)
    bins = np.arange(_POINTS // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.asarray(np.maximum(0.0, np.where(bins < middle, rising, falling)))


@cache
def _cosines() -> NDArray[np.float64]:
    """The cosine transform with the lifter, shape (13, 26)."""
    order, band = np.arange(COEFFICIENTS)[:, None], np.arange(_BANDS)
    cosines = np.cos(np.pi * order * (2 * band + 1) / (2 * _BANDS)) * np.sqrt(2 / _BANDS)
    cosines[0] /= np.sqrt(2)
    return np.asarray(cosines * (1 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER)))
