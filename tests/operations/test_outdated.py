"""A result is compared with what would be made now."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.operations.outdated import Made, _same, outdated
from castline.records import Failure, Notice, Options, Result, Source, UnitFailure
from castline.records.base import NoticeCode
from castline.runs.request import Request
from castline.settings import Settings

SOURCE = Source(bucket="castline-input", key="a.mp4", etag="1", version=None, size=1)


def _result(engines: dict[str, str], options: Options | None = None, *warnings: Notice) -> Result:
    return Result.model_construct(
        status="complete", engines=engines, options=options or Options(), warnings=warnings, failures=(), error=None
    )


def _said(result: Result, settings: Settings) -> str:
    return outdated(Made.of(result), Request(SOURCE, settings.options()), settings)


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
    ],
)
def test_engines_are_distinguished(then: str, now: str, role: str, same: bool) -> None:
    assert _same(then, now, role) is same


def test_changed_options_and_engines_are_named(tmp_path: Path) -> None:
    settings = Settings(models_dir=tmp_path, detector="yunet", transcriber="faster-whisper:base")
    made = {"detector": "yunet", "transcriber": "faster-whisper:base"}
    engines = Options(detector="yunet", transcriber="faster-whisper:base")
    assert _said(_result(made, engines), settings) == ""
    other = engines.model_copy(update={"language": "de"})
    assert _said(_result(made, other), settings) == "language was de and is unset"
    tiny = {**made, "transcriber": "faster-whisper:tiny.en"}
    said = _said(_result(tiny, engines), settings)
    assert said == "transcriber was faster-whisper:tiny.en and is faster-whisper:base"
    assert _said(_result({"detector": "yunet"}, engines), settings) == "", "a film without sound"
    nobody = Notice(code="no_speech_engine", message="no speech was transcribed")
    said = _said(_result({"detector": "yunet"}, engines, nobody), settings)
    assert said == "transcriber was none and is faster-whisper:base"
    failure = UnitFailure(
        unit="audio-0000", start_s=0.0, end_s=4.0, error=Failure(code="model_not_found", message="no weights")
    )
    failed = _result({"detector": "yunet"}, engines).model_copy(update={"failures": (failure,)})
    assert _said(failed, settings) == "transcriber was none and is faster-whisper:base"
    damaged = failure.model_copy(update={"error": Failure(code="unit", message="no sound can be read")})
    failed = _result({"detector": "yunet"}, engines).model_copy(update={"failures": (damaged,)})
    assert _said(failed, settings) == "", "another engine could not transcribe it either"


@pytest.mark.parametrize(
    ("code", "role", "engine"),
    [("no_voices", "voice_encoder", "my-voices"), ("no_mouths", "active_speaker", "my-mouths")],
)
def test_results_made_without_an_engine_are_made_again_with_it(
    code: NoticeCode, role: str, engine: str, tmp_path: Path
) -> None:
    settings = Settings(models_dir=tmp_path, **{role: engine})  # type: ignore[arg-type]
    assert _said(_result({}, settings.options()), settings) == ""
    without = Notice(code=code, message="there was none")
    assert _said(_result({}, settings.options(), without), settings) == f"{role} was none and is {engine}"
