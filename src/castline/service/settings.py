"""Settings of the service; ``CASTLINE_…`` (``castline.settings``) has the rest: engines, models, ffmpeg."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from castline.errors import SettingsError
from castline.settings import settings

Network = IPv4Network | IPv6Network


def _rule(text: str) -> str:
    if not re.fullmatch(r"\*|[^@=\s]*@[^@=\s]+|[^=\s]+=.+", text):
        raise ValueError(f"{text[:60]!r} is neither *, @domain, name@domain nor claim=value")
    return text


def _gpu(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,3}|(GPU|MIG)-[0-9A-Za-z/-]{1,100}", text):
        raise ValueError(f"{text[:60]!r} is not a GPU's number or name")
    return text


Rule = Annotated[str, AfterValidator(_rule)]
Gpu = Annotated[str, AfterValidator(_gpu)]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServiceSettings(BaseSettings):
    """Configuration of the service. Field ``x_y`` is the variable ``CASTLINE_SERVICE_X_Y``."""

    model_config = SettingsConfigDict(
        env_prefix="CASTLINE_SERVICE_", frozen=True, extra="ignore", populate_by_name=True
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on."""
    keep_alive_s: int = Field(5, ge=1)
    """Seconds for which idle connections stay open; behind a proxy that reuses them, longer than the proxy's own."""
    root: str = ""
    """Path below which a proxy publishes the service (``/asr``)."""
    folder: Path = Field(default_factory=lambda: settings().state_dir / "service")
    """Where the embedded database and temporary files are; by default in the library (``--library``)."""
    database: str = ""
    """SQLAlchemy URL (``postgresql+psycopg://…``); by default SQLite in ``folder``."""
    database_password: str = ""
    """Password for that URL, so that it can be kept separately."""
    journal: Literal["WAL", "DELETE"] = "WAL"
    """SQLite's journal; WAL does not work on network file systems."""

    workers: int = Field(0, ge=0)
    """Processes that transcribe; 0 is one per core, or one per GPU of ``gpus``, or one if engines use a GPU without."""
    gpus: Annotated[tuple[Gpu, ...], NoDecode] = ()
    """GPUs for the workers, separated by commas, as ``nvidia-smi`` numbers or names them (``0,1``); each worker sees
    only one. Needs ``CASTLINE_DEVICE``."""
    job_timeout_s: float = 6 * 3600
    """Longest time a job may take from its start."""
    worker_jobs: int = Field(200, ge=1)
    """Jobs after which a worker is replaced."""
    worker_memory_mb: int = Field(6144, ge=256)
    """Resident memory after a job above which a worker is replaced."""
    worker_idle_s: float = 300
    """Seconds without work after which a worker ends and its memory is freed."""
    lease_s: float = Field(30, ge=1)
    """Seconds without a heartbeat after which a running job is queued again."""

    max_bytes: int = Field(4 * 1024**3, ge=1)
    """Largest input, uploaded or fetched."""
    fetch_timeout_s: float = 1800
    """Longest time that fetching an input may take."""
    redirects: int = Field(5, ge=0)
    """Redirects that are followed for an input."""
    allow: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks to which users' URLs may lead although they are not public, separated by commas (``10.1.0.0/16``)."""

    requests_per_minute: int = Field(1200, ge=1)
    """Requests per minute of one user."""
    queued_per_user: int = Field(2000, ge=1)
    """Waiting jobs of one user."""
    waiting: int = Field(64, ge=1)
    """Requests of all users that may wait for a transcript."""
    unclaimed_s: float = 30 * 24 * 3600
    """Seconds after which a job that nobody fetches is removed."""
    anonymous: bool = False
    """Whether requests without a token are served, as the user ``anonymous``: for machines with a single user."""

    pages_login: Literal["auto", "always"] = "auto"
    """Whether the library's pages require a login: ``auto`` means not if ``host`` is this machine alone and there is no
    ``oidc_issuer``."""
    pages_for: Literal["admins", "everybody"] = "admins"
    """Which users with a token may see the library's pages; changes there need an editor or administrator."""
    pages_refresh_s: float = Field(1, ge=0.05)
    """Least seconds between two looks at what is published; each lists the output bucket."""

    session_key: str = Field("", pattern="^(.{32,})?$")
    """Key with which the pages' sessions are signed, of 32 characters or more; by default a file in ``folder``, for a
    single service."""

    url: str = ""
    """Where browsers find the service (``https://library.example.org``); an OpenID provider sends them back there."""
    oidc_issuer: str = ""
    """OpenID provider with which people may log in, as its discovery document spells it; by default none."""
    oidc_client_id: str = ""
    """The service's client id at the provider."""
    oidc_client_secret: str = ""
    """Secret of that client; empty for a public one."""
    oidc_scopes: str = "openid email profile"
    """Scopes requested from the provider; some need another scope to return groups."""
    oidc_read: Annotated[tuple[Rule, ...], NoDecode] = ()
    """Who may look, separated by commas: ``@example.org`` and ``ada@example.org`` (addresses that the provider has
    verified), ``groups=staff`` (a claim that equals or contains this value), ``*`` (everybody whom the provider lets
    in)."""
    oidc_edit: Annotated[tuple[Rule, ...], NoDecode] = ()
    """Who may also correct, upload and name people."""
    oidc_admin: Annotated[tuple[Rule, ...], NoDecode] = ()
    """Who may also forget people."""
    oidc_session_s: float = Field(12 * 3600, ge=60)
    """Seconds after which people must log in with the provider again; until then, its refusal has no effect."""

    ecs_agent: str = Field("", validation_alias="ECS_AGENT_URI")
    """Where a task on ECS protects itself from being scaled in; set by ECS."""
    metrics_namespace: str = ""
    """CloudWatch namespace for the backlog; by default it is not published."""
    admin_token: str = ""
    """Secret of the user ``admin``, who is created when the service starts."""

    @field_validator("allow", "gpus", "oidc_read", "oidc_edit", "oidc_admin", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value

    @property
    def database_url(self) -> str:
        if not self.database:
            return f"sqlite:///{self.folder.resolve() / 'service.db'}"
        from sqlalchemy import make_url

        url = make_url(self.database)
        if self.database_password:
            url = url.set(password=self.database_password)
        return url.render_as_string(hide_password=False)

    @property
    def pages_need_login(self) -> bool:
        return self.pages_login == "always" or bool(self.oidc_issuer) or self.host not in LOOPBACK

    @property
    def embedded(self) -> bool:
        """Whether the database is this service's alone."""
        return self.database_url.startswith("sqlite")

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite; None for a database in memory, and for others."""
        from sqlalchemy import make_url

        file = make_url(self.database_url).database
        in_memory = not file or file == ":memory:" or file.startswith("file:")
        return None if in_memory or not self.embedded else Path(str(file)).resolve()


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def service_settings() -> ServiceSettings:
    """The process's settings, read once.

    Raises:
        SettingsError: a variable has an invalid value; values are not repeated, as some are secrets.
    """
    try:
        return ServiceSettings()
    except ValidationError as error:
        wrong = (f"CASTLINE_SERVICE_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        raise SettingsError("; ".join(wrong)) from None
