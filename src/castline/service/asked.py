"""Requests and answers of the queue: the published fields and words."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator


def _installed(engine: str, info: ValidationInfo) -> str:
    """Refuse the name of an engine that is not installed, unless the request was accepted before (``ACCEPTED``)."""
    if info.context != ACCEPTED and engine not in _names():
        raise ValueError(f"there is no engine {engine!r}; there are: {', '.join(_names())}")
    return engine


def _names() -> tuple[str, ...]:
    from castline.service.engines import engine_names  # clients use this module, too, and have no need of engines

    return engine_names()


#: The validation context of a stored request, whose engine may have been removed meanwhile.
ACCEPTED = "accepted"
#: As published, ours, and those of other packages.
Engine = Annotated[
    str,
    Field(max_length=100, json_schema_extra=lambda schema: schema.update(enum=[*_names()])),
    AfterValidator(_installed),
]
State = Literal["queued", "running", "canceled", "finished", "error", "expired"]
Format = Literal["json", "vtt", "txt", "csv", "meta"]
#: HTTP statuses after which another attempt may succeed.
PASSING = frozenset({429, 500, 502, 503, 504})
#: Share of the sound that a running job has heard, from 0 to 1; a header, as the published fields are complete.
PROGRESS = "Castline-Progress"
#: Final states.
ENDED: tuple[State, ...] = ("canceled", "finished", "error", "expired")

QUEUED = "Job has been queued"
STARTED = "Transcription started"
FINISHED = "Transcription has completed successfully"
CANCELED = "Job has been canceled"
INPUT_EXPIRED = "The Presigned URL has likely expired"
DIED_TWICE = "The worker process died twice on this job"

# Long enough for every presigned URL, short enough for a row.
Url = Annotated[str, Field(max_length=8192, pattern=r"^https?://[^\s/]+\S*$")]
Priority = Annotated[int, Field(ge=0, le=2)]


class Outputs(BaseModel):
    """Where to PUT the outputs; at least one of ``json_url``, ``vtt_url`` and ``txt_url``."""

    json_url: Url | None = None
    vtt_url: Url | None = None
    txt_url: Url | None = None
    csv_url: Url | None = None
    meta_url: Url | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.json_url or self.vtt_url or self.txt_url):
            raise ValueError("at least one of json_url, vtt_url and txt_url is needed")
        return self

    def of(self, format_: Format) -> str | None:
        url: str | None = getattr(self, f"{format_}_url")
        return url


class JobOptions(BaseModel):
    """Attributes:
    engine: also decides the format of the outputs: only ``openai-whisper`` and ``whisper.cpp`` have their own.
    language: ``auto``, or a BCP-47 code that the model knows.
    model: a usual name (``small``); by default the published engines' ``small.en`` for English if it is here, or else
        the server's own choice.
    priority: here because the published client puts it here; the job's own takes precedence.
    """

    engine: Engine = "openai-whisper"
    language: str = Field("en", pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")
    model: str | None = Field(None, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    input: Url
    outputs: Outputs
    priority: Priority | None = None

    @model_validator(mode="after")
    def _csv(self) -> Self:
        if self.outputs.csv_url and self.engine == "openai-whisper":
            raise ValueError("csv_url is whisper.cpp's")
        return self


class JobRequest(BaseModel):
    """The body of a new job; unknown fields are ignored.

    Attributes:
        notification_type: ``poll`` keeps a job until it is fetched; ``expire`` for ``expiration`` seconds after its
            end; ``url`` likewise, and PUTs it to ``notification_url`` until that answers 200.
    """

    version: Literal["1"] = "1"
    notification_type: Literal["poll", "expire", "url"] = "poll"
    notification_url: Url | None = None
    expiration: float = Field(3600.0, ge=0, le=1e9, allow_inf_nan=False)
    priority: Priority | None = None
    options: JobOptions

    @model_validator(mode="after")
    def _whom(self) -> Self:
        if self.notification_type == "url" and not self.notification_url:
            raise ValueError("notification_type url needs a notification_url")
        return self

    @property
    def rank(self) -> int:
        asked = self.priority if self.priority is not None else self.options.priority
        return 1 if asked is None else asked


class JobView(BaseModel):
    """A job as clients see it. Times are seconds since 1970, 0.0 for events that have not happened yet."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    owner: str
    state: State
    message: str
    media_length: float
    language_used: str
    request: str
    queue_time: float
    start_time: float
    finish_time: float
    processing_time: float
    url_notified: bool
    priority: int


class Ok(BaseModel):
    ok: bool = True


def view(job: Any) -> JobView:
    return JobView.model_validate(job)
