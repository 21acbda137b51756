"""Large files: an interrupted upload is resumed, and equal bytes are not sent twice."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from castline.storage import S3Store
from castline.storage.multipart import part_size, sha256_of, upload_large

_BUCKET, _KEY = "castline-input", "week 1/Été.mp4"
_PART = 5 * 2**20  # S3's smallest


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=_BUCKET)
        yield client


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.mp4"
    path.write_bytes(b"".join(hashlib.sha256(bytes([at])).digest() * (_PART // 32) for at in range(3)) + b"end")
    return path


class Dropping:
    """A client whose connection breaks at one part."""

    def __init__(self, s3: Any, at: int | None = None) -> None:
        self._s3, self._at = s3, at
        self.sent: list[int] = []
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def upload_part(self, **call: Any) -> Any:
        if call["PartNumber"] == self._at:
            raise ConnectionResetError
        with self._lock:
            self.sent.append(call["PartNumber"])
        return self._s3.upload_part(**call)


def _body(s3: Any) -> bytes:
    body: bytes = s3.get_object(Bucket=_BUCKET, Key=_KEY)["Body"].read()
    return body


def test_uploaded_parts_survive_an_interruption(s3: Any, large: Path) -> None:
    first = Dropping(s3, at=4)
    with pytest.raises(ConnectionResetError):
        upload_large(first, _BUCKET, _KEY, large, {"Metadata": {"sha256": "x"}}, lambda _: None, _PART)
    assert sorted(first.sent) == [1, 2, 3]
    second, told = Dropping(s3), []
    upload_large(second, _BUCKET, _KEY, large, {}, told.append, _PART)
    assert second.sent == [4]
    assert sum(told) == large.stat().st_size
    assert _body(s3) == large.read_bytes()
    assert s3.head_object(Bucket=_BUCKET, Key=_KEY)["Metadata"] == {"sha256": "x"}
    assert not s3.list_multipart_uploads(Bucket=_BUCKET).get("Uploads")


def test_parts_of_another_file_are_uploaded_anew(s3: Any, large: Path) -> None:
    with pytest.raises(ConnectionResetError):
        upload_large(Dropping(s3, at=4), _BUCKET, _KEY, large, {}, lambda _: None, _PART)
    changed = bytearray(large.read_bytes())
    changed[_PART + 7] ^= 1
    large.write_bytes(changed)
    again = Dropping(s3)
    upload_large(again, _BUCKET, _KEY, large, {}, lambda _: None, _PART)
    assert sorted(again.sent) == [1, 2, 3, 4]
    assert (
        "Metadata" not in s3.head_object(Bucket=_BUCKET, Key=_KEY)
        or not s3.head_object(Bucket=_BUCKET, Key=_KEY)["Metadata"]
    )
    assert _body(s3) == bytes(changed)


def test_an_upload_of_a_key_with_the_same_prefix_is_left_alone(s3: Any, large: Path) -> None:
    other = s3.create_multipart_upload(Bucket=_BUCKET, Key=f"{_KEY}.bak")["UploadId"]
    upload_large(s3, _BUCKET, _KEY, large, {}, lambda _: None, _PART)
    (left,) = s3.list_multipart_uploads(Bucket=_BUCKET)["Uploads"]
    assert (left["UploadId"], left["Key"]) == (other, f"{_KEY}.bak")


def test_equal_bytes_are_not_sent_twice(s3: Any, tmp_path: Path) -> None:
    store, path = S3Store(s3), tmp_path / "a.mp4"
    path.write_bytes(b"first")
    told: list[int] = []
    assert store.upload(_BUCKET, "a.mp4", path, told.append)
    assert not store.upload(_BUCKET, "a.mp4", path, told.append)
    assert told == [5, 5]
    info = store.head(_BUCKET, "a.mp4")
    assert info
    assert info.sha256 == sha256_of(path) == hashlib.sha256(b"first").hexdigest()
    path.write_bytes(b"other")
    assert store.upload(_BUCKET, "a.mp4", path)
    assert store.get(_BUCKET, "a.mp4") == b"other"
    store.put(_BUCKET, "a.mp4", b"other")  # by a client that leaves no digest
    assert store.upload(_BUCKET, "a.mp4", path)


def test_a_large_file_is_stored_and_read_back(s3: Any, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castline.storage.s3.LARGE", 1)
    store = S3Store(s3)
    assert store.upload(_BUCKET, _KEY, large)
    assert not store.upload(_BUCKET, _KEY, large)
    assert _body(s3) == large.read_bytes()
    assert s3.head_object(Bucket=_BUCKET, Key=_KEY)["ContentType"]


@pytest.mark.parametrize(("gigabytes", "megabytes"), [(0.1, 16), (100, 16), (170, 17), (5000, 477)])
def test_parts_grow_so_that_ten_thousand_are_enough(gigabytes: float, megabytes: int) -> None:
    size = int(gigabytes * 1e9)
    assert part_size(size) / 2**20 == pytest.approx(megabytes, abs=0.01)
    assert size / part_size(size) <= 10_000
