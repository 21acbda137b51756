"""Functions: retries, failures, packaging, variables."""

from __future__ import annotations

import json
from typing import Any

from tests.template.conftest import DOORS, NETWORK, ROOT, of_type, resolver


def test_stage_functions_retry_twice_and_then_notify_the_topic(transformed: dict[str, Any]) -> None:
    found = of_type(transformed, "AWS::Lambda::EventInvokeConfig")
    assert {item["FunctionName"]["Ref"] for item in found.values()} == {
        "VideoSplittingFunction",
        "FaceRecognitionFunction",
        "ResultAnnouncerFunction",
        "BatchMarkerFunction",
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


def test_the_recorder_s_own_failures_do_not_return_to_it(transformed: dict[str, Any]) -> None:
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


def test_every_variable_of_a_function_is_read_by_the_code(source: dict[str, Any]) -> None:
    from castline.records import Options
    from castline.settings import Settings

    fields = {f"CASTLINE_{name.upper()}" for name in Settings.model_fields} | {"PIPELINE_PROFILE"}
    variables = source["Globals"]["Function"]["Environment"]["Variables"]
    ours = {name for name in variables if not name.startswith("POWERTOOLS_")}
    assert ours <= fields
    for name, function in (
        resolver(source, ModelStorage="efs", **NETWORK, **DOORS).resources("AWS::Serverless::Function").items()
    ):
        own = function["Environment"]["Variables"]
        assert {variable for variable in own if not variable.startswith("POWERTOOLS_")} <= fields, name
    # Options that change the result can be chosen at deployment; for these the default is right.
    assert {f"CASTLINE_{name.upper()}" for name in Options.model_fields} - ours == {
        "CASTLINE_AUDIO_TRACK",  # only for sidecars
        "CASTLINE_SPEAKERS",  # also for sidecars, until it is on by default
        "CASTLINE_VOICE_ENCODER",
        "CASTLINE_ACTIVE_SPEAKER",
        "CASTLINE_FRAMES_PER_UNIT",
        "CASTLINE_LONG_SIDE",
    }


def test_the_longest_texts_fit_into_the_variables(source: dict[str, Any]) -> None:
    """Lambda: 4 KB for all variables of a function together."""
    texts = {"Prefix": "p" * 42, "FunctionPrefix": "f" * 40, "SpeechPrompt": "ä" * 500, "HotWords": "🙂" * 250}
    way = {"ModelStorage": "efs", **NETWORK, **DOORS, **texts}
    known = resolver(source, **way)
    shared = known.value(source["Globals"]["Function"]["Environment"]["Variables"])
    for name, function in known.resources("AWS::Serverless::Function").items():
        variables = {**shared, **function["Environment"]["Variables"]}
        assert sum(len(f"{key}{value}".encode()) for key, value in variables.items()) < 4096 - 256, name


def test_the_speech_engines_are_the_declared_ones(source: dict[str, Any]) -> None:
    from castline.engines.choose import choices, names_pattern

    parameter = source["Parameters"]["Transcriber"]
    assert parameter["AllowedPattern"] == names_pattern("transcriber")
    assert all(name.partition("[")[0] in parameter["Description"] for name in choices("transcriber"))


def test_the_image_s_whisper_is_a_parameter(source: dict[str, Any]) -> None:
    from castline.engines.speech.declared import FASTER_WHISPER, MODELS
    from castline.weights.downloads import DOWNLOADS, WHISPER

    parameter = source["Parameters"]["WhisperModel"]
    pinned = [model for model in MODELS if f"{FASTER_WHISPER.id}:{model}" in DOWNLOADS]
    assert parameter["AllowedValues"] == [*pinned, "embedded"]
    assert f"{FASTER_WHISPER.id}:{parameter['Default']}" == WHISPER
    arguments = source["Resources"]["FaceRecognitionFunction"]["Metadata"]["DockerBuildArgs"]
    assert arguments == {"WHISPER": {"Ref": "WhisperModel"}}
    recipe = (ROOT / "functions" / "face_recognition" / "Dockerfile").read_text()
    assert f"\nARG WHISPER={parameter['Default']}\n" in recipe


def test_reserved_concurrency_is_optional(source: dict[str, Any]) -> None:
    def reserved(**parameters: str) -> dict[str, str]:
        functions = resolver(source, **parameters).resources("AWS::Serverless::Function")
        key = "ReservedConcurrentExecutions"
        return {name: function[key] for name, function in functions.items() if key in function}

    assert reserved() == {}
    assert reserved(SplitterConcurrency="4") == {"VideoSplittingFunction": "4"}
    assert reserved(AnalyserConcurrency="5") == {"FaceRecognitionFunction": "5"}
    assert reserved(RecorderConcurrency="6") == {"FailureRecorderFunction": "6"}


def test_everything_that_runs_follows_the_architecture(source: dict[str, Any], transformed: dict[str, Any]) -> None:
    """The template declares it; make (zips, layer) reads it from the environment, and Docker from SAM: the same one."""
    follows = {"Ref": "Architecture"}
    functions = of_type(transformed, "AWS::Lambda::Function")
    assert len(functions) == 8
    assert [name for name, function in functions.items() if function["Architectures"] != [follows]] == []
    layers = {
        name: item for name, item in source["Resources"].items() if item["Type"] == "AWS::Serverless::LayerVersion"
    }
    assert set(layers) == {"FfmpegLayer"}
    assert layers["FfmpegLayer"]["Properties"]["CompatibleArchitectures"] == [follows]
    assert layers["FfmpegLayer"]["Metadata"]["BuildArchitecture"] == follows
    for recipe in ("functions/zip.mk", "layers/ffmpeg/Makefile"):
        lines = (ROOT / recipe).read_text().splitlines()
        assert "ARCHITECTURE ?= x86_64" in lines, recipe
        assert "MACHINE := $(if $(filter arm64,$(ARCHITECTURE)),aarch64,x86_64)" in lines, recipe
        used = [line for line in lines if not line.startswith(("ARCHITECTURE", "MACHINE", "#"))]
        assert any("$(MACHINE)" in line for line in used), recipe
        assert not any(word in line for line in used for word in ("x86_64", "aarch64", "arm64")), recipe
    zips = [name for name, function in functions.items() if function.get("PackageType") != "Image"]
    for name in zips:
        folder = ROOT / source["Resources"][name]["Properties"]["CodeUri"]
        assert "include functions/zip.mk" in (folder / "Makefile").read_text(), name
    image = (ROOT / "functions" / "face_recognition" / "Dockerfile").read_text()
    assert not any(word in image for word in ("--platform", "x86_64", "amd64", "aarch64", "arm64"))


def test_queue_and_topic_are_encrypted(source: dict[str, Any]) -> None:
    known = resolver(source)
    for queue in known.resources("AWS::SQS::Queue").values():
        assert queue["SqsManagedSseEnabled"] is True
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert known.resources("AWS::SNS::Topic")["FailedInvocations"]["KmsMasterKeyId"] == "alias/aws/sns"
