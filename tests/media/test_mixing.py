"""Many channels become one, and no voice is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE
from castline.media.mixing import Mixer
from castline.records import AudioStream, Probe

_TONE = "0.5*sin(2*PI*1000*t)"


def _made(ffmpeg: Callable[..., None], path: Path, channels: str, *arguments: object) -> Path:
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={channels}", *arguments, path)
    return path


@pytest.mark.parametrize(
    ("name", "channels", "least"),
    [
        ("mono.wav", f"{_TONE}:d=2:s=16000", 0.49),
        ("both.wav", f"{_TONE}|{_TONE}:d=2:s=48000", 0.49),
        ("left.wav", f"{_TONE}|0:d=2:s=48000", 0.24),
        ("inverted.wav", f"{_TONE}|-{_TONE}:d=2:s=48000", 0.49),
        ("nearly-inverted.wav", f"{_TONE}|-0.8*{_TONE}:d=2:s=48000", 0.49),
        ("centre-only.mkv", f"0|0|{_TONE}|0|0|0:d=2:s=48000:c=5.1", 0.2),
        ("centre-only.wav", f"0|0|{_TONE}|0|0|0:d=2:s=48000:c=5.1", 0.2),
        ("third-of-three.wav", f"0|0|{_TONE}:d=2:s=48000", 0.16),
        ("pair-of-four.wav", f"{_TONE}|-{_TONE}|0|0:d=2:s=48000", 0.24),
        ("inverted-of-5.1.wav", f"{_TONE}|-{_TONE}|0|0|0|0:d=2:s=48000:c=5.1", 0.2),
    ],
)
def test_a_voice_in_any_channel_is_heard(
    name: str, channels: str, least: float, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    codec = "ac3" if name.endswith("mkv") else "pcm_s16le"
    found = split_all(_made(ffmpeg, tmp_path / name, channels, "-c:a", codec))
    middle = found.samples[SAMPLE_RATE // 2 : -SAMPLE_RATE // 2]
    assert least <= np.abs(middle).max() <= 0.52
    cancelled = "channels_cancel" in [warning.code for warning in found.summary.warnings]
    assert cancelled is ("inverted" in name or "pair" in name)


def test_the_omnidirectional_channel_of_ambisonic_sound_is_used(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = _made(
        ffmpeg,
        tmp_path / "ambisonic.mkv",
        f"{_TONE}|-{_TONE}|0|0:d=2:s=48000:c=ambisonic 1",
        *("-c:a", "libopus", "-mapping_family", 2),
    )
    found = split_all(path)
    assert isinstance(found.probed, Probe)
    assert found.probed.audio == AudioStream(codec="opus", sample_rate=48000, channels=4, layout="ambisonic 1", index=0)
    assert np.abs(found.samples[SAMPLE_RATE // 2 : SAMPLE_RATE]).max() == pytest.approx(0.5, abs=0.05)


def test_sound_that_is_inverted_only_for_a_while() -> None:
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    left = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    right = np.where((time >= 1) & (time < 3), -left, left)
    mixer = Mixer()
    sent = np.stack([left, right], axis=1)
    parts = [mixer.feed(sent[at : at + 777]) for at in range(0, len(sent), 777)]
    mixed = np.concatenate([*parts, mixer.rest()])
    assert len(mixed) == len(left)
    assert np.abs(mixed / 32768 - left).max() < 1e-3
    assert mixer.cancelled_s == pytest.approx(2)


def test_samples_are_neither_scaled_nor_wrapped() -> None:
    mixer = Mixer()
    sent = np.array([[0.0], [1 / 32768], [-1.0], [1.0], [1.7], [-1.7], [np.nan], [np.inf]], np.float32)
    mixer.feed(sent)
    assert mixer.rest().tolist() == [0, 1, -32768, 32767, 32767, -32768, 0, 32767]


def test_sound_far_beyond_full_scale_keeps_its_shape() -> None:
    tone = (0.9 * np.sin(2 * np.pi * 440 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    loud = np.concatenate([tone[:SAMPLE_RATE] * 20, tone[SAMPLE_RATE:]])  # a second of it, 26 dB too loud
    loud[100] = np.inf
    mixer = Mixer()
    mixed = np.concatenate([mixer.feed(loud[:, np.newaxis]), mixer.rest()]) / 32768
    mixed[100] = tone[100] / 0.9
    assert np.abs(mixed[:SAMPLE_RATE] - tone[:SAMPLE_RATE] / 0.9).max() < 1e-3
    assert np.abs(mixed[SAMPLE_RATE:] - tone[SAMPLE_RATE:]).max() < 1e-3


def _quiet_voice(seconds: int = 10) -> NDArray[np.float32]:
    """Syllables, 40 dB below full scale."""
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    return (0.01 * np.sin(2 * np.pi * 300 * time) * (np.sin(2 * np.pi * 2 * time) > 0)).astype(np.float32)


def _mixed(left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[NDArray[np.float32], Mixer]:
    mixer = Mixer()
    sent = np.stack([left, right], axis=1).astype(np.float32)
    parts = [mixer.feed(sent[at : at + 999]) for at in range(0, len(sent), 999)]
    return np.concatenate([*parts, mixer.rest()]) / np.float32(32768), mixer


def test_a_quiet_voice_beside_loud_noise_is_used_alone() -> None:
    voice = _quiet_voice()
    noise = np.random.default_rng(1).normal(0, 0.1, len(voice))
    for left, right in ((voice, noise), (noise, voice)):
        mixed, mixer = _mixed(left, right)
        assert np.abs(mixed - voice).max() < 1e-3
        assert mixer.noise_s == pytest.approx(10)


def test_sound_that_is_not_steady_noise_stays_in_the_mix() -> None:
    voice = _quiet_voice()
    speech = 20 * np.roll(voice, SAMPLE_RATE // 4)  # somebody else speaks in the pauses, louder
    steady = np.random.default_rng(1).normal(0, 0.1, len(voice))
    for left, right in ((voice, speech), (voice + 0.2 * steady, steady), (np.zeros_like(voice), steady)):
        mixed, mixer = _mixed(left, right)
        assert mixed == pytest.approx((left + right) / 2, abs=1e-3)
        assert mixer.noise_s == 0


def test_a_channel_of_noise_is_reported(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    voice = "0.01*sin(2*PI*300*t)*gt(sin(4*PI*t)\\,0)"
    path = _made(ffmpeg, tmp_path / "broken-cable.wav", f"{voice}|0.3*(random(0)-0.5):d=8:s=16000")
    assert [warning.code for warning in split_all(path).summary.warnings] == ["noisy_channel"]
