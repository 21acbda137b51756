"""Evaluates a template's expressions as far as names and wiring need them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from castline.errors import LocalStackError
from castline.local.engine import ACCOUNT, REGION
from castline.local.template import FUNCTION, Template

_NO_VALUE = object()
_PSEUDO: dict[str, Any] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::StackName": "castline",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": _NO_VALUE,
}
#: Service part of the ARN and the property that holds the name.
_NAMED = {
    FUNCTION: (f"lambda:{REGION}:{ACCOUNT}:function:", "FunctionName"),
    "AWS::S3::Bucket": ("s3:::", "BucketName"),
    "AWS::SNS::Topic": (f"sns:{REGION}:{ACCOUNT}:", "TopicName"),
    "AWS::SQS::Queue": (f"sqs:{REGION}:{ACCOUNT}:", "QueueName"),
    "AWS::Serverless::StateMachine": (f"states:{REGION}:{ACCOUNT}:stateMachine:", "Name"),
    "AWS::Logs::LogGroup": (f"logs:{REGION}:{ACCOUNT}:log-group:", "LogGroupName"),
}


class Resolver:
    """A template with its parameters' values.

    Knows parameters, conditions (``Equals``, ``Not``, ``And``, ``Or``), ``If``, ``Sub``, ``Join``, ``Split``,
    ``Select``, ``Ref``, and ``GetAtt`` of resources that carry a name: their ARN, or else that name.
    """

    def __init__(self, template: Template, values: Mapping[str, str]) -> None:
        self._template = template
        self._values = values

    def value(self, expression: Any) -> Any:
        """Evaluate an expression; ``AWS::NoValue`` is left out of lists and maps."""
        if isinstance(expression, list):
            return [item for item in map(self.value, expression) if item is not _NO_VALUE]
        if not isinstance(expression, dict):
            return expression
        if len(expression) == 1:
            [(name, argument)] = expression.items()
            if name == "Ref":
                return self._reference(argument)
            if name == "Fn::Sub":
                return self._substituted(argument)
            if name == "Fn::GetAtt":
                return self.arn(argument[0]) if argument[1] == "Arn" else self.name(argument[0])
            if name == "Fn::Join":
                return argument[0].join(map(str, self.value(argument[1])))
            if name == "Fn::Split":
                return str(self.value(argument[1])).split(argument[0])
            if name == "Fn::Select":
                return self.value(argument[1])[int(argument[0])]
            if name == "Fn::If":
                return self.value(argument[1] if self.condition(argument[0]) else argument[2])
        pairs = ((key, self.value(item)) for key, item in expression.items())
        return {key: item for key, item in pairs if item is not _NO_VALUE}

    def condition(self, name: str) -> bool:
        """Evaluate a named condition."""
        return self._test(self._template["Conditions"][name])

    def resources(self, kind: str) -> dict[str, Any]:
        """Evaluated properties by logical id, for every resource of a type that the conditions permit."""
        return {
            logical_id: self.value(resource["Properties"])
            for logical_id, resource in self._template["Resources"].items()
            if resource["Type"] == kind and self._permitted(resource)
        }

    def kinds(self) -> set[str]:
        """Types of all resources that the conditions permit."""
        return {str(resource["Type"]) for resource in self._template["Resources"].values() if self._permitted(resource)}

    def _permitted(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or self.condition(resource["Condition"])

    def name(self, logical_id: str) -> str:
        """The physical name of a resource."""
        resource = self._template["Resources"][logical_id]
        if resource["Type"] not in _NAMED:
            return logical_id
        return str(self.value(resource["Properties"][_NAMED[resource["Type"]][1]]))

    def arn(self, logical_id: str) -> str:
        """The ARN of a resource; its logical id if we give it no name (roles)."""
        kind = self._template["Resources"][logical_id]["Type"]
        return f"arn:aws:{_NAMED[kind][0]}{self.name(logical_id)}" if kind in _NAMED else logical_id

    def function_names(self) -> dict[str, str]:
        """Function name by logical id."""
        return {logical_id: str(item["FunctionName"]) for logical_id, item in self.resources(FUNCTION).items()}

    def _substituted(self, argument: Any) -> str:
        """``Sub`` of a text, or of a text and a map that overrides parameters and resources."""
        text, names = argument if isinstance(argument, list) else (argument, {})

        def value(match: re.Match[str]) -> str:
            return str(self.value(names[match[1]]) if match[1] in names else self._reference(match[1]))

        return re.sub(r"\$\{([\w:.]+)\}", value, text)

    def _reference(self, name: str) -> Any:
        if name in self._values:
            value = self._values[name]
            parameter = self._template.get("Parameters", {}).get(name, {})
            return value.split(",") if parameter.get("Type") == "CommaDelimitedList" else value
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name not in self._template["Resources"]:
            raise LocalStackError(f"the template refers to {name}, which it does not define")
        if self._template["Resources"][name]["Type"] == "AWS::SNS::Topic":
            return self.arn(name)
        return self.name(name)

    def _test(self, expression: Any) -> bool:
        [(name, argument)] = expression.items()
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Equals":
            # Parameters are transmitted as text, so 0 and "0" are equal.
            return str(self.value(argument[0])) == str(self.value(argument[1]))
        if name == "Fn::Not":
            return not self._test(argument[0])
        if name == "Fn::And":
            return all(map(self._test, argument))
        if name == "Fn::Or":
            return any(map(self._test, argument))
        raise LocalStackError(f"the template uses {name} in a condition")
