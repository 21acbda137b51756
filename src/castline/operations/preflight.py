"""Finds what would go wrong with a deployment, before anything is created.

A check queries the account and returns findings; it changes nothing. A check that lacks permission says so, and the
others continue. Limits are AWS's (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, 2025-06); quotas are
looked up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from castline.aws import Account, is_offered
from castline.operations.account import Finding, Plan, code_of, read_stack
from castline.operations.key_policy import missing

#: Memory of a function in a new account. No API says that an account is new, but its quota of executions shows it.
NEW_ACCOUNT_MB = 3008
#: Executions of an account that is no longer new.
USUAL_EXECUTIONS = 1000
#: Executions that an account must keep for functions without a reservation.
UNRESERVED = 100
#: Executions of a new account.
NEW_ACCOUNT = 10
#: Executions for the recorder and other functions, beside the stages (Orchestration=queue).
BESIDE_STAGES = 2
#: Parameters that limit how much is processed at once: new media, ranges of long recordings, units.
AT_ONCE = ("SplitterAtOnce", "RangesAtOnce", "AnalyserAtOnce")
#: One in nine splits uploads: ten minutes take 22 s of splitters and 136 s of analysers. One in three decodes ranges:
#: units of an hour come no sooner than its ranges are decoded (docs/BENCHMARKS.md).
ONE_SPLITS_OF, ONE_DECODES_OF = 9, 3
#: The largest and the smallest MaximumConcurrency.
MOST_AT_ONCE, LEAST_AT_ONCE = 1000, 2
#: Bytes of a function's environment variables.
VARIABLES = 4096
#: Codes of Service Quotas: "Concurrent executions" and "General purpose buckets".
EXECUTIONS_QUOTA = ("lambda", "L-B99A9384")
BUCKETS_QUOTA = ("s3", "L-DC2B2D3D")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_FUNCTION_CHARS = 64
_ALWAYS = ("lambda", "s3", "sqs", "sns", "logs", "cloudwatch", "ecr", "iam")
_ONLY_WITH = {
    "stepfunctions": ("Orchestration", "stepfunctions"),
    "efs": ("ModelStorage", "efs"),
    "socialmessaging": ("EnableWhatsApp", "true"),
}
_GLOBAL = {"iam"}
_TAKEN = {"403": "somebody else's", "400": "not a valid name", "301": "in another region already"}

Check = Callable[[Plan, Account], Iterator[Finding]]


def preflight(plan: Plan, account: Account) -> Iterator[Finding]:
    """Findings of all checks, in their order."""
    for check in CHECKS:
        name = (check.__doc__ or "").partition(".")[0]
        try:
            yield from check(plan, account)
        except ClientError as error:
            yield Finding("note", name, f"cannot be told: {error.operation_name} answers {code_of(error)}")
        except BotoCoreError as error:
            yield Finding("note", name, f"cannot be told: {error}")


def services(plan: Plan, account: Account) -> Iterator[Finding]:
    """services of the region."""
    asked = [*_ALWAYS, *(name for name, (key, value) in _ONLY_WITH.items() if plan.values.get(key) == value)]
    answers = {name: True if name in _GLOBAL else is_offered(name, plan.region) for name in asked}
    lacking = [name for name, answer in answers.items() if answer is False]
    unknown = [name for name, answer in answers.items() if answer is None]
    if lacking:
        line = f"{plan.region} has no {', '.join(lacking)}: deploy in another region (region in samconfig.toml)"
        yield Finding("problem", "services of the region", line)
    elif unknown:
        yield Finding("note", "services of the region", f"no list says whether {plan.region} has {', '.join(unknown)}")
    else:
        yield Finding("ok", "services of the region", f"{plan.region} has all {len(asked)} that are needed")


def executions(plan: Plan, account: Account) -> Iterator[Finding]:
    """executions at a time."""
    limit = account.lambda_.get_account_settings()["AccountLimit"]
    most, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    reserved = sum(function.reserved for function in plan.functions.values())
    there = sum(_reserved_now(name, account) for name in plan.functions) if reserved else 0
    left = free + there - reserved
    if reserved and left < UNRESERVED:
        yield Finding(
            "problem",
            "executions at a time",
            f"{reserved} are to be reserved, and of {free + there} that are free the account must keep {UNRESERVED}: "
            f"set the Concurrency parameters to 0, or {_ask_for(EXECUTIONS_QUOTA, USUAL_EXECUTIONS, plan)}",
        )
    elif most < USUAL_EXECUTIONS:
        line = f"{most}: it works, but that is what a new account has; {_ask_for(EXECUTIONS_QUOTA, 1000, plan)}"
        yield Finding("note", "executions at a time", line)
    else:
        yield Finding("ok", "executions at a time", f"{most}, {left} of them unreserved")


def at_once(plan: Plan, account: Account) -> Iterator[Finding]:
    """stages at work at once."""
    if plan.values.get("Orchestration") != "queue":
        return
    most = account.lambda_.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    advised = shares(most)
    overrides = ", ".join(f'"{name}={number}"' for name, number in zip(AT_ONCE, advised, strict=True))
    fitting = f"parameter_overrides = [{overrides}] in samconfig.toml"
    asked = tuple(int(plan.values[name]) for name in AT_ONCE)
    told = "{} uploads, {} ranges and {} units".format(*asked)
    if sum(asked) + BESIDE_STAGES > most:
        line = f"{told} are more than an account of {most} executions carries: messages would wait hidden; {fitting}"
        yield Finding("problem", "stages at work at once", line)
    elif most >= 2 * (sum(asked) + BESIDE_STAGES) and asked != advised:
        line = f"{told}; the account's {most} executions allow more, and long recordings are done sooner: {fitting}"
        yield Finding("note", "stages at work at once", line)
    else:
        yield Finding("ok", "stages at work at once", f"{told}, of {most} executions")


def shares(executions: int) -> tuple[int, int, int]:
    """How many uploads, ranges and units (``AT_ONCE``) an account with so many executions can process at once."""
    free = executions - (UNRESERVED if executions >= USUAL_EXECUTIONS else BESIDE_STAGES)
    uploads, ranges = max(free // ONE_SPLITS_OF, LEAST_AT_ONCE), max(free // ONE_DECODES_OF, LEAST_AT_ONCE)
    units = max(free - uploads - ranges, LEAST_AT_ONCE)
    return min(uploads, MOST_AT_ONCE), min(ranges, MOST_AT_ONCE), min(units, MOST_AT_ONCE)


def asked_quota(plan: Plan, account: Account) -> Iterator[Finding]:
    """a raise of executions."""
    service, code = EXECUTIONS_QUOTA
    granted = account.quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"]
    most = account.lambda_.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if granted > most:
        line = f"Service Quotas grants {granted:.0f}, Lambda still allows {most}: wait until the raise has come through"
        yield Finding("note", "a raise of executions", line)


def memory(plan: Plan, account: Account) -> Iterator[Finding]:
    """memory of the functions."""
    largest = max((function.memory_mb, name) for name, function in plan.functions.items())
    executions_ = account.lambda_.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if largest[0] > NEW_ACCOUNT_MB and executions_ < USUAL_EXECUTIONS:
        line = (
            f"{largest[1]} wants {largest[0]} MB; an account of {executions_} executions is a new one, which is given "
            f"at most {NEW_ACCOUNT_MB}: lower AnalyserMemory and SplitterMemory, or ask AWS's support to raise it"
        )
        yield Finding("problem", "memory of the functions", line)
    else:
        yield Finding("ok", "memory of the functions", f"at most {largest[0]} MB ({largest[1]})")


def variables(plan: Plan, account: Account) -> Iterator[Finding]:
    """variables of the functions."""
    largest, name = max((function.variables, name) for name, function in plan.functions.items())
    if largest > VARIABLES:
        line = f"those of {name} take {largest} bytes of {VARIABLES}: shorten SpeechPrompt or HotWords"
        yield Finding("problem", "variables of the functions", line)
    else:
        yield Finding("ok", "variables of the functions", f"at most {largest} of {VARIABLES} bytes ({name})")


def names(plan: Plan, account: Account) -> Iterator[Finding]:
    """lengths of the names."""
    bad = [name for name in plan.buckets if not _BUCKET.fullmatch(name)]
    bad += [name for name in plan.functions if len(name) > _FUNCTION_CHARS]
    if bad:
        line = f"{', '.join(bad)}: AWS takes no such names; choose a shorter Prefix, in small letters"
        yield Finding("problem", "lengths of the names", line)


def buckets(plan: Plan, account: Account) -> Iterator[Finding]:
    """names of the buckets."""
    ours = _ours(plan, account)
    bad = [f"{name} is {problem}" for name in plan.buckets if name not in ours if (problem := _taken(name, account))]
    if bad:
        line = f"{'; '.join(bad)}: choose another Prefix, or remove what is left of an earlier deployment"
        yield Finding("problem", "names of the buckets", line)
    else:
        yield Finding("ok", "names of the buckets", f"{', '.join(plan.buckets)}")


def bucket_quota(plan: Plan, account: Account) -> Iterator[Finding]:
    """number of buckets."""
    service, code = BUCKETS_QUOTA
    most = account.quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"]
    names = {bucket["Name"] for bucket in account.s3.list_buckets()["Buckets"]}
    wanted = len(names | set(plan.buckets))
    if wanted > most:
        line = f"{wanted} of {most:.0f}: remove some, or {_ask_for(BUCKETS_QUOTA, wanted, plan)}"
        yield Finding("problem", "number of buckets", line)
    else:
        yield Finding("ok", "number of buckets", f"{wanted} of {most:.0f}")


def functions(plan: Plan, account: Account) -> Iterator[Finding]:
    """names of the functions."""
    ours = _ours(plan, account)
    others = [name for name in plan.functions if name not in ours and _function_exists(name, account)]
    if others:
        line = f"{', '.join(others)}: exists already, outside the stack {plan.stack}; choose another FunctionPrefix"
        yield Finding("problem", "names of the functions", line)
    else:
        yield Finding("ok", "names of the functions", f"{', '.join(plan.functions)}")


def queues(plan: Plan, account: Account) -> Iterator[Finding]:
    """names of the queues."""
    ours = {name.rpartition("/")[2] for name in _ours(plan, account)}
    left = [name for name in plan.queues if name not in ours and _queue_exists(name, account)]
    if left:
        line = f"{', '.join(left)}: exists already, outside the stack {plan.stack}; delete it, or choose another Prefix"
        yield Finding("problem", "names of the queues", line)
    else:
        yield Finding("ok", "names of the queues", f"{', '.join(plan.queues)}")


def failed_before(plan: Plan, account: Account) -> Iterator[Finding]:
    """the stack."""
    stack = read_stack(plan.stack, account)
    if stack is None:
        yield Finding("ok", "the stack", f"{plan.stack} will be new")
    elif stack.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
        line = f"{plan.stack} is {stack.status} and cannot be updated: castline teardown --stack {plan.stack}"
        yield Finding("problem", "the stack", line)
    else:
        yield Finding("ok", "the stack", f"{plan.stack} is {stack.status} and will be updated")


def key(plan: Plan, account: Account) -> Iterator[Finding]:
    """your key."""
    arn = plan.values.get("KmsKeyArn", "")
    if not arn:
        return
    if arn.split(":")[3] != plan.region:
        yield Finding("problem", "your key", f"it is in {arn.split(':')[3]}, the deployment in {plan.region}")
        return
    described = account.kms.describe_key(KeyId=arn)["KeyMetadata"]
    if not described["Enabled"] or described.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        state = f"{described.get('KeyState', 'not enabled')}, {described.get('KeySpec', '')}"
        yield Finding("problem", "your key", f"it is {state}: it must be enabled and symmetric")
        return
    policy = json.loads(account.kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    lines = missing(policy, plan)
    for line in lines:
        yield Finding("problem", "your key", f"{line}: add it to the key's policy as docs/policies/key.json has it")
    if not lines:
        yield Finding("ok", "your key", "everybody may use it who must")


def permissions(plan: Plan, account: Account) -> Iterator[Finding]:
    """your permissions."""
    caller = _principal(account.sts.get_caller_identity()["Arn"], account)
    if not caller:
        yield Finding("note", "your permissions", "the root user may everything; use another one for a deployment")
        return
    missing_ = {
        name: {action for statement in statements for action in _denied(caller, statement, account)}
        for name, statements in plan.allowed.items()
    }
    for name, actions in missing_.items():
        if actions:
            line = f"{', '.join(sorted(actions))}: missing; docs/policies/{name} is a policy that has all"
            yield Finding("problem", "your permissions", line)
    if not any(missing_.values()):
        line = f"{caller} may all that {' and '.join(plan.allowed)} in docs/policies must allow for this deployment"
        yield Finding("ok", "your permissions", line)


CHECKS: tuple[Check, ...] = (
    services,
    failed_before,
    executions,
    at_once,
    asked_quota,
    memory,
    variables,
    names,
    buckets,
    bucket_quota,
    functions,
    queues,
    key,
    permissions,
)


def _ours(plan: Plan, account: Account) -> set[str]:
    """Physical names of the stack's existing resources."""
    stack = read_stack(plan.stack, account)
    return {resource.name for resource in stack.resources} if stack else set()


