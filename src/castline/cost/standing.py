"""The monthly cost of a deployment when nothing is uploaded."""

from __future__ import annotations

from castline.cost import prices
from castline.records import CostItem

_ALARMS = 15
_STAGE_QUEUES = 4  # with Orchestration=queue, each with an alarm
_METRICS = 9
_IMAGE_GB = 1.4  # measured: 0.84 beside a base image of about 0.55, unpacked; a registry keeps less


def standing(*, by_queue: bool = False, own_key: bool = False) -> list[CostItem]:
    """Items, US dollars a month.

    Args:
        by_queue: ``Orchestration=queue``. The queues of webhook and WhatsApp are not counted here.
        own_key: ``KmsKeyArn``.
    """
    queues = _STAGE_QUEUES if by_queue else 0
    items = [
        ("alarms", _ALARMS + queues, "alarms", prices.ALARM_MONTH_USD),
        ("metrics", _METRICS, "metrics", prices.METRIC_MONTH_USD),
        ("dashboard", 1, "dashboards", prices.DASHBOARD_MONTH_USD),
        ("image in ECR", _IMAGE_GB, "GB", prices.ECR_GB_MONTH_USD),
    ]
    if queues:
        items.append(("polling of queues", queues * prices.POLLS_A_MONTH, "requests", prices.SQS_REQUEST_USD))
    if own_key:
        items.append(("your KMS key", 1, "keys", prices.KEY_MONTH_USD))
    return [
        CostItem(what=what, quantity=quantity, unit=unit, usd=round(quantity * usd, 4))
        for what, quantity, unit, usd in items
    ]
