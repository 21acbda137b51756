"""One video through a deployment: what is reported if it works, is late, fails, or cannot be tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from castline import keys
from castline.errors import OptionsError
from castline.operations.account import Finding, Resource, Stack
from castline.operations.smoke import smoke
from castline.records import Manifest, Usage
from castline.runs.complete import complete_run
from castline.runs.request import read_request, read_source
from castline.settings import Settings
from castline.storage import MemoryStore

NAMES = {
    "InputBucket": "acme-input",
    "Stage1Bucket": "acme-stage-1",
    "OutputBucket": "acme-output",
    "GalleryBucket": "acme-gallery",
    "VideoSplittingFunction": "acme-video-splitting",
    "FaceRecognitionFunction": "acme-face-recognition",
}
STACK = Stack("acme", "CREATE_COMPLETE", {}, tuple(Resource("", *pair) for pair in NAMES.items()))


class World:
    """A deployment that works while somebody waits: one step per pause of two seconds."""

    def __init__(self, *deeds: Callable[[MemoryStore, str], None]) -> None:
        self.store, self.deeds, self.now = MemoryStore(), list(deeds), 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        (uploaded,) = [info.key for info in self.store.find("acme-input")]
        if self.deeds:
            self.deeds.pop(0)(self.store, uploaded)

    def smoke(self, stack: Stack, media: Path, seconds: float = 60) -> dict[str, Finding]:
        found = smoke(stack, self.store, media, seconds=seconds, clock=lambda: self.now, sleep=self.sleep)
        return {finding.check: finding for finding in found}

    def left(self) -> list[str]:
        buckets = ("acme-input", "acme-stage-1", "acme-output")
        found = [info.key for bucket in buckets for info in self.store.find(bucket)]
        return [key for key in found if not key.startswith(".audit/")]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "demo.mp4"
    path.write_bytes(b"a video")
    return path


def publish(error: str = "") -> Callable[[MemoryStore, str], None]:
    """A run without units that ends: ``complete``, or ``failed`` with an error."""

    def deed(store: MemoryStore, key: str) -> None:
        settings = STACK.settings()
        source = read_source(settings.input_bucket, key, store)
        assert source
        run = read_request(source, store, settings).run
        manifest = Manifest(
            run=run,
            source=source,
            options=settings.options(),
            probe=None,
            units=(),
            error={"code": "no_streams", "message": error} if error else None,  # type: ignore[arg-type]
            usage=Usage(stage="split", seconds=1, memory_mb=1024),
        )
        store.put(settings.stage1_bucket, keys.manifest_key(key, run), manifest.to_json())
        assert complete_run(key, run, store, settings)

    return deed


def test_it_passes_and_leaves_nothing(video: Path) -> None:
    world = World(lambda *_: None, publish())
    found = world.smoke(STACK, video)
    assert {name: finding.level for name, finding in found.items()} == {
        "stack": "ok",
        "upload": "ok",
        "split": "ok",
        "result": "ok",
        "content": "note",  # it showed nobody, and nothing was said
        "removal": "ok",
    }
    assert found["result"].line.startswith("complete after 4 s")
    assert world.left() == []


def test_a_failed_result_says_why(video: Path) -> None:
    found = World(publish("nothing in it")).smoke(STACK, video)
    assert (found["result"].level, found["result"].line) == ("problem", "failed after 2 s; nothing in it")


def test_a_missing_result_is_awaited_no_longer_than_asked(video: Path) -> None:
    world = World()
    found = world.smoke(STACK, video, seconds=30)
    assert found["split"].level == "problem"
    assert "castline redrive" in found["split"].line and "/aws/lambda/acme-video-splitting" in found["split"].line
    assert 30 <= world.now <= 34
    assert world.left() == []


def test_a_classic_deployment_answers_with_a_name(video: Path) -> None:
    def frame(store: MemoryStore, key: str) -> None:
        store.put("acme-stage-1", keys.classic_frame_key(key), b"jpeg")

    def answer(store: MemoryStore, key: str) -> None:
        store.put("acme-output", keys.classic_answer_key(key), "Zoë".encode())

    world = World(frame, answer)
    found = world.smoke(replace(STACK, values={"PipelineProfile": "classic"}), video)
    assert found["answer"].line == "'Zoë' after 4 s"
    assert {finding.level for finding in found.values()} == {"ok"}
    assert world.left() == []


@pytest.mark.parametrize(
    ("stack", "check"),
    [
        (replace(STACK, status="ROLLBACK_COMPLETE"), "stack"),
        (replace(STACK, values={"BatchMarker": "done.txt"}), "start"),
    ],
)
def test_what_cannot_work_is_not_tried(video: Path, stack: Stack, check: str) -> None:
    world = World()
    assert world.smoke(stack, video)[check].level == "problem"
    assert world.left() == [] and world.now == 0


def test_the_named_deployment_is_the_one_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASTLINE_PREFIX", "another")
    settings = STACK.settings()
    assert (settings.prefix, settings.input_bucket) == ("acme", "acme-input")
    assert settings.analyser_function == "acme-face-recognition"
    with pytest.raises(OptionsError, match="not a deployment of Castline"):
        Stack("x", "CREATE_COMPLETE", {}, ()).settings()
    assert isinstance(settings, Settings)
