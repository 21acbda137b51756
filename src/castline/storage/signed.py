"""Reads pieces of an object by a URL that is signed once: a third of the processor time of a call of boto3.

The sound of an hour of film is 7 000 pieces, and their requests are most of the time that reading it takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Requests at once: S3 answers small ones in 100 to 200 ms, and takes 5 500 a second per prefix
#: (docs.aws.amazon.com/AmazonS3, "Performance guidelines").
CONNECTIONS = 256
_VALID_S = 900
_SIGNED_AGAIN_S = 600
#: So many failures in a row mean that signed URLs are of no use here: a policy, or certificates of one's own.
_FAILURES = 8


class SignedReads:
    """Whatever does not work is left to an ordinary request, which tries again or says what is wrong. Thread-safe."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._lock = Lock()
        self._signed: tuple[object, str, float] | None = None  # of the last object: what, URL, when to sign again
        self._failed = 0

    def read(self, bucket: str, key: str, exactly: Mapping[str, str], first: int, last: int) -> bytes | None:
        """Bytes ``first`` to ``last``, both included; None for anything but all of them.

        Args:
            exactly: ``VersionId`` or ``IfMatch`` of the object that is meant.
        """
        if self._failed >= _FAILURES:
            return None
        headers = {"Range": f"bytes={first}-{last}"}
        if etag := exactly.get("IfMatch"):
            headers["If-Match"] = etag
        try:
            url, http = self._ready(bucket, key, exactly)
            request = AWSRequest("GET", url, headers=headers).prepare()
            # The client's hooks are asked, as for its own requests: one of them may answer instead of S3.
            _, answered = self._client.meta.events.emit_until_response("before-send.s3.GetObject", request=request)
            answer = answered or http.send(request)
            if answer.status_code == 206 and len(answer.content) == last - first + 1:
                self._failed = 0
                return bytes(answer.content)
        except BotoCoreError:
            pass
        self._failed += 1
        self._signed = None
        return None

    def _ready(self, bucket: str, key: str, exactly: Mapping[str, str]) -> tuple[str, URLLib3Session]:
        what, now = (bucket, key, *exactly.items()), time.monotonic()
        with self._lock:
            if self._signed is None or self._signed[0] != what or now > self._signed[2]:
                parameters = {"Bucket": bucket, "Key": key, **exactly}
                url = self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=_VALID_S)
                self._signed = what, url, now + _SIGNED_AGAIN_S
            return self._signed[1], self._http

    @cached_property
    def _http(self) -> URLLib3Session:
        return URLLib3Session(
            verify=os.environ.get("AWS_CA_BUNDLE") or True,
            proxies=get_environ_proxies(self._client.meta.endpoint_url),
            max_pool_connections=CONNECTIONS,
        )
