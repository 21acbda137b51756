"""Which engine is taken, and what is said about it. Nothing is loaded but PocketSphinx."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from castline.errors import ModelCorrupt, ModelNotFound
from castline.settings import Settings
from castline.speech import load_transcriber, survey_transcribers
from castline.speech.choose import find_whisper
from castline.speech.faster_whisper_engine import REQUIRED_FILES

Make = Callable[..., Path]


@pytest.fixture
def whisper_folder(tmp_path: Path) -> Make:
    """Makes folders that look complete; their content is nonsense."""

    def make(name: str, *, without: str = "") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in (*REQUIRED_FILES, "vocabulary.json"):
            if file != without:
                (folder / file).write_text("nonsense")
        return folder

    return make


@pytest.mark.parametrize(
    ("names", "best"),
    [
        ([], None),
        (["faster-whisper-tiny", "faster-whisper-small", "faster-whisper-base"], "faster-whisper-small"),
        (["faster-whisper-base.en", "faster-whisper-tiny"], "faster-whisper-base.en"),
        (["faster-whisper-large-v3", "faster-whisper-large-v3-turbo"], "faster-whisper-large-v3-turbo"),
        (["faster-whisper-mine", "faster-whisper-tiny"], "faster-whisper-tiny"),
        (["faster-whisper-mine"], "faster-whisper-mine"),
        (["whisper-large"], None),
    ],
)
def test_the_best_whisper_of_the_folder(
    names: list[str], best: str | None, whisper_folder: Make, tmp_path: Path
) -> None:
    for name in names:
        whisper_folder(name)
    assert find_whisper(tmp_path) == (tmp_path / best if best else None)


@pytest.mark.parametrize("lacking", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_an_incomplete_folder_does_not_count(lacking: str, whisper_folder: Make, tmp_path: Path) -> None:
    whisper_folder("faster-whisper-small", without=lacking)
    assert find_whisper(tmp_path) is None
    whole = whisper_folder("faster-whisper-tiny")
    assert find_whisper(tmp_path) == whole


def test_a_folder_that_is_not_there_is_no_folder(tmp_path: Path) -> None:
    assert find_whisper(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["auto", "pocketsphinx"])
def test_without_weights_pocketsphinx_is_taken_and_says_why(name: str, tmp_path: Path) -> None:
    info = load_transcriber(Settings(models_dir=tmp_path, transcriber=name)).info
    assert (info.id, info.source) == ("pocketsphinx-en-us", "bundled")
    assert info.reason.startswith("PocketSphinx (bundled)")
    assert info.reason.endswith("as asked for" if name == "pocketsphinx" else f"weights are not in {tmp_path}")


def test_whisper_asked_for_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"weights are not in .*CASTLINE_MODELS_DIR.*Whisper") as caught:
        load_transcriber(Settings(models_dir=tmp_path, transcriber="whisper"))
    assert not caught.value.retryable


@pytest.mark.parametrize("name", ["siri", "pocketsphinx:/tmp", "auto:/tmp", "", "Whisper"])
def test_unknown_names_are_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="known: auto, whisper") as caught:
        load_transcriber(Settings(models_dir=tmp_path, transcriber=name))
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("name", ["auto", "whisper"])
def test_weights_in_the_folder_are_taken_even_if_they_are_broken(
    name: str, whisper_folder: Make, tmp_path: Path
) -> None:
    folder = whisper_folder("faster-whisper-tiny")
    with pytest.raises(ModelCorrupt, match=str(folder)):
        load_transcriber(Settings(models_dir=tmp_path, transcriber=name))


def test_a_folder_of_one_s_own(whisper_folder: Make, tmp_path: Path) -> None:
    own = whisper_folder("mine", without="tokenizer.json")
    with pytest.raises(ModelNotFound, match=r"mine is no CTranslate2 Whisper model: tokenizer\.json missing"):
        load_transcriber(Settings(models_dir=tmp_path, transcriber=f"whisper:{own}"))


def test_the_survey_says_where_engines_would_come_from(whisper_folder: Make, tmp_path: Path) -> None:
    whisper, sphinx = survey_transcribers(Settings(models_dir=tmp_path))
    assert whisper.source == ""
    assert whisper.reason.endswith(f"weights are not in {tmp_path}")
    assert sphinx.source == "bundled"
    folder = whisper_folder("faster-whisper-tiny")
    assert survey_transcribers(Settings(models_dir=tmp_path))[0].source == str(folder)
