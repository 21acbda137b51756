"""The little that every Lambda handler needs around a stage: a logger, metrics, one S3 client, the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from castline import metrics
from castline.events import Event
from castline.scratch import sweep
from castline.settings import Settings, settings, tolerant_settings
from castline.storage import ObjectStore, S3Store

Stage = Callable[[Event, ObjectStore, Settings], dict[str, Any]]
Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


@lru_cache(maxsize=1)
def _store() -> S3Store:
    # One client per execution environment: building it costs more than a warm invocation.
    return S3Store()


def handler_for(stage: Stage, *, tolerant: bool = False) -> Handler:
    """A handler that runs a stage on each event.

    Errors of the stage are passed on: they are retryable, and the platform invokes again.

    Args:
        tolerant: continue without a setting that cannot be read, in order to record that.
    """
    logger = Logger()
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:  # only there does /tmp belong to the function alone
        # Not tempfile's choice: if this folder is full, that is another one, which contains other programs' files.
        sweep(Path(os.environ.get("TMPDIR", "/tmp")))  # noqa: S108
    read = tolerant_settings if tolerant else settings

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
        with metrics.collected(read()):
            answer = stage(event, _store(), read())
        logger.info("done", extra={"answer": answer})
        return answer

    return handler
