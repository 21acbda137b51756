"""All errors of Castline, as one tree.

    CastlineError
    ├── MediaError                    the input itself; never retryable
    │   ├── NotMedia                  empty, text, or nothing a demuxer knows
    │   ├── ForbiddenMedia            a container that refers to other files or to the network
    │   ├── NoStreams                 a container without a video or an audio stream we can use
    │   ├── MediaTooLarge             beyond a limit on bytes, pixels or duration
    │   ├── FfmpegTimeout             beyond the limit on time; once more would take as long
    │   └── UndecodableMedia          streams are there, but nothing could be decoded
    ├── UnreadableObject              an object of a bucket whose bytes are not what they should be; never retryable
    │   └── EventError                an event of no kind we know
    ├── OptionsError                  a sidecar with an unknown key or value; never retryable
    ├── MessageError                  a message of WhatsApp whose media nobody will ever get; never retryable
    ├── SettingsError                 an environment variable that cannot be what it says; never retryable
    ├── UnitError                     a stage-1 object that cannot be read; never retryable
    ├── GalleryError                  a photo or a name that cannot be enrolled; never retryable
    ├── CorrectionError               a correction that cannot be made; never retryable
    │   └── CorrectionConflict        somebody else changed it meanwhile
    ├── EvaluationError               data that cannot be evaluated; never retryable
    ├── SearchError                   a search that cannot be understood, or takes too long; never retryable
    ├── ModelError                    weights or engines
    │   ├── ModelNotFound             not at the path, not in the folder, not bundled, not from the hub
    │   │   └── NoSpeechEngine        no speech model at all, and none was asked for by name
    │   ├── ModelCorrupt              the file is there and is not what it should be
    │   └── DeviceMissing             no GPU, or a library that cannot use it
    ├── KeyLayoutError                a key outside the S3 layout, or a name that would escape it
    ├── ResourceError                 memory or disk ran out; retryable
    │   └── DiskFull
    ├── StorageError                  S3 refused; retryable
    │   └── NoBucket                  a bucket that does not exist
    ├── ServiceError                  the transcription service (castline serve); never retryable
    │   ├── AddressRefused            a URL that leads to where the service may not go
    │   ├── LoginRefused              an OpenID provider's answer that lets nobody in
    │   ├── TransferFailed            an input that could not be fetched, or an output that could not be sent
    │   └── UrlExpired                a presigned URL whose server answers 403
    └── LocalStackError               the stack on this machine did not start or lost its wiring
        └── RequestRefused            the gate of that stack did not let a request through

``code`` is stable and goes into results; the message is one readable line for the user; ``detail``
(stderr, tracebacks) is for the log and for the expandable part of a report.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class CastlineError(Exception):
    """Root of the tree.

    Attributes:
        code: stable snake_case identifier, written to results and metrics.
        retryable: whether the same call may succeed later. The platform retries a stage that
            raises a retryable error; any other error becomes a result at once.
        detail: multi-line context for the log; empty if the message is sufficient.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail

    @property
    def message(self) -> str:
        return str(self.args[0])


class MediaError(CastlineError):
    code = "media"
    retryable = False


class NotMedia(MediaError):
    code = "not_media"


class ForbiddenMedia(MediaError):
    code = "forbidden_media"


class NoStreams(MediaError):
    code = "no_streams"


class MediaTooLarge(MediaError):
    code = "media_too_large"


class FfmpegTimeout(MediaError):
    code = "ffmpeg_timeout"


class UndecodableMedia(MediaError):
    code = "undecodable_media"


class UnreadableObject(CastlineError):
    code = "unreadable"
    retryable = False


class EventError(UnreadableObject):
    code = "event"


class OptionsError(CastlineError):
    code = "options"
    retryable = False


class MessageError(CastlineError):
    """Attributes:
    reason: stable snake_case identifier, written into the message's object.
    """

    code = "message"
    retryable = False

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class SettingsError(CastlineError):
    code = "settings"
    retryable = False


class UnitError(CastlineError):
    code = "unit_unreadable"
    retryable = False


class GalleryError(CastlineError):
    code = "gallery"
    retryable = False


class CorrectionError(CastlineError):
    code = "correction"
    retryable = False


class CorrectionConflict(CorrectionError):
    code = "correction_conflict"


class EvaluationError(CastlineError):
    code = "evaluation"
    retryable = False


class SearchError(CastlineError):
    code = "search"
    retryable = False


class ModelError(CastlineError):
    code = "model"
    retryable = False


class ModelNotFound(ModelError):
    code = "model_not_found"


class NoSpeechEngine(ModelNotFound):
    code = "no_speech_engine"


class ModelCorrupt(ModelError):
    code = "model_corrupt"


class DeviceMissing(ModelError):
    code = "device_missing"


class KeyLayoutError(CastlineError):
    code = "key_layout"
    retryable = False


class ResourceError(CastlineError):
    code = "resource"


class DiskFull(ResourceError):
    code = "disk_full"


class StorageError(CastlineError):
    code = "storage"


class NoBucket(StorageError):
    code = "no_bucket"

    def __init__(self, message: str, *, bucket: str) -> None:
        super().__init__(message)
        self.bucket = bucket


class ServiceError(CastlineError):
    code = "service"
    retryable = False


class AddressRefused(ServiceError):
    code = "address_refused"


class LoginRefused(ServiceError):
    code = "login_refused"


class TransferFailed(ServiceError):
    code = "transfer_failed"


class UrlExpired(ServiceError):
    code = "url_expired"


class LocalStackError(CastlineError):
    code = "local_stack"
    retryable = False


class RequestRefused(LocalStackError):
    """Attributes:
    aws_code: AWS's error code, which clients see.
    status: HTTP status of the answer.
    """

    code = "request_refused"

    def __init__(self, message: str, *, aws_code: str = "AccessDenied", status: int = 403) -> None:
        super().__init__(message)
        self.aws_code = aws_code
        self.status = status


#: Code of a failure that the platform gave up on after its retries.
OUT_OF_RETRIES = "retries_exhausted"


def may_pass(code: str) -> bool:
    """Whether a failure with this code may succeed another time."""
    return code == OUT_OF_RETRIES or any(kind.code == code for kind in _kinds(CastlineError) if kind.retryable)


def _kinds(root: type[CastlineError]) -> Iterator[type[CastlineError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
