"""Mel bands against librosa's, and a voice encoder's vectors of windows."""

import numpy as np
import pytest

from castline.engines.choose import load_voice_encoder, prepare
from castline.engines.speech.voices import mel_frames
from castline.settings import Settings
from castline.weights.prepare import can_make_voice


def noise():
    return (np.random.default_rng(7).normal(size=16000) * 0.1).astype(np.float32)


def test_mel_bands_equal_librosa_s():
    # librosa 0.11.0: feature.melspectrogram(y=noise(), sr=16000, n_fft=400, hop_length=160, n_mels=40).T
    recorded = [
        [0.039789, 0.012476, 0.009719, 0.009963],
        [0.066181, 0.001332, 0.009478, 0.043412],
        [0.025531, 0.007628, 0.032602, 0.032056],
    ]
    frames = mel_frames(noise())
    assert (frames.shape, frames.dtype) == ((101, 40), np.float32)
    np.testing.assert_allclose(frames[[0, 50, 100]][:, [0, 10, 20, 39]], recorded, atol=1e-6)


def test_mel_bands_equal_librosa_s_where_it_is_installed():
    librosa = pytest.importorskip("librosa")
    theirs = librosa.feature.melspectrogram(y=noise(), sr=16000, n_fft=400, hop_length=160, n_mels=40).T
    np.testing.assert_allclose(mel_frames(noise()), theirs, rtol=1e-5, atol=1e-7)


def test_windows_become_unit_vectors_but_silence_does_not(tmp_path):
    if not can_make_voice():
        pytest.skip("resemblyzer or onnx is not installed")
    encoder = load_voice_encoder(Settings(models_dir=tmp_path))
    samples = np.concatenate([noise(), noise(), np.zeros(32000, np.float32)])
    windows = [(0.0, 1.6), (0.5, 0.9), (2.2, 3.8), (4.0, 5.0)]
    found = encoder.embed_voices(samples, windows)
    assert found.shape == (4, 256)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths[:2], 1, atol=1e-5)
    assert np.isfinite(found).all()
    assert encoder.embed_voices(samples, []).shape == (0, 256)
    # The level does not matter below the one to which all are raised.
    softer = encoder.embed_voices(samples * np.float32(0.01), windows[:1])
    softest = encoder.embed_voices(samples * np.float32(0.001), windows[:1])
    np.testing.assert_allclose(softer, softest, atol=1e-4)


def test_a_voice_encoder_is_needed_only_on_request(tmp_path, monkeypatch):
    monkeypatch.setattr("castline.weights.prepare.find_voice_weights", lambda: None)
    prepare("voice_encoder", Settings(models_dir=tmp_path))
