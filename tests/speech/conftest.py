"""Real speech, taken from the demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE

_DEMO = Path(__file__).parents[2] / "examples" / "demo.mp4"


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> NDArray[np.float32]:
    """The demo's first seconds: "Hello and welcome to this short film."."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    ffmpeg("-i", _DEMO, "-vn", "-t", 4, "-ac", 1, "-ar", SAMPLE_RATE, path)
    samples: NDArray[np.float32] = soundfile.read(path, dtype="float32")[0]
    return samples
