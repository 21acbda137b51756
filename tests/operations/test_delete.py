"""Deleting removes everything of one media file, in every version, and records that it did, without names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from castline import keys
from castline.errors import OptionsError
from castline.operations import delete_media, rerun
from castline.runs.audit import PREFIX, AuditEntry, digest
from castline.settings import Settings
from castline.storage import S3Store
from tests.serving import own_queues

MEDIA = "week 1/a+b.mp4"
_BUCKETS = ("castline-input", "castline-stage-1", "castline-output", "castline-gallery")
NEIGHBOUR = f"{MEDIA}/people/b.mp4"  # S3 has no folders


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws(), own_queues():
        client = boto3.client("s3", region_name="us-east-1")
        for bucket in _BUCKETS:
            client.create_bucket(Bucket=bucket)
        _empty(client)  # another module's mock may be active around this one, whose objects would be here
        client.put_bucket_versioning(Bucket="castline-input", VersioningConfiguration={"Status": "Enabled"})
        yield client
        _empty(client)
        for bucket in _BUCKETS:
            client.delete_bucket(Bucket=bucket)


def _empty(client: Any) -> None:
    for bucket in _BUCKETS:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                client.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def _everything_of(media: str) -> dict[str, list[str]]:
    frames, audio = (keys.UnitId(media, "0" * 16, kind, 0) for kind in ("frames", "audio"))
    manifest = keys.manifest_key(media, "0" * 16)
    return {
        "castline-input": [media, keys.sidecar_key(media)],
        "castline-stage-1": [
            frames.stage1_key,
            audio.stage1_key,
            keys.motion_key(media, "0" * 16, 60_000),
            manifest,
            keys.options_key(media, "0" * 16),
            keys.manifest_key(media, "1" * 16),
        ],
        "castline-output": [
            frames.part_key,
            keys.mouths_key(media, "0" * 16),
            audio.error_key,
            manifest,
            *(
                keys.result_key(media, name)
                for name in ("result.json", "report.html", "transcript.srt", "people/a.jpg")
            ),
        ],
    }


def _all(s3: Any) -> list[tuple[str, str]]:
    """(bucket, key) of every version and every marker."""
    found = []
    for bucket in _BUCKETS:
        listed = s3.list_object_versions(Bucket=bucket)
        found += [(bucket, item["Key"]) for item in listed.get("Versions", []) + listed.get("DeleteMarkers", [])]
    return found


def test_a_voice_note_is_deleted_with_its_message_and_its_transcript(s3: Any) -> None:
    name = "0123456789abcdef-10-01-06-0123456789abcdef"
    note = f"{keys.note_prefix('2025-11-26', '77')}{name}"
    for key in (note, keys.answer_key(note), keys.message_key("2025-11-26", name), "2025-11-26/77.txt"):
        s3.put_object(Bucket="castline-output", Key=key, Body=b"x")
    others = [f"{keys.note_prefix('2025-11-26', '770')}{name}x", keys.message_key("2025-11-27", name)]
    for key in others:
        s3.put_object(Bucket="castline-output", Key=key, Body=b"x")
    s3.put_object(Bucket="castline-input", Key="2025-11-26/77.ogg", Body=b"x")
    assert delete_media("2025-11-26/77.ogg", S3Store(s3), Settings()).left == ()
    assert sorted(key for _, key in _all(s3) if not key.startswith(PREFIX)) == sorted(others)


def test_nothing_of_the_file_is_left_and_everything_else_is(s3: Any) -> None:
    for media in (MEDIA, NEIGHBOUR, "week 1/a+b.mp4.mp4"):
        for bucket, names in _everything_of(media).items():
            for key in names:
                s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket="castline-input", Key=MEDIA, Body=b"a second take")
    s3.delete_object(Bucket="castline-input", Key=MEDIA)  # a marker: both takes still exist
    s3.put_object(Bucket="castline-gallery", Key="Ada/1.jpg", Body=b"x")
    store = S3Store(s3)
    done = delete_media(MEDIA, store, Settings(), who="arn:aws:iam::1:user/ada")
    assert done.left == ()
    expected = {
        (bucket, key)
        for media in (NEIGHBOUR, "week 1/a+b.mp4.mp4")
        for bucket, names in _everything_of(media).items()
        for key in names
    }
    left = {item for item in _all(s3) if not item[1].startswith(PREFIX)}
    assert left == expected | {("castline-gallery", "Ada/1.jpg")}


def test_remaining_mouth_data_is_reported(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, pictures = keys.mouths_key(MEDIA, "0" * 16), keys.motion_key(MEDIA, "0" * 16, 60_000)
    for bucket, names in _everything_of(MEDIA).items():
        for key in names:
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    store = S3Store(s3)
    erase = store.erase

    def spare(bucket: str, versions: Any) -> None:
        erase(bucket, [version for version in versions if version.key not in (seen, pictures)])

    monkeypatch.setattr(store, "erase", spare)
    left = {f"s3://castline-stage-1/{pictures}", f"s3://castline-output/{seen}"}
    assert set(delete_media(MEDIA, store, Settings()).left) == left
    monkeypatch.undo()
    assert delete_media(MEDIA, store, Settings()).left == ()


def test_the_removal_is_recorded_without_names(s3: Any) -> None:
    for bucket, names in _everything_of(MEDIA).items():
        for key in names:
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    store = S3Store(s3)
    count = delete_media(MEDIA, store, Settings(), who="arn:aws:iam::1:user/ada").removed
    (key,) = [key for _, key in _all(s3) if key.startswith(PREFIX)]
    body = store.get("castline-output", key)
    entry = AuditEntry.from_json(body)
    assert (entry.action, entry.who, entry.subject, entry.proven) == (
        "delete",
        "arn:aws:iam::1:user/ada",
        digest(MEDIA),
        True,
    )
    assert count == len(entry.removed) == sum(map(len, _everything_of(MEDIA).values()))
    assert b"a+b" not in body + key.encode()


def test_without_anything_to_delete_nothing_is_recorded(s3: Any) -> None:
    assert delete_media(MEDIA, S3Store(s3), Settings()).removed == 0
    assert _all(s3) == []


class _Lambda:
    def __init__(self) -> None:
        self.invoked: list[str] = []

    def invoke(self, **call: Any) -> None:
        self.invoked.append(call["FunctionName"])


def test_a_rerun_keeps_the_result_until_there_is_a_new_one(s3: Any) -> None:
    store, lambda_ = S3Store(s3), _Lambda()
    client = {"lambda": lambda_, "sqs": boto3.client("sqs", region_name="us-east-1")}.__getitem__
    with pytest.raises(OptionsError, match="there is no"):
        rerun(MEDIA, client, store, Settings())
    s3.put_object(Bucket="castline-input", Key=MEDIA, Body=b"x")
    run = rerun(MEDIA, client, store, Settings())
    unit = keys.UnitId(MEDIA, run, "frames", 0)
    s3.put_object(Bucket="castline-stage-1", Key=keys.manifest_key(MEDIA, run), Body=b"{}")
    s3.put_object(Bucket="castline-output", Key=unit.part_key, Body=b"{}")
    s3.put_object(Bucket="castline-output", Key=keys.result_key(MEDIA), Body=b"{}")
    assert rerun(MEDIA, client, store, Settings()) == run
    assert lambda_.invoked == ["video-splitting"] * 2
    assert _all(s3) == [("castline-input", MEDIA), ("castline-output", keys.result_key(MEDIA))]
