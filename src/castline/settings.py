"""Castline's settings: an environment variable each, with its meaning.

The template sets these on the functions; on a laptop the defaults are the local stack's. The transcription service has
more of its own (``service/settings.py``), and the command's errors read ``CASTLINE_DEBUG`` (``cli/connect.py``).
Variables that others define (AWS's, ``PATH``, ``TMPDIR``) are read where they are needed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AliasChoices, BaseModel, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from castline.errors import SettingsError
from castline.records import Options

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PYTHON_MB = 192  # what the splitter itself needs of its function's memory
_LAPTOP_MB = 4096
_UNITS_MB = 384  # of the disk, for units waiting for upload: 20 units of 30 frames, of half a megabyte at the very most


class Settings(BaseSettings, Options):
    """Configuration of one process: the defaults of every run's options, and the following.

    Field ``x_y`` is the variable ``CASTLINE_X_Y`` unless stated otherwise; lists are separated by commas.
    """

    model_config = SettingsConfigDict(
        env_prefix="CASTLINE_", frozen=True, extra="ignore", populate_by_name=True, enable_decoding=False
    )

    prefix: str = "castline"
    """Prefix of the bucket names, and of the stack."""
    input_bucket: str = ""
    """Bucket of the media; default ``<prefix>-input``."""
    stage1_bucket: str = ""
    """Bucket of manifests and units; default ``<prefix>-stage-1``."""
    output_bucket: str = ""
    """Bucket of parts and results; default ``<prefix>-output``."""
    gallery_bucket: str = ""
    """Bucket of enrolled photos; default ``<prefix>-gallery``."""

    models_dir: Path = Path.home() / ".cache" / "castline" / "models"
    """Folder of model files, searched before anything bundled."""
    model_storage: Literal["image", "efs", "s3"] = "image"
    """Whether ``models_dir`` comes with the image, is a mounted file system, or is filled from S3 at the first unit."""
    model_bucket: str = ""
    """Bucket from which model files are copied; by default the gallery bucket."""
    model_prefix: str = ".models/"
    """Folder of the model files in that bucket, with a slash at its end; its SHA256SUMS lists them."""
    min_face_px: int = Field(40, ge=12)
    """Smallest face to look for, pixels of the analysed frame."""
    threads: int = Field(0, ge=0)
    """Threads of one model session; 0 means the cores this process may use, at most 4."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """What engines compute on: the processor, a GPU (CUDA), or a GPU where the engine's library sees one. Never run on
    a GPU; Lambda has none."""

    ffmpeg: str = "ffmpeg"
    """The ffmpeg program: a name on PATH (Lambda puts the layer's /opt/bin there) or a path."""
    ffmpeg_timeout_s: float = Field(840.0, gt=0)
    """Wall-clock limit of one ffmpeg process. Lambda allows 900 s for the whole invocation."""
    timeout_s: float = Field(900.0, gt=0)
    """Seconds one invocation of the splitter may take; the template's SplitterTimeout."""
    ffmpeg_memory_mb: int = Field(0, ge=0)
    """Address space of one ffmpeg process in MB; 0 means the function's memory, less what Python needs."""
    max_bytes: int = Field(10 * 1024**3, ge=1)
    """Largest media; Lambda's ephemeral storage ends at 10 GiB. See ``largest_upload``."""
    disk_mb: int = Field(0, ge=0)
    """Temporary disk of the splitter, MB, which media must fit (SplitterStorage of the template); 0 sets no limit."""
    max_pixels: int = Field(8192 * 4320, ge=1)
    """Largest coded picture, width x height."""
    max_duration_s: float = Field(12 * 3600, gt=0)
    """Longest media. If a file does not say how long it is, only this much is decoded."""
    cut_above_s: float = Field(600.0, ge=0, le=43200)
    """Length from which a recording of 1920x1080 is cut into ranges that are decoded in parallel; less for more pixels.
    0 cuts none. The results are the same."""
    proxy_s: float = Field(120.0, ge=0, le=840)
    """Seconds that the splitter may take to make a copy for browsers of a recording that they do not play; 0 makes
    none."""
    max_frames: int = Field(50_000, ge=1)
    """Most frames sampled from one media file; the interval is widened if there would be more."""
    max_units: int = Field(2_000, ge=1)
    """Most stage-1 objects of one kind (frames, audio) of one media file."""
    max_cost_usd: float = Field(0.0, ge=0)
    """Most US dollars that one media file may cost on AWS; what would cost more is refused before it is decoded. An
    estimate, right within a factor of two, with the template's memory. 0 sets no limit: a typical hour costs cents, and
    the limits above bound it, too."""

    splitter_function: str = "video-splitting"
    """Name of the deployed splitter; lost events are sent to it again."""
    analyser_function: str = "face-recognition"
    """Name of the deployed analyser."""
    function_name: str = Field("local", validation_alias="AWS_LAMBDA_FUNCTION_NAME")
    """Name of the running function; set by Lambda."""
    memory_mb: int = Field(1024, ge=1, validation_alias="AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    """Memory of the running function in MB; set by Lambda."""
    elsewhere: bool = False
    """Whether the function runs on a machine other than Lambda's; set by the local stack's host."""
    profile: Literal["full", "classic"] = Field(
        "full", validation_alias=AliasChoices("PIPELINE_PROFILE", "CASTLINE_PROFILE")
    )
    """``full``, or ``classic`` for the contract of the course project (docs/ARCHITECTURE.md)."""

    orchestration: Literal["queue", "events", "invoke", "stepfunctions"] = "events"
    """What carries uploads and units to the functions: queues, S3's events, the splitter's own invocations, or a state
    machine. The template's default is ``queue``."""
    retry_s: float = Field(15.0, ge=0, le=900)
    """Seconds before a failed message of a queue is delivered again; doubled each time, at most an hour."""
    unknown_name: str = "Unknown"
    """What the classic profile writes for a stranger, or if there is no face."""

    transcript_layout: Literal["beside", "flat"] = "beside"
    """``flat`` also writes ``week1/video1.txt`` for ``week1/video1.mp4``, with times, as the batch transcriber did."""
    batch_marker: str = ""
    """Key of the object that starts what was uploaded before it; by default, every upload starts by itself."""
    batch_machine: str = ""
    """ARN of the state machine that a marker starts; by default, the listener lists the bucket itself."""
    results_topic: str = ""
    """ARN of the SNS topic to which published results are also announced; by default, only EventBridge."""
    webhook_url: str = ""
    """URL to which published results are posted."""
    webhook_secret: str = ""
    """Name or ARN of the Secrets Manager secret that signs the posts."""

    whatsapp_numbers: tuple[str, ...] = ()
    """Ids (AWS's or Meta's) of the WhatsApp phone numbers whose messages are processed; others are ignored."""
    whatsapp_salt: str = ""
    """Name or ARN of the secret with which senders' numbers are hashed in names of objects; by default, they are
    plain."""
    whatsapp_reply: bool = False
    """Whether a voice note is answered with its transcript."""
    whatsapp_endpoint: str = ""
    """Endpoint of AWS End User Messaging Social; by default AWS's own."""

    state_dir: Path = Field(default_factory=lambda: default_library())
    """The library, where the local stack keeps its objects and logs; by default one per user (``--library``)."""
    archive: str = ""
    """Where the index of all recordings is: a PostgreSQL URL (docs/ARCHIVE.md); by default a file in the library."""
    port: int = Field(4566, ge=0, le=65535)
    """Port of the local AWS endpoint."""

    @field_validator("hotwords", "whatsapp_numbers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("language", "prompt", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        """Treat an empty variable as unset: a template cannot omit a variable."""
        return value or None

    def model_post_init(self, _context: object) -> None:
        for field, suffix in (
            ("input_bucket", "input"),
            ("stage1_bucket", "stage-1"),
            ("output_bucket", "output"),
            ("gallery_bucket", "gallery"),
        ):
            if not getattr(self, field):
                object.__setattr__(self, field, f"{self.prefix}-{suffix}")

    @property
    def ffmpeg_memory(self) -> int:
        """Address space of one ffmpeg process, MB; off Lambda, ``memory_mb`` says nothing about the machine."""
        has = _LAPTOP_MB if self.function_name == "local" else self.memory_mb - _PYTHON_MB
        return self.ffmpeg_memory_mb or has

    @property
    def off_lambda(self) -> bool:
        """Whether seconds measured here say nothing about Lambda."""
        return self.elsewhere or self.function_name == "local"

    @property
    def largest_upload(self) -> int:
        """Bytes of the largest media: ``max_bytes``, or what fits on the splitter's disk beside its units."""
        room = max(self.disk_mb - _UNITS_MB, self.disk_mb // 4) * 1024**2
        return min(self.max_bytes, room) if self.disk_mb else self.max_bytes

    def options(self) -> Options:
        """The deployment's defaults for one run."""
        return Options(**{name: getattr(self, name) for name in Options.model_fields})


def default_library() -> Path:
    """``.castline`` in the working directory if it exists, else in the user's data folder."""
    here = Path(".castline")
    if here.is_dir():
        return here
    try:
        from platformdirs import user_data_path
    except ModuleNotFoundError:  # inside a function, which has no home folder
        return here
    return user_data_path("castline")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once.

    Raises:
        SettingsError: a variable has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(map(_problem, error.errors())), detail=str(error)) from error


@lru_cache(maxsize=1)
def tolerant_settings() -> Settings:
    """As ``settings``, but a variable that cannot be read counts as unset, for the recorder that has to report it."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = {_field(problem) for problem in error.errors()}
        return Settings(**{name: Settings.model_fields[name].get_default() for name in wrong})


def variable(field: str) -> str:
    """The environment variable of a field of ``Settings``."""
    alias = Settings.model_fields[field].validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [alias or f"CASTLINE_{field.upper()}"]
    return str(names[0])


def variables() -> set[str]:
    """Every environment variable that ``Settings`` reads."""
    aliases = (field.validation_alias for field in Settings.model_fields.values())
    more = {str(name) for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices}
    return more | {variable(field) for field in Settings.model_fields}


def written(value: object) -> str:
    """The value of a setting, written as in a variable or template parameter."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)


def _field(problem: ErrorDetails) -> str:
    """The field that an error is about; pydantic names the alias."""
    where = str(problem["loc"][0])
    return next((field for field in Settings.model_fields if where in (field, variable(field))), where)


def _problem(problem: ErrorDetails) -> str:
    field = _field(problem)
    given = str(problem["input"])[:60]
    why = f"{problem['msg'][0].lower()}{problem['msg'][1:]}{range_of(field, Settings)}"
    return f"{variable(field)}={given}: {why}"


def range_of(name: str, model: type[BaseModel] = Options) -> str:
    """`` (0.01 to 3600)`` for a number with two bounds."""
    bounds = model.model_json_schema()["properties"].get(name, {})
    return f" ({bounds['minimum']} to {bounds['maximum']})" if {"minimum", "maximum"} <= bounds.keys() else ""
