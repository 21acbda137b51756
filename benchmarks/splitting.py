"""Splitting ten minutes of 720p: our splitter with units in S3, against bare ffmpeg writing the same files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from benchmarks.common import FFMPEG, ffmpeg, film, interleaved
from castline.events import object_created
from castline.local import LocalStack
from castline.settings import Settings
from castline.stages import split_event
from castline.storage import S3Store

MINUTES = 10


def run(folder: Path, repeats: int = 3) -> list[dict[str, object]]:
    """One row per sampling mode."""
    path = film(folder / "film-720p.mp4", MINUTES)
    rows: list[dict[str, object]] = []
    state = folder / "state-splitting"
    with LocalStack(Settings(state_dir=state, port=0), slots=1) as stack:
        s3 = stack.client("s3")
        for bucket in ("castline-input", "castline-stage-1"):  # only the splitter is measured
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
        store = S3Store(s3)
        for mode in ("interval", "keyframes"):
            config = Settings(sampling=mode, ffmpeg=FFMPEG, state_dir=state)

            def ours(repeat: int, config: Settings = config, mode: str = mode) -> None:
                key = f"{mode}-{repeat}.mp4"
                split_event(object_created(config.input_bucket, key), store, config)

            for repeat in range(repeats):
                store.put(config.input_bucket, f"{mode}-{repeat}.mp4", path)
            ours_s, bare_s, ratio = interleaved(ours, lambda _, mode=mode: bare(path, mode), repeats)
            rows.append({"sampling": mode, "castline_s": ours_s, "ffmpeg_s": bare_s, "ratio": ratio})
    return rows


def bare(path: Path, mode: str) -> None:
    """What one would type: frames as JPEG and audio as FLAC, in one ffmpeg process."""
    folder = Path(tempfile.mkdtemp())
    pick = "select='isnan(prev_selected_t)+gt(floor(t),floor(prev_selected_t))',scale=960:540,mpdecimate"
    try:
        ffmpeg(
            *(("-skip_frame", "nokey") if mode == "keyframes" else ()),
            *("-i", path, "-map", "0:v", "-vf", pick, "-fps_mode", "passthrough", "-q:v", 3, folder / "%06d.jpg"),
            *("-map", "0:a", "-ac", 1, "-ar", 16000, folder / "audio.flac"),
        )
    finally:
        shutil.rmtree(folder)
