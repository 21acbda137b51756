"""The policies in docs/policies contain every call that is made, and no other."""

from __future__ import annotations

import ast
import importlib.util
import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from castline.aws import Account
from castline.cli.plan import plan_of
from tests.template.conftest import DOORS, KEY, NETWORK, ROOT, WAYS, as_list, resolver

_SPEC = importlib.util.spec_from_file_location("policies", ROOT / "scripts" / "policies.py")
assert _SPEC and _SPEC.loader
derived = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(derived)
FOLDER = ROOT / "docs" / "policies"
FILES = ("deployer.json", "deployer-options.json", "user.json")
#: A key and a network are properties of resources that exist anyway, not kinds of resources.
OF_A_KEY, OF_A_NETWORK = ("kms:",), ("ec2:", "elasticfilesystem:")
BUDGET = pytest.param({"MonthlyBudget": "100"}, id="budget")


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
def test_a_policy_fits_and_names_its_purpose(name: str) -> None:
    policy = _read(name)
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144, "IAM's limit for a managed policy"
    for statement in policy["Statement"]:
        assert not any("*" in action for action in statement["Action"])
        if statement["Sid"] != "LookAround":
            named = ("ACCOUNT", ":s3:::PREFIX-", ":s3:::aws-sam-cli-managed-default-", ":aws:transform/Serverless-")
            assert all(any(word in resource for word in named) for resource in statement["Resource"])
    (looks,) = [item for item in policy["Statement"] if item["Resource"] == ["*"]]
    writing = ("Put", "Create", "Delete", "Update", "Attach", "Invoke")
    assert not any(action.partition(":")[2].startswith(writing) for action in looks["Action"])


def test_every_module_that_calls_aws_is_examined() -> None:
    """The doors and the service run in functions, whose roles are the template's."""
    speaking = {
        str(path.relative_to(derived.SOURCE))
        for path in derived.SOURCE.rglob("*.py")
        if derived.calls([str(path.relative_to(derived.SOURCE))])
    }
    elsewhere = {name for name in speaking if name.startswith(("local/", "doors/", "service/", "gate/", "aws.py"))}
    elsewhere.add("grader/checks.py")  # has the keys that are to be graded, and says what they may not do
    not_aws = {name for name in speaking if name.startswith("report/")}  # jinja's
    not_aws.add("evaluation/strangers.py")  # numpy's sign
    also = {"cli/account.py"}  # makes the requests of cli/plan.py
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
def test_obvious_calls_are_in_them(files: tuple[str, ...], call: str) -> None:
    assert call in _granted(*files)


def test_a_user_may_neither_deploy_nor_read_secrets() -> None:
    granted = _granted("user.json")
    for pattern in ("iam:*", "cloudformation:*", "secretsmanager:*", "s3:*Bucket", "lambda:Update*", "lambda:Create*"):
        found = {action for action in granted if fnmatchcase(action, pattern)} - {"s3:ListBucket"}
        assert found == set(), pattern


def test_the_defaults_can_be_deployed_without_the_options(transformed: dict[str, Any]) -> None:
    """Conditions are evaluated: Orchestration=queue is the default, and conditional."""
    granted = _granted("deployer.json", "user.json")
    kinds = _kinds(transformed, {})
    assert kinds >= {"AWS::SQS::Queue", "AWS::Lambda::EventSourceMapping"}
    assert "AWS::StepFunctions::StateMachine" not in kinds
    lacking = {kind: _called(kind, {}) - granted for kind in kinds}
    assert {kind: actions for kind, actions in lacking.items() if actions} == {}
    verbs = ("Create", "Get", "Update", "Delete")
    assert granted >= {"lambda:ListEventSourceMappings", *(f"lambda:{verb}EventSourceMapping" for verb in verbs)}


@pytest.mark.parametrize("way", [*WAYS, BUDGET])
def test_however_it_is_deployed_the_policies_and_preflight_cover_it(
    transformed: dict[str, Any], way: dict[str, str]
) -> None:
    """preflight asks about every call that CloudFormation will make, and reports nothing unneeded as missing."""
    plan = plan_of("castline", Account("us-east-1", lambda _: _Sts()), way)
    asked = {action for policy in plan.allowed.values() for item in policy for action in as_list(item["Action"])}
    kinds = _kinds(transformed, way)
    wanted = {action for kind in kinds for action in _called(kind, way)}
    assert wanted - asked == set()
    assert asked >= _granted("deployer.json", "user.json")
    services = {action.partition(":")[0] for action in asked - _granted("deployer.json", "user.json")}
    assert ("states" in services) == ("AWS::StepFunctions::StateMachine" in kinds)
    assert ("elasticfilesystem" in services) == (way.get("ModelStorage") == "efs")
    assert ("budgets" in services) == ("MonthlyBudget" in way)
    assert ("kms" in services) == bool(way.get("KmsKeyArn"))


def test_preflight_asks_about_every_option() -> None:
    everything = {
        "Orchestration": "stepfunctions",
        "KmsKeyArn": KEY,
        "MonthlyBudget": "100",
        "ModelStorage": "efs",
        **NETWORK,
        **DOORS,
    }
    plan = plan_of("castline", Account("us-east-1", lambda _: _Sts()), everything)
    assert list(plan.allowed) == ["deployer.json", "user.json", "deployer-options.json"]
    for name, policy in plan.allowed.items():
        assert {action for item in policy for action in as_list(item["Action"])} == _granted(name), name
    default = plan_of("castline", Account("us-east-1", lambda _: _Sts()), {})
    assert list(default.allowed) == ["deployer.json", "user.json"]


@pytest.mark.parametrize("way", [*WAYS, BUDGET])
def test_roles_may_be_passed_to_their_own_services(transformed: dict[str, Any], way: dict[str, str]) -> None:
    def passed(name: str) -> set[str]:
        (item,) = [item for item in _read(name)["Statement"] if item["Sid"] == "PassRoles"]
        return set(item["Condition"]["StringEquals"]["iam:PassedToService"])

    roles = resolver(transformed, **way).resources("AWS::IAM::Role").values()
    trusted = {role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"] for role in roles}
    assert trusted <= passed("deployer.json") | passed("deployer-options.json")
    assert passed("deployer.json") == {"lambda.amazonaws.com"}


class _Sts:
    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/ada"}


def _kinds(transformed: dict[str, Any], way: dict[str, str]) -> set[str]:
    known = resolver(transformed, **way)
    every = {str(item["Type"]) for item in transformed["Resources"].values()}
    return {kind for kind in every if known.resources(kind)}


def _called(kind: str, way: dict[str, str]) -> set[str]:
    """What CloudFormation calls for a kind of resource with these parameters."""
    called: set[str] = derived.handlers(kind)
    without = () if way.get("KmsKeyArn") else OF_A_KEY
    without += () if way.get("ModelStorage") == "efs" else OF_A_NETWORK
    return {action for action in called if not action.startswith(without)}
