"""Every mistake is reported in one line, and nothing else happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from castline.cli.connect import check_writable
from castline.cli.variables import known, remarks
from castline.errors import OptionsError

DEMO = Path(__file__).parents[2] / "examples" / "demo.mp4"


def _castline(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CASTLINE_"))}
    return subprocess.run(
        [sys.executable, "-m", "castline", *arguments],
        cwd=folder,
        env={**outside, "AWS_EC2_METADATA_DISABLED": "true", **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("run", "nothere[/b].mp4"), {}, "nothere[/b].mp4 does not exist"),
        (("run", str(DEMO), "--output", "/dev/null"), {}, "/dev/null: no results can be written there"),
        (("run", str(DEMO)), {"CASTLINE_STATE_DIR": "/dev/null/x"}, "the folder /dev/null/x cannot be made"),
        (("up",), {"CASTLINE_STATE_DIR": "/dev/null/x"}, "the folder /dev/null/x cannot be made"),
        (("doctor",), {"CASTLINE_INTERVAL_S": "abc"}, "CASTLINE_INTERVAL_S=abc: "),
        (("doctor",), {"CASTLINE_THREADS": "-2"}, "CASTLINE_THREADS=-2: "),
        (("doctor",), {"PIPELINE_PROFILE": "foo"}, "PIPELINE_PROFILE=foo: "),
        (("status", "--endpoint-url", "nowhere"), {}, "nowhere is not an endpoint"),
        (("status",), {"AWS_PROFILE": "nowhere"}, "(nowhere) could not be found"),
        (("redrive", "--endpoint-url", "http://127.0.0.1:9"), {}, "http://127.0.0.1:9/"),
    ],
)
def test_one_line_and_exit_status_2(
    arguments: tuple[str, ...], variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = _castline(tmp_path, *arguments, **variables)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("error ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout


def test_checking_whether_results_can_be_written_leaves_no_folder(tmp_path: Path) -> None:
    check_writable(tmp_path / "out" / "results")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OptionsError, match="no results can be written there"):
        check_writable(tmp_path / "results")


def test_details_are_shown_on_request(tmp_path: Path) -> None:
    done = _castline(tmp_path, "--verbose", "redrive", "--endpoint-url", "http://127.0.0.1:9")
    assert "EndpointConnectionError" in done.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CASTLINE_TRANSCRIBER": "foo"}, "bad there is no transcriber 'foo'"),
        ({"CASTLINE_STATE_DIR": "/dev/null/x"}, "bad /dev/null/x cannot be made"),
    ],
)
def test_doctor_finds_it_and_makes_nothing(variables: dict[str, str], said: str, tmp_path: Path) -> None:
    done = _castline(tmp_path, "doctor", **variables)
    assert done.returncode == 1
    assert said in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_typo_in_a_variable_is_named_with_the_nearest_name() -> None:
    assert list(
        remarks(["CASTLINE_INTERVALS", "PIPELINE_PROFIL", "PIPELINE_TIMEOUT", "HOME", "CASTLINE_QQQQQQQQ"])
    ) == [
        "CASTLINE_INTERVALS is not a variable that Castline reads; did you mean CASTLINE_INTERVAL_S?",
        "CASTLINE_QQQQQQQQ is not a variable that Castline reads",
        "PIPELINE_PROFIL is not a variable that Castline reads; did you mean PIPELINE_PROFILE?",
    ]
    assert list(remarks(known())) == []


def test_every_command_reports_a_typo(tmp_path: Path) -> None:
    done = _castline(tmp_path, "cost", "--duration", "1h", CASTLINE_SERVICE_WORKER="1")
    assert done.returncode == 0
    assert done.stderr.endswith("did you mean CASTLINE_SERVICE_WORKERS?\n")
