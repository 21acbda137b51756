"""What was deleted stays deleted when the emulator is restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from castline.gate.credentials import Credentials, Keyring
from castline.local.access import aws_client
from castline.local.engine import Engine
from castline.local.watchdog import Watchdog

pytestmark = pytest.mark.e2e

BUCKET = "films"
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Starts the emulator on the same folder again and again: ``with run() as s3: ...``."""
    keyring = Keyring(Credentials.random(), Credentials.random())

    @contextmanager
    def once(*, killed: bool = False, versioned: bool = True) -> Iterator[Any]:
        with Watchdog() as watchdog:
            engine = Engine(tmp_path, 0, keyring, watchdog)
            engine.start({})
            s3 = aws_client(engine.url, "s3", keyring.deployer)
            if BUCKET not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
                s3.create_bucket(Bucket=BUCKET)
            if versioned:  # the deployment does this at every start
                s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
            try:
                yield s3
            finally:
                s3.close()
                if killed:
                    os.killpg(engine.pid, signal.SIGKILL)
                engine.stop()

    return once


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def read(s3: Any, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("killed", [True, False])
def test_a_delete_outlives_a_restart(run: Run, killed: bool, versioned: bool) -> None:
    with run(killed=killed, versioned=versioned) as s3:
        for key in ("a.mp4", "wöche 1/b.mp4", "c.mp4", "kept.mp4"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        s3.delete_object(Bucket=BUCKET, Key="a.mp4")
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "wöche 1/b.mp4"}, {"Key": "c.mp4"}]})
    with run(versioned=versioned) as s3:
        assert keys(s3) == ["kept.mp4"]
        assert read(s3, "kept.mp4") == b"kept.mp4"
        s3.delete_object(Bucket=BUCKET, Key="kept.mp4")
    with run(versioned=versioned) as s3:
        assert keys(s3) == []


def test_a_new_upload_of_a_deleted_key_survives(run: Run) -> None:
    with run() as s3:
        s3.put_object(Bucket=BUCKET, Key="a.mp4", Body=b"1")
        s3.delete_object(Bucket=BUCKET, Key="a.mp4")
        s3.put_object(Bucket=BUCKET, Key="a.mp4", Body=b"2")
    with run() as s3:
        assert read(s3, "a.mp4") == b"2"


def test_a_version_deleted_by_its_id_does_not_come_back(run: Run) -> None:
    with run() as s3:
        s3.put_object(Bucket=BUCKET, Key="a.mp4", Body=b"old")
        newest = s3.put_object(Bucket=BUCKET, Key="a.mp4", Body=b"newest")["VersionId"]
        s3.delete_object(Bucket=BUCKET, Key="a.mp4", VersionId=newest)
        assert read(s3, "a.mp4") == b"old"
        only = s3.put_object(Bucket=BUCKET, Key="b.mp4", Body=b"1")["VersionId"]
        s3.delete_object(Bucket=BUCKET, Key="b.mp4", VersionId=only)
    with run() as s3:
        assert keys(s3) == ["a.mp4"]
        assert read(s3, "a.mp4") == b"old"


def test_undoing_a_delete_lasts_too(run: Run) -> None:
    with run() as s3:
        s3.put_object(Bucket=BUCKET, Key="a.mp4", Body=b"1")
    with run() as s3:
        marker = s3.delete_object(Bucket=BUCKET, Key="a.mp4")["VersionId"]
        s3.delete_object(Bucket=BUCKET, Key="a.mp4", VersionId=marker)
        assert read(s3, "a.mp4") == b"1"
    with run() as s3:
        assert read(s3, "a.mp4") == b"1"
