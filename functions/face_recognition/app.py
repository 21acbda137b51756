"""face-recognition: S3 events of the stage-1 bucket: analyses each unit; the last one assembles the result."""

from castline.handler import handler_for
from castline.stages import analyse_event

handler = handler_for(analyse_event)
