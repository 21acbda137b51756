"""The command as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from castline.workload_generator import clear, cli
from castline.workload_generator.target import Target

_SCRIPT = Path(__file__).parents[2] / "workload_generator" / "workload_generator.py"
_SECRET = "hush-hush-hush"


@pytest.fixture
def target(make_target: Callable[..., Target], monkeypatch: pytest.MonkeyPatch) -> Target:
    """The target that the command finds, whatever the flags say."""
    found = make_target("classic")
    monkeypatch.setattr(cli, "connect", lambda **_: found)
    return found


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    def invoke(*arguments: object, say: str | None = None) -> Any:
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=say)

    yield invoke


def test_a_load_prints_its_numbers_and_writes_its_reports(
    run: Callable[..., Any], target: Target, fake_pipeline: Any, folder: Path, tmp_path: Path
) -> None:
    with fake_pipeline(target, 0.1):
        done = run("--testcase_folder", folder, "--count", 3, "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert "3 uploads to load-input (moto), classic profile, burst, 8 at a time" in done.output
    assert "3 of 3 good, 0 failed, 0 timed out" in done.output
    for word in ("min", "p50", "p90", "p99", "max", "throughput"):
        assert word in done.output
    assert json.loads((tmp_path / "a.json").read_text())["counts"]["ok"] == 3


def test_late_results_are_exit_status_1(run: Callable[..., Any], target: Target, folder: Path) -> None:
    done = run("--testcase_folder", folder, "--count", 1, "--timeout", 0.5)
    assert done.exit_code == 1
    assert "timeout test_00.mp4: no result within 0.5 s; nothing in load-stage-1 either" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--testcase_folder"),
        (("--testcase_folder", "/nowhere"), "there is no folder /nowhere"),
        (("--testcase_folder", "FOLDER", "--yes"), "--yes goes with --clear only"),
        (("--testcase_folder", "FOLDER", "--rate", "0"), "positive number"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(
    arguments: tuple[str, ...], words: str, run: Callable[..., Any], target: Target, folder: Path
) -> None:
    done = run(*(str(folder) if argument == "FOLDER" else argument for argument in arguments))
    assert done.exit_code == 2
    assert words in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert target.s3.list_objects_v2(Bucket=target.input_bucket)["KeyCount"] == 0


def test_nothing_is_cleared_without_a_person_to_ask(run: Callable[..., Any], target: Target, folder: Path) -> None:
    target.s3.put_object(Bucket=target.output_bucket, Key="precious.txt", Body=b"x")
    done = run("--clear", "--testcase_folder", folder, say="y\n")  # a pipe cannot answer
    assert done.exit_code == 2
    assert "load-output (moto): 1 object" in done.output
    assert "nothing was deleted" in done.output
    assert target.s3.list_objects_v2(Bucket=target.output_bucket)["KeyCount"] == 1
    assert target.s3.list_objects_v2(Bucket=target.input_bucket)["KeyCount"] == 0


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1), ("", 1)])
def test_clearing_asks_and_follows_the_answer(
    answer: str, left: int, run: Callable[..., Any], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clear, "_is_somebody_there", lambda: True)
    target.s3.put_object(Bucket=target.output_bucket, Key="precious.txt", Body=b"x")
    done = run("--clear", say=f"{answer}\n")
    assert done.exit_code == (2 if left else 0)
    assert done.output.index("load-output (moto): 1 object") < done.output.index("for good?")
    assert target.s3.list_objects_v2(Bucket=target.output_bucket)["KeyCount"] == left


def test_yes_clears_without_asking(run: Callable[..., Any], target: Target) -> None:
    target.s3.put_object(Bucket=target.input_bucket, Key="a.mp4", Body=b"x")
    done = run("--clear", "--yes")
    assert done.exit_code == 0
    assert "load-input (moto): 1 object" in done.output
    assert "deleted" in done.output
    again = run("--clear", "--yes")
    assert again.exit_code == 0
    assert "deleted" not in again.output


def test_it_runs_as_a_file_from_anywhere_and_keeps_secrets(tmp_path: Path, folder: Path) -> None:
    arguments = ["--endpoint-url", "http://127.0.0.1:9", "--access_key", "AKIAX", "--secret_key", _SECRET,
                 "--asu_id", "1225", "--testcase_folder", str(folder)]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run([sys.executable, str(_SCRIPT), *arguments], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=600, check=False)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error S3 refused s3://1225-input/: Could not connect to the endpoint URL")
    assert len(done.stderr.strip().splitlines()) == 1
    assert _SECRET not in done.stdout + done.stderr
