"""The page that lists all results of a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from castline.cli import index
from castline.cli.index import write_index
from castline.records import Result
from castline.storage import MemoryStore
from tests.cli.test_main import _finished


def _result(folder: Path, media: str) -> Path:
    store = MemoryStore()
    _finished(store, media)
    path = folder / media / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(store.objects["castline-output", f"{media}/result.json"])
    return path


def test_results_are_listed_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_index(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    read: list[str] = []
    from_json = Result.from_json

    def counted(data: bytes, name: str = "") -> Result:
        result = from_json(data, name)
        read.append(result.media)
        return result

    monkeypatch.setattr(index.Result, "from_json", counted)
    first = _result(tmp_path, "week 1/a.mp4")
    page = write_index(tmp_path)
    assert page == tmp_path / "index.html"
    assert "week%201/a.mp4/report.html" in page.read_text() or "week 1/a.mp4/report.html" in page.read_text()
    _result(tmp_path, "b.mp4")
    write_index(tmp_path)
    assert read == ["week 1/a.mp4", "b.mp4"], "unchanged results are not read again"
    os.utime(first, (1, 1))
    write_index(tmp_path)
    assert read[2:] == ["week 1/a.mp4"]
    first.unlink()
    write_index(tmp_path)
    assert "a.mp4" not in page.read_text().replace("b.mp4", "")


@pytest.mark.parametrize("kept", [b"", b"[1]", b'{"b.mp4": 7}', b'{"b.mp4": [1, {}]}', b"\xff"])
def test_foreign_files_and_a_broken_cache_do_no_harm(kept: bytes, tmp_path: Path) -> None:
    _result(tmp_path, "b.mp4")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "result.json").write_text(json.dumps({"score": 3}))
    (tmp_path / ".index.json").write_bytes(kept)
    page = write_index(tmp_path)
    assert page
    assert "b.mp4" in page.read_text()
    assert "mine" not in page.read_text()
