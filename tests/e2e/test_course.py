"""The two tools as a user starts them, against the real stack: many videos, points for the names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from castline.local.stack import LocalStack
from castline.settings import Settings
from tests.conftest import at_scale

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CHECKOUT = Path(__file__).resolve().parents[2]
_ID = "1225754101"
#: The people of the four clips, in the order of the files.
_PEOPLE = ("Trump", "Biden", "Bean", "Depp")
_COUNT = at_scale(16, 100)


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> Path:
    return shared_data / "video" / "celebrity_clips"


@pytest.fixture(scope="module")
def faces(clips: Path, tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, Path]:
    """A folder of frames per person, from near the beginning and the end of each clip."""
    found = {}
    for number, name in enumerate(_PEOPLE):
        found[name] = tmp_path_factory.mktemp(name)
        for at in (0.1, 1.8):
            clip = clips / f"test_{number:02d}.mp4"
            ffmpeg("-ss", at, "-i", clip, "-frames:v", 1, "-vf", "scale=960:-2", found[name] / f"{at}.jpg")
    return found


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expected names of uploads that cycle the four clips."""
    table = tmp_path_factory.mktemp("truth") / "names.csv"
    rows = [f"test_{at:02d}.mp4,{_PEOPLE[at % len(_PEOPLE)]}" for at in range(_COUNT)]
    table.write_text("\n".join(["file,name", *rows]) + "\n")
    return table


@pytest.fixture(scope="module")
def course(make_settings: Callable[..., Settings]) -> Iterator[LocalStack]:
    with LocalStack(make_settings(profile="classic", prefix=_ID), slots=2, prewarm=True) as stack:
        yield stack


def _enrol(stack: LocalStack, gallery: Mapping[str, Path]) -> None:
    s3, bucket = stack.client("s3"), f"{_ID}-gallery"
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3.delete_object(Bucket=bucket, Key=item["Key"])
    for name, folder in gallery.items():
        for photo in sorted(folder.glob("*.jpg")):
            s3.upload_file(str(photo), bucket, f"{name}/{photo.name}")


def _run(tool: str, stack: LocalStack, *arguments: object, limit_s: float = 280) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHECKOUT / tool / f"{tool}.py"), *map(str, arguments)],
        env={**os.environ, **stack.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def _course_flags(stack: LocalStack) -> tuple[str, ...]:
    keys = stack.credentials
    return ("--access_key", keys.access_key, "--secret_key", keys.secret_key, "--asu_id", _ID)


def _grade(stack: LocalStack, folder: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit status and report of the grader, with the course's flags."""
    report = folder / "grade.json"
    who = _course_flags(stack)
    done = _run("grader", stack, *who, "--clear", "--yes", "--json", report, *arguments)
    assert report.is_file(), done.stdout + done.stderr
    return done.returncode, json.loads(report.read_text())


def _points(report: dict[str, Any]) -> dict[int, float]:
    return {check["number"]: check["points"] for check in report["checks"]}


def test_every_upload_its_name_and_a_hundred_points(
    course: LocalStack, clips: Path, faces: dict[str, Path], names: Path, tmp_path: Path
) -> None:
    _enrol(course, faces)
    status, report = _grade(
        course, tmp_path, "--testcase_folder", clips, "--count", _COUNT, "--ground_truth", names, "--time_limit", 250
    )
    assert (status, report["score"]["points"]) == (0, 100), report
    output = course.client("s3").list_objects_v2(Bucket=f"{_ID}-output")["Contents"]
    assert [item["Key"] for item in output] == [f"test_{at:02d}.txt" for at in range(_COUNT)]
    assert {item["function"] for item in report["metrics"]} >= {"video-splitting", "face-recognition"}


def test_a_wrong_gallery_loses_the_points_for_names(
    course: LocalStack, clips: Path, faces: dict[str, Path], names: Path, tmp_path: Path
) -> None:
    swapped = dict(zip(_PEOPLE, [faces[name] for name in (*_PEOPLE[1:], _PEOPLE[0])], strict=True))
    _enrol(course, swapped)
    status, report = _grade(course, tmp_path, "--testcase_folder", clips, "--ground_truth", names)
    assert status == 1
    assert _points(report) == {1: 10, 2: 10, 3: 20, 4: 20, 5: 20, 6: 0}


def test_the_generator_accepts_the_course_s_flags(
    course: LocalStack, clips: Path, faces: dict[str, Path], tmp_path: Path
) -> None:
    _enrol(course, faces)
    who = _course_flags(course)
    numbers = tmp_path / "load.json"
    load = ("--testcase_folder", clips, "--count", 8, "--pattern", "stagger", "--rate", 4, "--clear", "--yes")
    done = _run("workload_generator", course, *who, *load, "--json", numbers)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(numbers.read_text())
    assert [row["status"] for row in found["rows"]] == ["ok"] * 8


def test_a_missing_function_and_missing_answers_end_in_time_with_the_score_so_far(
    course: LocalStack, clips: Path, names: Path, tmp_path: Path
) -> None:
    """Last, because it takes the pipeline apart."""
    course.deployer("s3").put_bucket_notification_configuration(Bucket=f"{_ID}-stage-1", NotificationConfiguration={})
    course.deployer("lambda").delete_function(FunctionName="face-recognition")
    status, report = _grade(course, tmp_path, "--testcase_folder", clips, "--ground_truth", names, "--time_limit", 15)
    assert status == 1
    points = _points(report)
    assert (points[2], points[3], points[4], points[5], points[6]) == (10, 0, 20, 0, 0)
    assert points[1] == 5, "one of the two functions"


def test_the_full_profile_is_driven_by_the_same_tools(
    make_settings: Callable[..., Settings], shared_data: Path, tmp_path: Path
) -> None:
    """GRID: nobody is enrolled, and a recogniser of plain English rarely gets its short commands right."""
    grid = shared_data / "video" / "grid"
    report, numbers = tmp_path / "grade.json", tmp_path / "load.json"
    with LocalStack(make_settings(), slots=2, prewarm=True) as stack:
        truth = ("--ground_truth", grid / "transcripts.tsv", "--max_wer", 0.9)
        done = _run("grader", stack, "--testcase_folder", grid, "--json", report, *truth)
        assert report.is_file(), done.stdout + done.stderr
        load = ("--testcase_folder", grid, "--clear", "--yes", "--json", numbers)
        generated = _run("workload_generator", stack, *load)
        assert generated.returncode == 0, generated.stdout + generated.stderr
    points = _points(json.loads(report.read_text()))
    assert (points[1], points[2], points[3], points[4], points[5], points[7]) == (10, 10, 20, 20, 10, 10)
    assert points[6] > 15, done.stdout
    assert {row["status"] for row in json.loads(numbers.read_text())["rows"]} == {"ok"}
