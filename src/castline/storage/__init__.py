"""Objects by bucket and key: the interface (``ObjectStore``), S3, and an in-memory store for tests."""

from castline.storage.base import ObjectStore
from castline.storage.memory import MemoryStore
from castline.storage.s3 import S3Store

__all__ = ["MemoryStore", "ObjectStore", "S3Store"]
