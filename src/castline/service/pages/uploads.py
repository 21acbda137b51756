"""Uploads from a browser straight into the input bucket, in parts, which resume after a lost connection or a reload.

The browser has the file and requests everything else: which parts exist, a presigned URL for each missing one, and
finally their completion. S3 keeps the parts, and nothing is stored here. The bucket's lifecycle removes parts of
unfinished uploads after two days.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from castline import keys
from castline.errors import KeyLayoutError
from castline.service.pages.actions import checked_header
from castline.service.pages.shelf import Deployment, part_url
from castline.service.pages.views import shelf_of
from castline.service.settings import ServiceSettings
from castline.storage import S3Store
from castline.storage.base import CONTENT_TYPES
from castline.storage.multipart import part_size

router = APIRouter(include_in_schema=False, prefix="/uploads", dependencies=[Depends(checked_header)])


class Upload(BaseModel):
    """Attributes:
    upload: S3's id of an unfinished upload.
    """

    key: str = Field(min_length=1, max_length=1024)
    upload: str = Field(default="", max_length=2000)
    size: int = Field(default=0, ge=0)
    part: int = Field(default=1, ge=1, le=10_000)


@router.post("/begin")
def begin(request: Request, asked: Upload) -> dict[str, Any]:
    """Begin an upload, and return the size of its parts."""
    there = _there(request)
    _check(asked, there, request.app.state.service.service)
    kind = CONTENT_TYPES.get(PurePosixPath(asked.key.lower()).suffix, "application/octet-stream")
    begun = _s3(there, "create_multipart_upload", Key=asked.key, ContentType=kind)
    return {"upload": begun["UploadId"], "part_size": part_size(asked.size)}


@router.post("/there")
def there(request: Request, asked: Upload) -> dict[str, Any]:
    """Sizes of the parts of an unfinished upload that have arrived, by number; 404 if it is gone."""
    return {"parts": {number: part["Size"] for number, part in _parts(_there(request), asked).items()}}


@router.post("/sign")
def sign(request: Request, asked: Upload) -> dict[str, str]:
    """The URL to which the browser uploads a part."""
    return {"url": part_url(_there(request), asked.key, asked.upload, asked.part)}


@router.post("/complete", status_code=201)
def complete(request: Request, asked: Upload) -> dict[str, str]:
    """Complete the upload; never over a recording of the same name, and not without the last byte."""
    deployment = _there(request)
    _check(asked, deployment, request.app.state.service.service)
    parts = _parts(deployment, asked)
    if sum(part["Size"] for part in parts.values()) != asked.size or sorted(parts) != [*range(1, len(parts) + 1)]:
        raise HTTPException(409, "not all of it has come")
    listed = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in sorted(parts.items())]
    _s3(
        deployment, "complete_multipart_upload", Key=asked.key, UploadId=asked.upload, IfNoneMatch="*",
        MultipartUpload={"Parts": listed},
    )  # fmt: skip
    shelf_of(request).wake()
    return {"media": asked.key}


@router.post("/abort")
def abort(request: Request, asked: Upload) -> dict[str, str]:
    """Remove the parts of an upload that is no longer wanted."""
    _s3(_there(request), "abort_multipart_upload", Key=asked.key, UploadId=asked.upload)
    return {}


def _there(request: Request) -> Deployment:
    found = shelf_of(request).deployment
    if not isinstance(found.store, S3Store):
        raise HTTPException(501, "uploads go through the service here")
    return found


def _check(asked: Upload, there: Deployment, service: ServiceSettings) -> None:
    try:
        keys.check_media_key(asked.key)
    except KeyLayoutError as error:
        raise HTTPException(400, error.message) from error
    if not keys.is_media(asked.key):
        raise HTTPException(400, f"{asked.key} does not have the name of a video or sound recording")
    if not 0 < asked.size <= service.max_bytes:
        raise HTTPException(413 if asked.size else 400, f"a recording has 1 to {service.max_bytes} bytes")
    if there.store.head(there.settings.input_bucket, asked.key):
        raise HTTPException(409, f"there is already a recording called {asked.key}")


def _parts(there: Deployment, asked: Upload) -> dict[int, dict[str, Any]]:
    found, marker = {}, 0
    while True:
        answer = _s3(there, "list_parts", Key=asked.key, UploadId=asked.upload, PartNumberMarker=marker)
        found.update({part["PartNumber"]: part for part in answer.get("Parts", ())})
        if not answer.get("IsTruncated"):
            return found
        marker = answer["NextPartNumberMarker"]


def _s3(there: Deployment, operation: str, **named: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(there.client("s3"), operation)(Bucket=there.settings.input_bucket, **named)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchUpload":
            raise HTTPException(404, "this upload is gone; it begins anew") from error
        if code in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise HTTPException(409, f"there is already a recording called {named['Key']}") from error
        raise HTTPException(502, f"S3 refused: {code}") from error
    except BotoCoreError as error:
        raise HTTPException(502, "S3 does not answer") from error
    return answer
