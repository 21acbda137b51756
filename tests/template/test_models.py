"""Where the models are: in the image, in S3, on a file system."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.conftest import NETWORK, as_list, resolver


def test_models_in_the_image_need_neither_network_nor_variable(source: dict[str, Any]) -> None:
    analyser = resolver(source).resources("AWS::Serverless::Function")["FaceRecognitionFunction"]
    assert not analyser.keys() & {"VpcConfig", "FileSystemConfigs"}
    assert "CASTLINE_MODELS_DIR" not in analyser["Environment"]["Variables"]


@pytest.mark.parametrize(("bucket", "read"), [("", "castline-gallery/.models/*"), ("weights", "weights/.models/*")])
def test_models_in_s3_may_be_read(source: dict[str, Any], bucket: str, read: str) -> None:
    known = resolver(source, ModelStorage="s3", ModelBucket=bucket)
    analyser = known.resources("AWS::Serverless::Function")["FaceRecognitionFunction"]
    assert analyser["Environment"]["Variables"]["CASTLINE_MODELS_DIR"] == "/tmp/models"
    assert "VpcConfig" not in analyser
    found = known.resources("AWS::IAM::Role")["FaceRecognitionRole"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert {item["Sid"]: item["Resource"] for item in found}["ReadModels"] == f"arn:aws:s3:::{read}"


@pytest.mark.parametrize("zones", [1, 2, 3])
def test_models_on_a_file_system_are_mounted_in_every_subnet(source: dict[str, Any], zones: int) -> None:
    subnets = [f"subnet-0000000{number}" for number in range(zones)]
    known = resolver(source, **{**NETWORK, "ModelStorage": "efs", "VpcSubnetIds": ",".join(subnets)})
    mounts = known.resources("AWS::EFS::MountTarget")
    assert [item["SubnetId"] for item in mounts.values()] == subnets
    (access,) = known.resources("AWS::EFS::AccessPoint").values()
    assert access["AccessPointTags"] == [{"Key": "mounts", "Value": " ".join(mounts)}]
    functions = known.resources("AWS::Serverless::Function")
    for name in ("FaceRecognitionFunction", "ModelLoaderFunction"):
        assert functions[name]["VpcConfig"] == {"SubnetIds": subnets, "SecurityGroupIds": ["sg-0aaaaaaa"]}
        (mounted,) = functions[name]["FileSystemConfigs"]
        assert mounted["LocalMountPath"] == "/mnt/models"
        assert functions[name]["Environment"]["Variables"]["CASTLINE_MODELS_DIR"] == "/mnt/models"
    roles = known.resources("AWS::IAM::Role")

    def may(role: str) -> set[str]:
        found = roles[role]["Policies"][0]["PolicyDocument"]["Statement"]
        return {action for item in found for action in as_list(item["Action"]) if action.startswith("elastic")}

    assert may("FaceRecognitionRole") == {"elasticfilesystem:ClientMount"}
    assert may("ModelLoaderRole") == {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}


def test_a_file_system_without_a_network_is_refused(source: dict[str, Any]) -> None:
    rule = source["Rules"]["EfsNeedsNetwork"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "ModelStorage"}, "efs"]}
    asked = [item["Assert"]["Fn::Not"][0]["Fn::Contains"] for item in rule["Assertions"]]
    assert asked == [[{"Ref": "VpcSubnetIds"}, ""], [{"Ref": "VpcSecurityGroupIds"}, ""]]
