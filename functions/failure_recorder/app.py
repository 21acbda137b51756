"""failure-recorder: invocations that are out of retries: records what could not be done."""

from castline.handler import handler_for
from castline.stages import failure_event

handler = handler_for(failure_event, tolerant=True)
