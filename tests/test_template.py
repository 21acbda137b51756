"""The template, after the SAM transform: what would really be created."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from castline.local.resolver import Resolver
from castline.local.template import load_template, parameter_values

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "template.yaml"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
UNITS = {".zip", ".flac", "/manifest.json"}
BUCKETS = ("input", "stage-1", "output", "gallery")
ENVIRONMENT = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return load_template(TEMPLATE)


@pytest.fixture(scope="module")
def transformed(source: dict[str, Any]) -> dict[str, Any]:
    from samtranslator.translator.transform import transform

    template = json.loads(json.dumps(source))
    for resource in template["Resources"].values():
        # As `sam build` and `sam package` leave it.
        if resource.get("Properties", {}).get("PackageType") == "Image":
            resource["Properties"]["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/castline:1"
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://code/key"

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    try:
        result: dict[str, Any] = transform(template, {}, NoPolicies())
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
    return result


#: Statements about what has no ARN: log delivery of state machines, and tracing.
NAMELESS = {"DeliverLogs", "Trace"}


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: item["Properties"] for name, item in template["Resources"].items() if item["Type"] == kind}


def resolver(source: dict[str, Any], **parameters: str) -> Resolver:
    return Resolver(source, parameter_values(source, parameters))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _chosen(statement: dict[str, Any]) -> dict[str, Any]:
    """The statement itself where a condition decides whether it is there."""
    chosen: dict[str, Any] = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return chosen


def statements(transformed: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, properties in of_type(transformed, "AWS::IAM::Role").items():
        for policy in properties.get("Policies", []):
            for statement in map(_chosen, policy["PolicyDocument"]["Statement"]):
                yield f"{name}.{statement['Sid']}", statement
    for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"):
        for name, properties in of_type(transformed, kind).items():
            for statement in map(_chosen, properties["PolicyDocument"]["Statement"]):
                yield f"{name}.{statement['Sid']}", statement


# --- identity and access -----------------------------------------------------------------------


def test_nothing_is_allowed_by_wildcard(transformed: dict[str, Any]) -> None:
    found = dict(statements(transformed))
    assert len(found) > 15
    for name, statement in found.items():
        if statement["Effect"] == "Deny":
            continue
        for action in as_list(statement["Action"]):
            assert "*" not in action, name
        for resource in as_list(statement.get("Resource", [])):
            if resource == "*" and name.partition(".")[2] in NAMELESS:
                continue
            assert resource != "*", name
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            # The bucket is always named; a star stands for keys only.
            assert "*" not in text.partition("/")[0], name
        assert statement.get("Principal") != "*", name
    assert {name.partition(".")[2] for name, item in found.items() if item.get("Resource") == "*"} == NAMELESS


def test_roles_take_nothing_from_managed_policies(transformed: dict[str, Any]) -> None:
    roles = of_type(transformed, "AWS::IAM::Role")
    assert set(roles) == {
        "VideoSplittingRole",
        "FaceRecognitionRole",
        "FailureRecorderRole",
        "RunMachineRole",
        "StartMachineRole",
        "StartRuleRole",
    }
    assert all("ManagedPolicyArns" not in role for role in roles.values())


def test_who_may_write_where(source: dict[str, Any]) -> None:
    writes: dict[str, set[str]] = {}
    for role, properties in resolver(source).resources("AWS::IAM::Role").items():
        for statement in properties["Policies"][0]["PolicyDocument"]["Statement"]:
            if "s3:PutObject" in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    writes.setdefault(role, set()).add(resource.removeprefix("arn:aws:s3:::castline-"))
    assert writes == {
        "VideoSplittingRole": {"stage-1/*"},
        "FaceRecognitionRole": {"output/*", "gallery/.embeddings/*"},
        "FailureRecorderRole": {"stage-1/*/manifest.json", "output/*"},
    }


def test_only_the_named_source_may_invoke(source: dict[str, Any]) -> None:
    found = {
        (item["FunctionName"], item["Principal"], item["SourceArn"], item["SourceAccount"])
        for item in resolver(source).resources("AWS::Lambda::Permission").values()
    }
    account = "000000000000"
    topic = f"arn:aws:sns:us-east-1:{account}:castline-failed-invocations"
    assert found == {
        ("video-splitting", "s3.amazonaws.com", "arn:aws:s3:::castline-input", account),
        ("face-recognition", "s3.amazonaws.com", "arn:aws:s3:::castline-stage-1", account),
        ("failure-recorder", "sns.amazonaws.com", topic, account),
    }


# --- buckets -----------------------------------------------------------------------------------


def test_buckets_are_private_encrypted_and_tls_only(source: dict[str, Any]) -> None:
    known = resolver(source)
    buckets = {item["BucketName"]: item for item in known.resources("AWS::S3::Bucket").values()}
    assert set(buckets) == {f"castline-{name}" for name in BUCKETS}
    policies = {item["Bucket"]: item["PolicyDocument"] for item in known.resources("AWS::S3::BucketPolicy").values()}
    for name, bucket in buckets.items():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        [statement] = policies[name]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Resource"] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    assert buckets["castline-input"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(
        item.get("DeletionPolicy") == "Retain"
        for item in source["Resources"].values()
        if item["Type"] == "AWS::S3::Bucket"
    )


@pytest.mark.parametrize(("profile", "suffixes"), [("full", UNITS), ("classic", UNITS | {".jpg"})])
def test_uploads_reach_the_functions(source: dict[str, Any], profile: str, suffixes: set[str]) -> None:
    buckets = resolver(source, PipelineProfile=profile).resources("AWS::S3::Bucket")
    uploaded, removed = buckets["InputBucket"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert uploaded == {
        "Event": "s3:ObjectCreated:*",
        "Function": "arn:aws:lambda:us-east-1:000000000000:function:video-splitting",
    }
    assert removed == {
        **uploaded,
        "Event": "s3:ObjectRemoved:*",
        "Filter": {"S3Key": {"Rules": [{"Name": "suffix", "Value": ".json"}]}},
    }
    units = buckets["Stage1Bucket"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert {unit["Filter"]["S3Key"]["Rules"][0]["Value"] for unit in units} == suffixes
    assert {unit["Function"].rpartition(":")[2] for unit in units} == {"face-recognition"}
    assert all("NotificationConfiguration" not in buckets[name] for name in ("OutputBucket", "GalleryBucket"))


def test_bucket_waits_for_the_permission_to_invoke(source: dict[str, Any]) -> None:
    assert source["Resources"]["InputBucket"]["DependsOn"] == "InputMayInvokeSplitter"
    assert source["Resources"]["Stage1Bucket"]["DependsOn"] == "Stage1MayInvokeAnalyser"


def test_names_follow_the_prefixes(source: dict[str, Any]) -> None:
    known = resolver(source, Prefix="1225-abc", FunctionPrefix="dev-")
    assert known.name("Stage1Bucket") == "1225-abc-stage-1"
    assert sorted(known.function_names().values()) == [
        "dev-face-recognition",
        "dev-failure-recorder",
        "dev-video-splitting",
    ]


# --- functions ---------------------------------------------------------------------------------


def test_stage_functions_retry_twice_and_then_tell_the_topic(transformed: dict[str, Any]) -> None:
    found = of_type(transformed, "AWS::Lambda::EventInvokeConfig")
    assert {item["FunctionName"]["Ref"] for item in found.values()} == {
        "VideoSplittingFunction",
        "FaceRecognitionFunction",
    }
    for item in found.values():
        assert item["MaximumRetryAttempts"] == 2
        assert item["DestinationConfig"]["OnFailure"]["Destination"] == {"Ref": "FailedInvocations"}


def test_a_failure_is_kept_and_recorded(source: dict[str, Any]) -> None:
    found = {
        item["Protocol"]: item["Endpoint"] for item in resolver(source).resources("AWS::SNS::Subscription").values()
    }
    assert found == {
        "sqs": "arn:aws:sqs:us-east-1:000000000000:castline-failed-invocations",
        "lambda": "arn:aws:lambda:us-east-1:000000000000:function:failure-recorder",
    }


def test_the_recorders_own_failures_do_not_come_back_to_it(transformed: dict[str, Any]) -> None:
    function = of_type(transformed, "AWS::Lambda::Function")["FailureRecorderFunction"]
    assert function["DeadLetterConfig"] == {"TargetArn": {"Fn::GetAtt": ["FailedInvocationsQueue", "Arn"]}}


def test_packaging(transformed: dict[str, Any]) -> None:
    functions = of_type(transformed, "AWS::Lambda::Function")
    splitter = functions["VideoSplittingFunction"]
    assert splitter["Runtime"] == "python3.13"
    assert "FfmpegLayer" in json.dumps(splitter["Layers"])
    analyser = functions["FaceRecognitionFunction"]
    assert analyser["PackageType"] == "Image"
    assert "Runtime" not in analyser
    for name in functions:
        assert functions[name]["LoggingConfig"]["LogGroup"]
    assert all(group["RetentionInDays"] for group in of_type(transformed, "AWS::Logs::LogGroup").values())


def test_every_variable_of_a_function_is_one_the_code_reads(source: dict[str, Any]) -> None:
    from castline.records import Options
    from castline.settings import Settings

    fields = {f"CASTLINE_{name.upper()}" for name in Settings.model_fields} | {"PIPELINE_PROFILE"}
    variables = source["Globals"]["Function"]["Environment"]["Variables"]
    ours = {name for name in variables if not name.startswith("POWERTOOLS_")}
    assert ours <= fields
    # What changes the result can be chosen at deployment; for these the default is right.
    assert {f"CASTLINE_{name.upper()}" for name in Options.model_fields} - ours == {
        "CASTLINE_DETECTOR",
        "CASTLINE_FRAMES_PER_UNIT",
        "CASTLINE_LONG_SIDE",
    }


def test_the_speech_engines_are_the_declared_ones(source: dict[str, Any]) -> None:
    from castline.speech.declared import CHOICES, names_pattern

    parameter = source["Parameters"]["Transcriber"]
    assert parameter["AllowedPattern"] == names_pattern()
    assert all(name.partition("[")[0] in parameter["Description"] for name in CHOICES)


def test_reserved_concurrency_is_optional(source: dict[str, Any]) -> None:
    functions = "AWS::Serverless::Function"
    assert "ReservedConcurrentExecutions" not in resolver(source).resources(functions)["FaceRecognitionFunction"]
    reserved = resolver(source, AnalyserConcurrency="5").resources(functions)["FaceRecognitionFunction"]
    assert reserved["ReservedConcurrentExecutions"] == "5"


def test_queue_and_topic_are_encrypted(source: dict[str, Any]) -> None:
    known = resolver(source)
    [queue] = known.resources("AWS::SQS::Queue").values()
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    [topic] = known.resources("AWS::SNS::Topic").values()
    assert topic["KmsMasterKeyId"] == "alias/aws/sns"


@pytest.mark.parametrize("folder", ["video_splitting", "face_recognition", "failure_recorder"])
def test_functions_ship_the_versions_the_tests_ran_with(folder: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {*project["dependencies"], *project["optional-dependencies"]["analyser"]}
    lines = requirements(folder).read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert wanted
    assert wanted <= pins


@pytest.mark.parametrize("folder", ["video_splitting", "face_recognition", "failure_recorder"])
def test_functions_ship_what_importing_the_stages_needs(folder: str) -> None:
    program = (
        "import sys; import castline.stages, castline.storage, aws_lambda_powertools\n"
        "print(*{name.partition('.')[0] for name, module in list(sys.modules.items())"
        " if 'site-packages' in (getattr(module, '__file__', None) or '')})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    of_module = importlib.metadata.packages_distributions()
    needed = {canonical(of_module[module][0]) for module in done.stdout.split() if module in of_module}
    lines = requirements(folder).read_text().splitlines()
    shipped: set[str] = set()
    waiting = [canonical(line) for line in lines if line and not line.startswith("#")]
    while waiting:
        name = waiting.pop()
        if name not in shipped:
            shipped.add(name)
            wanted = (Requirement(item) for item in importlib.metadata.requires(name) or ())
            waiting += [canonical(item.name) for item in wanted if not item.marker or item.marker.evaluate()]
    assert len(needed) > 5
    # botocore takes certifi when it is there; setuptools sits in every virtual environment's start.
    assert needed <= shipped | {"castline", "certifi", "setuptools"}


def requirements(folder: str) -> Path:
    """The image has its own; the zip functions share one."""
    own = ROOT / "functions" / folder / "requirements.txt"
    return own if own.exists() else ROOT / "functions" / "requirements.txt"


def canonical(requirement: str) -> str:
    """The name of a requirement, as package indexes compare it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


# --- the tools' own opinion --------------------------------------------------------------------


def test_cfn_lint_is_silent() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), str(TEMPLATE)],
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.skipif(not SAM.exists(), reason="SAM CLI is not set up here; make .venv-sam/.done does it")
def test_sam_validates() -> None:
    done = subprocess.run(
        [str(SAM), "validate", "--lint", "--template", str(TEMPLATE)],
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
