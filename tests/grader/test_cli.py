"""The command: exit statuses, files, what it refuses, and the menu."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from castline.grader.cli import app
from tests.grader.conftest import NAMES, Deployment, refusal

SCRIPT = Path(__file__).resolve().parents[2] / "grader" / "grader.py"
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against a deployment, without waiting for CloudWatch."""

    def invoke(deployment: Deployment, *arguments: object, input: str | None = None) -> Result:
        monkeypatch.setattr("castline.grader.cli.connect", lambda **_: deployment.target)
        return CliRunner().invoke(app, ["--metrics_wait", "0", *map(str, arguments)], input=input)

    return invoke


def test_a_good_pipeline_gets_all_points(classic: Deployment, run: Run, names_csv: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "grade.json"
    answering = classic.answering(classic.name)
    result = run(answering, "--testcase_folder", classic.folder, "--ground_truth", names_csv, "--json", file)
    assert result.exit_code == 0, result.output
    assert "score: 100 / 100" in result.stdout
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["score"]["points"] == 100
    assert [check["status"] for check in report["checks"]] == ["passed"] * 6


def test_a_good_pipeline_of_the_full_profile_gets_all_points_too(full: Deployment, run: Run, tmp_path: Path) -> None:
    truth = tmp_path / "truth.tsv"
    rows = [f"{file}\t{name}\thello there\n" for file, name in NAMES.items()]
    truth.write_text("file\tpeople\treference\n" + "".join(rows), encoding="utf-8")
    result = run(full.answering(full.publish), "--testcase_folder", full.folder, "--ground_truth", truth)
    assert result.exit_code == 0, result.output
    assert "score: 100 / 100" in result.stdout


def test_a_wrong_gallery_loses_points(classic: Deployment, run: Run, names_csv: Path) -> None:
    answering = classic.answering(lambda media: classic.name(media, "Mallory"))
    result = run(answering, "--testcase_folder", classic.folder, "--ground_truth", names_csv)
    assert result.exit_code == 1
    assert "score: 80 / 100" in result.stdout


def test_a_missing_function_loses_points(classic: Deployment, run: Run) -> None:
    del classic.functions.states["video-splitting"]
    result = run(classic, "--check", "1,2")
    assert result.exit_code == 1
    assert "score: 15 / 20" in result.stdout


def test_a_pipeline_that_never_answers_ends_with_the_score_so_far(
    classic: Deployment, run: Run, names_csv: Path
) -> None:
    begin = time.monotonic()
    result = run(classic, "--testcase_folder", classic.folder, "--ground_truth", names_csv, "--time_limit", "1")
    assert time.monotonic() - begin < 120
    assert result.exit_code == 1
    assert "score: 20 / 100" in result.stdout


def test_an_impossible_check_is_exit_status_2(classic: Deployment, run: Run) -> None:
    classic.functions.states["video-splitting"] = refusal("AccessDeniedException")
    result = run(classic, "--check", "1")
    assert result.exit_code == 2
    assert "AccessDeniedException" in result.stdout
    assert run(classic).exit_code == 2  # neither videos nor ground truth


@pytest.mark.parametrize("check", ["0", "7", "1,x", "", "1;2"])
def test_unknown_checks_are_refused(classic: Deployment, run: Run, check: str) -> None:
    result = run(classic, "--check", check)
    assert result.exit_code == 2
    assert "--check is all, or numbers from 1 to 6" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--ground_truth", "nowhere.csv"), ("--testcase_folder", "nowhere"), ("--pattern", "stagger", "--rate", "-1")],
)
def test_senseless_flags_are_refused_in_one_line(classic: Deployment, run: Run, arguments: tuple[str, ...]) -> None:
    result = run(classic, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error ")
    assert result.stderr.count("\n") == 1


def test_a_file_that_cannot_be_written_is_exit_status_2(classic: Deployment, run: Run, tmp_path: Path) -> None:
    result = run(classic, "--check", "1", "--json", tmp_path)
    assert result.exit_code == 2
    assert "score: 10 / 10" in result.stdout


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    keys = ("--access_key", "AKIAX", "--secret_key", "hush-hush", "--endpoint-url", "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *keys, "--check", "1,2", "--metrics_wait", "0"], cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Could not connect" in done.stdout
    assert "hush" not in done.stdout + done.stderr


def test_nothing_is_deleted_by_surprise(classic: Deployment, run: Run) -> None:
    classic.upload()
    result = run(classic, "--check", "2", "--clear")
    assert result.exit_code == 2
    assert "nothing was deleted" in result.stderr
    assert len(classic.target.s3.list_objects_v2(Bucket="grade-input")["Contents"]) == len(NAMES)


def test_buckets_are_emptied_after_confirmation(classic: Deployment, run: Run) -> None:
    classic.upload()
    result = run(classic, "--check", "2", "--clear", "--yes")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "grade-input (moto): 4 objects", "grade-stage-1 (moto): 0 objects", "grade-output (moto): 0 objects",
        "deleted"]  # fmt: skip


def test_a_missing_bucket_cannot_be_emptied(classic: Deployment, run: Run) -> None:
    classic.target.s3.delete_bucket(Bucket="grade-output")
    result = run(classic, "--clear", "--yes")
    assert (result.exit_code, "there is no bucket grade-output" in result.stderr) == (2, True)


def test_the_menu_runs_one_check_after_the_other(classic: Deployment, run: Run) -> None:
    result = run(classic, "--interactive", input="9\n1\n2\ns\nq\n")
    assert result.exit_code == 0, result.output
    assert "score: 10 / 10" in result.stdout
    assert result.stdout.rstrip().endswith("score: 20 / 20")


def test_the_menu_runs_all_checks(classic: Deployment, run: Run, names_csv: Path) -> None:
    answering = classic.answering(classic.name)
    arguments = ("--interactive", "--testcase_folder", classic.folder, "--ground_truth", names_csv)
    result = run(answering, *arguments, input="a\nq\n")
    assert (result.exit_code, "score: 100 / 100" in result.stdout) == (0, True), result.output


def test_the_menu_ends_at_the_end_of_input(classic: Deployment, run: Run) -> None:
    result = run(classic, "--interactive", input="1\n")
    assert result.exit_code == 0
    assert run(classic, "--interactive", input="").exit_code == 2  # nothing was checked


def test_ctrl_c_shows_the_score_so_far(classic: Deployment, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("castline.grader.checks.run_load", interrupted)
    result = run(classic, "--testcase_folder", classic.folder)
    assert result.exit_code == 2
    assert "score: 20 / 100" in result.stdout


def test_it_runs_as_a_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert b"--testcase_folder" in done.stdout
