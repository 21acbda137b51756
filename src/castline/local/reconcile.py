"""Re-drives what a crash left unfinished.

Events in flight die with the emulator; objects do not. So after a start, every media without a
finished result is given to its function again. Runs are idempotent, so doing too much is harmless.
"""

from __future__ import annotations

import json
import logging

from castline.local.stack import LocalStack
from castline.settings import Settings
from castline.stages import pending
from castline.storage import ObjectStore

logger = logging.getLogger(__name__)


def reconcile(stack: LocalStack, store: ObjectStore, settings: Settings) -> int:
    """Invoke, asynchronously, what ``castline.stages.pending`` lists.

    Returns:
        How many events were sent.
    """
    lambda_ = stack.client("lambda")
    count = 0
    for function, event in pending(store, settings):
        lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
        count += 1
    if count:
        logger.info("re-drove %d unfinished event(s)", count)
    return count
