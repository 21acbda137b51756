"""Mixes many channels down to one: what ffmpeg does for that, and what remains to be done.

ffmpeg delivers two channels (one for a mono track). Their mean is used, with two exceptions. Where they cancel each
other, as with a microphone wired the wrong way round, the louder one is used. Where the louder one is steady noise, as
from a broken cable, and the other is something else, that one is used: in the mean, a quiet voice would be lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE
from castline.media.probe import NO_LAYOUT
from castline.records import AudioStream

_BLOCK = SAMPLE_RATE  # samples that are examined together
#: Power of the mean over that of the louder channel: equal channels give 1, unrelated ones 0.5, a single one 0.25.
_CANCELLED = 0.1
#: Samples that are examined together for noise.
_STRETCH = 4 * _BLOCK
#: The level of steady noise stays within so many dB, from its 5th to its 95th percentile, in frames of 20 ms. Measured
#: over 4 s: white, pink and brown noise 1.5, hum 0.1, hiss that swells by a third 5.5, speech 22 at least.
_STEADY_DB = 10.0
_FRAME = SAMPLE_RATE // 50
_LOUDER = 4.0  # power of the noise over that of the other channel
_SILENCE = 1e-12  # power
_RELATED = 0.3  # correlation above which two channels have the same sound
_BEYOND = 2.0  # of full scale; decoders of lossy codecs overshoot by less
_MOST_CHANNELS = 64
_THREE = "2.1"  # recorders label any three channels so, and ffmpeg would leave out the third


def output_channels(audio: AudioStream) -> int:
    """How many channels ffmpeg delivers."""
    return 1 if audio.channels == 1 or audio.layout.startswith("ambisonic") else 2


def mix_filter(audio: AudioStream) -> str:
    """The filter that a track needs before ffmpeg can mix it; empty if it needs none.

    The first channel of ambisonic sound is the omnidirectional one. Channels without positions go alternately to either
    side, so that pairs that cancel are detected.
    """
    if audio.layout.startswith("ambisonic"):
        return "pan=mono|c0=c0"
    if audio.channels < 3 or not (NO_LAYOUT.match(audio.layout) or audio.layout == _THREE):
        return ""
    count = min(audio.channels, _MOST_CHANNELS)
    sides = ["+".join(f"{2 / count:.6f}*c{channel}" for channel in range(side, count, 2)) for side in (0, 1)]
    return f"pan=stereo|c0={sides[0]}|c1={sides[1]}"


def _within_scale(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce a block far above full scale, which 32-bit float recorders write; a small excess is clipped later."""
    peak = float(np.abs(block, where=np.isfinite(block), out=np.zeros_like(block)).max(initial=0.0))
    return block / np.float32(peak) if peak > _BEYOND else block


class Mixer:
    """Feed channels in any portions, get one channel in whole blocks.

    Attributes:
        cancelled_s: seconds in which the channels cancelled each other.
        noise_s: seconds in which a channel of noise was left out, and the other was not noise.
    """

    def __init__(self) -> None:
        self.cancelled_s = 0.0
        self.noise_s = 0.0
        self._pending: list[NDArray[np.float32]] = []
        self._size = 0

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        """Take float32 samples, shape (n, 1 or 2), full scale 1; return those that are ready as int16, shape (m,)."""
        self._pending.append(samples)
        self._size += len(samples)
        return self._mix(self._size // _STRETCH * _STRETCH) if self._size >= _STRETCH else np.empty(0, np.int16)

    def rest(self) -> NDArray[np.int16]:
        """The remaining samples, shape (m,)."""
        return self._mix(self._size)

    def _mix(self, count: int) -> NDArray[np.int16]:
        if not count:
            return np.empty(0, np.int16)
        held = np.concatenate(self._pending)
        self._pending, self._size = [held[count:]], self._size - count
        cut = [self._without_noise(held[at : min(at + _STRETCH, count)]) for at in range(0, count, _STRETCH)]
        blocks = [
            _within_scale(self._one(stretch[at : at + _BLOCK]))
            for stretch in cut
            for at in range(0, len(stretch), _BLOCK)
        ]
        scaled = np.rint(np.concatenate(blocks) * 32768)
        whole: NDArray[np.int16] = np.clip(np.nan_to_num(scaled), -32768, 32767).astype(np.int16)
        return whole

    def _without_noise(self, stretch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The stretch, or only its quieter channel if the louder one is noise."""
        if stretch.shape[1] == 1 or len(stretch) < _BLOCK:
            return stretch
        power = np.mean(np.square(stretch, dtype=np.float64), axis=0)
        quieter, louder = np.argsort(power)
        if not 0 < _LOUDER * power[quieter] <= power[louder] < np.inf:
            return stretch
        shared = np.mean(stretch[:, 0] * stretch[:, 1], dtype=np.float64) / np.sqrt(power[0] * power[1])
        if abs(shared) > _RELATED or not _is_steady(stretch[:, louder]):
            return stretch
        if not _is_steady(stretch[:, quieter]):
            self.noise_s += len(stretch) / SAMPLE_RATE
        return stretch[:, quieter : quieter + 1]

    def _one(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
        if block.shape[1] == 1:
            return mean
        power = np.mean(np.square(block, dtype=np.float64), axis=0)
        louder = int(np.argmax(power))
        if power[louder] and np.mean(np.square(mean, dtype=np.float64)) < _CANCELLED * power[louder]:
            self.cancelled_s += len(block) / SAMPLE_RATE
            return block[:, louder]
        return mean


def _is_steady(samples: NDArray[np.float32]) -> bool:
    """Whether a channel is noise that does not change; nobody speaks in it."""
    steps = np.diff(samples).astype(np.float64)  # without the rumble, beside which everything is small
    frames = np.square(steps[: len(steps) // _FRAME * _FRAME]).reshape(-1, _FRAME).mean(axis=1)
    quiet, loud = np.percentile(10 * np.log10(frames + _SILENCE), (5, 95))
    return bool(loud - quiet < _STEADY_DB)
