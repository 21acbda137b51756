"""S3 in memory, and a pipeline that answers uploads under both contracts without looking at them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from castline.workload_generator.target import Profile, Target


class FakePipeline:
    """Answers every upload after a while.

    Args:
        silent: keys that it never answers; ``half``: keys that get no further than stage-1.
        status: of the results, by key; full profile only.
    """

    def __init__(self, target: Target, delay_s: float) -> None:
        self.target = target
        self.delay_s = delay_s
        self.silent: set[str] = set()
        self.half: set[str] = set()
        self.status: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._done: set[tuple[str, str]] = set()

    def __enter__(self) -> FakePipeline:
        self._done = {(item["Key"], item["VersionId"]) for item in self._versions()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def answer(self, key: str, version: str | None = None, etag: str = "none") -> None:
        """Write the result of one upload."""
        s3, target = self.target.s3, self.target
        if target.profile == "classic":
            stem = key.rpartition(".")[0]
            s3.put_object(Bucket=target.stage1_bucket, Key=f"{stem}.jpg", Body=b"jpg")
            if key not in self.half:
                s3.put_object(Bucket=target.output_bucket, Key=f"{stem}.txt", Body=b"Ada")
            return
        s3.put_object(Bucket=target.stage1_bucket, Key=f"{key}/0123456789abcdef/manifest.json", Body=b"{}")
        if key in self.half:
            return
        status = self.status.get(key, "complete")
        result = {
            "status": status,
            "error": {"message": "no media"} if status == "failed" else None,
            "failures": ["frames-0000"] if status == "partial" else [],
            "source": {"etag": etag, "version": version},
        }
        s3.put_object(Bucket=target.output_bucket, Key=f"{key}/report.html", Body=b"")
        s3.put_object(Bucket=target.output_bucket, Key=f"{key}/result.json", Body=json.dumps(result).encode())

    def _versions(self) -> list[dict[str, Any]]:
        found = self.target.s3.list_object_versions(Bucket=self.target.input_bucket).get("Versions", [])
        return [item for item in found if item["IsLatest"]]

    def _run(self) -> None:
        seen: dict[tuple[str, str], float] = {}
        while not self._stop.wait(0.05):
            for item in self._versions():
                # Without versioning every VersionId is "null", and only the time distinguishes two uploads.
                key, version = item["Key"], item["VersionId"]
                mark = (key, version if version != "null" else str(item["LastModified"]))
                if (key, version) in self._done and version != "null":
                    continue
                if mark in self._done or key in self.silent:
                    continue
                if time.monotonic() - seen.setdefault(mark, time.monotonic()) >= self.delay_s:
                    self._done.add(mark)
                    self.answer(key, version if version != "null" else None, item["ETag"].strip('"'))


@pytest.fixture
def fake_pipeline() -> type[FakePipeline]:
    """``with fake_pipeline(target, delay_s):`` answers uploads."""
    return FakePipeline


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A boto3 client whose S3 is moto's."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            environment.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield boto3.client("s3")


@pytest.fixture
def make_target(client: Any) -> Iterator[Callable[..., Target]]:
    """Makes a deployment's buckets, which are deleted afterwards."""
    made: list[str] = []

    def make(profile: Profile, *, versioned: bool = True) -> Target:
        buckets = [f"load-{name}" for name in ("input", "stage-1", "output")]
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
            made.append(bucket)
        if versioned:
            client.put_bucket_versioning(Bucket=buckets[0], VersioningConfiguration={"Status": "Enabled"})
        return Target(client, None, None, *buckets, "video-splitting", "face-recognition", profile, "moto")

    yield make
    for bucket in made:
        found = client.list_object_versions(Bucket=bucket)
        for item in found.get("Versions", []) + found.get("DeleteMarkers", []):
            client.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
        client.delete_bucket(Bucket=bucket)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files that a pipeline which does not look takes for videos, two of them in a tree."""
    place = tmp_path / "clips"
    for name in ("test_00.mp4", "test_01.mp4", "week 1/test_02.mp4", "week 1/test_03.MOV"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    return place
