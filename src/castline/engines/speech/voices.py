"""Voices as vectors: mel bands in numpy, and the encoder that ``castline.weights.voice_net`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import EngineInfo
from castline.engines.session import open_session
from castline.errors import ModelCorrupt
from castline.media.chunks import SAMPLE_RATE

#: Samples of a frame, and from one to the next: 25 and 10 ms.
FRAME, HOP = 400, 160
#: Frames in the windows on which the encoder was trained: 1.6 s.
PARTIAL = 160
_BANDS = 40
_BATCH = 32  # windows at a time: a few MB
_LOUDNESS = 10 ** (-30 / 20)  # quieter speech is amplified to this RMS, as in the encoder's training
_LOUDEST_GAIN = 1000.0


class GE2EEncoder:
    """Embeds stretches of a recording with the encoder of L. Wan et al. (2018).

    Raises:
        ModelNotFound, ModelCorrupt: as ``open_session``; also when the net has another shape.
    """

    def __init__(self, path: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo) -> None:
        self._session = open_session(path, threads, device)
        self.info = info
        shape = self._session.get_outputs()[0].shape
        if shape[1:] != [info.dimension]:
            raise ModelCorrupt(f"{path} is not a voice encoder: its output has the shape {shape}")

    def embed_voices(self, samples: NDArray[np.float32], windows: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
        """One unit-norm embedding per window; zeros where a window is silent.

        Args:
            samples: mono 16 kHz, shape (n,), float32 in -1..1.
            windows: ``(start_s, end_s)``, seconds; one shorter than 1.6 s is repeated to that length, and only the
                first 1.6 s of a longer one count.

        Returns:
            Shape (len(windows), 256), float32.
        """
        found = [self._embed(samples, windows[at : at + _BATCH]) for at in range(0, len(windows), _BATCH)]
        return np.concatenate(found) if found else np.zeros((0, self.info.dimension or 0), np.float32)

    def _embed(self, samples: NDArray[np.float32], windows: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
        mels = np.stack([_window(samples, start, end) for start, end in windows])
        (raw,) = self._session.run(None, {"mels": mels})
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        return np.asarray(np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0))


def _window(samples: NDArray[np.float32], start_s: float, end_s: float) -> NDArray[np.float32]:
    """Mel frames of a window, shape (160, 40)."""
    part = samples[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)]
    level = float(np.sqrt(np.mean(np.square(part, dtype=np.float64)))) if len(part) else 0.0
    gain = min(max(1.0, _LOUDNESS / level), _LOUDEST_GAIN) if level else 1.0
    return np.resize(mel_frames(part * np.float32(gain))[:PARTIAL], (PARTIAL, _BANDS))


def mel_frames(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Powers in 40 mel bands every 10 ms, as librosa's ``melspectrogram`` gives them by default.

    Periodic Hann windows of 25 ms around each moment, zeros beyond the ends, squared magnitudes, and triangles on M.
    Slaney's scale (Auditory Toolbox, 1998), each of the same area.

    Args:
        samples: mono 16 kHz, shape (n,), float32.

    Returns:
        Shape (1 + n // 160, 40), float32.
    """
    padded = np.pad(samples, FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    powers = np.square(np.abs(np.fft.rfft(frames * hann.astype(np.float32), axis=1)))
    # Not @: for so small a product, BLAS wakes threads that cost forty times as much where cores are busy.
    return np.asarray(np.einsum("tf,bf->tb", powers, _filters()), np.float32)


@cache
def _filters() -> NDArray[np.float64]:
    """Weights of a spectrum's bins in each band, shape (40, 201)."""
    bins = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE)
    edges = _hertz(np.linspace(0.0, _mel(SAMPLE_RATE / 2), _BANDS + 2))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low)))


# Linear up to 1 kHz, 15 mel, and logarithmic above: 27 mel for a factor of 6.4.
_LINEAR_HZ, _KNEE_HZ, _KNEE_MEL, _LOG_STEP = 200 / 3, 1000.0, 15.0, np.log(6.4) / 27


def _mel(hertz: float) -> float:
    return _KNEE_MEL + float(np.log(hertz / _KNEE_HZ)) / _LOG_STEP if hertz >= _KNEE_HZ else hertz / _LINEAR_HZ


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mels - _KNEE_MEL))
    return np.where(mels < _KNEE_MEL, mels * _LINEAR_HZ, above)
