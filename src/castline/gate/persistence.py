"""Deletes that survive a restart and send their events.

ministack 1.4.21 keeps each bucket's current objects on disk. In a versioned bucket it records a delete in memory only,
as a marker, and leaves the file, so that deleted objects are back after a restart. The same happens if the newest
version is deleted by its id. And ``DeleteObjects`` sends no events. All of this is corrected here, where the emulator
makes the change.
"""

from __future__ import annotations

from typing import Any

from ministack.services import s3


def keep_deletes() -> None:
    """Make the emulator's files follow its deletes. Call once, before it serves."""
    mark, delete_version = s3._record_delete_marker, s3._delete_object_version

    def mark_and_remove(bucket_name: str, key: str, prior_obj: dict[str, Any] | None) -> str:
        for version in s3._object_versions.get((bucket_name, key)) or ():
            # A version that was read from disk at the start has its bytes only there; it may be requested again.
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


def tell_of_deletes() -> None:
    """Make the emulator's ``DeleteObjects`` send the events that its ``DeleteObject`` sends. Call once."""
    delete = s3._delete_objects

    def delete_and_tell(bucket_name: str, body: bytes, headers: dict[str, Any] | None = None) -> Any:
        bucket = s3._ensure_bucket(bucket_name)
        told = bucket is not None and bucket_name in s3._bucket_notifications
        there = [key for key in _keys_in(body) if key in bucket["objects"]] if told else []
        answer = delete(bucket_name, body, headers)
        for key in there:
            if key not in bucket["objects"]:
                s3._fire_s3_event_async(bucket_name, key, "s3:ObjectRemoved:Delete")
        return answer

    s3._delete_objects = delete_and_tell


def _keys_in(body: bytes) -> list[str]:
    """The keys in a delete request; empty if it cannot be read, in which case the emulator refuses it."""
    try:
        return [str(key.text) for key in s3.fromstring(body).iter(f"{{{s3.S3_NS}}}Key")]
    except Exception:
        return []
