"""Real speech with real weights: a small version of ``benchmarks/every_word.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import every_word
from benchmarks.every_word import Both, Kind, Recording, compose, measure
from castline.engines.base import Speech
from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions
from castline.weights.packages import packaged

pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def recordings(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return every_word.read_recordings(shared_data / "speech" / "transcripts.tsv", tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def both() -> Both:
    if packaged("faster-whisper:tiny.en") is None:
        pytest.skip("the package with Whisper's weights is not installed")
    return Both()


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        (Kind(100, (0.2, 6.0)), 1.0),
        (Kind(100, (0.0, 0.15), chunk_s=20), 1.0),
        (Kind(100, (0.2, 2.0), chunk_s=15, noise_db=12), 2.0),
    ],
    ids=["sparse", "dense", "noisy"],
)
def test_the_pipeline_recognises_what_the_plain_engine_recognises(
    kind: Kind, points: float, both: Both, recordings: list[Recording], tmp_path: Path
) -> None:
    """A point is three words in so short a file; the benchmark's goal is half a point."""
    found = measure(both, *compose(recordings, kind, 1), tmp_path, kind.chunk_s)
    assert found["lost"]["pipeline"] == []
    assert found["errors"]["pipeline"] - found["errors"]["bare"] <= points / 100 * found["words"]
    assert found["in_time"] >= 0.98 * found["said"]
    assert found["suspects"] == 0


def test_a_sentence_said_seven_times_is_kept(both: Both, recordings: list[Recording], tmp_path: Path) -> None:
    sentence = next(item for item in recordings if item.name.endswith("spk1_snt5.wav"))
    samples, _ = compose([sentence], Kind(20, (0.5, 0.6), times=7), 1)
    segments, _ = both.pipeline(samples, tmp_path)
    kept = sum(len(segment.words) for segment in segments if not segment.suspect)
    assert 0.8 * 7 * 8 <= kept <= 1.25 * 7 * 8


def test_more_hot_words_than_fit_do_no_harm(both: Both, recordings: list[Recording]) -> None:
    [spoken] = [item for item in recordings if item.name.endswith("jfk.wav")]
    asked = SpeechOptions(
        language="en", hotwords=tuple(f"Name{at} Surname{at}" for at in range(100)), prompt="About many things. " * 50
    )
    found = both.transcriber.transcribe(Speech(spoken.samples, asked))
    assert {notice.code for notice in found.warnings} == {"words_cut"}
    assert "your country" in " ".join(segment.text for segment in found.segments).lower()


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2])
def test_a_moment_of_speech_is_not_a_word(seconds: float, both: Both, recordings: list[Recording]) -> None:
    for item in recordings:
        middle = len(item.samples) // 2
        piece = item.samples[middle : middle + int(seconds * SAMPLE_RATE)]
        assert both.transcriber.transcribe(Speech(np.ascontiguousarray(piece))).segments == ()
