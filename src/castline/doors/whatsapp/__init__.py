"""WhatsApp: every message becomes one JSON object, and voice notes and videos go through the pipeline."""

from castline.doors.whatsapp.gather import gather_messages, write_csv
from castline.doors.whatsapp.ingest import whatsapp_event

__all__ = ["gather_messages", "whatsapp_event", "write_csv"]
