"""whatsapp-ingest: WhatsApp messages, and results of their media: writes one object per message."""

from castline.doors.whatsapp import whatsapp_event
from castline.handler import handler_for

handler = handler_for(whatsapp_event)
