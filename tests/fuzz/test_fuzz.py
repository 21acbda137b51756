"""Damaged media through the splitter, with its limits on Lambda: a typed end each time, within bounded time.

`make fuzz SECONDS=600 SEED=7` runs for longer; what it finds is written to fuzz.log.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from castline import keys
from castline.errors import CastlineError
from castline.events import object_created
from castline.records import Manifest
from castline.runs.request import read_request, read_source
from castline.settings import Settings
from castline.stages import split_event
from castline.storage import MemoryStore

pytestmark = pytest.mark.slow

_SECONDS = float(os.environ.get("SECONDS_OF_FUZZ", "10"))
_SEED = int(os.environ.get("SEED", "1"))
_TIMEOUT_S = 60  # of an invocation
_FORMATS = {
    "mp4": ["-c:v", "libx264", "-c:a", "aac"],
    "mkv": ["-c:v", "libx264", "-c:a", "libopus"],
    "webm": ["-c:v", "libvpx", "-c:a", "libvorbis"],
    "ts": ["-c:v", "mpeg2video", "-c:a", "mp2"],
    "avi": ["-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "mp3": ["-vn", "-c:a", "libmp3lame"],
    "ogg": ["-vn", "-c:a", "libopus"],
    "wav": ["-vn", "-c:a", "pcm_s16le"],
    "flac": ["-vn", "-c:a", "flac"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, bytes]:
    """Two seconds in every format, by suffix."""
    folder = tmp_path_factory.mktemp("whole")
    for suffix, codecs in _FORMATS.items():
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:r=10", "-f", "lavfi", "-i", "sine=440:r=48000",
               "-t", 2, *codecs, folder / f"whole.{suffix}")  # fmt: skip
    return {suffix: (folder / f"whole.{suffix}").read_bytes() for suffix in _FORMATS}


def mutations(body: bytes, dice: random.Random) -> Iterator[bytes]:
    """One damage after the other: flipped bytes, cuts, repeated and moved pieces, numbers at their limits."""
    while True:
        damaged = bytearray(body)
        for _ in range(dice.choice((1, 1, 3, 20))):
            at = dice.choice((dice.randrange(min(len(damaged), 512)), dice.randrange(len(damaged))))
            kind = dice.randrange(6)
            length = dice.randint(1, 64)
            if kind == 0:
                damaged[at] ^= 1 << dice.randrange(8)
            elif kind == 1:
                damaged[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x80\0\0\0"))
            elif kind == 2:
                damaged[at : at + length] = dice.randbytes(length)
            elif kind == 3:
                del damaged[at : at + length]
            elif kind == 4:
                damaged[at:at] = damaged[at : at + length]
            else:
                del damaged[max(at, 16) :]
            if len(damaged) < 16:
                damaged = bytearray(body)
        yield bytes(damaged)


def test_all_damage_ends_typed_and_in_time(whole: dict[str, bytes]) -> None:
    dice = random.Random(_SEED)
    settings = Settings(
        ffmpeg=imageio_ffmpeg.get_ffmpeg_exe(), memory_mb=2048, timeout_s=_TIMEOUT_S, ffmpeg_timeout_s=_TIMEOUT_S
    )
    ended: Counter[str] = Counter()
    slowest = 0.0
    sources = {suffix: mutations(body, dice) for suffix, body in whole.items()}
    deadline = time.monotonic() + _SECONDS
    tried = 0
    while time.monotonic() < deadline or tried < len(sources):
        suffix = list(sources)[tried % len(sources)]
        tried += 1
        body = next(sources[suffix])
        store, key = MemoryStore(), f"damaged.{suffix}"
        store.put(settings.input_bucket, key, body)
        source = read_source(settings.input_bucket, key, store)
        assert source
        begin = time.monotonic()
        try:
            split_event(object_created(settings.input_bucket, key), store, settings)
        except CastlineError as error:  # Lambda retries; that is typed, too
            ended[error.code] += 1
            assert error.retryable
            continue
        finally:
            slowest = max(slowest, time.monotonic() - begin)
        manifest = store.get(settings.stage1_bucket, keys.manifest_key(key, read_request(source, store, settings).run))
        assert manifest, f"no manifest for mutation {tried} of seed {_SEED} ({suffix})"
        parsed = Manifest.from_json(manifest)
        assert parsed.units or parsed.error, f"mutation {tried} of seed {_SEED} ({suffix}) ended without an error"
        assert parsed.error is None or parsed.error.code != "internal", parsed.error
        ended[parsed.error.code if parsed.error else "decoded"] += 1
    # One decode may be retried, so an invocation takes its time limit plus the time for closing.
    assert slowest < _TIMEOUT_S
    with Path(os.environ.get("FUZZ_LOG", os.devnull)).open("a") as log:
        log.write(f"seed {_SEED}: {tried} damaged files, slowest {slowest:.1f} s, ends: {dict(ended.most_common())}\n")
