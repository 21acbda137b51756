"""The cost of a run, from what it used."""

from __future__ import annotations

from collections.abc import Sequence

from castline.cost import prices
from castline.cost.model import Sizes, throttled_tries
from castline.records import Cost, CostItem, Usage
from castline.report import view_types

#: Pictures of people in a result: a crop or two.
_CROPS = 2
#: States that a run's machines enter besides two for each unit.
_STEPS = 6


def cost_of(usages: Sequence[Usage], units: int, stored_bytes: int = 0, sizes: Sizes | None = None) -> Cost:
    """Compute, requests and storage of one run.

    Args:
        usages: one per invocation; those of the stage ``init`` are starts, which are billed but are not requests.
        units: stage-1 objects; each is written once, read once, and leaves one part.
        stored_bytes: size of the upload, kept for a month; each further month costs the same. Stage 1 and results are
            small in comparison.
        sizes: those of the deployment; by default the template's.
    """
    deployed = sizes or Sizes()
    arm = deployed.architecture == "arm64"
    gb_second_usd = prices.LAMBDA_ARM_GB_SECOND_USD if arm else prices.LAMBDA_GB_SECOND_USD
    items = [
        _item("Lambda compute", sum(_gb_s(usage) for usage in usages if not _init(usage)), "GB-s", gb_second_usd),
        _item("Lambda requests", sum(not _init(usage) for usage in usages), "requests", prices.LAMBDA_REQUEST_USD),
        _item("Lambda /tmp over 512 MB", _disk(usages, deployed), "GB-s", prices.LAMBDA_DISK_GB_SECOND_USD),
        _item("S3 writes", 2 * units + 1 + len(view_types()) + _CROPS, "requests", prices.S3_PUT_USD),
        _item("S3 reads", 2 * units + 2, "requests", prices.S3_GET_USD),
        _item("S3 storage of the upload, one month", stored_bytes / 1e9, "GB-month", prices.S3_STORAGE_GB_MONTH_USD),
    ]
    if any(map(_init, usages)):
        starts = sum(_gb_s(usage) for usage in usages if _init(usage))
        items.insert(1, _item("Lambda starts (INIT)", starts, "GB-s", gb_second_usd))
    if deployed.orchestration == "stepfunctions":
        steps = 2 * units + _STEPS + throttled_tries(list(usages), deployed)
        items.append(_item("Step Functions, with throttled tries", steps, "transitions", prices.STEP_USD))
    if deployed.orchestration == "queue":
        # Sent, received, hidden while it is worked on (for which the queue's address is asked), and deleted.
        items.append(_item("SQS", 5 * (units + 1), "requests", prices.SQS_REQUEST_USD))
    return Cost(
        usd=round(sum(item.usd for item in items), 6),
        items=tuple(item.model_copy(update={"usd": round(item.usd, 8)}) for item in items),
        prices_as_of=prices.PRICES_AS_OF,
    )


def _item(what: str, quantity: float, unit: str, usd: float) -> CostItem:
    return CostItem(what=what, quantity=round(quantity, 6), unit=unit, usd=quantity * usd)


def _init(usage: Usage) -> bool:
    return usage.stage == "init"


def _gb_s(usage: Usage) -> float:
    return usage.seconds * usage.memory_mb / 1024


def _disk(usages: Sequence[Usage], sizes: Sizes) -> float:
    paid = ((usage.seconds, sizes.disk_mb(usage.stage) - prices.LAMBDA_FREE_DISK_MB) for usage in usages)
    return sum(seconds * max(0, megabytes) / 1024 for seconds, megabytes in paid)
