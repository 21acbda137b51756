"""The library: the pipeline's records for a file, without a stack."""

from __future__ import annotations

import doctest
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

import castline
from castline import analyse, library, recognise, transcribe
from castline.engines.base import DetectedFace, EngineInfo, Speech, Transcription
from castline.engines.choose import load_embedder, load_transcriber
from castline.errors import (
    GalleryError,
    MediaError,
    ModelError,
    NoSpeechEngine,
    NoStreams,
    NotMedia,
    OptionsError,
    UnitError,
)
from castline.events import object_created
from castline.records import Segment
from castline.runs.common import read_result
from castline.settings import Settings
from castline.stages import analyse_event, split_event
from castline.storage import MemoryStore

_CHECKOUT = Path(__file__).resolve().parents[1]
_EXAMPLES = _CHECKOUT / "examples"


class _Scripted:
    """All three engines: one face in every picture, always the same, and one sentence in every sound."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.detector = self.embedder = self.transcriber = self
        self.info = EngineInfo(id="dlib-resnet-v1", role="all", title="Scripted", licence="MIT", languages=("en", "de"))

    def detect(self, images):
        self.calls.append("detect")
        return [[self._face(*image.shape[:2])] for image in images]

    def _face(self, height: int, width: int) -> DetectedFace:
        scale = np.float32([width, height])
        points = np.float32([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]])
        return DetectedFace(np.concatenate([0.25 * scale, 0.75 * scale]), points * scale, 0.999)

    def embed(self, image, faces):
        self.calls.append("embed")
        return np.eye(len(faces), 128, dtype=np.float32)

    def transcribe(self, speech: Speech) -> Transcription:
        self.calls.append("transcribe")
        if self.error:
            raise self.error
        return Transcription("en", (Segment(start_s=0.1, end_s=0.4, text="hello"),))


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> _Scripted:
    scripted = _Scripted()
    monkeypatch.setattr(library, "process_engines", lambda settings, store: scripted)
    return scripted


def test_each_function_decodes_only_what_it_needs(engines, odd_media) -> None:
    both = odd_media["both.mp4"]
    assert transcribe(both).text == "hello"
    assert set(engines.calls) == {"transcribe"}
    engines.calls.clear()
    (person,) = recognise(str(both))
    assert (person.name, person.identity) == ("Person 1", "unknown")
    assert set(engines.calls) == {"detect", "embed"}
    result = analyse(both)
    assert (result.media, result.status, result.transcript.text) == ("both.mp4", "complete", "hello")
    assert ([person.name for person in result.people], result.source.bucket) == (["Person 1"], "")


def test_a_missing_file_is_reported(engines, odd_media, tmp_path: Path) -> None:
    with pytest.raises(NoStreams, match="no sound"):
        transcribe(odd_media["no-audio.mp4"])
    with pytest.raises(NoStreams, match="no picture"):
        recognise(odd_media["voice.ogg"])
    with pytest.raises(NotMedia, match="empty"):
        analyse(odd_media["zero.mp4"])
    with pytest.raises(NotMedia):
        analyse(odd_media["text.mp4"])
    with pytest.raises(FileNotFoundError):
        analyse(tmp_path / "nowhere.mp4")
    assert not engines.calls


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"langauge": "en"}, "did you mean 'language'"),
        ({"beam": 99}, "beam"),
        ({"prompt": Path("x")}, "not text, numbers"),
        ({"detector": "yunet"}, "is the deployment's"),
    ],
)
def test_an_invalid_option_is_refused_before_the_file_is_opened(options, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"x")
    with pytest.raises(OptionsError, match=said):
        transcribe(file, **options)


def test_a_damaged_file_is_partial_or_raised(engines, odd_media, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    real = imageio_ffmpeg.get_ffmpeg_exe()
    crash = f'"{real}" -t 1 "$@"; kill -SEGV $$'
    program.write_text(f'#!/bin/sh\ncase "$*" in *"-f image2"*) {crash};; esac\nexec "{real}" "$@"\n')
    program.chmod(0o755)
    settings, file = Settings(ffmpeg=str(program)), odd_media["both.mp4"]
    result = analyse(file, settings=settings)
    assert (result.status, bool(result.people), result.transcript.text) == ("partial", True, "hello")
    assert result.error and "ffmpeg crashed" in result.error.message
    with pytest.raises(MediaError, match="ffmpeg crashed"):
        recognise(file, settings=settings)
    assert transcribe(file, settings=settings).text == "hello", "the sound is whole"


def test_a_failed_unit_is_a_failure_or_raised_and_nothing_is_printed(engines, odd_media, capsys) -> None:
    engines.error = ModelError("it stutters")
    result = analyse(odd_media["both.mp4"])
    assert (result.status, [failure.unit for failure in result.failures]) == ("partial", ["audio-0000"])
    with pytest.raises(UnitError, match=r"0\.0 to 2\.\d s: it stutters"):
        transcribe(odd_media["both.mp4"])
    assert capsys.readouterr().out == "", "standard output belongs to the caller"
    assert not logging.getLogger("face-recognition").disabled


def test_an_unsupported_language_is_reported_before_the_work(engines, odd_media) -> None:
    for function in (transcribe, analyse):
        with pytest.raises(ModelError, match="does not know the language 'fr'"):
            function(odd_media["both.mp4"], language="fr")
    assert not engines.calls


def test_without_a_speech_engine_people_are_found_and_a_transcript_is_refused(odd_media, monkeypatch) -> None:
    class Deaf(_Scripted):
        def __init__(self) -> None:
            super().__init__()
            del self.transcriber

        def __getattr__(self, name: str):
            raise NoSpeechEngine("nothing to hear with") if name == "transcriber" else AttributeError(name)

    deaf = Deaf()
    monkeypatch.setattr(library, "process_engines", lambda settings, store: deaf)
    result = analyse(odd_media["both.mp4"])
    assert (result.status, [warning.code for warning in result.warnings]) == ("complete", ["no_speech_engine"])
    assert result.people
    with pytest.raises(NoSpeechEngine):
        transcribe(odd_media["both.mp4"])


def test_a_gallery_without_photos_is_refused(engines, odd_media, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="is not a folder"):
        recognise(odd_media["both.mp4"], gallery=tmp_path / "nowhere")
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "notes.txt").write_text("no photo")
    shutil.copy(_EXAMPLES / "gallery" / "Grace Hopper" / "close.jpg", tmp_path / "loose.jpg")
    with pytest.raises(GalleryError, match="one folder of photos per name"):
        recognise(odd_media["both.mp4"], gallery=tmp_path)


def test_photos_are_embedded_once_and_the_gallery_may_change(engines, odd_media, tmp_path: Path) -> None:
    photo = _EXAMPLES / "gallery" / "Eileen Collins" / "close.jpg"

    def names() -> list[str]:
        return [person.name for person in recognise(odd_media["no-audio.mp4"], gallery=tmp_path)]

    (tmp_path / "Ada").mkdir()
    shutil.copy(photo, tmp_path / "Ada" / "1.jpg")
    assert names() == ["Ada"]
    once = len(engines.calls)
    assert names() == ["Ada"]
    assert len(engines.calls) - once == once - 2, "the video again, but not the photo: one detection and one embedding"
    (tmp_path / "Ada").rename(tmp_path / "Zoe")
    assert names() == ["Zoe"]
    (tmp_path / "Zoe" / "2.heic").write_bytes(b"not read")
    result = analyse(odd_media["no-audio.mp4"], gallery=tmp_path)
    assert [(warning.code, warning.about) for warning in result.warnings] == [("gallery_photo", "Zoe/2.heic")]


@pytest.fixture
def models(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The real engines; skips without their weights."""
    monkeypatch.setenv("CASTLINE_MODELS_DIR", str(models_dir))
    found = Settings()
    try:
        load_embedder(found)
        transcriber = load_transcriber(found)
    except ModelError as error:
        pytest.skip(f"no weights: {error.message}")
    if transcriber.info.id != "faster-whisper:tiny.en":
        pytest.skip(f"the examples are for Whisper tiny.en, but this machine has {transcriber.info.id}")
    return found


