"""The course's contract: exactly one JPEG and one text per video, with the right name in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from castline.grader.classic import jpeg_problem, text_problem
from castline.grader.truth import read_truth
from tests.grader.conftest import JPEG, NAMES, Deployment


@pytest.fixture
def answered(classic: Deployment) -> Deployment:
    """All four clips are there, with the right answers."""
    classic.upload()
    for media in NAMES:
        classic.name(media)
    return classic


@pytest.mark.parametrize("number", [4, 5])
def test_exactly_the_expected_objects_pass(answered: Deployment, number: int) -> None:
    result = answered.look(number)
    assert (result.status, result.points) == ("passed", 20), result.lines


@pytest.mark.parametrize("number", [4, 5])
def test_missing_answers_get_no_points(classic: Deployment, number: int) -> None:
    classic.upload()
    result = classic.look(number)
    assert (result.status, result.points) == ("failed", 0)
    assert any(line.startswith("4 missing: test_00.") for line in result.lines)


@pytest.mark.parametrize("number", [4, 5, 6])
def test_without_inputs_nothing_can_be_checked(classic: Deployment, names_csv: Path, number: int) -> None:
    result = classic.look(number, truth=read_truth(names_csv))
    assert (result.status, result.points) == ("error", 0)
    assert "no media in grade-input" in result.lines[0]


def test_missing_empty_and_extra_objects_are_named_and_cost_points(answered: Deployment) -> None:
    bucket = answered.target.stage1_bucket
    answered.target.s3.delete_object(Bucket=bucket, Key="test_00.jpg")
    answered.put(bucket, "test_01.jpg", b"")
    answered.put(bucket, "test_02/0001.jpg", JPEG)
    result = answered.look(4)
    assert (result.status, result.points) == ("partial", 8)  # 2 right of 4 wanted + 1 extra
    assert result.lines[1:] == (
        "1 missing: test_00.jpg",
        "1 empty: test_01.jpg",
        "1 should not be there: test_02/0001.jpg",
    )


def test_an_invalid_picture_is_named(answered: Deployment) -> None:
    answered.name("test_00.mp4", picture=b"GIF89a")
    answered.name("test_01.mp4", picture=JPEG[: len(JPEG) // 2])
    result = answered.look(4)
    assert (result.status, result.points) == ("partial", 10)
    assert "test_00.jpg: not a JPEG" in result.lines
    assert "test_01.jpg: a JPEG that cannot be decoded" in result.lines


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        (JPEG, ""),
        (b"", "not a JPEG"),
        (b"\xff\xd8\xff", "a JPEG that cannot be decoded"),
        (b"\xff\xd8" + b"\xff" * 1000, "a JPEG that cannot be decoded"),
        (b"\xff\xd8\xff\xe0\x00\x00" * 50, "a JPEG that cannot be decoded"),
        (b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x00\x01\x01\x11\x00\xff\xd9", "a JPEG that cannot be decoded"),
        (JPEG[:-2], "a JPEG that cannot be decoded"),
    ],
)
def test_only_complete_jpegs_are_accepted(body: bytes, trouble: str) -> None:
    assert jpeg_problem(body) == trouble


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        ("Жанна\n".encode(), ""),
        (b"[bold]Ada[/] <b>&amp;", ""),
        (b" \n", "nothing but white space"),
        (b"Ada\nGrace", "more than one line, or control characters"),
        (b"\x1b[2JAda", "more than one line, or control characters"),
        (b"\xff\xd8\xff\xe0", "not text in UTF-8"),
        (b"x" * 201, "longer than 200 bytes"),
    ],
)
def test_only_one_line_of_text_is_accepted_as_a_name(body: bytes, trouble: str) -> None:
    assert text_problem(body) == trouble


def test_right_names_pass(answered: Deployment, names_csv: Path) -> None:
    answered.name("test_00.mp4", " Ada Lovelace\n")
    result = answered.look(6, truth=read_truth(names_csv))
    assert (result.status, result.points) == ("passed", 20)
    assert result.lines == ("4 of 4 names are right",)


def test_a_wrong_gallery_loses_points_and_shows_who_is_mistaken_for_whom(answered: Deployment, names_csv: Path) -> None:
    for media in ("test_00.mp4", "test_02.mp4"):
        answered.name(media, "[red]Mallory[/]")
    answered.name("test_03.mp4", "")
    result = answered.look(6, truth=read_truth(names_csv))
    assert (result.status, result.points) == ("partial", 5)
    assert result.lines[1:] == ("Ada Lovelace -> [red]Mallory[/]: 2", "Жанна -> no name: 1")


def test_names_are_case_sensitive(answered: Deployment, names_csv: Path) -> None:
    for media, name in NAMES.items():
        answered.name(media, name.upper())
    result = answered.look(6, truth=read_truth(names_csv))
    assert (result.status, result.points) == ("failed", 0)


def test_without_ground_truth_names_are_an_error_and_not_a_pass(answered: Deployment, tmp_path: Path) -> None:
    result = answered.look(6)
    assert (result.status, result.points) == ("error", 0)
    other = tmp_path / "other.csv"
    other.write_text("file,name\nother.mp4,Ada\n")
    result = answered.look(6, truth=read_truth(other))
    assert (result.status, result.points) == ("error", 0)


def test_videos_without_a_row_are_not_graded_and_reported(answered: Deployment, tmp_path: Path) -> None:
    table = tmp_path / "some.csv"
    table.write_text("file,name\ntest_00,Ada Lovelace\n")  # a stem is enough
    result = answered.look(6, truth=read_truth(table))
    assert result.status == "passed"
    assert result.lines[-1] == "3 videos have no name in the ground truth and are not graded"


def test_repeated_clips_expect_the_name_of_their_file(classic: Deployment, names_csv: Path) -> None:
    from castline.workload_generator.load import plan

    context = classic.context(truth=read_truth(names_csv))
    context.jobs = plan(classic.folder, 6, "classic")
    for job in context.jobs:
        classic.put(classic.target.input_bucket, job.key, b"x")
        stem = job.key.removesuffix(".mp4")
        classic.put(classic.target.output_bucket, f"{stem}.txt", NAMES[job.path.name])
    assert {job.key for job in context.jobs} > {"test_04.mp4", "test_05.mp4"}
    assert classic.look(6, context).status == "passed"


def test_a_hostile_pipeline_is_read_within_limits(classic: Deployment, names_csv: Path) -> None:
    classic.upload()
    for media in NAMES:
        classic.name(media, "A" * 3_000_000)
    asked: list[str] = []

    def note(request: Any, **_: Any) -> None:
        asked.append(str(request.headers["Range"]))

    classic.target.s3.meta.events.register_first("before-send.s3.GetObject", note)
    assert classic.look(5).status == "failed"
    assert classic.look(6, truth=read_truth(names_csv)).lines[1:] == (
        "Ada Lovelace -> no name: 2",
        "Grace Hopper -> no name: 1",
        "Жанна -> no name: 1",
    )
    assert set(asked) == {"bytes=0-1023"}


def test_ten_thousand_extra_objects(answered: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    pages = [
        {
            "Contents": [
                {"Key": f"junk/\x1b[31m{page}-{number}", "Size": 1, "ETag": '"0"', "LastModified": now}
                for number in range(1000)
            ]
        }
        for page in range(10)
    ]
    real = answered.target.s3.get_paginator

    class Paginator:
        def paginate(self, Bucket: str, Prefix: str) -> Any:  # noqa: N803 - boto3's spelling
            yield from real("list_objects_v2").paginate(Bucket=Bucket, Prefix=Prefix)
            if Bucket == answered.target.output_bucket:
                yield from pages

    monkeypatch.setattr(answered.target.s3, "get_paginator", lambda name: Paginator())
    result = answered.look(5)
    assert (result.status, result.points) == ("failed", 0)
    assert result.lines[1].startswith("10000 should not be there: junk/�[31m0-0, ")
    assert all(line.isprintable() and len(line) < 600 for line in result.lines)
