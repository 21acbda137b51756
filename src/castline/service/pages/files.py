"""Recordings and what was made of them, to a browser: byte ranges and ETags, as players ask for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from castline import keys
from castline.records import ObjectInfo
from castline.report import content_type
from castline.runs.removal import owner_of
from castline.service.pages.shelf import Deployment

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
#: What a player makes of a suffix; of other suffixes it finds out itself.
_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
    ".ogv": "video/ogg", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".wav": "audio/wav", ".ogg": "audio/ogg",
    ".oga": "audio/ogg", ".opus": "audio/ogg", ".flac": "audio/flac", ".aac": "audio/aac",
}  # fmt: skip
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


def serve_file(rest: str, request: Request, there: Deployment) -> Response:
    """``<media>/<file>``: a published file of a recording, or the recording itself under its own name.

    Raises:
        HTTPException: 404, there is no such file; 416, no such range.
    """
    settings = there.settings
    bucket, key, kind = settings.output_bucket, rest, _published(rest)
    if not kind:
        media, _, name = rest.rpartition("/")
        if not keys.is_media(media) or name != keys.disk_name(PurePosixPath(media).name):
            raise HTTPException(404, "there is no such file")
        suffix = PurePosixPath(media.lower()).suffix
        bucket, key, kind = settings.input_bucket, media, _TYPES.get(suffix, "application/octet-stream")
    info = there.store.head(bucket, key)
    if info is None:
        raise HTTPException(404, "there is no such file")
    return _ranged(info, bucket, kind, request.headers, there)


def _published(key: str) -> str:
    """The content type of a published file; empty for what is none."""
    view = owner_of(key).view
    return (content_type(view) or "image/jpeg") if view else ""


def _ranged(info: ObjectInfo, bucket: str, kind: str, asked: Mapping[str, str], there: Deployment) -> Response:
    etag = f'"{info.etag}"'
    headers = {**_HEADERS, "ETag": etag, "Accept-Ranges": "bytes", "Content-Type": kind}
    if kind.startswith("text/html"):  # the report has a policy of its own, in which only it runs
        headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    else:
        headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    if etag in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    span = _span(asked, etag, info.size)
    if span is None:
        headers["Content-Range"] = f"bytes */{info.size}"
        raise HTTPException(416, "there is no such range", headers)
    first, last = span
    whole = last - first + 1 == info.size
    headers["Content-Length"] = str(last - first + 1)
    if not whole or "range" in asked:
        headers["Content-Range"] = f"bytes {first}-{last}/{info.size}"
    status = 206 if "Content-Range" in headers else 200
    if not info.size:
        return Response(status_code=200, headers={**headers, "Content-Length": "0"})
    return StreamingResponse(there.store.stream(bucket, info, first, last), status, headers=headers)


def _span(asked: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """(first, last) byte that is asked for; all of them where nothing else is understood. None: it has none of them."""
    whole = 0, size - 1
    match = _RANGE.fullmatch(asked.get("range", ""))
    if not match or asked.get("if-range", etag) != etag or match[0] == "bytes=-":
        return whole
    if not match[1]:
        length = int(match[2])
        return (max(size - length, 0), size - 1) if length and size else None
    first, last = int(match[1]), int(match[2] or size - 1)
    if first >= size:
        return None
    return (first, min(last, size - 1)) if last >= first else whole
