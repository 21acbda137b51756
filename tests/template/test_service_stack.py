"""The stack of the transcription service: who may do what, what is open, and how tasks run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from castline.local.template import load_template
from castline.service.run_task import StarterSettings
from castline.service.settings import ServiceSettings
from tests.template.conftest import ROOT, as_list, of_type

#: What has no ARN: the registry's login, and metrics, which are held to a namespace.
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


def test_the_library_s_policy_is_one_deployment_s(stack: dict[str, Any]) -> None:
    [policy] = of_type(stack, "AWS::IAM::Policy").values()
    assert stack["Resources"]["LibraryPolicy"]["Condition"] == "WithLibrary"
    for statement in policy["PolicyDocument"]["Statement"]:
        assert all("*" not in action for action in as_list(statement["Action"]))
        for resource in as_list(statement["Resource"]):
            assert "${LibraryPrefix}-" in resource["Fn::Sub"] and "*" not in resource["Fn::Sub"].partition("/")[0]


def test_the_library_reads_all_four_buckets(stack: dict[str, Any]) -> None:
    """Recordings, proxies and units, results, photos: what the pages show is in one of them."""
    [policy] = of_type(stack, "AWS::IAM::Policy").values()
    readable = {
        resource["Fn::Sub"].rpartition("${LibraryPrefix}-")[2]
        for statement in policy["PolicyDocument"]["Statement"]
        if "s3:GetObject" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert readable == {"input/*", "stage-1/*", "output/*", "gallery/*"}


def test_the_service_and_its_start_have_roles_apart(stack: dict[str, Any]) -> None:
    definitions = of_type(stack, "AWS::ECS::TaskDefinition")
    assert set(definitions) == {"ServiceDefinition", "JobDefinition"}
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
        for variable in container["Environment"]:
            assert not any(word in variable["Name"] for word in ("TOKEN", "PASSWORD", "KEY", "SECRET"))
            assert "Secret" not in str(variable["Value"]) and "Password" not in str(variable["Value"])


def test_a_start_may_read_the_secrets_that_it_hands_over_and_no_others(stack: dict[str, Any]) -> None:
    def plain(items: list[Any]) -> Iterator[Any]:
        for each in items:
            yield each["Fn::If"][1] if isinstance(each, dict) and "Fn::If" in each else each

    given: set[str] = set()
    for definition in of_type(stack, "AWS::ECS::TaskDefinition").values():
        [container] = definition["ContainerDefinitions"]
        given |= {each["ValueFrom"]["Ref"] for each in plain(container.get("Secrets", []))}
    allowed = dict(statements(stack))["ExecutionRole.Secrets"]["Resource"]
    assert {each["Ref"] for each in plain(allowed)} == given >= {"AdminToken", "SessionKey", "OidcClientSecretArn"}


def test_variables_are_those_that_are_read(stack: dict[str, Any]) -> None:
    [container] = of_type(stack, "AWS::ECS::TaskDefinition")["ServiceDefinition"]["ContainerDefinitions"]
    secrets = [each["Fn::If"][1] if "Fn::If" in each else each for each in container["Secrets"]]
    for variable in (*container["Environment"], *secrets):
        if variable["Name"].startswith("CASTLINE_SERVICE_"):
            assert variable["Name"].removeprefix("CASTLINE_SERVICE_").lower() in ServiceSettings.model_fields
    variables = of_type(stack, "AWS::Serverless::Function")["RunTaskFunction"]["Environment"]["Variables"]
    assert {name.removeprefix("RUN_TASK_").lower() for name in variables} == set(StarterSettings.model_fields) - {
        "container"
    }


def test_one_sqlite_is_never_two_tasks(stack: dict[str, Any]) -> None:
    [service] = of_type(stack, "AWS::ECS::Service").values()
    assert service["DeploymentConfiguration"]["MaximumPercent"] == {"Fn::If": ["Postgresql", 200, 100]}
    for kind in ("AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"):
        [condition] = {item.get("Condition") for item in stack["Resources"].values() if item["Type"] == kind}
        assert condition == "Postgresql"


def test_the_image_has_the_versions_that_are_tested() -> None:
    constraints = set((ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines())
    recipe = ROOT / "functions" / "transcription_service"
    wanted = (recipe / "requirements.txt").read_text().replace("[binary]", "").splitlines()
    assert {line.lower().replace("_", "-") for line in wanted} <= constraints
    last = (recipe / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 1000:1000\n" in last and "RUN" not in last
