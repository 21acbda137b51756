"""result-announcer: results in the output bucket: announces them to EventBridge, and to SNS if wanted."""

from castline.doors.announce import announce_event
from castline.handler import handler_for

handler = handler_for(announce_event)