def _taken(bucket: str, account: Account) -> str:
    """Why a bucket cannot be created; empty if its name is free."""
    try:
        account.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        return _TAKEN.get(code_of(error), "")
    return "yours already, but not of this stack"


def _function_exists(name: str, account: Account) -> bool:
    try:
        account.lambda_.get_function_configuration(FunctionName=name)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return False
        raise
    return True


def _queue_exists(name: str, account: Account) -> bool:
    try:
        account.sqs.get_queue_url(QueueName=name)
    except ClientError as error:
        if "NonExistentQueue" in code_of(error) or "QueueDoesNotExist" in code_of(error):
            return False
        raise
    return True


def _reserved_now(name: str, account: Account) -> int:
    """What the functions of an earlier deployment have reserved: an update releases that first."""
    try:
        return account.lambda_.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions", 0)
    except ClientError:
        return 0


def _ask_for(quota: tuple[str, str], value: int, plan: Plan) -> str:
    service, code = quota
    return (
        f"ask for more: aws service-quotas request-service-quota-increase --service-code {service} "
        f"--quota-code {code} --desired-value {value} --region {plan.region}"
    )


def _principal(caller: str, account: Account) -> str:
    """The user or role behind an identity, in the form IAM's simulator needs; empty for the root user."""
    kind, _, rest = caller.split(":", 5)[5].partition("/")
    if kind == "root":
        return ""
    if kind != "assumed-role":
        return caller
    return account.iam.get_role(RoleName=rest.partition("/")[0])["Role"]["Arn"]  # with its path, which STS omits


def _denied(caller: str, statement: Any, account: Account) -> Iterator[str]:
    answer = account.iam.simulate_principal_policy(
        PolicySourceArn=caller,
        ActionNames=cast("list[str]", statement["Action"]),
        ResourceArns=cast("list[str]", statement["Resource"]),
    )
    for result in answer["EvaluationResults"]:
        if result["EvalDecision"] != "allowed" and not result.get("MissingContextValues"):
            yield result["EvalActionName"]
