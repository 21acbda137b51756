"""Reads the deployment's template and makes it deployable without a build, as ``sam package`` would."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from castline.errors import LocalStackError
from castline.local.functions import ROOT_VARIABLE, TIMEOUT_VARIABLE

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
MAPPING = "AWS::Lambda::EventSourceMapping"
STATE_MACHINE = "AWS::Serverless::StateMachine"
#: ministack limits the call to the host, waiting included, to the function's timeout; the host enforces the real one.
LOCAL_TIMEOUT_S = 30 * 24 * 3600
IMAGE_URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/castline:local"

Template = dict[str, Any]


#: libyaml's loader if PyYAML was built with it: an eighth of the time.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML with CloudFormation's short function forms."""


def _function_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function_form)


def default_template() -> Path:
    """``template.yaml`` of the checkout from which this package runs, else of the current folder.

    Raises:
        LocalStackError: there is none.
    """
    for folder in (Path(__file__).resolve().parents[3], Path.cwd()):
        path = folder / "template.yaml"
        if path.is_file():
            return path
    raise LocalStackError("no template.yaml here; run Castline from its checkout")


def load_template(path: Path) -> Template:
    """Parse a template, short forms (``!Ref``) included, into plain data."""
    template = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader
    if not isinstance(template, dict) or "Resources" not in template:
        raise LocalStackError(f"{path.name} is not a template")
    return template


def resources(template: Template, kind: str) -> Iterator[tuple[str, Template]]:
    """Logical id and properties of every resource of a type."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield logical_id, resource["Properties"]


def parameter_values(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """The template's parameters, defaults filled in, as strings.

    Raises:
        LocalStackError: a given parameter is not in the template.
    """
    known = template.get("Parameters", {})
    unknown = given.keys() - known.keys()
    if unknown:
        raise LocalStackError(f"the template has no parameter {', '.join(sorted(unknown))}")
    return {name: str(given.get(name, spec.get("Default", ""))) for name, spec in known.items()}


def packaged(template: Template, root: Path, code: Mapping[str, str]) -> str:
    """The template as JSON with every local path replaced, ready for CreateStack.

    Functions also get what the Lambda host must know: where their code is, and their real timeout (see
        ``castline.local.functions``).

    Args:
        root: folder of the template.
        code: ``Bucket`` and ``Key`` of a zip that stands in for all code.
    """
    template = copy.deepcopy(template)
    globals_ = template.get("Globals", {}).get("Function", {})
    for logical_id, properties in resources(template, FUNCTION):
        metadata = template["Resources"][logical_id].pop("Metadata", {})
        if properties.get("PackageType") == "Image":
            folder = (root / metadata["DockerContext"] / metadata["Dockerfile"]).parent
            properties["ImageUri"] = IMAGE_URI
        else:
            folder = root / properties["CodeUri"]
            properties["CodeUri"] = dict(code)
        variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
        variables[ROOT_VARIABLE] = str(folder.resolve())
        variables[TIMEOUT_VARIABLE] = properties.get("Timeout", globals_.get("Timeout", 3))
        properties["Timeout"] = LOCAL_TIMEOUT_S
    for _, properties in resources(template, MAPPING):
        properties["Enabled"] = False  # the Lambda host reads queues (castline.local.queue_reader)
    for _, properties in resources(template, STATE_MACHINE):
        properties["Definition"] = json.loads((root / properties.pop("DefinitionUri")).read_text())
    for logical_id, properties in resources(template, LAYER):
        template["Resources"][logical_id].pop("Metadata", None)
        properties["ContentUri"] = dict(code)
    return json.dumps(template)
