"""failure-recorder: SNS notifications about invocations that are out of retries."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from castline.settings import settings
from castline.stages import failure_event
from castline.storage import S3Store

logger = Logger()


@lru_cache(maxsize=1)
def _store() -> S3Store:
    # One client per execution environment: building it costs more than a warm invocation.
    return S3Store()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Write down, as results, the failures the event tells of."""
    answer = failure_event(event, _store(), settings())
    logger.info("recorded", extra={"answer": answer})
    return answer
