"""Alarms and the dashboard show and watch what there is."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

from tests.template.conftest import ROOT, resolver


def test_every_alarm_tells_the_topic_and_has_a_paragraph(source: dict[str, Any]) -> None:
    found = {
        **resolver(source, Orchestration="stepfunctions").resources("AWS::CloudWatch::Alarm"),
        **resolver(source, Orchestration="queue").resources("AWS::CloudWatch::Alarm"),
    }
    runbook = (ROOT / "docs" / "OPERATIONS.md").read_text()
    assert len(found) == 21
    for name, alarm in found.items():
        assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:castline-alarms"], name
        # The emulator takes no metric math, and nobody needs it.
        assert "Metrics" not in alarm
        assert alarm["TreatMissingData"] == "notBreaching"
        assert (
            f"`{re.sub('(video-splitting|face-recognition|failure-recorder)-', '…-', alarm['AlarmName'][9:])}`"
            in runbook
        )


def test_alarms_watch_metrics_that_there_are(source: dict[str, Any]) -> None:
    known = resolver(source, Prefix="prod", FunctionPrefix="x-")
    for name, alarm in known.resources("AWS::CloudWatch::Alarm").items():
        (dimension,) = alarm["Dimensions"]
        if alarm["Namespace"] == "Castline":
            assert alarm["MetricName"] in _metric_names(), name
            assert dimension == {"Name": "service", "Value": "prod"}
        if alarm["Namespace"] == "AWS/Lambda":
            assert dimension["Value"] in known.function_names().values(), name
        if alarm["Namespace"] == "AWS/SQS":
            assert dimension["Value"] in {item["QueueName"] for item in known.resources("AWS::SQS::Queue").values()}


def test_the_dashboard_shows_metrics_that_there_are(source: dict[str, Any]) -> None:
    known = resolver(source, Prefix="prod", FunctionPrefix="x-", Orchestration="events")
    (dashboard,) = known.resources("AWS::CloudWatch::Dashboard").values()
    assert dashboard["DashboardName"] == "prod"
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    shown = [row for widget in widgets for row in widget["properties"].get("metrics", ())]
    ours = {row[1] for row in shown if row[0] == "Castline"}
    assert ours == _metric_names() - {"Faces"}
    assert {tuple(row[2:4]) for row in shown if row[0] == "Castline"} == {("service", "prod")}
    functions = {row[3] for row in shown if row[0] == "AWS/Lambda"}
    assert functions == set(known.function_names().values())
    alarms = {item["AlarmName"] for item in known.resources("AWS::CloudWatch::Alarm").values()}
    (listed,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert {arn.rpartition(":")[2] for arn in listed} == alarms
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets)


def test_only_a_named_address_gets_mail(source: dict[str, Any]) -> None:
    def mail(**parameters: str) -> list[str]:
        found = resolver(source, **parameters).resources("AWS::SNS::Subscription").values()
        return [item["Endpoint"] for item in found if item["Protocol"] == "email"]

    assert mail() == []
    assert mail(AlarmEmail="ops@example.org") == ["ops@example.org"]


def _metric_names() -> set[str]:
    from castline.metrics import Name

    return set(get_args(Name))
