"""Models from S3: complete, as listed, inside the folder, and the second time without work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from castline.engines import process
from castline.errors import CastlineError, DiskFull, KeyLayoutError, ModelCorrupt, ModelNotFound
from castline.events import object_created
from castline.settings import Settings
from castline.stages import analyse_event
from castline.storage import MemoryStore
from castline.weights.from_s3 import copy_models

FILES = {"mtcnn-pnet.onnx": b"p" * 1000, "faster-whisper-base.en/model.bin": b"w" * 5000}


_NOT_OURS = object_created("elsewhere", "notes.txt")


def sums(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(body).hexdigest()}  ./{name}\n" for name, body in files.items()).encode()


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(models_dir=tmp_path / "models", model_storage="s3")


def stored(files: Mapping[str, bytes] = FILES, listed: bytes | None = None, place: str = ".models/") -> MemoryStore:
    store = MemoryStore()
    for name, body in files.items():
        store.put("castline-gallery", place + name, body)
    store.put("castline-gallery", f"{place}SHA256SUMS", sums(files) if listed is None else listed)
    return store


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_copied_once(config: Settings) -> None:
    first = copy_models(stored(), config)
    assert (set(first.written), first.kept, first.size) == (set(FILES), (), 6000)
    assert on_disk(config.models_dir) == FILES
    times = {path: path.stat().st_mtime_ns for path in config.models_dir.rglob("*.*")}
    second = copy_models(stored(), config)
    assert (second.written, set(second.kept), second.size) == ((), set(FILES), 0)
    assert {path: path.stat().st_mtime_ns for path in config.models_dir.rglob("*.*")} == times


def test_changed_and_damaged_files_are_replaced(config: Settings) -> None:
    copy_models(stored(), config)
    (config.models_dir / "mtcnn-pnet.onnx").write_bytes(b"half")
    assert copy_models(stored(), config).written == ("mtcnn-pnet.onnx",)
    newer = {**FILES, "faster-whisper-base.en/model.bin": b"new"}
    assert copy_models(stored(newer), config).written == ("faster-whisper-base.en/model.bin",)
    assert on_disk(config.models_dir) == newer


def test_another_bucket_and_folder(config: Settings) -> None:
    store = MemoryStore()
    store.put("weights", "v1/a.onnx", b"a")
    store.put("weights", "v1/SHA256SUMS", sums({"a.onnx": b"a"}))
    settings = config.model_copy(update={"model_bucket": "weights", "model_prefix": "v1/"})
    assert copy_models(store, settings).written == ("a.onnx",)


def test_unlisted_files_are_not_copied(config: Settings) -> None:
    store = stored({"a.onnx": b"a"})
    store.put("castline-gallery", ".models/stray.onnx", b"who put this here?")
    copy_models(store, config)
    assert on_disk(config.models_dir) == {"a.onnx": b"a"}


@pytest.mark.parametrize(
    ("listed", "error"),
    [
        (sums({"a.onnx": b"other"}), ModelCorrupt),
        (sums({"missing.onnx": b"a"}), ModelNotFound),
        (b"", ModelCorrupt),
        (b"not a list\n", ModelCorrupt),
        (b"\xff\xfe", ModelCorrupt),
    ],
)
def test_an_invalid_list_leaves_nothing(listed: bytes, error: type[CastlineError], config: Settings) -> None:
    with pytest.raises(error):
        copy_models(stored({"a.onnx": b"a"}, listed), config)
    assert not config.models_dir.exists() or on_disk(config.models_dir) == {}


def test_without_a_list_nothing_is_copied(config: Settings) -> None:
    store = MemoryStore()
    store.put("castline-gallery", ".models/a.onnx", b"a")
    with pytest.raises(ModelNotFound, match="SHA256SUMS"):
        copy_models(store, config)


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "a/../../x", "..", "a\\..\\x", "a\tb", "link/x"])
def test_no_name_leads_out_of_the_folder(name: str, config: Settings, tmp_path: Path) -> None:
    config.models_dir.mkdir()
    (config.models_dir / "link").symlink_to(tmp_path)
    digest = hashlib.sha256(b"x").hexdigest()
    store = stored({}, f"{digest}  {name}\n".encode())
    store.put("castline-gallery", f".models/{name}", b"x")
    with pytest.raises(KeyLayoutError):
        copy_models(store, config)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_replaced_file_and_a_full_disk_are_reported(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored()
    monkeypatch.setattr(store, "download", lambda *_: False)
    with pytest.raises(ModelNotFound, match="replaced"):
        copy_models(store, config)

    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "download", full)
    with pytest.raises(DiskFull, match="No space left"):
        copy_models(store, config)
    assert on_disk(config.models_dir) == {}


def test_the_analyser_copies_before_its_first_event_and_not_again(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_engines", {})
    empty = MemoryStore()
    with pytest.raises(ModelNotFound):
        analyse_event(_NOT_OURS, empty, config)
    store = stored()
    analyse_event(_NOT_OURS, store, config)
    assert on_disk(config.models_dir) == FILES
    analyse_event(_NOT_OURS, empty, config)


def test_with_models_in_the_image_nothing_is_copied(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_engines", {})
    for place in ("image", "efs"):
        analyse_event(_NOT_OURS, MemoryStore(), config.model_copy(update={"model_storage": place}))
    assert not config.models_dir.exists()
