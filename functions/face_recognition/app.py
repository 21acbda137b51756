"""face-recognition: S3 events of the stage-1 bucket."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from castline.settings import settings
from castline.stages import analyse_event
from castline.storage import S3Store

logger = Logger()


@lru_cache(maxsize=1)
def _store() -> S3Store:
    # One client per execution environment: building it costs more than a warm invocation.
    return S3Store()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Analyse every unit the event names; a retryable error is raised, so that Lambda tries again."""
    answer = analyse_event(event, _store(), settings())
    logger.info("analysed", extra={"answer": answer})
    return answer
