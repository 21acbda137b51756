"""A deployment in memory: moto's S3 and CloudWatch, functions that only have a state, and pipelines that answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import cv2
import numpy as np
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from castline.cues import cues_of
from castline.grader.base import Check, Context, perform
from castline.grader.checks import CHECKS
from castline.grader.report import CheckResult
from castline.records import (
    Cost,
    Options,
    Person,
    Processing,
    Range,
    Result,
    Source,
    SpokenSegment,
    TimelineEntry,
    Track,
    Transcript,
)
from castline.report import render_views
from castline.workload_generator.load import plan
from castline.workload_generator.target import Profile, Target

#: Who is in the four clips.
NAMES = {"test_00.mp4": "Ada Lovelace", "test_01.mp4": "Grace Hopper", "test_02.mp4": "Ada Lovelace",
         "test_03.mp4": "Жанна"}  # fmt: skip
JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


def refusal(code: str, operation: str = "GetFunction") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{code} it is"}}, operation)


class Functions:
    """Lambda's ``get_function``: a state, an error, or no such function."""

    def __init__(self) -> None:
        self.states: dict[str, str | ClientError] = {"video-splitting": "Active", "face-recognition": "Active"}

    def get_function(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        state = self.states.get(FunctionName, refusal("ResourceNotFoundException"))
        if isinstance(state, ClientError):
            raise state
        return {"Configuration": {"State": state, "StateReason": "because" if state != "Active" else None}}


class Answering:
    """An S3 client behind which something happens after every upload."""

    def __init__(self, s3: Any, answer: Callable[[str], None]) -> None:
        self._s3 = s3
        self._answer = answer

    def upload_file(self, path: str, bucket: str, key: str, **extra: Any) -> None:
        self._s3.upload_file(path, bucket, key, **extra)
        self._answer(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


class Deployment:
    """A target, and ways to fill it."""

    def __init__(self, target: Target, functions: Functions, folder: Path) -> None:
        self.target = target
        self.functions = functions
        self.folder = folder

    def put(self, bucket: str, key: str, body: bytes | str) -> None:
        self.target.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def upload(self) -> None:
        """Upload the clips without any pipeline."""
        for name in NAMES:
            self.target.s3.upload_file(str(self.folder / name), self.target.input_bucket, name)

    def name(self, media: str, name: str | None = None, picture: bytes = JPEG) -> None:
        """Answer according to the classic contract."""
        stem = media.rpartition(".")[0]
        self.put(self.target.stage1_bucket, f"{stem}.jpg", picture)
        self.put(self.target.output_bucket, f"{stem}.txt", NAMES[media] if name is None else name)

    def publish(self, media: str, **fields: Any) -> Result:
        """Answer according to the full profile."""
        result = sample(self.target, media, **fields)
        for name, body in render_views(result).items():
            self.put(self.target.output_bucket, f"{media}/{name}", body)
        self.put(self.target.output_bucket, f"{media}/result.json", result.to_json())
        return result

    def answering(self, answer: Callable[[str], Any]) -> Deployment:
        """The same, with a pipeline behind it."""
        return Deployment(replace(self.target, s3=Answering(self.target.s3, answer)), self.functions, self.folder)

    def context(self, **fields: Any) -> Context:
        return Context(self.target, folder=self.folder, jobs=plan(self.folder, None, self.target.profile), **fields)

    def look(self, number: int, context: Context | None = None, **fields: Any) -> CheckResult:
        """Run one check; without a context, on what is there."""
        return perform(self.check(number), context or Context(self.target, **fields))

    def check(self, number: int) -> Check:
        return CHECKS[self.target.profile][number - 1]


def person(number: int, name: str, start: float = 0.0, end: float = 2.0, identity: str = "known") -> Person:
    return Person(
        id=f"person-{number}",
        name=name,
        identity=identity,
        confidence=0.9,
        on_screen_s=end - start,
        ranges=(Range(start_s=start, end_s=end),),
        tracks=(Track(id=f"track-{number}", start_s=start, end_s=end, sightings=()),),
    )


def sample(target: Target, media: str, **fields: Any) -> Result:
    """A result for the file in the input bucket: its person, and "hello there"."""
    found = target.s3.head_object(Bucket=target.input_bucket, Key=media)
    people = fields.pop("people", (person(1, NAMES.get(media, "Ada Lovelace")),))
    words = fields.pop("words", "hello there")
    segments = (SpokenSegment(id="speech-1", start_s=0.5, end_s=1.5, text=words),) if words else ()
    timeline = [
        TimelineEntry(start_s=part.start_s, end_s=part.end_s, kind="person", ref=one.id, label=one.name)
        for one in people
        for part in one.ranges
    ]
    timeline += [TimelineEntry(start_s=0.5, end_s=1.5, kind="speech", ref="speech-1", label=words)] if words else []
    values: dict[str, Any] = {
        "media": media,
        "run": "0123456789abcdef",
        "status": "complete",
        "error": None,
        "failures": (),
        "warnings": (),
        "source": Source(
            bucket=target.input_bucket, key=media, etag=found["ETag"].strip('"'), version=found.get("VersionId"), size=1
        ),
        "options": Options(),
        "sampling": "interval",
        "probe": None,
        "duration_s": 2.0,
        "engines": {},
        "gallery": None,
        "people": people,
        "transcript": Transcript(
            engine="sample", language="en", text=words, segments=segments, cues=cues_of(segments, "en")
        ),
        "timeline": tuple(sorted(timeline, key=lambda entry: entry.start_s)),
        "processing": Processing(timings=(), cost=Cost(usd=0, items=(), prices_as_of="2026-01")),
    }
    return Result(**(values | fields))


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Any, Any]]:
    """S3 and CloudWatch of moto; made once, because it takes half a second."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            environment.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield boto3.client("s3"), boto3.client("cloudwatch")


@pytest.fixture
def deploy(clients: tuple[Any, Any], tmp_path: Path) -> Iterator[Callable[[Profile], Deployment]]:
    """Makes a deployment's buckets, empty, and four clips to upload."""
    s3, cloudwatch = clients
    buckets = ("grade-input", "grade-stage-1", "grade-output")
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode())

    def make(profile: Profile) -> Deployment:
        for bucket in buckets:
            s3.create_bucket(Bucket=bucket)
        functions = Functions()
        names = ("video-splitting", "face-recognition")
        return Deployment(Target(s3, functions, cloudwatch, *buckets, *names, profile, "moto"), functions, folder)

    yield make
    for thread in threading.enumerate():
        if thread.name.startswith("sender-"):
            thread.join(60)
    for bucket in s3.list_buckets()["Buckets"]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for item in page.get("Contents", ()):
                s3.delete_object(Bucket=bucket["Name"], Key=item["Key"])
        s3.delete_bucket(Bucket=bucket["Name"])


@pytest.fixture
def classic(deploy: Callable[[Profile], Deployment]) -> Deployment:
    return deploy("classic")


@pytest.fixture
def full(deploy: Callable[[Profile], Deployment]) -> Deployment:
    return deploy("full")


@pytest.fixture
def names_csv(tmp_path: Path) -> Path:
    """The ground truth of the clips for the classic profile."""
    path = tmp_path / "names.csv"
    path.write_text("file,name\n" + "".join(f"{file},{name}\n" for file, name in NAMES.items()), encoding="utf-8")
    return path
