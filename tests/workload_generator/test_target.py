"""Finding a deployment: endpoints, names, credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from castline import settings as settings_module
from castline.errors import NoBucket, OptionsError
from castline.settings import Settings
from castline.workload_generator import target as target_module
from castline.workload_generator.target import connect

_NOTHING: dict[str, Any] = dict.fromkeys(("endpoint_url", "access_key", "secret_key", "asu_id", "prefix"))
_HERE = {**_NOTHING, "endpoint_url": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without AWS configuration and without a stack."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE",
                 "AWS_DEFAULT_REGION", "AWS_REGION"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CASTLINE_STATE_DIR", str(tmp_path / "state"))
    settings_module.settings.cache_clear()


def test_the_course_flags_name_the_course_buckets() -> None:
    found = connect(**{**_HERE, "asu_id": "1225"})
    assert (found.input_bucket, found.stage1_bucket, found.output_bucket) == (
        "1225-input", "1225-stage-1", "1225-output")  # fmt: skip
    assert (found.splitter, found.analyser, found.profile) == ("video-splitting", "face-recognition", "classic")


def test_own_flags_name_the_full_profile() -> None:
    found = connect(**{**_HERE, "prefix": "films"})
    assert (found.input_bucket, found.profile) == ("films-input", "full")
    assert connect(**_HERE).input_bucket == "castline-input"
    assert connect(**_HERE, profile="classic").profile == "classic"
    assert connect(**{**_HERE, "asu_id": "1225"}, profile="full").profile == "full"


def test_the_settings_may_name_each_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Settings(input_bucket="elsewhere", analyser_function="films-face-recognition")
    monkeypatch.setattr(target_module, "settings", lambda: own)
    found = connect(**_HERE)
    assert (found.input_bucket, found.analyser) == ("elsewhere", "films-face-recognition")
    assert connect(**{**_HERE, "prefix": "films"}).input_bucket == "films-input"


def test_the_endpoint_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:7")
    assert connect(**_NOTHING).where == "http://127.0.0.1:7"
    assert connect(**_HERE).where == "http://127.0.0.1:9"


def test_without_any_configuration_it_says_what_to_do() -> None:
    with pytest.raises(OptionsError, match=r"castline up.*--endpoint-url.*--access_key"):
        connect(**_NOTHING)


def test_given_keys_are_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    found = connect(**{**_NOTHING, "access_key": "AKIAX", "secret_key": "hush-hush"})
    assert found.where == "AWS, eu-central-1"
    assert found.s3._request_signer._credentials.secret_key == "hush-hush"
    assert "hush" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"access_key": "AKIAX"}, "come together"),
        ({"secret_key": "hush-hush"}, "come together"),
        ({"asu_id": "1", "prefix": "2"}, "different buckets"),
        ({"endpoint_url": "nowhere"}, "nowhere"),
    ],
)
def test_contradictions_are_refused_in_one_line(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(OptionsError, match=words) as caught:
        connect(**{**_HERE, **arguments})
    assert "hush" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_bucket_is_named(make_target: Any) -> None:
    target = make_target("full")
    target.check(*target.buckets)
    target.s3.delete_bucket(Bucket="load-output")
    with pytest.raises(NoBucket, match=r"no bucket load-output \(moto\); is the stack deployed"):
        target.check(*target.buckets)
    target.s3.create_bucket(Bucket="load-output")
