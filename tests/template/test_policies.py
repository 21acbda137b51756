"""The policies in docs/policies: every call is in them, and nothing that nobody calls."""

from __future__ import annotations

import ast
import importlib.util
import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.template.conftest import ROOT

_SPEC = importlib.util.spec_from_file_location("policies", ROOT / "scripts" / "policies.py")
assert _SPEC and _SPEC.loader
derived = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(derived)
FOLDER = ROOT / "docs" / "policies"
FILES = ("deployer.json", "deployer-options.json", "user.json")


@pytest.fixture(scope="module")
def wanted() -> dict[str, Any]:
    made: dict[str, Any] = derived.policies()
    return made


def _read(name: str) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return policy


def _granted(*names: str) -> set[str]:
    return {action for name in names for item in _read(name)["Statement"] for action in item["Action"]}


@pytest.mark.parametrize("name", FILES)
def test_a_policy_is_what_code_and_template_need(wanted: dict[str, Any], name: str) -> None:
    assert set(wanted) == set(FILES)
    assert _read(name) == wanted[name], "run scripts/policies.py"


@pytest.mark.parametrize("name", FILES)
def test_a_policy_fits_and_names_what_it_is_about(name: str) -> None:
    policy = _read(name)
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144, "IAM's limit of a managed policy"
    for statement in policy["Statement"]:
        assert not any("*" in action for action in statement["Action"])
        if statement["Sid"] != "LookAround":
            named = ("ACCOUNT", ":s3:::PREFIX-", ":s3:::aws-sam-cli-managed-default-", ":aws:transform/Serverless-")
            assert all(any(word in resource for word in named) for resource in statement["Resource"])
    (looks,) = [item for item in policy["Statement"] if item["Resource"] == ["*"]]
    writing = ("Put", "Create", "Delete", "Update", "Attach", "Invoke")
    assert not any(action.partition(":")[2].startswith(writing) for action in looks["Action"])


def test_every_module_that_speaks_to_aws_is_looked_at() -> None:
    """The doors and the service run in functions, whose roles are the template's."""
    speaking = {
        str(path.relative_to(derived.SOURCE))
        for path in derived.SOURCE.rglob("*.py")
        if derived.calls([str(path.relative_to(derived.SOURCE))])
    }
    elsewhere = {name for name in speaking if name.startswith(("local/", "doors/", "service/", "gate/", "aws.py"))}
    elsewhere.add("grader/checks.py")  # has the keys that are to be graded, and says what they may not
    not_aws = {name for name in speaking if name.startswith("report/")}  # jinja's
    not_aws.add("evaluation/strangers.py")  # numpy's sign
    also = {"cli/account.py"}  # asks what cli/plan.py asks
    assert speaking - elsewhere - not_aws - also == {*derived.DEPLOYER, *derived.USER}
    assert derived.actions(also) <= _granted("user.json")


def test_calls_are_found_by_their_syntax() -> None:
    tree = ast.parse("x.y.put_object(Bucket=1)\nz.get_paginator('list_multipart_uploads')\nrun(head_bucket)")
    assert set(derived._calls(tree)) == {"s3:PutObject", "s3:ListMultipartUploads"}


@pytest.mark.parametrize(
    ("files", "call"),
    [
        (("user.json",), "s3:PutObject"),
        (("user.json",), "lambda:InvokeFunction"),
        (("deployer.json",), "lambda:GetAccountSettings"),
        (("deployer.json",), "cloudformation:ExecuteChangeSet"),
        (("deployer.json",), "iam:PassRole"),
        (("deployer-options.json",), "kms:GetKeyPolicy"),
        (("deployer-options.json",), "states:CreateStateMachine"),
    ],
)
def test_what_nobody_would_doubt_is_in_them(files: tuple[str, ...], call: str) -> None:
    assert call in _granted(*files)


def test_a_user_may_neither_deploy_nor_read_secrets() -> None:
    granted = _granted("user.json")
    for pattern in ("iam:*", "cloudformation:*", "secretsmanager:*", "s3:*Bucket", "lambda:Update*", "lambda:Create*"):
        found = {action for action in granted if fnmatchcase(action, pattern)} - {"s3:ListBucket"}
        assert found == set(), pattern
