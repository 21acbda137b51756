"""A result is compared with what would be made now."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.operations.outdated import _same, outdated
from castline.records import Failure, Notice, Options, Result, Source, UnitFailure
from castline.settings import Settings
from castline.storage import MemoryStore

SOURCE = Source(bucket="castline-input", key="a.mp4", etag="1", version=None, size=1)


def _result(engines: dict[str, str], options: Options | None = None, *warnings: Notice) -> Result:
    return Result.model_construct(
        engines=engines, options=options or Options(), warnings=warnings, failures=(), error=None
    )


@pytest.mark.parametrize(
    ("then", "now", "role", "same"),
    [
        ("mtcnn", "mtcnn", "detector", True),
        ("mtcnn", "yunet", "detector", False),
        ("facenet-casia-704afe26766c", "facenet-casia", "embedder", True),
        ("facenet-casia-int8-704afe26766c", "facenet-casia", "embedder", False),
        ("dlib-resnet-v1", "facenet-casia", "embedder", False),
        ("arcface-0123456789ab", "arcface:/a/file.onnx", "embedder", True),
        ("faster-whisper:tiny.en", "faster-whisper:tiny.en", "transcriber", True),
        ("faster-whisper:tiny.en", "faster-whisper:base", "transcriber", False),
        ("faster-whisper:mine", "faster-whisper:/a/folder", "transcriber", True),
        ("whisper.cpp:base", "faster-whisper:base", "transcriber", False),
        (None, "faster-whisper:base", "transcriber", False),
    ],
)
def test_engines_are_told_apart(then: str | None, now: str, role: str, same: bool) -> None:
    assert _same(then, now, role) is same


def test_options_and_engines_that_changed_are_named(tmp_path: Path) -> None:
    store, settings = MemoryStore(), Settings(models_dir=tmp_path, detector="yunet", transcriber="faster-whisper:base")
    made = {"detector": "yunet", "transcriber": "faster-whisper:base"}
    engines = Options(detector="yunet", transcriber="faster-whisper:base")
    assert outdated(_result(made, engines), SOURCE, store, settings) == ""
    other = engines.model_copy(update={"language": "de"})
    assert outdated(_result(made, other), SOURCE, store, settings) == "language was de and is unset"
    tiny = {**made, "transcriber": "faster-whisper:tiny.en"}
    said = outdated(_result(tiny, engines), SOURCE, store, settings)
    assert said == "transcriber was faster-whisper:tiny.en and is faster-whisper:base"
    assert outdated(_result({"detector": "yunet"}, engines), SOURCE, store, settings) == "", "a film without sound"
    nobody = Notice(code="no_speech_engine", message="no speech was transcribed")
    said = outdated(_result({"detector": "yunet"}, engines, nobody), SOURCE, store, settings)
    assert said == "transcriber was none and is faster-whisper:base"
    failure = UnitFailure(
        unit="audio-0000", start_s=0.0, end_s=4.0, error=Failure(code="model_not_found", message="no weights")
    )
    failed = _result({"detector": "yunet"}, engines).model_copy(update={"failures": (failure,)})
    assert outdated(failed, SOURCE, store, settings) == "transcriber was none and is faster-whisper:base"
    damaged = failure.model_copy(update={"error": Failure(code="unit", message="no sound can be read")})
    failed = _result({"detector": "yunet"}, engines).model_copy(update={"failures": (damaged,)})
    assert outdated(failed, SOURCE, store, settings) == "", "another engine would not read it either"
