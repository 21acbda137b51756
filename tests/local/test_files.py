"""A library that is read without its stack."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from castline.archive.place import index_path
from castline.cli import connect as reaching
from castline.errors import StorageError
from castline.local.engine import ACCOUNT
from castline.local.files import LibraryFiles
from castline.local.session import Session
from castline.local.state import read_state
from castline.settings import Settings, settings
from castline.storage import S3Store
from castline.storage.base import ObjectStore


def _seen(store: ObjectStore, bucket: str) -> list[tuple[object, ...]]:
    return [
        (info.key, info.size, info.etag, store.get(bucket, info.key), head.version, head.etag, head.sha256)
        for info in store.find(bucket)
        if (head := store.head(bucket, info.key))
    ]


@pytest.mark.e2e
def test_it_shows_what_the_stack_showed(tmp_path: Path) -> None:
    config = Settings(state_dir=tmp_path / "library", port=0, prefix="unit")
    session = Session.join(config)
    state = read_state(config.state_dir)
    assert state
    running = S3Store(session.stack.client("s3"))
    for key in ("Été 2026 + party.txt", "a b/[c]/%20 d.txt", "gone.txt", "twice.txt", "twice.txt.meta"):
        running.put("unit-input", key, key.encode())
    running.put("unit-input", "twice.txt", b"again")
    running.delete("unit-input", ["gone.txt"])
    running.put("unit-output", "plain.json", b"{}")
    before = [_seen(running, bucket) for bucket in ("unit-input", "unit-output", "unit-stage-1")]
    session.leave()
    for process in (state.controller, state.engine):
        if process.alive:
            psutil.Process(process.pid).wait(120)
    files = LibraryFiles(config.state_dir)
    assert [_seen(files, bucket) for bucket in ("unit-input", "unit-output", "unit-stage-1")] == before
    assert len(before[0]) == 4

    info = files.head("unit-input", "twice.txt")
    assert info
    assert files.download("unit-input", info, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"again"
    assert files.read("unit-input", info, 1, 3) == b"gai"
    assert b"".join(files.stream("unit-input", info, 1, 4)) == b"gain"
    other = info.model_copy(update={"etag": "0"})
    assert not files.download("unit-input", other, tmp_path / "copy")
    assert files.read("unit-input", other, 0, 1) is None
    assert [version.key for version in files.versions("unit-input", "a")] == ["a b/[c]/%20 d.txt"]


@pytest.mark.e2e
def test_its_search_index_is_the_same_however_it_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a forgotten name would stay in the other indexes."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"STATE_DIR": str(tmp_path / "library"), "PORT": "0", "PREFIX": "unit"}.items():
        monkeypatch.setenv(f"CASTLINE_{name}", value)
    settings.cache_clear()
    session, connect = Session.join(settings()), reaching.connect
    try:
        S3Store(session.stack.client("s3")).put("unit-input", "a.txt", b"a")
        ways = [connect(session.stack.endpoint_url), connect(), connect(read=True)]
        assert len({there.where for there in ways}) == 3
        assert len({index_path(there.place, there.settings) for there in ways}) == 1
        assert connect("http://127.0.0.1:9").place == "http://127.0.0.1:9"
    finally:
        reaching._held.close()
        session.leave()
        settings.cache_clear()


def test_nothing_is_changed_nothing_outside_is_read_and_damage_is_survived(tmp_path: Path) -> None:
    bucket = tmp_path / "s3" / ACCOUNT / "box"
    bucket.mkdir(parents=True)
    (tmp_path / "s3" / ACCOUNT / "other").mkdir()
    (tmp_path / "s3" / ACCOUNT / "other" / "secret").write_bytes(b"s")
    (bucket / "whole").write_bytes(b"w")
    (bucket / "whole.meta.json").write_bytes(b"\xff not json")
    (bucket / "link").symlink_to("/etc/hostname")
    store = LibraryFiles(tmp_path)
    assert [info.key for info in store.find("box")] == ["whole"]
    assert [info.etag for info in store.find("box", "w")] == ["f1290186a5d0b1ceab27f4e77c0c5d68"]
    assert store.get("box", "../other/secret") is None
    assert store.head("box", "link") is None
    assert list(store.find("empty")) == []
    for change in (
        lambda: store.put("box", "a", b""),
        lambda: store.upload("box", "a", bucket / "whole"),
        lambda: store.delete("box", ["whole"]),
        lambda: store.erase("box", []),
    ):
        with pytest.raises(StorageError, match="only read"):
            change()
