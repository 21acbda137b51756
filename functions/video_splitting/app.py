"""video-splitting: S3 events of the input bucket: decodes each media file into units."""

from castline.handler import handler_for
from castline.stages import split_event

handler = handler_for(split_event)
