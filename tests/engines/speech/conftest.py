"""Real speech from the demo, and the smallest nets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.random_whisper import MICRO, random_net, write_ctranslate2, write_ggml, write_openai
from castline.engines.speech.declared import FASTER_WHISPER, OPENAI_WHISPER, WHISPER_CPP
from castline.media.chunks import SAMPLE_RATE

_DEMO = Path(__file__).parents[3] / "examples" / "demo.mp4"


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> NDArray[np.float32]:
    """The demo's first seconds: "Hello and welcome to this short film."."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    ffmpeg("-i", _DEMO, "-vn", "-t", 4, "-ac", 1, "-ar", SAMPLE_RATE, path)
    samples: NDArray[np.float32] = soundfile.read(path, dtype="float32")[0]
    return samples


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One net in every format, as the model ``base``."""
    folder = tmp_path_factory.mktemp("nets")
    net = random_net(MICRO)
    write_ctranslate2(folder / FASTER_WHISPER.file("base"), net)
    write_ggml(folder / WHISPER_CPP.file("base"), net)
    write_openai(folder / OPENAI_WHISPER.file("base"), net)
    return folder
