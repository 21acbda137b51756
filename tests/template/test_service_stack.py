"""The stack of the transcription service: permissions, what is open, and how tasks run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from castline.local.template import load_template
from castline.service.run_task import StarterSettings
from castline.service.settings import ServiceSettings
from tests.recipes import steps
from tests.template.conftest import ROOT, as_list, of_type

SAM = ROOT / ".venv-sam" / "bin" / "sam"
#: Actions without an ARN: the registry's login, and metrics, which are restricted to a namespace.
NAMELESS = {"Registry", "Measure"}


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return load_template(ROOT / "stacks" / "transcription_service.yaml")


def statements(stack: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in of_type(stack, "AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield f"{name}.{statement['Sid']}", statement


def plain(items: list[Any]) -> Iterator[Any]:
    """Items, including those that a condition decides on."""
    for each in items:
        if isinstance(each, dict) and "Fn::If" in each:
            yield next(item for item in each["Fn::If"][1:] if item != {"Ref": "AWS::NoValue"})
        else:
            yield each


def test_nothing_is_allowed_by_wildcard(stack: dict[str, Any]) -> None:
    found = dict(statements(stack))
    assert len(found) == 12
    for name, statement in found.items():
        assert statement["Effect"] == "Allow"
        assert all("*" not in action for action in as_list(statement["Action"])), name
        for resource in as_list(statement["Resource"]):
            if resource == "*":
                assert name.partition(".")[2] in NAMELESS, name
            elif isinstance(resource, dict) and "Fn::Sub" in resource:
                assert "*" not in resource["Fn::Sub"].partition("/")[0], name
    assert found["ServiceRole.Measure"]["Condition"]
    assert found["RunTaskRole.Hand"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    }
    assert found["JobRole.Write"]["Resource"]["Fn::Sub"].endswith("${DataBucket}/decoded/*")


def test_the_library_s_policy_is_for_one_deployment(stack: dict[str, Any]) -> None:
    [policy] = of_type(stack, "AWS::IAM::Policy").values()
    assert stack["Resources"]["LibraryPolicy"]["Condition"] == "WithLibrary"
    for statement in policy["PolicyDocument"]["Statement"]:
        assert all("*" not in action for action in as_list(statement["Action"]))
        for resource in as_list(statement["Resource"]):
            assert "${LibraryPrefix}-" in resource["Fn::Sub"] and "*" not in resource["Fn::Sub"].partition("/")[0]


def test_the_library_reads_all_four_buckets(stack: dict[str, Any]) -> None:
    """Recordings, proxies and units, results, photos: everything that the pages show is in one of them."""
    [policy] = of_type(stack, "AWS::IAM::Policy").values()
    readable = {
        resource["Fn::Sub"].rpartition("${LibraryPrefix}-")[2]
        for statement in policy["PolicyDocument"]["Statement"]
        if "s3:GetObject" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert readable == {"input/*", "stage-1/*", "output/*", "gallery/*"}


def test_the_service_and_its_start_have_separate_roles(stack: dict[str, Any]) -> None:
    definitions = of_type(stack, "AWS::ECS::TaskDefinition")
    assert set(definitions) == {"ServiceDefinition", "JobDefinition", "FetchDefinition"}
    for definition in definitions.values():
        assert definition["ExecutionRoleArn"] != definition["TaskRoleArn"]
        assert definition["NetworkMode"] == "awsvpc"
        [container] = definition["ContainerDefinitions"]
        assert container["ReadonlyRootFilesystem"] is True
        assert container["User"] == "1000:1000"
        for volume in definition["Volumes"]:
            volume = volume["Fn::If"][1] if "Fn::If" in volume else volume
            if "EFSVolumeConfiguration" in volume:
                mounted = volume["EFSVolumeConfiguration"]
                assert mounted["TransitEncryption"] == "ENABLED"
                assert mounted["AuthorizationConfig"]["IAM"] == "ENABLED"
                assert mounted["AuthorizationConfig"]["AccessPointId"]


def test_only_the_load_balancer_is_open(stack: dict[str, Any]) -> None:
    groups = of_type(stack, "AWS::EC2::SecurityGroup")
    opened = {
        name: (rule["FromPort"], rule["ToPort"])
        for name, group in groups.items()
        for rule in group.get("SecurityGroupIngress", [])
        if "CidrIp" in rule
    }
    assert opened == {"BalancerGroup": (443, 443)}
    assert {rule["FromPort"] for rule in groups["FilesGroup"]["SecurityGroupIngress"]} == {2049}
    assert not of_type(stack, "AWS::EC2::NatGateway")
    [listener] = of_type(stack, "AWS::ElasticLoadBalancingV2::Listener").values()
    assert listener["Protocol"] == "HTTPS"
    [files] = of_type(stack, "AWS::EFS::FileSystem").values()
    [database] = of_type(stack, "AWS::RDS::DBInstance").values()
    assert files["Encrypted"] is database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False


def test_secrets_are_never_in_the_environment(stack: dict[str, Any]) -> None:
    for definition in of_type(stack, "AWS::ECS::TaskDefinition").values():
        [container] = definition["ContainerDefinitions"]
        for variable in plain(container["Environment"]):
            assert not any(word in variable["Name"] for word in ("TOKEN", "PASSWORD", "_KEY", "SECRET"))
            assert "Secret" not in str(variable["Value"]) and "Password" not in str(variable["Value"])


def test_a_start_may_read_only_the_secrets_that_it_passes_on(stack: dict[str, Any]) -> None:
    given: set[str] = set()
    for definition in of_type(stack, "AWS::ECS::TaskDefinition").values():
        [container] = definition["ContainerDefinitions"]
        given |= {each["ValueFrom"]["Ref"] for each in plain(container.get("Secrets", []))}
    allowed = dict(statements(stack))["ExecutionRole.Secrets"]["Resource"]
    assert {each["Ref"] for each in plain(allowed)} == given
    assert given == {"AdminToken", "SessionKey", "OidcClientSecretArn", "DatabasePassword", "DatabaseUrlArn"}


def test_the_database_s_url_is_a_secret_or_has_no_password(stack: dict[str, Any]) -> None:
    """An external database's URL comes only from the secret: ECS refuses a variable that is given twice."""
    [container] = stack["Resources"]["ServiceDefinition"]["Properties"]["ContainerDefinitions"]
    nothing = {"Ref": "AWS::NoValue"}
    [given] = [each for each in container["Secrets"] if "CASTLINE_SERVICE_DATABASE'" in str(each)]
    secret = {"Name": "CASTLINE_SERVICE_DATABASE", "ValueFrom": {"Ref": "DatabaseUrlArn"}}
    assert given == {"Fn::If": ["External", secret, nothing]}
    [composed] = [each for each in container["Environment"] if "CASTLINE_SERVICE_DATABASE'" in str(each)]
    assert composed["Fn::If"][:2] == ["External", nothing]
    rds = composed["Fn::If"][2]["Value"]["Fn::If"][1]["Fn::Sub"]
    assert rds.startswith("postgresql+psycopg://castline@${DatabaseInstance.Endpoint.Address}:5432/")
    assert stack["Conditions"]["External"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DatabaseUrlArn"}, ""]}]}
    for own in ("Postgresql", "Sqlite"):
        assert stack["Conditions"][own]["Fn::And"][0] == {"Fn::Not": [{"Condition": "External"}]}


def test_the_balancer_waits_and_the_service_waits_longer(stack: dict[str, Any]) -> None:
    """If a target closes an idle connection first, a balancer that reuses it answers 502; and links that the service
    makes have the scheme that the client used."""
    [balancer] = of_type(stack, "AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {each["Key"]: each["Value"] for each in balancer["LoadBalancerAttributes"]}
    [container] = of_type(stack, "AWS::ECS::TaskDefinition")["ServiceDefinition"]["ContainerDefinitions"]
    given = {each["Name"]: each["Value"] for each in plain(container["Environment"])}
    assert 4000 == int(attributes["idle_timeout.timeout_seconds"]) < int(given["CASTLINE_SERVICE_KEEP_ALIVE_S"])
    [network] = of_type(stack, "AWS::EC2::VPC").values()
    assert given["FORWARDED_ALLOW_IPS"] == network["CidrBlock"]


def test_its_variables_are_read_by_the_service(stack: dict[str, Any]) -> None:
    [container] = of_type(stack, "AWS::ECS::TaskDefinition")["ServiceDefinition"]["ContainerDefinitions"]
    for variable in (*plain(container["Environment"]), *plain(container["Secrets"])):
        if variable["Name"].startswith("CASTLINE_SERVICE_"):
            assert variable["Name"].removeprefix("CASTLINE_SERVICE_").lower() in ServiceSettings.model_fields
    variables = of_type(stack, "AWS::Serverless::Function")["RunTaskFunction"]["Environment"]["Variables"]
    assert {name.removeprefix("RUN_TASK_").lower() for name in variables} == set(StarterSettings.model_fields) - {
        "container"
    }


def test_files_are_only_for_tasks_with_their_access_point(stack: dict[str, Any]) -> None:
    """EFS admits two roles, over TLS, through an access point; and the service cannot change the models."""
    [files] = of_type(stack, "AWS::EFS::FileSystem").values()
    [statement] = files["FileSystemPolicy"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Principal"] == {"AWS": [{"Fn::GetAtt": [role, "Arn"]} for role in ("ServiceRole", "JobRole")]}
    assert set(statement["Action"]) == {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}
    assert statement["Condition"] == {
        "Bool": {"aws:SecureTransport": "true"},
        "Null": {"elasticfilesystem:AccessPointArn": "false"},
    }
    for definition in of_type(stack, "AWS::ECS::TaskDefinition").values():
        assert definition["TaskRoleArn"]["Fn::GetAtt"][0] in ("ServiceRole", "JobRole")
    for door in of_type(stack, "AWS::EFS::AccessPoint").values():
        assert door["PosixUser"] == {"Uid": "1000", "Gid": "1000"}
        assert door["RootDirectory"]["Path"] != "/"
    assert stack["Resources"]["Files"]["DeletionPolicy"] == "Retain"


def test_spot_is_the_operator_s_choice(stack: dict[str, Any]) -> None:
    parameter = stack["Parameters"]["CapacityProvider"]
    assert parameter["Default"] == "FARGATE" and set(parameter["AllowedValues"]) == {"FARGATE", "FARGATE_SPOT"}
    [service] = of_type(stack, "AWS::ECS::Service").values()
    assert service["CapacityProviderStrategy"] == [{"CapacityProvider": {"Ref": "CapacityProvider"}, "Weight": 1}]
    [cluster] = of_type(stack, "AWS::ECS::Cluster").values()
    assert set(cluster["CapacityProviders"]) == {"FARGATE", "FARGATE_SPOT"}, "a job chooses with CAP_PROV"


def test_everything_that_runs_keeps_logs_for_a_limited_time(stack: dict[str, Any]) -> None:
    groups = of_type(stack, "AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())
    used = set()
    for definition in of_type(stack, "AWS::ECS::TaskDefinition").values():
        [container] = definition["ContainerDefinitions"]
        assert container["LogConfiguration"]["LogDriver"] == "awslogs"
        used.add(container["LogConfiguration"]["Options"]["awslogs-group"]["Ref"])
    found = dict(statements(stack))
    assert {each["Fn::GetAtt"][0] for each in found["ExecutionRole.Log"]["Resource"]} == used
    [function] = of_type(stack, "AWS::Serverless::Function").values()
    used.add(function["LoggingConfig"]["LogGroup"]["Ref"])
    assert used == set(groups)


def test_alarms_watch_existing_metrics_and_notify_the_topic(stack: dict[str, Any]) -> None:
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    measured = {alarm["MetricName"] for alarm in alarms.values()}
    assert measured == {"HealthyHostCount", "HTTPCode_Target_5XX_Count", "Backlog"}
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == {"Fn::If": ["Tells", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
        assert alarm["TreatMissingData"] == (
            "breaching" if alarm["MetricName"] == "HealthyHostCount" else "notBreaching"
        )
    # The namespace that the service publishes in and may publish in, and that autoscaling and the alarm read.
    [container] = of_type(stack, "AWS::ECS::TaskDefinition")["ServiceDefinition"]["ContainerDefinitions"]
    [namespace] = [
        each["Value"] for each in plain(container["Environment"]) if each["Name"].endswith("METRICS_NAMESPACE")
    ]
    [policy] = of_type(stack, "AWS::ApplicationAutoScaling::ScalingPolicy").values()
    metrics = policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
    [scaled] = [each["MetricStat"]["Metric"] for each in metrics if each["Id"] == "backlog"]
    [watched] = [alarm["Namespace"] for alarm in alarms.values() if alarm["MetricName"] == "Backlog"]
    allowed = dict(statements(stack))["ServiceRole.Measure"]["Condition"]["StringEquals"]["cloudwatch:namespace"]
    assert namespace == scaled["Namespace"] == watched == allowed


def test_two_tasks_never_share_an_sqlite_file(stack: dict[str, Any]) -> None:
    [service] = of_type(stack, "AWS::ECS::Service").values()
    assert service["DeploymentConfiguration"]["MaximumPercent"] == {"Fn::If": ["Shared", 200, 100]}
    assert stack["Conditions"]["Shared"] == {"Fn::Not": [{"Condition": "Sqlite"}]}
    for kind in ("AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"):
        [condition] = {item.get("Condition") for item in stack["Resources"].values() if item["Type"] == kind}
        assert condition == "Shared"


def test_writable_folders_belong_to_the_user(stack: dict[str, Any]) -> None:
    """On Fargate, a volume without a source belongs to root with mode 0755, unless the image has a VOLUME at its mount
    point; then it gets that folder's owner and mode."""
    recipe = ROOT / "functions" / "transcription_service" / "Dockerfile"
    last = []
    for name, rest in steps.instructions(recipe.read_text()):
        last = [] if name == "FROM" else [*last, (name, rest)]
    for definition in of_type(stack, "AWS::ECS::TaskDefinition").values():
        [container] = definition["ContainerDefinitions"]
        volumes = [each["Fn::If"][1] if "Fn::If" in each else each for each in definition["Volumes"]]
        empty = {each["Name"] for each in volumes if set(each) == {"Name"}}
        [path] = [mount["ContainerPath"] for mount in container["MountPoints"] if mount.get("SourceVolume") in empty]
        declared = last.index(("VOLUME", f'["{path}"]'))
        # Changes to the folder after its declaration may be lost.
        assert last.index(("RUN", f"chown {container['User']} {path}")) < declared
        assert ("USER", container["User"]) in last


def test_sam_finds_the_function_s_sources(stack: dict[str, Any]) -> None:
    """Where sam runs make: it reads only ``Metadata.WorkingDirectory``, relative to the template's folder."""
    [(name, function)] = [each for each in stack["Resources"].items() if each[1]["Type"] == "AWS::Serverless::Function"]
    metadata = function["Metadata"]
    assert metadata["BuildMethod"] == "makefile"
    stacks = ROOT / "stacks"
    assert (stacks / metadata["WorkingDirectory"]).resolve() == ROOT
    code = stacks / function["Properties"]["CodeUri"]
    makefile = (code / "Makefile").read_text()
    assert f"\nbuild-{name}:" in makefile
    for included in re.findall(r"^include (.+)$", makefile, re.MULTILINE):
        assert (ROOT / included).is_file()


def test_a_task_that_fetches_models_is_started_by_hand(stack: dict[str, Any]) -> None:
    """The output, with names in it, is a request of RunTask; and nobody else writes to the models."""
    text = stack["Outputs"]["Fetch"]["Value"]["Fn::Sub"]
    asked = json.loads(re.sub(r"\$\{(\w+)\}", r"\1", text))
    assert asked["taskDefinition"] == "FetchDefinition"
    model = botocore.session.get_session().get_service_model("ecs").operation_model("RunTask").input_shape
    assert not validate_parameters(asked, model)
    writes = {
        name
        for name, definition in of_type(stack, "AWS::ECS::TaskDefinition").items()
        for mount in definition["ContainerDefinitions"][0]["MountPoints"]
        if mount.get("SourceVolume") == "models" and not mount.get("ReadOnly")
    }
    assert writes == {"FetchDefinition"}


@pytest.mark.skipif(not SAM.exists(), reason="SAM CLI is not installed; make .venv-sam/.done installs it")
def test_sam_builds_the_function(tmp_path: Path) -> None:
    """All but its packages, which pip would have to download."""
    pip = tmp_path / "python3"
    pip.write_text(f'#!/bin/sh\ncase "$*" in *"pip install"*) exit 0;; esac\nexec {sys.executable} "$@"\n')
    pip.chmod(0o755)
    template = ROOT / "stacks" / "transcription_service.yaml"
    argv = [SAM, "build", "RunTaskFunction", "--template", template, "--build-dir", tmp_path / "build"]
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0", "PYTHON": str(pip)}
    done = subprocess.run(
        [*map(str, argv)], capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    built = tmp_path / "build" / "RunTaskFunction"
    assert (built / "app.py").is_file() and (built / "castline" / "service" / "run_task.py").is_file()
    assert list(built.glob("castline-*.dist-info/entry_points.txt"))
