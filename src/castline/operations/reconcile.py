"""Finds inputs without a result, from the buckets alone, and runs them.

Events may be lost: with an emulator that died, while a permission was wrong, or before the stack existed.
Objects are not. Runs are idempotent, so doing too much is harmless.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.errors import ResourceError
from castline.operations.pending import pending
from castline.settings import Settings
from castline.storage import ObjectStore

logger = logging.getLogger(__name__)


def reconcile(lambda_: Any, store: ObjectStore, settings: Settings) -> int:
    """Invoke, asynchronously, what ``castline.operations.pending`` lists.

    Args:
        lambda_: a boto3 client of Lambda.

    Returns:
        How many events were sent.
    """
    count = 0
    for function, event in pending(store, settings):
        send(lambda_, function, event)
        count += 1
    if count:
        logger.info("sent %d unfinished event(s) again", count)
    return count


def send(lambda_: Any, function: str, event: dict[str, Any]) -> None:
    """Invoke a function asynchronously, as S3 would.

    Raises:
        ResourceError: Lambda refused.
    """
    try:
        lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"{function} could not be invoked: {error}") from error
