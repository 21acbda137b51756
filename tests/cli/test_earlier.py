"""What earlier runs left is used only as far as it is what would be made now; and what is kept is said."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import pytest
from botocore.exceptions import ClientError

from castline.cli.connect import Connection
from castline.cli.earlier import send
from castline.engines.speech import find
from castline.errors import NoSpeechEngine
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
FAST = b'{"beam": 1}'


class _Engines:
    """Speech is an engine that may be installed later."""

    def __init__(self) -> None:
        self.detector, self.embedder, self.speech = FakeDetector(), FakeEmbedder(), FakeTranscriber()
        self.installed = True

    @property
    def transcriber(self) -> FakeTranscriber:
        if not self.installed:
            raise NoSpeechEngine("there is no speech engine here")
        return self.speech


class _Stack(MemoryStore):
    """A deployment whose events wait until somebody lets it work."""

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
        """Let it do all that there is to do; or lose the rest, as when it is stopped."""
        done = 0
        while self.events and done != stops_after:
            event = self.events.popleft()
            of_input = event["Records"][0]["s3"]["bucket"]["name"] == self.settings.input_bucket
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
def stack(odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[_Stack]:
    made = _Stack(odd_media["both.mp4"])

    def installed(_: Settings) -> Iterator[SimpleNamespace]:
        return iter([SimpleNamespace(id="fake-speech")] if made.engines.installed else [])

    monkeypatch.setattr(find, "search", lambda _: find.Search((), ()))
    monkeypatch.setattr(outdated, "others", installed)
    yield made


def test_what_is_kept_is_said_and_made_again_when_asked_for(stack: _Stack, capsys: pytest.CaptureFixture[str]) -> None:
    first = stack.makes()
    assert "--again" not in capsys.readouterr().out
    assert stack.makes() == first
    assert "talk.mp4: already has its result; --again makes it again" in capsys.readouterr().out
    assert stack.makes(again=True).run == first.run
    assert stack.engines.speech.calls == 2
    assert "talk.mp4: processed again, as asked" in capsys.readouterr().out


@pytest.mark.parametrize(("before", "now"), [(None, FAST), (FAST, None)])
def test_other_flags_bring_back_what_they_made_unless_it_is_to_be_made_again(
    before: bytes | None, now: bytes | None, stack: _Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = stack.makes(now)
    stack.makes(before)
    assert stack.engines.speech.calls == 2
    capsys.readouterr()
    assert stack.makes(now).run == earlier.run
    assert stack.engines.speech.calls == 2
    assert "what an earlier run made with these options is kept; --again makes it again" in capsys.readouterr().out
    stack.makes(before)
    stack.makes(now, again=True)
    assert stack.engines.speech.calls == 3


@pytest.mark.parametrize(("before", "now"), [(None, FAST), (FAST, None), (None, None)])
def test_an_engine_that_came_is_used_whatever_the_flags_were_meanwhile(
    before: bytes | None, now: bytes | None, stack: _Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.engines.installed = False
    assert "transcriber" not in stack.makes(now).engines
    stack.makes(before)
    stack.engines.installed = True
    assert stack.makes(now).engines["transcriber"] == "fake-speech"
    said = capsys.readouterr().out
    assert "talk.mp4: processed again, transcriber was none and is fake-speech" in said
    assert "kept" not in said


def test_what_was_stopped_under_these_flags_goes_on_after_others(
    stack: _Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.makes()
    stack.asks(FAST)
    stack.works(stops_after=1)  # it was split
    stack.makes()
    capsys.readouterr()
    calls = stack.engines.speech.calls
    assert stack.makes(FAST).options.beam == 1
    assert stack.engines.speech.calls == calls + 1
    assert "an earlier run did not finish it; this one continues from there" in capsys.readouterr().out


@pytest.mark.parametrize("again", [True, False])
def test_what_was_stopped_begins_anew_with_another_engine_or_when_asked_for(
    again: bool, stack: _Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.engines.installed = again
    stack.asks()
    stack.works(stops_after=1)
    (audio,) = [info.key for info in stack.find(stack.settings.stage1_bucket, KEY) if info.key.endswith(".flac")]
    analyse_event(object_created(stack.settings.stage1_bucket, audio), stack, stack.settings, stack.engines)  # type: ignore[arg-type]
    assert stack.result() is None
    stack.engines.installed = True
    assert stack.makes(again=again).engines["transcriber"] == "fake-speech"
    assert "talk.mp4: processed again, " in capsys.readouterr().out
    assert stack.engines.speech.calls == 1 + again


def test_a_recording_that_replaces_another_is_new(stack: _Stack, odd_media: dict[str, Path], capsys: Any) -> None:
    stack.makes()
    capsys.readouterr()
    send([(odd_media["no-video.mp4"], KEY)], [None], stack.there, replace=True, again=False)
    stack.works()
    result = stack.result()
    assert result
    assert result.probe
    assert result.probe.video is None
    assert "--again" not in capsys.readouterr().out
