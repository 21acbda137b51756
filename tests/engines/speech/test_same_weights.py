"""One model in three formats: only the use of each engine differs, and all of them transcribe what is said."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import every_word, same_weights
from castline.engines.base import Speech
from castline.engines.choose import load_transcriber
from castline.evaluation.speech import count_normalised
from castline.records import SpeechOptions
from castline.settings import Settings
from castline.weights.packages import packaged

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.mark.parametrize("engine", ["faster-whisper", "whisper.cpp", "openai-whisper"])
def test_an_engine_reads_real_speech_with_the_real_weights(engine: str, shared_data: Path, tmp_path: Path) -> None:
    source = packaged("faster-whisper:tiny.en")
    if source is None:
        pytest.skip("the package with Whisper's weights is not installed")
    same_weights.write_all(source, tmp_path)
    # One thread: whisper.cpp's threads spin while they wait, which takes minutes on a busy machine.
    settings = Settings(transcriber=f"{engine}:tiny.en", models_dir=tmp_path, threads=1)
    transcriber = load_transcriber(settings)
    assert transcriber.info.id == f"{engine}:tiny.en"
    recordings = every_word.read_recordings(shared_data / "speech" / "transcripts.tsv", tmp_path)
    for name in ("jfk.wav", "1272-128104-0000.wav", "LJ050-0131.wav"):
        [spoken] = [item for item in recordings if item.name.endswith(name)]
        found = transcriber.transcribe(Speech(spoken.samples, SpeechOptions(language="en")))
        errors = count_normalised(spoken.reference, " ".join(segment.text for segment in found.segments), "en")
        assert errors.substitutions + errors.deletions + errors.insertions <= 2, (name, found.segments)
        assert found.warnings == ()
        words = [word for segment in found.segments for word in segment.words]
        assert all(one.end_s <= other.start_s + 0.001 for one, other in pairwise(words))
        assert words[-1].end_s <= len(spoken.samples) / 16_000
