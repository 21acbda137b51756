"""A deployment in memory for the commands: the stages run when a test asks for it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import pytest
from botocore.exceptions import ClientError

from castline.cli.connect import Connection
from castline.cli.earlier import send
from castline.engines.speech import find
from castline.errors import CastlineError, NoSpeechEngine
from castline.events import object_created
from castline.operations import outdated
from castline.records import Result
from castline.runs.request import read_source
from castline.runs.sets import finished
from castline.settings import Settings
from castline.stages import analyse_event, split_event
from castline.storage import MemoryStore
from tests.stages.conftest import MODEL, FakeDetector, FakeEmbedder, FakeTranscriber

KEY = "talk.mp4"


class _Engines:
    """Engines of which the speech engine may be installed later."""

    def __init__(self) -> None:
        self.detector, self.embedder, self.speech = FakeDetector(), FakeEmbedder(), FakeTranscriber()
        self.installed = True

    @property
    def transcriber(self) -> FakeTranscriber:
        if not self.installed:
            raise NoSpeechEngine("there is no speech engine here")
        return self.speech


class Deployment(MemoryStore):
    """A deployment whose events wait until a test lets it work."""

    def __init__(self, film: Path) -> None:
        super().__init__()
        names = {"detector": "fake-detector", "embedder": MODEL}
        self.settings = Settings(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe(), ffmpeg_timeout_s=60, **names)  # type: ignore[arg-type]
        self.engines = _Engines()
        self.events: deque[dict[str, Any]] = deque()
        self.there = Connection(self, self.settings, "memory", self._client)
        self.film = film

    def put(self, bucket: str, key: str, body: bytes | Path, **conditions: Any) -> bool:
        written = super().put(bucket, key, body, **conditions)
        if written and bucket in (self.settings.input_bucket, self.settings.stage1_bucket):
            self.events.append(object_created(bucket, key))
        return written

    def delete(self, bucket: str, keys: list[str]) -> None:
        super().delete(bucket, keys)
        if bucket == self.settings.input_bucket:
            self.events.extend(object_created(bucket, key) for key in keys)

    def _client(self, service: str) -> Any:
        def refuse(**_: object) -> None:
            raise ClientError({"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "GetQueueUrl")

        def invoke(**call: Any) -> None:
            self.events.append(json.loads(call["Payload"]))

        return SimpleNamespace(get_queue_url=refuse, invoke=invoke)

    def asks(self, sidecar: bytes | None = None, *, again: bool = False) -> None:
        send([(self.film, KEY)], [sidecar], self.there, replace=False, again=again)

    def works(self, *, stops_after: int | None = None) -> None:
        """Process everything that is pending; or lose the rest, as when it is stopped."""
        done = 0
        while self.events and done != stops_after:
            event = self.events.popleft()
            of_input = event["Records"][0]["s3"]["bucket"]["name"] == self.settings.input_bucket
            with suppress(CastlineError):  # the platform would try again
                if of_input:
                    split_event(event, self, self.settings)
                else:
                    analyse_event(event, self, self.settings, self.engines)  # type: ignore[arg-type]
            done += 1
        self.events.clear()

    def result(self) -> Result | None:
        source = read_source(self.settings.input_bucket, KEY, self)
        assert source
        return finished(source, self, self.settings)

    def makes(self, sidecar: bytes | None = None, *, again: bool = False) -> Result:
        self.asks(sidecar, again=again)
        self.works()
        result = self.result()
        assert result
        return result


@pytest.fixture
def stack(odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    made = Deployment(odd_media["both.mp4"])

    def installed(_: Settings) -> Iterator[SimpleNamespace]:
        return iter([SimpleNamespace(id="fake-speech")] if made.engines.installed else [])

    monkeypatch.setattr(find, "search", lambda _: find.Search((), ()))
    monkeypatch.setattr(outdated, "others", installed)
    yield made
