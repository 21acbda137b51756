"""Which of this machine's models a client gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.errors import ModelNotFound
from castline.service.engines import models_here, transcriber_for
from castline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """whisper.cpp has small; openai-whisper has none; faster-whisper has base, and tiny.en if installed."""
    (tmp_path / "ggml-small.bin").write_bytes(b"x")
    folder = tmp_path / "faster-whisper-base"
    folder.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes(b"x")
    return Settings(models_dir=tmp_path, transcriber="faster-whisper:base")


@pytest.mark.parametrize(
    ("engine", "model", "found"),
    [
        ("whisper.cpp", "small", "whisper.cpp:small"),
        ("whisper.cpp", "base", "faster-whisper:base"),  # the same weights
        ("openai-whisper", "base", "faster-whisper:base"),
        ("auto", "small", "whisper.cpp:small"),
        ("whisper.cpp", None, "whisper.cpp"),
        ("openai-whisper", None, "faster-whisper:base"),
        ("auto", None, "faster-whisper:base"),
    ],
)
def test_an_available_model(settings: Settings, engine: str, model: str | None, found: str) -> None:
    if "whisper.cpp" not in models_here(settings):
        pytest.skip("pywhispercpp is not installed")
    assert transcriber_for(engine, model, settings) == found


@pytest.mark.parametrize(
    ("engine", "language", "found"),
    [
        ("openai-whisper", "en", "faster-whisper:small.en"),
        ("openai-whisper", "en-GB", "faster-whisper:small.en"),
        ("openai-whisper", "de", "faster-whisper:base"),  # which it does not know
        ("openai-whisper", "auto", "faster-whisper:base"),
        ("openai-whisper", None, "faster-whisper:base"),
        ("whisper.cpp", "en", "faster-whisper:small.en"),
        ("whisper.cpp", "es", "whisper.cpp"),
        ("faster-whisper", "en", "faster-whisper"),  # the published queue has no such engine, so no default for it
        ("auto", "en", "faster-whisper:base"),
    ],
)
def test_without_a_model_english_gets_the_published_default(
    settings: Settings, tmp_path: Path, engine: str, language: str | None, found: str
) -> None:
    if "whisper.cpp" not in models_here(settings):
        pytest.skip("pywhispercpp is not installed")
    (tmp_path / "faster-whisper-base").rename(tmp_path / "faster-whisper-small.en")
    assert transcriber_for(engine, None, settings, language) == found


def test_the_published_default_is_the_engine_s_own_if_it_has_it(settings: Settings, tmp_path: Path) -> None:
    if "whisper.cpp" not in models_here(settings):
        pytest.skip("pywhispercpp is not installed")
    for folder in (tmp_path / "ggml-small.en.bin", tmp_path / "ggml-medium.bin"):
        folder.write_bytes(b"x")
    assert transcriber_for("whisper.cpp", None, settings, "en") == "whisper.cpp:small.en"


@pytest.mark.parametrize("model", ["large", "large-v3", "../faster-whisper-base", "ggml-small.bin", "medium.en"])
def test_a_missing_model_is_named_and_not_fetched(settings: Settings, model: str) -> None:
    with pytest.raises(ModelNotFound, match="here; there are: base"):
        transcriber_for("openai-whisper", model, settings)
