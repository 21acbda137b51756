"""Serves recordings and what was made from them to a browser, with the byte ranges and ETags that players need."""

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
from castline.runs.common import read_result
from castline.runs.removal import owner_of
from castline.service.pages.shelf import Deployment

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
#: Content types by suffix; players determine others themselves.
_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
    ".ogv": "video/ogg", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".wav": "audio/wav", ".ogg": "audio/ogg",
    ".oga": "audio/ogg", ".opus": "audio/ogg", ".flac": "audio/flac", ".aac": "audio/aac",
}  # fmt: skip
_PHOTO_TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".avif": "image/avif",
}  # fmt: skip
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


def serve_file(rest: str, request: Request, there: Deployment) -> Response:
    """``<media>/<file>``: a published file of a recording, its proxy, or the recording itself under its own name.

    Raises:
        HTTPException: 404, there is no such file; 416, no such range.
    """
    settings = there.settings
    bucket, key, kind = settings.output_bucket, rest, _published(rest)
    if not kind:
        media, _, name = rest.rpartition("/")
        if not keys.is_media(media):
            raise HTTPException(404, "there is no such file")
        if name == keys.disk_name(PurePosixPath(media).name):
            suffix = PurePosixPath(media.lower()).suffix
            bucket, key, kind = settings.input_bucket, media, _TYPES.get(suffix, "application/octet-stream")
        elif name == keys.PROXY and (shown := read_result(media, there.store, settings)):
            bucket, key, kind = settings.stage1_bucket, keys.proxy_key(media, shown.run), _TYPES[".mp4"]
        else:
            raise HTTPException(404, "there is no such file")
    info = there.store.head(bucket, key)
    if info is None:
        raise HTTPException(404, "there is no such file")
    return _ranged(info, bucket, kind, request.headers, there)


def serve_photo(key: str, request: Request, there: Deployment) -> Response:
    """A photo of the gallery.

    Raises:
        HTTPException: 404, there is no such photo.
    """
    info = there.store.head(there.settings.gallery_bucket, key) if keys.parse_photo(key) else None
    if info is None:
        raise HTTPException(404, "there is no such photo")
    kind = _PHOTO_TYPES[PurePosixPath(key.lower()).suffix]
    return _ranged(info, there.settings.gallery_bucket, kind, request.headers, there)


def _published(key: str) -> str:
    """The content type of a published file; empty for other files."""
    view = owner_of(key).view
    return (content_type(view) or "image/jpeg") if keys.is_view(view) else ""


def _ranged(info: ObjectInfo, bucket: str, kind: str, asked: Mapping[str, str], there: Deployment) -> Response:
    etag = f'"{info.etag}"'
    headers = {**_HEADERS, "ETag": etag, "Accept-Ranges": "bytes", "Content-Type": kind}
    if kind.startswith("text/html"):  # the report has a policy of its own, under which only its own script runs
        headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    else:
        headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    if etag in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        span = _span(asked, etag, info.size)
    except ValueError as error:
        headers["Content-Range"] = f"bytes */{info.size}"
        raise HTTPException(416, "there is no such range", headers) from error
    if not info.size:
        return Response(headers=headers)
    first, last = span or (0, info.size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if span:
        headers["Content-Range"] = f"bytes {first}-{last}/{info.size}"
    status = 206 if span else 200
    return StreamingResponse(there.store.stream(bucket, info, first, last), status, headers=headers)


def _span(asked: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """The requested (first, last) byte; None for all bytes, also if the range is not understood.

    Raises:
        ValueError: the range is outside the file.
    """
    match = _RANGE.fullmatch(asked.get("range", ""))
    if not match or asked.get("if-range", etag) != etag or match[0] == "bytes=-":
        return None
    first = int(match[1]) if match[1] else max(size - int(match[2]), 0)
    last = int(match[2]) if match[1] and match[2] else size - 1
    if match[1] and last < first and match[2]:
        return None
    if first >= size:
        raise ValueError(asked["range"])
    return first, min(last, size - 1)
