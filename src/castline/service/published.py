"""Reads the configuration file of the published queue as this service's settings (docs/SERVICE.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from castline.engines.speech.declared import OPENAI_WHISPER, WHISPER_CPP
from castline.errors import ServiceError
from castline.gate.private import private_folder
from castline.service.settings import ServiceSettings
from castline.settings import Settings

_MAX_BYTES = 64 * 1024
#: Below the file's ``models_dir``: the folder of an engine, and the names of its models there.
_MODELS = ((WHISPER_CPP, "whisper.cpp", "ggml-", ".bin"), (OPENAI_WHISPER, "openai-whisper", "", ".pt"))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Server(_Part):
    host: str | None = None
    port: int = Field(8000, ge=0, le=65535)
    root: Path | None = None


class _Files(_Part):
    database: Path = Path("var/transcription.db")
    log_dir: Path = Path("var")
    models_dir: Path = Path("models")
    users: Path = Path("etc/users.txt")


class _File(_Part):
    server: _Server = _Server()
    files: _Files = _Files()


@dataclass(frozen=True, slots=True)
class Published:
    """The content of such a file as our settings."""

    service: ServiceSettings
    settings: Settings
    users: Path


def read_published(path: Path, service: ServiceSettings, settings: Settings) -> Published:
    """Both settings, changed by a file of the form ``server: {host, port, root}``, ``files: {database, log_dir,
    models_dir, users}``.

    Relative paths start at ``root``, or else at the current folder. The jobs' database is our own, in the folder of
    ``database``, whose file is not touched; nothing is written to ``log_dir`` (logs go to standard error). Without
    ``host``, the service listens on this machine only, not on every address. Models are found below ``models_dir`` as
    the published server keeps them; if it has none, those of this machine are used.

    Raises:
        ServiceError: the file cannot be read, or has another form.
    """
    try:
        with path.open("rb") as file:
            body = file.read(_MAX_BYTES + 1)
        if len(body) > _MAX_BYTES:
            raise ServiceError(f"{path} is larger than {_MAX_BYTES // 1024} KiB")
        asked = _File.model_validate(yaml.safe_load(body) or {})
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ServiceError(f"{path}: {wrong}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ServiceError(f"{path} is not YAML", detail=str(error)) from error
    root = asked.server.root or Path.cwd()
    files = asked.files
    folder = (root / files.database).parent / "castline"
    service = service.model_copy(
        update={"host": asked.server.host or service.host, "port": asked.server.port, "folder": folder}
    )
    models = _linked(root / files.models_dir, folder / "models")
    return Published(
        service,
        settings.model_copy(update={"models_dir": models}) if models else settings,
        root / files.users,
    )


def _linked(published: Path, ours: Path) -> Path | None:
    """A folder with a link to each published model, under the name our engines use; None if there are no models."""
    found = {
        ours / engine.file(path.name.removeprefix(prefix).removesuffix(suffix)): path.resolve()
        for engine, folder, prefix, suffix in _MODELS
        for path in sorted((published / folder).glob(f"{prefix}*{suffix}"))
        if path.is_file()
    }
    if not found:
        return None
    private_folder(ours)
    for old in ours.iterdir():
        if old.is_symlink():
            old.unlink()
    for link, path in found.items():
        link.symlink_to(path)
    return ours
