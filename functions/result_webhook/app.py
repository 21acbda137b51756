"""result-webhook: published results: posts them, signed."""

from castline.doors.webhook import webhook_event
from castline.handler import handler_for

handler = handler_for(webhook_event)