def test_the_examples_in_the_documentation(models: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_CHECKOUT)
    found = doctest.testfile(
        str(_CHECKOUT / "docs" / "LIBRARY.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert found.attempted > 10
    assert not found.failed


def test_the_records_equal_the_pipeline_s(models: Settings) -> None:
    store = MemoryStore()
    store.put(models.input_bucket, "demo.mp4", (_EXAMPLES / "demo.mp4").read_bytes())
    for photo in (_EXAMPLES / "gallery").glob("*/*.jpg"):
        store.put(models.gallery_bucket, f"{photo.parent.name}/{photo.name}", photo.read_bytes())
    written: list[str] = []
    split_event(object_created(models.input_bucket, "demo.mp4"), store, models, written.append)
    for key in written:
        analyse_event(object_created(models.stage1_bucket, key), store, models)
    expected = read_result("demo.mp4", store, models)
    assert expected and expected.people and expected.transcript.segments
    ours = analyse(_EXAMPLES / "demo.mp4", gallery=_EXAMPLES / "gallery", settings=models)
    same = {"run": "", "source": expected.source, "processing": expected.processing}
    assert ours.model_copy(update=same) == expected.model_copy(update=same)
    assert ours.source.etag == expected.source.etag


def test_importing_castline_imports_none_of_its_modules_and_no_library() -> None:
    code = "import sys, castline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    loaded = done.stdout.split()
    assert "castline" in loaded
    assert not [name for name in loaded if name in ("numpy", "pydantic", "boto3") or name.startswith("castline.")]


def test_every_public_name_exists_and_is_documented() -> None:
    for name in castline.__all__:
        assert getattr(castline, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'transscribe'"):
        _ = castline.transscribe


def test_onnx_runtime_reports_nothing_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    outside = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    subprocess.run(
        [sys.executable, "-c", "import castline, onnxruntime"], env=outside | {"HOME": str(tmp_path)}, check=True
    )
    assert list(tmp_path.rglob("*")) == []
