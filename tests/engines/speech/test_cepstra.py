"""Cepstra against python_speech_features."""

import numpy as np
import pytest

from castline.engines.speech.cepstra import cepstra

# python_speech_features 0.6: mfcc(tone(), 16000)
RECORDED = [
    [21.1762, 12.08704, -46.05202, -14.63125, 11.13507, -14.3494, -18.48169,
     2.97831, -2.45755, -14.9486, -4.50258, 0.95187, -7.10131],
    [22.11812, -4.39269, -61.02171, 21.89699, 4.9911, -2.72689, 18.34245,
     -5.33298, -15.89554, 7.96769, -3.44085, 0.4459, 6.34176],
]  # fmt: skip


def tone():
    at = np.arange(560)
    return (8000 * np.sin(at * at / 900)).astype(np.int16)


def test_they_are_those_that_the_net_was_trained_on():
    found = cepstra(tone().astype(np.float32) / 32768)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, RECORDED, atol=1e-4)


@pytest.mark.parametrize(("samples", "rows"), [(0, 1), (100, 1), (400, 1), (401, 2), (16000, 99)])
def test_there_is_one_every_ten_milliseconds(samples, rows):
    found = cepstra(np.zeros(samples, np.float32))
    assert found.shape == (rows, 13)
    assert np.isfinite(found).all()
