"""What the Lambda host knows about a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from castline.errors import LocalStackError

#: Variables that the deployment adds to a function for the host, and that the host removes again.
TIMEOUT_VARIABLE = "LOCAL_HOST_TIMEOUT_S"
ROOT_VARIABLE = "LOCAL_HOST_TASK_ROOT"
_HOST_ONLY = frozenset({TIMEOUT_VARIABLE, ROOT_VARIABLE})


@dataclass(frozen=True)
class FunctionSpec:
    """One Lambda function, as the host runs it.

    Attributes:
        handler: ``module.function``, importable from ``task_root``.
        timeout_s: seconds one invocation may take; waiting for a free process does not count.
        memory_mb: limit for all processes of one invocation.
        disk_mb: limit for its ``/tmp``.
        path: folders put first on PATH (the layers' ``bin``).
        slots: processes, hence invocations at the same time.
    """

    name: str
    handler: str
    task_root: Path
    timeout_s: float = 3.0
    memory_mb: int = 128
    disk_mb: int = 512
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[Path, ...] = ()
    slots: int = 2
    region: str = "us-east-1"
    account: str = "000000000000"

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"


def spec_from_configuration(
    configuration: Mapping[str, Any],
    *,
    layer_path: tuple[Path, ...] = (),
    slots: int = 2,
    reserved: int | None = None,
) -> FunctionSpec:
    """The spec of a deployed function.

    Args:
        configuration: answer of Lambda's GetFunctionConfiguration.
        layer_path: PATH entries for a function that has layers.
        reserved: the function's reserved concurrency; it bounds ``slots``.

    Raises:
        LocalStackError: the function was not deployed by ``castline.local.deploy``.
    """
    name = str(configuration["FunctionName"])
    variables = {key: str(value) for key, value in configuration.get("Environment", {}).get("Variables", {}).items()}
    if not variables.keys() >= _HOST_ONLY:
        raise LocalStackError(f"function {name} carries no local settings; deploy the stack again")
    handler = configuration.get("Handler") or ""
    if not handler:  # a container image names its handler in the image's command
        command = configuration.get("ImageConfigResponse", {}).get("ImageConfig", {}).get("Command", [])
        handler = command[0] if command else ""
    if not handler:
        raise LocalStackError(f"function {name} names no handler")
    return FunctionSpec(
        name=name,
        handler=handler,
        task_root=Path(variables[ROOT_VARIABLE]),
        timeout_s=float(variables[TIMEOUT_VARIABLE]),
        memory_mb=int(configuration["MemorySize"]),
        disk_mb=int((configuration.get("EphemeralStorage") or {}).get("Size", 512)),
        environment={key: value for key, value in variables.items() if key not in _HOST_ONLY},
        path=layer_path if configuration.get("Layers") else (),
        slots=max(1, min(slots, reserved) if reserved else slots),
    )
