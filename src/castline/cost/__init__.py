"""The cost of a run on AWS, from what it used or estimated in advance; and the fixed cost of an idle deployment."""

from castline.cost.model import MB_PER_VCPU, USUAL_FILM, Sizes, estimate, work
from castline.cost.prices import (
    LAMBDA_GB_SECOND_USD,
    LAMBDA_REQUEST_USD,
    PRICES_AS_OF,
    S3_GET_USD,
    S3_PUT_USD,
    S3_STORAGE_GB_MONTH_USD,
)
from castline.cost.run import cost_of
from castline.cost.standing import standing

__all__ = [
    "LAMBDA_GB_SECOND_USD",
    "LAMBDA_REQUEST_USD",
    "MB_PER_VCPU",
    "PRICES_AS_OF",
    "S3_GET_USD",
    "S3_PUT_USD",
    "S3_STORAGE_GB_MONTH_USD",
    "Sizes",
    "USUAL_FILM",
    "cost_of",
    "estimate",
    "standing",
    "work",
]
