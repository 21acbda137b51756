"""Clearing empties buckets completely, and only those that were named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from castline.errors import NoBucket
from castline.workload_generator.clear import clear
from castline.workload_generator.target import Target


def test_old_versions_and_delete_markers_are_deleted_too(
    make_target: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    target = make_target("classic")
    s3 = target.s3
    for body in (b"1", b"2", b"3"):
        s3.put_object(Bucket=target.input_bucket, Key="test_00.mp4", Body=body)
    s3.put_object(Bucket=target.input_bucket, Key="gone é+%.mp4", Body=b"x")
    s3.delete_object(Bucket=target.input_bucket, Key="gone é+%.mp4")  # in a versioned bucket: one marker more
    s3.put_object(Bucket=target.output_bucket, Key="test_00.txt", Body=b"Ada")
    s3.create_bucket(Bucket="load-gallery")
    s3.put_object(Bucket="load-gallery", Key="Ada/1.jpg", Body=b"jpg")

    clear(target, yes=True)
    assert capsys.readouterr().err.splitlines() == [
        "load-input (moto): 1 object and 4 old versions or delete markers",
        "load-stage-1 (moto): 0 objects",
        "load-output (moto): 1 object",
        "deleted",
    ]
    assert [list(target.store.versions(bucket)) for bucket in target.buckets] == [[], [], []]
    assert s3.list_objects_v2(Bucket="load-gallery")["KeyCount"] == 1
    s3.delete_object(Bucket="load-gallery", Key="Ada/1.jpg")
    s3.delete_bucket(Bucket="load-gallery")


def test_more_than_one_page(make_target: Callable[..., Target], capsys: pytest.CaptureFixture[str]) -> None:
    target = make_target("full")
    for index in range(1_050):
        target.s3.put_object(Bucket=target.stage1_bucket, Key=f"{index}", Body=b"")
    clear(target, yes=True)
    assert "load-stage-1 (moto): 1050 objects" in capsys.readouterr().err
    assert not list(target.store.find(target.stage1_bucket))


def test_a_missing_bucket_stops_it_before_anything_is_deleted(make_target: Callable[..., Target]) -> None:
    target = make_target("full")
    target.s3.put_object(Bucket=target.input_bucket, Key="a.mp4", Body=b"x")
    target.s3.delete_bucket(Bucket=target.output_bucket)
    with pytest.raises(NoBucket, match="no bucket load-output"):
        clear(target, yes=True)
    target.s3.create_bucket(Bucket=target.output_bucket)
    assert len(list(target.store.find(target.input_bucket))) == 1
