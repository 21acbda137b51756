"""Alarms and the dashboard refer to existing metrics."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from tests.template.conftest import DOORS, ROOT, as_list, resolver


def test_every_alarm_notifies_the_topic_and_is_documented(source: dict[str, Any]) -> None:
    found = {
        **resolver(source, Orchestration="stepfunctions").resources("AWS::CloudWatch::Alarm"),
        **resolver(source, Orchestration="queue", **DOORS).resources("AWS::CloudWatch::Alarm"),
    }
    runbook = (ROOT / "docs" / "OPERATIONS.md").read_text()
    functions = "|".join(sorted(resolver(source, **DOORS).function_names().values()))
    assert len(found) == 24
    for name, alarm in found.items():
        assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:castline-alarms"], name
        # The emulator does not support metric math, and no alarm needs it.
        assert "Metrics" not in alarm
        assert alarm["TreatMissingData"] == "notBreaching"
        assert f"`{re.sub(f'({functions})-', '…-', alarm['AlarmName'][9:])}`" in runbook


@pytest.mark.parametrize("doors", [{}, DOORS], ids=["no doors", "doors"])
@pytest.mark.parametrize("orchestration", ["queue", "events", "invoke", "stepfunctions"])
def test_nothing_is_lost_without_an_alarm(source: dict[str, Any], orchestration: str, doors: dict[str, str]) -> None:
    """Every component that passes on a failure or a message is watched by the metric that counts when it cannot."""
    known = resolver(source, Orchestration=orchestration, **doors)
    topics = known.resources("AWS::SNS::Topic")
    wanted = set()
    for function in known.resources("AWS::Serverless::Function").values():
        if "EventInvokeConfig" in function:
            wanted.add(("AWS/Lambda", "DestinationDeliveryFailures", function["FunctionName"]))
        if "DeadLetterQueue" in function:
            wanted.add(("AWS/Lambda", "DeadLetterErrors", function["FunctionName"]))
    for subscription in known.resources("AWS::SNS::Subscription").values():
        topic = subscription["TopicArn"].rpartition(":")[2]
        wanted.add(("AWS/SNS", "NumberOfNotificationsFailed", topic))
    assert len(wanted) == (7 if doors else 4)
    assert {name for space, _, name in wanted if space == "AWS/SNS"} <= {each["TopicName"] for each in topics.values()}
    alarms = known.resources("AWS::CloudWatch::Alarm").values()
    watched = {
        (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"][0]["Value"])
        for alarm in alarms
        if (alarm["Threshold"], alarm["ComparisonOperator"], alarm["Statistic"]) == (0, "GreaterThanThreshold", "Sum")
    }
    assert wanted - watched == set()


def test_alarms_watch_existing_metrics(source: dict[str, Any]) -> None:
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


def test_the_dashboard_shows_existing_metrics(source: dict[str, Any]) -> None:
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


def test_only_a_given_address_gets_mail(source: dict[str, Any]) -> None:
    def mail(**parameters: str) -> list[str]:
        found = resolver(source, **parameters).resources("AWS::SNS::Subscription").values()
        return [item["Endpoint"] for item in found if item["Protocol"] == "email"]

    assert mail() == []
    assert mail(AlarmEmail="ops@example.org") == ["ops@example.org"]


def test_a_budget_warns_and_then_stops_uploads_and_nothing_else(source: dict[str, Any]) -> None:
    assert resolver(source).resources("AWS::Budgets::Budget") == {}
    known = resolver(source, MonthlyBudget="100")
    topic = known.arn("Alarms")
    (budget,) = known.resources("AWS::Budgets::Budget").values()
    assert budget["Budget"]["BudgetLimit"] == {"Amount": "100", "Unit": "USD"}
    assert (budget["Budget"]["BudgetType"], budget["Budget"]["TimeUnit"]) == ("COST", "MONTHLY")
    (warning,) = budget["NotificationsWithSubscribers"]
    assert (warning["Notification"]["NotificationType"], warning["Notification"]["Threshold"]) == ("ACTUAL", 80)
    assert warning["Subscribers"] == [{"SubscriptionType": "SNS", "Address": topic}]

    (action,) = known.resources("AWS::Budgets::BudgetsAction").values()
    assert (action["ActionType"], action["ApprovalModel"]) == ("APPLY_IAM_POLICY", "AUTOMATIC"), "nobody must approve"
    assert (action["NotificationType"], action["ActionThreshold"]) == ("ACTUAL", {"Type": "PERCENTAGE", "Value": 100})
    attached = action["Definition"]["IamActionDefinition"]
    assert attached == {"PolicyArn": "NoMoreUploads", "Roles": ["VideoSplittingRole"]}
    assert action["Subscribers"] == [{"Type": "SNS", "Address": topic}]
    assert known.resources("AWS::Serverless::Function")["VideoSplittingFunction"]["Role"] == "VideoSplittingRole"

    policy = known.resources("AWS::IAM::ManagedPolicy")["NoMoreUploads"]
    (denied,) = policy["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Resource"]) == ("Deny", "arn:aws:s3:::castline-input/*")
    assert set(denied["Action"]) == {"s3:GetObject", "s3:GetObjectVersion"}
    assert "Roles" not in policy, "the budget attaches it"

    assert action["ExecutionRoleArn"] == "BudgetRole"
    role = known.resources("AWS::IAM::Role")["BudgetRole"]
    (trusted,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "budgets.amazonaws.com"}
    assert trusted["Condition"] == {"StringEquals": {"aws:SourceAccount": "000000000000"}}
    (may,) = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert set(may["Action"]) == {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}
    assert may["Resource"] == "VideoSplittingRole"
    assert may["Condition"] == {"ArnEquals": {"iam:PolicyARN": "NoMoreUploads"}}
    statements = known.resources("AWS::SNS::TopicPolicy")["AlarmsPolicy"]["PolicyDocument"]["Statement"]
    publishing = [item for item in statements if item["Effect"] == "Allow" and "Service" in item["Principal"]]
    assert any("budgets.amazonaws.com" in as_list(item["Principal"]["Service"]) for item in publishing)


def _metric_names() -> set[str]:
    from castline.metrics import Name

    return set(get_args(Name))
