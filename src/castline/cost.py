"""What a run costs on AWS, from what it used. Prices are constants with their source and date.

Sources: aws.amazon.com/lambda/pricing and aws.amazon.com/s3/pricing, us-east-1, x86, without free
tier or volume discounts.
"""

from __future__ import annotations

from collections.abc import Sequence

from castline.records import Cost, CostItem, Usage

PRICES_AS_OF = "2025-06"
LAMBDA_GB_SECOND_USD = 0.0000166667
LAMBDA_REQUEST_USD = 0.20 / 1_000_000
S3_PUT_USD = 0.005 / 1_000
S3_GET_USD = 0.0004 / 1_000
#: Objects of a result beside its parts: result, report, four transcripts, and a crop or two.
_VIEWS = 8


def cost_of(usages: Sequence[Usage], units: int) -> Cost:
    """Compute and request cost of one run; storage is not in it, because it depends on retention.

    Args:
        usages: one per invocation.
        units: stage-1 objects; each is written once, read once, and leaves one part.
    """
    gb_seconds = sum(usage.seconds * usage.memory_mb / 1024 for usage in usages)
    puts = 2 * units + 1 + _VIEWS
    gets = 2 * units + 2
    items = (
        CostItem(
            what="Lambda compute", quantity=round(gb_seconds, 3), unit="GB-s", usd=gb_seconds * LAMBDA_GB_SECOND_USD
        ),
        CostItem(what="Lambda requests", quantity=len(usages), unit="requests", usd=len(usages) * LAMBDA_REQUEST_USD),
        CostItem(what="S3 writes", quantity=puts, unit="requests", usd=puts * S3_PUT_USD),
        CostItem(what="S3 reads", quantity=gets, unit="requests", usd=gets * S3_GET_USD),
    )
    rounded = tuple(item.model_copy(update={"usd": round(item.usd, 8)}) for item in items)
    return Cost(usd=round(sum(item.usd for item in items), 6), items=rounded, prices_as_of=PRICES_AS_OF)
