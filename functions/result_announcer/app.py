"""result-announcer: results in the output bucket: tell EventBridge, and SNS where asked."""

from castline.doors.announce import announce_event
from castline.handler import handler_for

handler = handler_for(announce_event)
