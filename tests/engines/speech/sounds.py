"""Sounds in which nobody speaks, made with numpy: noises, machines, music. Each is the same at every call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE

Sound = NDArray[np.float64]

SECONDS = 8
_N = SECONDS * SAMPLE_RATE
_T = np.arange(_N) / SAMPLE_RATE
_SCALE = np.array([0, 2, 4, 7, 9, 12, 14, 16])  # semitones of a pentatonic scale


def _level(sound: Sound, dbfs: float) -> NDArray[np.float32]:
    """The same sound at an RMS level in dB of full scale, clipped at full scale."""
    rms = np.sqrt(np.mean(sound**2)) or 1.0
    return np.clip(sound * 10 ** (dbfs / 20) / rms, -1, 1).astype(np.float32)


def _noise(seed: int, slope_db: float = 0.0, low: float = 0.0, high: float = 8000.0) -> Sound:
    """Gaussian noise in a band, Hz, that falls by ``slope_db`` per octave."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=_N))
    frequency = np.fft.rfftfreq(_N, 1 / SAMPLE_RATE)
    gain = np.maximum(frequency, 20) ** (-slope_db / 6.02)
    return np.fft.irfft(spectrum * gain * (frequency >= low) * (frequency <= high), _N)


def _tone(frequency: Sound | float, harmonics: int = 6, tilt: float = 1.0) -> Sound:
    """A harmonic tone whose n-th partial has the amplitude n**-tilt; the frequency may vary with time, Hz."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency, _N)) / SAMPLE_RATE
    return np.sum([np.sin(n * phase) / n**tilt for n in range(1, harmonics + 1)], axis=0)


def _struck(at: float, decay_s: float) -> Sound:
    """The envelope of an instrument struck at a time in seconds."""
    return np.where(at <= _T, np.exp(-np.maximum(_T - at, 0) / decay_s), 0.0)


def _hertz(semitones: float, root: float = 220.0) -> float:
    return float(root * 2 ** (semitones / 12))


def _silence() -> Sound:
    return np.zeros(_N)


def _hum() -> Sound:
    return _tone(50.0, harmonics=12)


def _fan() -> Sound:
    """Dark noise that swells with each blade, and the hum of the motor."""
    return _noise(5, slope_db=5) / 2e-3 * (1 + 0.3 * np.sin(2 * np.pi * 23 * _T)) / 1e3 + 0.05 * _tone(117.0, 4)


def _rain() -> Sound:
    """Bright noise and some two hundred drops a second."""
    drops = np.zeros(_N)
    rng = np.random.default_rng(6)
    at = rng.integers(0, _N, 200 * SECONDS)
    drops[at] = rng.exponential(1.0, len(at)) * rng.choice([-1, 1], len(at))
    ring = np.exp(-np.arange(80) / 16) * np.sin(np.arange(80) * 1.2)
    return np.convolve(drops, ring)[:_N] + 0.2 * _noise(7, low=1000)


def _clicks() -> Sound:
    """Keys of a keyboard: short bursts at uneven times."""
    sound, rng = np.zeros(_N), np.random.default_rng(8)
    for start in np.cumsum(rng.uniform(0.08, 0.5, 3 * SECONDS)):
        sound += rng.uniform(0.3, 1) * _struck(start, 0.006)
    return sound * _noise(9, low=500) * 40


def _sweep() -> Sound:
    """A sine from 80 Hz to 7 kHz, twice."""
    return _tone(80 * (7000 / 80) ** (2 * _T / SECONDS % 1), harmonics=1)


def _siren() -> Sound:
    return _tone(700 + 300 * np.sin(2 * np.pi * 0.5 * _T), harmonics=3)


def _beeps() -> Sound:
    return _tone(1000.0, harmonics=1) * (_T % 0.5 < 0.2)


def _chords() -> Sound:
    """Strings: chords of two seconds, each voice with its own vibrato."""
    sound = np.zeros(_N)
    for number, chord in enumerate(((0, 4, 7), (-3, 0, 4), (-7, -3, 0), (-5, -1, 2))):
        swell = np.clip(np.minimum(_T - 2 * number, 2 * (number + 1) - _T) / 0.2, 0, 1)
        for voice, note in enumerate(chord):
            vibrato = 1 + 0.006 * np.sin(2 * np.pi * (5 + 0.3 * voice) * _T)
            sound += swell * _tone(_hertz(note) * vibrato, harmonics=10)
    return sound


def _arpeggio() -> Sound:
    """A plucked melody, five notes a second."""
    sound, rng = np.zeros(_N), np.random.default_rng(10)
    for number in range(5 * SECONDS):
        sound += _struck(number / 5, 0.15) * _tone(_hertz(rng.choice(_SCALE)), harmonics=8, tilt=1.5)
    return sound


def _flute() -> Sound:
    """A melody of breathy tones that glide into each other."""
    rng = np.random.default_rng(11)
    notes = np.repeat([_hertz(note, 440) for note in rng.choice(_SCALE, 2 * SECONDS)], SAMPLE_RATE // 2)
    glide = np.convolve(notes, np.ones(800) / 800, mode="same")
    vibrato = 1 + 0.008 * np.sin(2 * np.pi * 5.5 * _T)
    return _tone(glide * vibrato, harmonics=3, tilt=2) + 20 * _noise(12, low=800, high=4000)


def _drums() -> Sound:
    """Kick, snare and hi-hat at 110 beats a minute."""
    beat, sound = 60 / 110, np.zeros(_N)
    hiss, snap = _noise(13, low=5000), _noise(14, low=200, high=5000)
    for number in range(int(2 * SECONDS / beat)):
        at = number * beat / 2
        sound += 0.5 * _struck(at, 0.03) * hiss * 20
        if number % 4 == 0:
            since = np.maximum(_T - at, 0)
            sound += 2 * _struck(at, 0.12) * np.sin(2 * np.pi * (50 * since + 3 * (1 - np.exp(-since / 0.03))))
        if number % 4 == 2:
            sound += _struck(at, 0.08) * (snap * 20 + 0.5 * _tone(190.0, 2))
    return sound


def _bass() -> Sound:
    """A walking bass, four notes a second."""
    sound, rng = np.zeros(_N), np.random.default_rng(15)
    for number in range(4 * SECONDS):
        sound += _struck(number / 4, 0.2) * _tone(_hertz(rng.choice(_SCALE), 55), harmonics=6)
    return sound


def _band() -> Sound:
    parts = (_chords(), _arpeggio(), _drums(), _bass())
    return np.sum([part / np.sqrt(np.mean(part**2)) for part in parts], axis=0)


def _humming() -> Sound:
    """A voice-like melody without words: sung notes with vibrato through the formants of "ah"."""
    rng = np.random.default_rng(16)
    notes = np.repeat([_hertz(note, 165) for note in rng.choice(_SCALE[:6], SECONDS)], SAMPLE_RATE)
    glide = np.convolve(notes, np.ones(1600) / 1600, mode="same")
    source = _tone(glide * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * _T)), harmonics=30)
    frequency = np.fft.rfftfreq(_N, 1 / SAMPLE_RATE)
    formants = ((730, 90, 1.0), (1090, 110, 0.5), (2440, 170, 0.2), (3400, 250, 0.1))
    gain = np.sum([level / (1 + ((frequency - at) / width) ** 2) for at, width, level in formants], axis=0)
    return np.fft.irfft(np.fft.rfft(source) * gain, _N)


_MADE: dict[str, tuple[Callable[[], Sound], float]] = {
    "silence": (_silence, 0),
    "white noise, faint": (lambda: _noise(1), -60),
    "white noise": (lambda: _noise(1), -30),
    "white noise, loud": (lambda: _noise(1), -10),
    "pink noise, faint": (lambda: _noise(2, slope_db=3), -60),
    "pink noise": (lambda: _noise(2, slope_db=3), -30),
    "pink noise, loud": (lambda: _noise(2, slope_db=3), -10),
    "hum": (_hum, -20),
    "fan": (_fan, -25),
    "rain": (_rain, -25),
    "clicks": (_clicks, -25),
    "sweep": (_sweep, -15),
    "siren": (_siren, -15),
    "beeps": (_beeps, -20),
    "chords": (_chords, -18),
    "arpeggio": (_arpeggio, -18),
    "flute": (_flute, -18),
    "drums": (_drums, -18),
    "bass": (_bass, -18),
    "band": (_band, -15),
    "humming": (_humming, -18),
}

NAMES = tuple(_MADE)


def sound(name: str) -> NDArray[np.float32]:
    """One of ``NAMES``: mono 16 kHz, shape (8 * 16000,), float32 in -1..1."""
    make, dbfs = _MADE[name]
    return _level(make(), dbfs)


def mixed(speech: NDArray[np.float32], other: NDArray[np.float32], snr_db: float) -> NDArray[np.float32]:
    """Speech over another sound, which is repeated to fill it, ``snr_db`` below it in RMS."""
    background = np.resize(other, len(speech)).astype(np.float64)
    gain = np.sqrt(np.mean(speech.astype(np.float64) ** 2) / np.mean(background**2)) * 10 ** (-snr_db / 20)
    return np.clip(speech + gain * background, -1, 1).astype(np.float32)
