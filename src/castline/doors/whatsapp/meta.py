"""AWS End User Messaging Social: fetches media from WhatsApp, and answers.

Checked against botocore's model of the service: ``destinationS3File.key`` is a prefix, and neither the name nor the
metadata of the object can be chosen.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from castline import aws
from castline.errors import MessageError, ResourceError
from castline.settings import Settings

_MEDIA_ID = re.compile(r"[A-Za-z0-9]{1,100}")
_API_VERSION = "v20.0"
_MAX_TEXT = 4096  # characters of a text message
#: Permanent errors, and their names in the message's object.
_FOR_GOOD = {
    "AccessDeniedByMetaException": "access_denied_by_meta",
    "ResourceNotFoundException": "media_expired",
    "InvalidParametersException": "media_refused",
    "ValidationException": "media_refused",
}


class Social(Protocol):
    """The two calls of boto3's ``socialmessaging`` client that are used here."""

    def get_whatsapp_message_media(self, **arguments: Any) -> dict[str, Any]: ...
    def send_whatsapp_message(self, **arguments: Any) -> dict[str, Any]: ...


@lru_cache(maxsize=2)
def social(endpoint: str) -> Any:
    """A client; with an endpoint, of a service with the same protocol."""
    return aws.client("socialmessaging", endpoint=endpoint or None)


def fetch(media_id: str, number: str, prefix: str, client: Social, settings: Settings) -> None:
    """Have the service write a media file below a prefix of the input bucket.

    Raises:
        MessageError: it will never arrive: Meta refuses, it has expired, or there is no such id.
        ResourceError: another attempt may succeed.
    """
    if not _MEDIA_ID.fullmatch(media_id):
        raise MessageError(f"{media_id[:40]!r} is not the id of a media file", reason="media_refused")
    try:
        client.get_whatsapp_message_media(
            mediaId=media_id,
            originationPhoneNumberId=number,
            destinationS3File={"bucketName": settings.input_bucket, "key": prefix},
        )
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _FOR_GOOD:
            raise MessageError(f"WhatsApp does not give the media: {error}"[:500], reason=_FOR_GOOD[code]) from error
        raise ResourceError(f"the media could not be fetched: {error}") from error
    except BotoCoreError as error:
        raise ResourceError(f"the media could not be fetched: {error}") from error


def answer(to: str, message_id: str, text: str, number: str, client: Social) -> None:
    """Answer a message with a text.

    Raises:
        MessageError: it is refused permanently.
        ResourceError: another attempt may succeed.
    """
    body = {
        "messaging_product": "whatsapp",
        "to": to,
        "type": "text",
        "context": {"message_id": message_id},
        "text": {"body": text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"},
    }
    try:
        client.send_whatsapp_message(
            originationPhoneNumberId=number, message=json.dumps(body).encode(), metaApiVersion=_API_VERSION
        )
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code", "")) in _FOR_GOOD:
            raise MessageError(f"WhatsApp does not take the answer: {error}"[:500], reason="answer_refused") from error
        raise ResourceError(f"the answer could not be sent: {error}") from error
    except BotoCoreError as error:
        raise ResourceError(f"the answer could not be sent: {error}") from error
