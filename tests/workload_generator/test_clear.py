"""Clearing empties, all of it, and only what was asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from castline.workload_generator.clear import Contents, clear, survey
from castline.workload_generator.target import Target, UsageError


def test_old_versions_and_delete_markers_go_too(make_target: Callable[..., Target]) -> None:
    target = make_target("classic")
    s3 = target.s3
    for body in (b"1", b"2", b"3"):
        s3.put_object(Bucket=target.input_bucket, Key="test_00.mp4", Body=body)
    s3.put_object(Bucket=target.input_bucket, Key="gone é+%.mp4", Body=b"x")
    s3.delete_object(Bucket=target.input_bucket, Key="gone é+%.mp4")  # in a versioned bucket: one marker more
    s3.put_object(Bucket=target.output_bucket, Key="test_00.txt", Body=b"Ada")
    s3.create_bucket(Bucket="load-gallery")
    s3.put_object(Bucket="load-gallery", Key="Ada/1.jpg", Body=b"jpg")

    assert survey(target) == [
        Contents("load-input", 1, 4), Contents("load-stage-1", 0, 0), Contents("load-output", 1, 0)]  # fmt: skip
    assert clear(target) == 6
    assert all(found.objects == found.hidden == 0 for found in survey(target))
    found = s3.list_object_versions(Bucket=target.input_bucket)
    assert "Versions" not in found
    assert "DeleteMarkers" not in found
    assert s3.list_objects_v2(Bucket="load-gallery")["KeyCount"] == 1
    s3.delete_object(Bucket="load-gallery", Key="Ada/1.jpg")
    s3.delete_bucket(Bucket="load-gallery")


def test_more_than_one_page(make_target: Callable[..., Target]) -> None:
    target = make_target("full")
    for index in range(1_050):
        target.s3.put_object(Bucket=target.stage1_bucket, Key=f"{index}", Body=b"")
    assert survey(target)[1] == Contents("load-stage-1", 1_050, 0)
    assert clear(target) == 1_050
    assert survey(target)[1] == Contents("load-stage-1", 0, 0)


def test_a_bucket_that_is_not_there_stops_before_anything_is_deleted(make_target: Callable[..., Target]) -> None:
    target = make_target("full")
    target.s3.put_object(Bucket=target.input_bucket, Key="a.mp4", Body=b"x")
    target.s3.delete_bucket(Bucket=target.output_bucket)
    with pytest.raises(UsageError, match="no bucket load-output"):
        survey(target)
    target.s3.create_bucket(Bucket=target.output_bucket)
    assert survey(target)[0].objects == 1


def test_contents_read_like_a_sentence() -> None:
    assert str(Contents("a-input", 1, 0)) == "a-input: 1 object"
    assert str(Contents("a-input", 2, 3)) == "a-input: 2 objects and 3 old versions or delete markers"
