"""What preflight reports before anything is created: against answers as in AWS's documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from castline.aws import Account
from castline.operations import preflight as checks
from castline.operations.account import Finding, Plan, PlannedFunction
from castline.operations.key_policy import missing

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "123456789012", "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
PLAN = Plan(
    stack="castline",
    account=ACCOUNT,
    region=REGION,
    partition="aws",
    values={"Orchestration": "events"},
    buckets=("acme-input", "acme-output"),
    queues=("acme-failed-invocations",),
    functions={
        "video-splitting": PlannedFunction(memory_mb=2048, reserved=0, variables=900),
        "face-recognition": PlannedFunction(memory_mb=3008, reserved=0, variables=1000),
    },
    log_groups=("/aws/lambda/video-splitting",),
)
CREATES = {"Action": ["sqs:CreateQueue"], "Resource": ["*"]}
NO_STACK = ("cloudformation", "describe_stacks", "ValidationError", "Stack with id castline does not exist")
Answer = tuple[Any, ...]


def limits(executions: int, unreserved: int | None = None) -> Answer:
    free = executions if unreserved is None else unreserved
    limit = {"ConcurrentExecutions": executions, "UnreservedConcurrentExecutions": free, "TotalCodeSize": 80530636800}
    return ("lambda", "get_account_settings", {"AccountLimit": limit})


def quota(value: float) -> Answer:
    return ("service-quotas", "get_service_quota", {"Quota": {"Value": value}})


def stack(*names: str, status: str = "UPDATE_COMPLETE") -> list[Answer]:
    """A deployed stack with resources of these physical names."""
    listed = [
        {
            "LogicalResourceId": f"R{number}",
            "PhysicalResourceId": name,
            "ResourceType": "AWS::S3::Bucket",
            "LastUpdatedTimestamp": "2026-01-01T00:00:00Z",
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for number, name in enumerate(names)
    ]
    described = {"StackName": "castline", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": status}
    return [
        ("cloudformation", "describe_stacks", {"Stacks": [described]}),
        ("cloudformation", "list_stack_resources", {"StackResourceSummaries": listed}),
    ]


class Recorded:
    """Clients that give recorded answers in order; botocore checks each answer against its model of the API."""

    def __init__(self, *answers: Answer) -> None:
        self.stubs: dict[str, Stubber] = {}
        self.clients: dict[str, Any] = {}
        for service, operation, answer, *message in answers:
            stub = self._stub(service)
            if isinstance(answer, str):
                stub.add_client_error(
                    operation, answer, *message, http_status_code=int(answer) if answer.isdigit() else 400
                )
            else:
                stub.add_response(operation, answer)

    def _stub(self, service: str) -> Stubber:
        if service not in self.stubs:
            client = boto3.client(service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="y")
            self.clients[service], self.stubs[service] = client, Stubber(client)
            self.stubs[service].activate()
        return self.stubs[service]

    def make(self, service: str) -> Any:
        self._stub(service)
        return self.clients[service]

    def all_were_asked(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


def found(check: checks.Check, plan: Plan, *answers: Answer) -> list[Finding]:
    recorded = Recorded(*answers)
    findings = list(check(plan, Account(REGION, recorded.make)))
    recorded.all_were_asked()
    return findings


def one(check: checks.Check, plan: Plan, *answers: Answer) -> Finding:
    (finding,) = found(check, plan, *answers)
    return finding


def with_function(**changes: Any) -> Plan:
    functions = dict(PLAN.functions)
    functions["face-recognition"] = replace(functions["face-recognition"], **changes)
    return replace(PLAN, functions=functions)


@pytest.mark.parametrize(
    ("plan", "executions", "level", "said"),
    [
        (PLAN, 10, "note", "what a new account has"),
        (PLAN, 1000, "ok", "1000, 1000 of them unreserved"),
        (with_function(reserved=1), 10, "problem", "must keep 100"),
        (with_function(reserved=900), 1000, "ok", "100 of them unreserved"),
        (with_function(reserved=901), 1000, "problem", "L-B99A9384 --desired-value 1000 --region eu-west-1"),
    ],
)
def test_the_account_s_concurrency(plan: Plan, executions: int, level: str, said: str) -> None:
    reserves = plan is not PLAN
    asked = [("lambda", "get_function_concurrency", "ResourceNotFoundException")] * 2 if reserves else []
    finding = one(checks.executions, plan, limits(executions), *asked)
    assert (finding.level, said in finding.line) == (level, True), finding


def test_an_update_returns_its_reserved_concurrency() -> None:
    there: list[Answer] = [("lambda", "get_function_concurrency", {"ReservedConcurrentExecutions": 450})] * 2
    finding = one(checks.executions, with_function(reserved=900), limits(1000, 100), *there)
    assert finding.level == "ok"


@pytest.mark.parametrize(
    ("memory", "executions", "level"),
    [(3008, 10, "ok"), (3009, 10, "problem"), (10240, 999, "problem"), (10240, 1000, "ok")],
)
def test_the_memory_limit_of_new_accounts(memory: int, executions: int, level: str) -> None:
    finding = one(checks.memory, with_function(memory_mb=memory), limits(executions))
    assert finding.level == level
    assert "face-recognition" in finding.line


@pytest.mark.parametrize(
    ("executions", "asked", "level", "said"),
    [
        (10, (2, 2, 4), "ok", "of 10 executions"),
        (10, (2, 2, 5), "problem", '"SplitterAtOnce=2", "RangesAtOnce=2", "AnalyserAtOnce=4"'),
        (60, (2, 2, 4), "note", '"SplitterAtOnce=6", "RangesAtOnce=19", "AnalyserAtOnce=33"'),
        (1000, (2, 2, 4), "note", '"SplitterAtOnce=100", "RangesAtOnce=300", "AnalyserAtOnce=500"'),
        (1000, (100, 300, 500), "ok", "100 uploads, 300 ranges and 500 units"),
        (20_000, (1000, 1000, 1000), "ok", "1000 uploads, 1000 ranges and 1000 units"),
    ],
)
def test_how_many_may_run_at_once(executions: int, asked: tuple[int, ...], level: str, said: str) -> None:
    values = {"Orchestration": "queue", **dict(zip(checks.AT_ONCE, map(str, asked), strict=True))}
    finding = one(checks.at_once, replace(PLAN, values=values), limits(executions))
    assert finding.level == level
    assert said in finding.line
    assert found(checks.at_once, PLAN) == [], "only queues need this"


def test_a_quota_increase_that_has_not_taken_effect() -> None:
    assert found(checks.asked_quota, PLAN, quota(1000), limits(1000)) == []
    assert "wait until" in one(checks.asked_quota, PLAN, quota(1000), limits(10)).line


@pytest.mark.parametrize(("size", "level"), [(4096, "ok"), (4097, "problem")])
def test_variables_within_four_kilobytes(size: int, level: str) -> None:
    assert one(checks.variables, with_function(variables=size), *()).level == level


@pytest.mark.parametrize(
    ("answer", "level", "said"),
    [
        ("404", "ok", "acme-input"),
        ("403", "problem", "acme-input is somebody else's"),
        ("301", "problem", "in another region"),
        ({}, "problem", "acme-input is yours already, but not of this stack: choose another Prefix"),
    ],
)
def test_bucket_names(answer: Any, level: str, said: str) -> None:
    finding = one(checks.buckets, PLAN, NO_STACK, ("s3", "head_bucket", answer), ("s3", "head_bucket", "404"))
    assert (finding.level, said in finding.line) == (level, True), finding


def test_an_update_keeps_its_own_buckets() -> None:
    assert one(checks.buckets, PLAN, *stack("acme-input", "acme-output")).level == "ok"


@pytest.mark.parametrize("name", ["A-input", "x" * 60 + "-input", "-input"])
def test_names_that_aws_refuses(name: str) -> None:
    assert found(checks.names, PLAN) == []
    assert one(checks.names, replace(PLAN, buckets=(name,))).level == "problem"
    assert one(checks.names, replace(PLAN, functions={"f" * 65: PlannedFunction(1, 0, 0)})).level == "problem"


def test_number_of_buckets() -> None:
    there: Answer = ("s3", "list_buckets", {"Buckets": [{"Name": f"b{number}"} for number in range(98)]})
    assert one(checks.bucket_quota, PLAN, quota(100), there).level == "ok"
    finding = one(checks.bucket_quota, PLAN, quota(99), there)
    assert (finding.level, "L-DC2B2D3D" in finding.line) == ("problem", True)


def test_functions_of_another_deployment() -> None:
    gone: Answer = ("lambda", "get_function_configuration", "ResourceNotFoundException")
    there: Answer = ("lambda", "get_function_configuration", {"FunctionName": "face-recognition"})
    assert one(checks.functions, PLAN, NO_STACK, gone, gone).level == "ok"
    finding = one(checks.functions, PLAN, NO_STACK, gone, there)
    assert (finding.level, "choose another FunctionPrefix" in finding.line) == ("problem", True)
    assert one(checks.functions, PLAN, *stack(*PLAN.functions)).level == "ok"


def test_a_leftover_queue() -> None:
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/acme-failed-invocations"
    there: Answer = ("sqs", "get_queue_url", {"QueueUrl": url})
    assert one(checks.queues, PLAN, NO_STACK, there).level == "problem"
    assert one(checks.queues, PLAN, *stack(url)).level == "ok"
    gone: Answer = ("sqs", "get_queue_url", "AWS.SimpleQueueService.NonExistentQueue")
    assert one(checks.queues, PLAN, NO_STACK, gone).level == "ok"


@pytest.mark.parametrize(
    ("status", "level"),
    [("ROLLBACK_COMPLETE", "problem"), ("UPDATE_ROLLBACK_COMPLETE", "ok"), ("CREATE_FAILED", "problem")],
)
def test_a_first_deploy_that_failed(status: str, level: str) -> None:
    assert one(checks.failed_before, PLAN, *stack(status=status)).level == level
    assert one(checks.failed_before, PLAN, NO_STACK).line == "castline will be new"


def test_services_of_a_region() -> None:
    assert one(checks.services, PLAN).level == "ok"
    efs = replace(PLAN, values={"ModelStorage": "efs"})
    assert one(checks.services, efs).level == "ok"
    nowhere = one(checks.services, replace(PLAN, region="xx-east-9"))
    assert (nowhere.level, "no list says" in nowhere.line) == ("note", True)


def test_a_region_that_lacks_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "is_offered", lambda service, region: service != "efs")
    assert one(checks.services, PLAN).level == "ok", "nobody asked for it"
    lacking = one(checks.services, replace(PLAN, values={"ModelStorage": "efs"}))
    assert (lacking.level, lacking.line) == (
        "problem",
        "eu-west-1 has no efs: deploy in another region (region in samconfig.toml)",
    )


@pytest.mark.parametrize(
    ("arn", "asked", "said"),
    [
        ("arn:aws:iam::123456789012:user/ada", [], "ada may all"),
        (
            "arn:aws:sts::123456789012:assumed-role/Deployer/session",
            [("iam", "get_role", "role")],
            "arn:aws:iam::123456789012:role/team/Deployer may all",
        ),
        ("arn:aws:iam::123456789012:root", None, "the root user may everything"),
    ],
)
def test_the_caller_s_permissions(arn: str, asked: list[Answer] | None, said: str) -> None:
    role = {
        "Path": "/team/",
        "RoleName": "Deployer",
        "RoleId": "AROAEXAMPLEEXAMPLE",
        "Arn": "arn:aws:iam::123456789012:role/team/Deployer",
        "CreateDate": "2026-01-01T00:00:00Z",
    }
    plan = replace(PLAN, allowed={"deployer.json": (CREATES,), "user.json": ()})
    answers: list[Answer] = [("sts", "get_caller_identity", {"Arn": arn, "Account": ACCOUNT})]
    answers += [(service, operation, {"Role": role}) for service, operation, _ in asked or ()]
    answers += [simulated(allowed=True)] if asked is not None else []
    assert said in one(checks.permissions, plan, *answers).line


def simulated(*, allowed: bool, context: list[str] | None = None) -> Answer:
    result = {
        "EvalActionName": "sqs:CreateQueue",
        "EvalDecision": "allowed" if allowed else "implicitDeny",
        "MissingContextValues": context or [],
    }
    return ("iam", "simulate_principal_policy", {"EvaluationResults": [result]})


def test_missing_permissions_are_named() -> None:
    plan = replace(PLAN, allowed={"deployer.json": (CREATES,)})
    who: Answer = ("sts", "get_caller_identity", {"Arn": "arn:aws:iam::123456789012:user/ada", "Account": ACCOUNT})
    finding = one(checks.permissions, plan, who, simulated(allowed=False))
    assert (finding.level, "sqs:CreateQueue: missing" in finding.line) == ("problem", True)
    unknown = one(checks.permissions, plan, who, simulated(allowed=False, context=["aws:MultiFactorAuthPresent"]))
    assert unknown.level == "ok"


def test_every_policy_of_a_deployment_is_checked() -> None:
    """A caller who has only the first policy learns which others are missing, and where to find them."""
    policies = ("deployer.json", "user.json", "deployer-options.json")
    plan = replace(PLAN, allowed=dict.fromkeys(policies, (CREATES,)))
    who: Answer = ("sts", "get_caller_identity", {"Arn": "arn:aws:iam::123456789012:user/ada", "Account": ACCOUNT})
    answers = [simulated(allowed=True), simulated(allowed=False), simulated(allowed=False)]
    findings = found(checks.permissions, plan, who, *answers)
    assert [item.level for item in findings] == ["problem", "problem"]
    assert [item.line.rpartition("docs/policies/")[2].partition(" ")[0] for item in findings] == list(policies[1:])
    (all_of_them,) = found(checks.permissions, plan, who, *[simulated(allowed=True)] * 3)
    assert "deployer.json and user.json and deployer-options.json" in all_of_them.line


def test_a_check_without_permission_says_so_and_the_others_continue() -> None:
    recorded = Recorded(
        ("lambda", "get_account_settings", "AccessDeniedException"),
        ("service-quotas", "get_service_quota", "AccessDeniedException"),
        *[NO_STACK] * 4,
    )
    findings = {item.check: item for item in checks.preflight(PLAN, Account(REGION, recorded.make))}
    denied = findings["executions at a time"]
    assert (denied.level, denied.line) == ("note", "cannot be told: GetAccountSettings answers AccessDeniedException")
    assert findings["variables of the functions"].level == "ok"


def described(**changes: Any) -> Answer:
    metadata = {"KeyId": "1", "Enabled": True, "KeyState": "Enabled", "KeySpec": "SYMMETRIC_DEFAULT", **changes}
    return ("kms", "describe_key", {"KeyMetadata": metadata})


def key_policy() -> dict[str, Any]:
    text = (ROOT / "docs" / "policies" / "key.json").read_text()
    for name, value in {"ACCOUNT": ACCOUNT, "REGION": REGION, "PARTITION": "aws"}.items():
        text = text.replace(name, value)
    policy: dict[str, Any] = json.loads(text)
    return policy


WITH_KEY = replace(PLAN, values={"KmsKeyArn": KEY, "Orchestration": "stepfunctions", "EnableWhatsApp": "true"})


def test_the_documented_key_policy_is_sufficient() -> None:
    policy: Answer = ("kms", "get_key_policy", {"Policy": json.dumps(key_policy())})
    assert one(checks.key, WITH_KEY, described(), policy).line == "everybody may use it who must"
    assert found(checks.key, PLAN) == [], "without a key there is nothing to report"


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"Enabled": False, "KeyState": "PendingDeletion"}, "PendingDeletion"), ({"KeySpec": "RSA_2048"}, "RSA_2048")],
)
def test_a_key_that_cannot_encrypt(changes: dict[str, Any], said: str) -> None:
    finding = one(checks.key, WITH_KEY, described(**changes))
    assert (finding.level, said in finding.line) == ("problem", True)


def test_a_key_of_another_region() -> None:
    assert "it is in eu-west-1" in one(checks.key, replace(WITH_KEY, region="us-east-1")).line


def spoiled() -> Iterator[Any]:
    """Policies that lack something, and whom they stop from working."""
    for statement, what, principal in (
        (0, "gone", "roles"),
        (1, "gone", "sns.amazonaws.com"),
        (2, "gone", "logs.eu-west-1.amazonaws.com"),
    ):
        policy = key_policy()
        del policy["Statement"][statement]
        yield pytest.param(policy, principal, id=f"{statement}-{what}")
    policy = key_policy()
    policy["Statement"][1]["Condition"]["StringEquals"]["aws:SourceAccount"] = "999999999999"
    yield pytest.param(policy, "cloudwatch.amazonaws.com", id="another account")
    policy = key_policy()
    policy["Statement"][1]["Action"] = "kms:Decrypt"
    yield pytest.param(policy, "kms:GenerateDataKey", id="an action less")
    policy = key_policy()
    context = policy["Statement"][2]["Condition"]["ArnLike"]
    context["kms:EncryptionContext:aws:logs:arn"] = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/other/*"
    yield pytest.param(policy, "the logs /aws/lambda/video-splitting", id="other logs")
    policy = key_policy()
    policy["Statement"][1]["Effect"] = "Deny"
    yield pytest.param(policy, "events.amazonaws.com", id="denied")


@pytest.mark.parametrize(("policy", "said"), list(spoiled()))
def test_an_insufficient_key_policy(policy: dict[str, Any], said: str) -> None:
    assert any(said in line for line in missing(policy, WITH_KEY)), missing(policy, WITH_KEY)


def test_only_deployed_principals_must_use_the_key() -> None:
    policy = key_policy()
    policy["Statement"][1]["Principal"]["Service"] = ["sns.amazonaws.com", "cloudwatch.amazonaws.com"]
    assert missing(policy, replace(PLAN, values={"Orchestration": "events"})) == []
    assert any("s3.amazonaws.com" in line for line in missing(policy, replace(PLAN, values={"Orchestration": "queue"})))
