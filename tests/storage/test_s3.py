"""One contract for both stores: what holds for the one in memory holds for S3."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from moto import mock_aws

from castline.errors import StorageError, UnreadableObject
from castline.storage import MemoryStore, ObjectStore, S3Store

_BUCKET = "castline-input"
_AWKWARD = [
    "week 1/Été 2026 + party & 100%.MP4",
    "李/видео.mp4",
    "a//b.mp4",
    "q?x=1#frag.mp4",
    "quote'\"<>.mp4",
    "🙂.mp4",
]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A boto3 client whose S3 is moto's; shared, because making one takes half a second."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            environment.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield boto3.client("s3")


@pytest.fixture
def s3(client: Any) -> Iterator[Any]:
    """The client, with one empty bucket."""
    client.create_bucket(Bucket=_BUCKET)
    yield client
    found = client.list_object_versions(Bucket=_BUCKET)
    for item in found.get("Versions", []) + found.get("DeleteMarkers", []):
        client.delete_object(Bucket=_BUCKET, Key=item["Key"], VersionId=item["VersionId"])
    client.delete_bucket(Bucket=_BUCKET)


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    return S3Store(request.getfixturevalue("s3"))


def test_a_stored_object_can_be_read(store: ObjectStore, tmp_path: Path) -> None:
    assert store.put(_BUCKET, "a/b.json", b"{}") is True
    path = tmp_path / "c.mp4"
    path.write_bytes(b"media")
    assert store.put(_BUCKET, "a/c.mp4", path) is True
    assert store.get(_BUCKET, "a/b.json") == b"{}"
    assert store.get(_BUCKET, "a/c.mp4") == b"media"
    info = store.head(_BUCKET, "a/c.mp4")
    assert info
    assert (info.key, info.size, info.etag) == ("a/c.mp4", 5, "62933a2951ef01f4eafd9bdf4d3cd2f0")


def test_a_missing_object_is_none(store: ObjectStore) -> None:
    store.put(_BUCKET, "a/b", b"")
    for key in ("a", "a/", "a/bc", "nowhere"):
        assert store.head(_BUCKET, key) is None
        assert store.get(_BUCKET, key) is None
    assert store.get(_BUCKET, "a/b") == b""
    store.delete(_BUCKET, ["nowhere"])
    assert list(store.find(_BUCKET, "nowhere/")) == []


def test_the_first_writer_wins_if_requested(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "second"
    path.write_bytes(b"second")
    assert store.put(_BUCKET, "part.json", b"first", if_absent=True) is True
    assert store.put(_BUCKET, "part.json", b"second", if_absent=True) is False
    assert store.put(_BUCKET, "part.json", path, if_absent=True) is False
    assert store.get(_BUCKET, "part.json") == b"first"
    assert store.put(_BUCKET, "part.json", b"third") is True
    assert store.get(_BUCKET, "part.json") == b"third"


def test_a_write_replaces_only_the_version_that_was_seen(store: ObjectStore) -> None:
    assert store.put(_BUCKET, "result.json", b"x", if_match="0" * 32) is False, "there is nothing to write over"
    store.put(_BUCKET, "result.json", b"first")
    seen = store.head(_BUCKET, "result.json")
    assert store.put(_BUCKET, "result.json", b"second", if_match=seen.etag) is True
    assert store.put(_BUCKET, "result.json", b"third", if_match=seen.etag) is False
    assert store.get(_BUCKET, "result.json") == b"second"


def test_listings_have_a_prefix_and_are_sorted_by_key(store: ObjectStore) -> None:
    for key in ("b/2", "b/10", "a/1", "b/1", "bb/1", "b/é", "b/Z"):
        store.put(_BUCKET, key, key.encode())
    assert [info.key for info in store.find(_BUCKET, "b/")] == ["b/1", "b/10", "b/2", "b/Z", "b/é"]
    assert len(list(store.find(_BUCKET))) == 7
    assert {info.key: info.size for info in store.find(_BUCKET, "b/é")} == {"b/é": 4}


def test_head_and_listing_agree(store: ObjectStore) -> None:
    store.put(_BUCKET, "x.json", b"content")
    (listed,) = store.find(_BUCKET)
    head = store.head(_BUCKET, "x.json")
    assert head
    assert (listed.key, listed.size, listed.etag) == (head.key, head.size, head.etag)


@pytest.mark.parametrize("key", _AWKWARD)
def test_awkward_keys_survive(store: ObjectStore, key: str, tmp_path: Path) -> None:
    store.put(_BUCKET, key, b"content")
    info = store.head(_BUCKET, key)
    assert info
    assert [found.key for found in store.find(_BUCKET)] == [key]
    assert store.download(_BUCKET, info, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == store.get(_BUCKET, key) == b"content"
    store.delete(_BUCKET, [key])
    assert store.head(_BUCKET, key) is None


def test_a_download_is_the_version_that_was_seen_or_nothing(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    store.put(_BUCKET, "a.mp4", b"old")
    old = store.head(_BUCKET, "a.mp4")
    assert old
    store.put(_BUCKET, "a.mp4", b"new")
    assert store.download(_BUCKET, old, path) is False
    assert not path.exists()
    new = store.head(_BUCKET, "a.mp4")
    assert new
    assert store.download(_BUCKET, new, path) is True
    assert path.read_bytes() == b"new"
    store.delete(_BUCKET, ["a.mp4"])
    assert store.download(_BUCKET, new, tmp_path / "other") is False


def test_with_versioning_the_old_object_can_still_be_read(s3: Any, tmp_path: Path) -> None:
    s3.put_bucket_versioning(Bucket=_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    store = S3Store(s3)
    store.put(_BUCKET, "a.mp4", b"old")
    old = store.head(_BUCKET, "a.mp4")
    store.put(_BUCKET, "a.mp4", b"new")
    new = store.head(_BUCKET, "a.mp4")
    assert old
    assert new
    assert old.version != new.version
    assert store.download(_BUCKET, old, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"old"
    # The same bytes again are another upload.
    store.put(_BUCKET, "a.mp4", b"new")
    again = store.head(_BUCKET, "a.mp4")
    assert again
    assert (again.etag, again.version == new.version) == (new.etag, False)


def test_without_versioning_there_is_only_the_etag(s3: Any) -> None:
    store = S3Store(s3)
    store.put(_BUCKET, "a.mp4", b"x")
    info = store.head(_BUCKET, "a.mp4")
    assert info
    assert info.version is None
    assert (info.version, len(info.etag)) == (None, 32)
    assert isinstance(info.last_modified, datetime.datetime)


def test_long_listings_are_paged(s3: Any) -> None:
    pages: list[str] = []

    def small_pages(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        pages.append(params.get("ContinuationToken", "first"))
        return {**params, "MaxKeys": 7}

    store = S3Store(s3)
    for number in range(30):
        store.put(_BUCKET, f"unit/{number:04d}", b"")
    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", small_pages)
    try:
        found = [info.key for info in store.find(_BUCKET, "unit/")]
    finally:
        s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", small_pages)
    assert found == [f"unit/{number:04d}" for number in range(30)]
    assert len(pages) == 5


def test_more_keys_than_one_call_may_delete(s3: Any) -> None:
    sizes: list[int] = []

    def note_size(params: dict[str, Any], **_: Any) -> None:
        sizes.append(len(params["Delete"]["Objects"]))

    store = S3Store(s3)
    store.put(_BUCKET, "k/1050", b"")
    s3.meta.events.register("provide-client-params.s3.DeleteObjects", note_size)
    try:
        store.delete(_BUCKET, [f"k/{number}" for number in range(1100)])
    finally:
        s3.meta.events.unregister("provide-client-params.s3.DeleteObjects", note_size)
    assert sizes == [1000, 100]
    assert list(store.find(_BUCKET)) == []


def test_objects_have_the_content_type_that_a_browser_needs(s3: Any, tmp_path: Path) -> None:
    store = S3Store(s3)
    path = tmp_path / "x"
    path.write_bytes(b"x")
    store.put(_BUCKET, "a.mp4/report.html", b"<p>", content_type="text/html; charset=utf-8")
    store.put(_BUCKET, "a.mp4/people/1.jpg", path)
    names = ["report.html", "people/1.jpg"]
    types = [s3.head_object(Bucket=_BUCKET, Key=f"a.mp4/{name}")["ContentType"] for name in names]
    assert types == ["text/html; charset=utf-8", "image/jpeg"]


def test_every_refusal_is_a_storage_error(s3: Any, tmp_path: Path) -> None:
    store = S3Store(s3)
    path = tmp_path / "x"
    path.write_bytes(b"x")
    actions = {
        "get": lambda: store.get("nowhere", "k"),
        "put": lambda: store.put("nowhere", "k", b"x"),
        "put a file": lambda: store.put("nowhere", "k", path),
        "put if absent": lambda: store.put("nowhere", "k", b"x", if_absent=True),
        "find": lambda: list(store.find("nowhere")),
        "delete": lambda: store.delete("nowhere", ["k"]),
    }
    for name, action in actions.items():
        with pytest.raises(StorageError, match=r"S3 refused s3://nowhere/") as caught:
            action()
        assert caught.value.retryable, name


def test_an_object_that_may_not_be_deleted_is_reported() -> None:
    class Guarded:
        def delete_objects(self, **_: Any) -> dict[str, Any]:
            return {"Errors": [{"Key": "Ada/1.jpg", "Code": "AccessDenied", "Message": "no"}]}

    with pytest.raises(StorageError, match=r"castline-gallery/Ada/1\.jpg: AccessDenied"):
        S3Store(Guarded()).delete("castline-gallery", ["Ada/1.jpg"])


class Contended:
    """S3 that answers 409 to so many conditional writes, and then as a test says."""

    def __init__(self, conflicts: int, then: str = "") -> None:
        self.answers = [*["ConditionalRequestConflict"] * conflicts, then]
        self.asked = 0

    def put_object(self, **_: Any) -> None:
        self.asked += 1
        if code := self.answers.pop(0):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")


@pytest.mark.parametrize(("then", "written"), [("", True), ("PreconditionFailed", False)])
def test_a_conflict_does_not_say_who_wins_and_is_retried(then: str, written: bool) -> None:
    s3 = Contended(2, then)
    assert S3Store(s3).put("castline-output", "part.json", b"x", if_absent=True) is written
    assert s3.asked == 3


def test_a_lasting_conflict_is_an_error_and_not_another_client_s_write() -> None:
    with pytest.raises(StorageError, match="ConditionalRequestConflict") as caught:
        S3Store(Contended(50)).put("castline-output", "part.json", b"x", if_match="0" * 32)
    assert caught.value.retryable


def test_a_connection_that_breaks_while_reading_is_a_storage_error() -> None:
    class Short:
        def get_object(self, **_: Any) -> dict[str, Any]:
            return {"Body": StreamingBody(io.BytesIO(b"half"), 8)}

    store = S3Store(Short())
    with pytest.raises(StorageError):
        store.get(_BUCKET, "k")


def test_an_answer_that_is_not_s3_s_is_a_storage_error() -> None:
    class Portal:
        def head_object(self, **_: Any) -> dict[str, Any]:
            raise ResponseParserError("invalid XML received: <html>")

    with pytest.raises(StorageError) as caught:
        S3Store(Portal()).head(_BUCKET, "k")
    assert caught.value.retryable


def test_parts_and_crops_are_tagged_for_their_retention(s3: Any) -> None:
    store = S3Store(s3)
    run = "0123456789abcdef"
    tags = {
        f"week 1/a.mp4/{run}/parts/frames-0000.json": "part",
        f"week 1/a.mp4/{run}/parts/audio-0001.error.json": "part",
        "week 1/a.mp4/people/person-1.jpg": "crop",
        "week 1/a.mp4/result.json": None,
        "week 1/people/a.mp4/report.html": None,
        "team/people/clip.jpg": None,  # a frame of the classic profile
    }
    for key, kind in tags.items():
        store.put(_BUCKET, key, b"x")
        store.put(_BUCKET, f"{key}", b"y", if_absent=True)
        found = s3.get_object_tagging(Bucket=_BUCKET, Key=key)["TagSet"]
        assert found == ([{"Key": "castline", "Value": kind}] if kind else []), key


def test_an_object_larger_than_expected_is_not_read(store: ObjectStore) -> None:
    store.put(_BUCKET, "k", b"12345678")
    assert store.get(_BUCKET, "k", max_bytes=8) == b"12345678"
    with pytest.raises(UnreadableObject, match="k has 8 bytes; 7 are the most it can have"):
        store.get(_BUCKET, "k", max_bytes=7)
    assert store.get(_BUCKET, "gone", max_bytes=7) is None


def test_pieces_are_read_from_exactly_the_version_that_was_seen(store: ObjectStore) -> None:
    store.put(_BUCKET, "a.mp4", b"0123456789")
    info = store.head(_BUCKET, "a.mp4")
    assert info
    assert store.read(_BUCKET, info, 2, 3) == b"234"
    assert store.read(_BUCKET, info, 8, 50) == b"89"
    assert store.read(_BUCKET, info, 10, 5) == store.read(_BUCKET, info, 3, 0) == b""
    store.put(_BUCKET, "a.mp4", b"another one")
    assert store.read(_BUCKET, info, 2, 3) is None
    store.delete(_BUCKET, ["a.mp4"])
    assert store.read(_BUCKET, info, 2, 3) is None
