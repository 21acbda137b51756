"""batch-marker: the marker's event, or a step of its state machine: start what was uploaded, look how far it is."""

from castline.doors.batch import batch_event
from castline.handler import handler_for

handler = handler_for(batch_event)
