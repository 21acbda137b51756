"""Deletes that outlive a restart.

ministack 1.4.21 keeps each bucket's current objects on disk. In a versioned bucket it notes a delete in memory only,
as a marker, and leaves the file, so that after a restart what was deleted is there again. The same happens where the
newest version is deleted by its id. Both are put right here, where the emulator makes the change.
"""

from __future__ import annotations

from typing import Any

from ministack.services import s3


def keep_deletes() -> None:
    """Make the emulator's files follow its deletes. Call once, before it serves."""
    mark, delete_version = s3._record_delete_marker, s3._delete_object_version

    def mark_and_remove(bucket_name: str, key: str, prior_obj: dict[str, Any] | None) -> str:
        for version in s3._object_versions.get((bucket_name, key)) or ():
            # A version that was read from disk at the start has its bytes there only; it may be asked for again.
            if prior_obj is not None and version.get("is_latest") and version.get("data") is None:
                version["data"] = s3._read_body(bucket_name, key, prior_obj)
        marker: str = mark(bucket_name, key, prior_obj)
        s3._delete_persisted_object(bucket_name, key)
        return marker

    def delete_and_follow(bucket: dict[str, Any], bucket_name: str, key: str, version_id: str) -> tuple[bool, bool]:
        found, was_marker = delete_version(bucket, bucket_name, key, version_id)
        current = bucket["objects"].get(key)
        if found and current is None:
            s3._delete_persisted_object(bucket_name, key)
        elif found and current.get("body") is not None:
            s3._persist_object(bucket_name, key, current)
        return found, was_marker

    s3._record_delete_marker = mark_and_remove
    s3._delete_object_version = delete_and_follow
