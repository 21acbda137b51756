"""Deploys the project's template into the emulator through CloudFormation."""

from __future__ import annotations

import io
import logging
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from castline.errors import LocalStackError
from castline.local import wiring
from castline.local.expansion import expanded
from castline.local.functions import FunctionSpec, spec_from_configuration
from castline.local.queue_reader import QueueMapping
from castline.local.resolver import Resolver
from castline.local.template import MAPPING, default_template, load_template, packaged, parameter_values
from castline.local.wiring import ClientFactory
from castline.records.options import doors
from castline.settings import Settings, written

logger = logging.getLogger(__name__)

_DEPLOY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Deployment:
    """A template with the parameters of one stack.

    Attributes:
        root: folder to which the template's local paths are relative.
    """

    template: dict[str, Any]
    root: Path
    values: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings, *, template: Path | None = None, **parameters: str) -> Deployment:
        """The project's template with parameters from the settings.

        Args:
            parameters: template parameters that win over the settings.

        Raises:
            LocalStackError: no template, or a parameter it does not know.
        """
        path = template or default_template()
        parsed = load_template(path)
        from_settings = {
            "Prefix": settings.prefix,
            "FunctionPrefix": settings.splitter_function.removesuffix("video-splitting"),
            "PipelineProfile": settings.profile,
            "Orchestration": settings.orchestration,
            "UnknownName": settings.unknown_name,
            "CutAboveSeconds": written(settings.cut_above_s),
            "ProxySeconds": written(settings.proxy_s),
            "BatchMarker": settings.batch_marker,
            "BatchBy": "invoke",  # the emulator's Map has no ItemReader
            "TranscriptLayout": settings.transcript_layout,
            "LibraryQueue": written(settings.profile == "full"),
            **{door.parameter: written(getattr(settings, name)) for name, door in doors() if door.parameter},
        }
        known = {key: value for key, value in from_settings.items() if key in parsed.get("Parameters", {})}
        return cls(parsed, path.resolve().parent, parameter_values(parsed, {**known, **parameters}))

    @property
    def resolver(self) -> Resolver:
        return Resolver(self.template, self.values)

    @property
    def mappings(self) -> list[QueueMapping]:
        """The queues that functions read."""
        return [QueueMapping.of(properties) for properties in self.resolver.resources(MAPPING).values()]

    @property
    def stack_name(self) -> str:
        return self.values.get("Prefix") or "castline"


def deploy(deployment: Deployment, client: ClientFactory) -> None:
    """Create the stack, or update it if it exists, then check its wiring.

    Buckets that already exist, with objects from an earlier run of the emulator, are kept.

    Raises:
        LocalStackError: CloudFormation refused, or the wiring differs from the template.
    """
    name = deployment.stack_name
    code = _upload_code(client("s3"), f"{name}-local-deploy")
    cloudformation = client("cloudformation")
    exists = _status(cloudformation, name) is not None
    change = cloudformation.update_stack if exists else cloudformation.create_stack
    change(
        StackName=name,
        TemplateBody=expanded(packaged(deployment.template, deployment.root, code)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in deployment.values.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    _wait(cloudformation, name)
    for line in wiring.repair(deployment.resolver, client):
        logger.debug("set by API: %s", line)
    wiring.assert_wiring(deployment.resolver, client)


def function_specs(
    deployment: Deployment, client: ClientFactory, *, layer_path: tuple[Path, ...] = (), slots: int = 2
) -> list[FunctionSpec]:
    """What the host needs to know of the deployed functions, read from the deployment itself.

    Args:
        slots: processes of one function; its reserved concurrency may lower that.
    """
    lambda_ = client("lambda")
    return [
        spec_from_configuration(
            lambda_.get_function_configuration(FunctionName=name),
            layer_path=layer_path,
            slots=slots,
            reserved=lambda_.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
        )
        for name in deployment.resolver.function_names().values()
    ]


def _upload_code(s3: Any, bucket: str) -> dict[str, str]:
    # Code runs from the checkout, in the host; CloudFormation only needs an object to refer to.
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(zipfile.ZipInfo("README"), "The code of this function runs from the checkout.\n")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="code.zip", Body=body.getvalue())
    return {"Bucket": bucket, "Key": "code.zip"}


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return None
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else str(stack["StackStatus"])


def _wait(cloudformation: Any, name: str) -> None:
    deadline = time.monotonic() + _DEPLOY_TIMEOUT_S
    status = _status(cloudformation, name)
    while status is None or status.endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise LocalStackError(f"deploying {name} takes longer than {_DEPLOY_TIMEOUT_S:.0f} s, still {status}")
        time.sleep(0.05)
        status = _status(cloudformation, name)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = [
            f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if "FAILED" in event.get("ResourceStatus", "")
        ]
        raise LocalStackError(f"deploying {name} ended {status}", detail="\n".join(failed))
