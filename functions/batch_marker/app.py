"""batch-marker: a marker's event, or a step of its state machine: starts what was uploaded, and checks its progress."""

from castline.doors.batch import batch_event
from castline.handler import handler_for

handler = handler_for(batch_event)
