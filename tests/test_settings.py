"""Settings: each has a variable, documentation and a default that suits a laptop."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import AliasChoices, ValidationError

from castline import settings as module
from castline.errors import SettingsError
from castline.records import Options
from castline.settings import Settings

_VALUES = {
    str: "something",
    int: "77",
    float: "77.5",
    Path: "/somewhere",
}
_CHOICES = {
    "speakers": "voices",
    "beam": "7",
    "audio_track": "2",
    "sampling": "keyframes",
    "profile": "classic",
    "language": "en",
    "task": "translate",
    "orchestration": "stepfunctions",
    "model_storage": "s3",
    "device": "cuda",
    "prompt": "Minutes.",
    "word_times": "False",
    "elsewhere": "True",
    "transcript_layout": "flat",
    "whatsapp_reply": "True",
    "whatsapp_numbers": "('1', 'phone-number-id-2')",
    "hotwords": "('Ada', 'Bernoulli numbers')",
}
_WRITTEN = {"hotwords": "Ada, Bernoulli numbers,", "whatsapp_numbers": "1,phone-number-id-2"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        for variable in _variables(name):
            monkeypatch.delenv(variable, raising=False)


def _variables(name: str) -> list[str]:
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices if str(choice).isupper()]
    return [f"CASTLINE_{name.upper()}"]


def test_every_field_has_a_docstring_right_below_it() -> None:
    tree = ast.parse(inspect.getsource(module))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    described = set()
    for node, following in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert isinstance(following, ast.Expr), f"{node.target.id} has no docstring"
            assert isinstance(following.value, ast.Constant), f"{node.target.id} has no docstring"
            assert str(following.value.value).endswith((".", ")")), node.target.id
            described.add(node.target.id)
    assert described == set(Settings.model_fields) - set(Options.model_fields)
    assert all(str(field.description).endswith(".") for field in Options.model_fields.values())


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_field_is_read_from_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    annotation = Settings.model_fields[name].annotation
    value = _CHOICES.get(name) or _VALUES[annotation]  # type: ignore[index]
    for variable in _variables(name):
        monkeypatch.setenv(variable, _WRITTEN.get(name, value))
        assert str(getattr(Settings(), name)) == value, variable
        monkeypatch.delenv(variable)


def test_buckets_follow_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().input_bucket == "castline-input"
    monkeypatch.setenv("CASTLINE_PREFIX", "1225")
    monkeypatch.setenv("CASTLINE_OUTPUT_BUCKET", "elsewhere")
    found = Settings()
    assert (found.input_bucket, found.stage1_bucket) == ("1225-input", "1225-stage-1")
    assert (found.output_bucket, found.gallery_bucket) == ("elsewhere", "1225-gallery")


def test_profile_has_two_names_and_two_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().profile == "full"
    monkeypatch.setenv("PIPELINE_PROFILE", "classic")
    assert Settings().profile == "classic"
    monkeypatch.setenv("PIPELINE_PROFILE", "modern")
    with pytest.raises(ValidationError, match="classic"):
        Settings()


def test_lambda_names_the_function_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "video-splitting")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008")
    found = Settings()
    assert (found.function_name, found.memory_mb) == ("video-splitting", 3008)


def test_ffmpeg_has_the_memory_of_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    laptop = Settings().ffmpeg_memory
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "video-splitting")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048")
    assert 1500 < Settings().ffmpeg_memory < 2048 < laptop
    monkeypatch.setenv("CASTLINE_FFMPEG_MEMORY_MB", "700")
    assert Settings().ffmpeg_memory == 700


def test_settings_can_be_given_by_name_and_cannot_be_changed() -> None:
    found = Settings(profile="classic", memory_mb=5)
    assert (found.profile, found.memory_mb) == ("classic", 5)
    with pytest.raises(ValidationError, match="frozen"):
        found.prefix = "x"  # type: ignore[misc]


def test_options_contain_every_choice_of_the_settings() -> None:
    assert Settings().options() == Options()
    changed = {
        "sampling": "interval",
        "interval_s": 3.0,
        "long_side": 640,
        "frames_per_unit": 5,
        "chunk_s": 30.0,
        "detector": "d",
        "embedder": "e",
        "transcriber": "t",
        "speakers": "voices",
        "voice_encoder": "v",
        "active_speaker": "a",
        "language": "de",
        "task": "translate",
        "prompt": "p",
        "hotwords": ("h",),
        "word_times": False,
        "beam": 1,
    }
    of_one_media = {"audio_track": None}
    assert set(changed | of_one_media) == set(Options.model_fields)
    assert Settings(**changed).options().model_dump() == changed | of_one_media  # type: ignore[arg-type]


def test_unreadable_variables_are_one_typed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    module.settings.cache_clear()
    module.tolerant_settings.cache_clear()
    for name, value in {"CASTLINE_CHUNK_S": "abc", "CASTLINE_BEAM": "0", "PIPELINE_PROFILE": "foo"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CASTLINE_PREFIX", "1225")
    try:
        with pytest.raises(SettingsError) as caught:
            module.settings()
        assert "\n" not in caught.value.message
        for part in (
            "CASTLINE_CHUNK_S=abc: ",
            "(10 to 600)",
            "CASTLINE_BEAM=0: ",
            "(1 to 20)",
            "PIPELINE_PROFILE=foo: ",
        ):
            assert part in caught.value.message
        found = module.tolerant_settings()
        assert (found.chunk_s, found.beam, found.profile, found.input_bucket) == (60.0, 5, "full", "1225-input")
    finally:
        module.settings.cache_clear()
        module.tolerant_settings.cache_clear()
