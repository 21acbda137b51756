"""Engines as plug-ins: what an engine must declare, and how the installed ones are found.

An engine is a class derived from ``Engine``, named by an entry point of the group ``castline.engines`` in its package;
Castline's own are found the same way (``pyproject.toml``). CONTRIBUTING.md has an example. Modules that entry points
name are imported to list engines, so they import no model library at the top level.
"""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aws_lambda_powertools import Logger

from castline.engines.base import ActiveSpeaker, Detector, Embedder, EngineInfo, Transcriber, VoiceEncoder
from castline.errors import ModelError, ModelNotFound
from castline.weights.downloads import DOWNLOADS, Download

if TYPE_CHECKING:
    from castline.engines.thresholds import Thresholds, VoiceThresholds
    from castline.settings import Settings

logger = Logger(child=True)

GROUP = "castline.engines"
#: The roles of engines, in the order in which a recording passes them.
ROLES = ("detector", "embedder", "transcriber", "voice_encoder", "active_speaker")
#: Roles that a recording needs only if their work is requested.
OPTIONAL = ("voice_encoder", "active_speaker")


Loaded = Detector | Embedder | Transcriber | VoiceEncoder | ActiveSpeaker


class Engine(ABC):
    """One engine: what it is, where its weights are, and how it is loaded.

    Attributes:
        info: the declaration; its id is the name people write in the settings (``id`` or ``id:argument``).
        rank: place among the engines of its role that ``auto`` tries, lowest first; None: only if named.
        thresholds: for an embedder, the cosine similarities at which its embeddings are trusted.
        downloads: files that ``castline models fetch`` gets, by their name: the id, or the id with an argument
            (``parrot:small``). They are put into the models folder atomically, with their digest checked.
        same_voice: for a voice encoder, the mean cosine similarity of their windows from which on two stretches of
            speech are one voice.
        voice_thresholds: for a voice encoder, the cosine similarities at which a voice is an enrolled person's; without
            them, it names nobody.
    """

    info: EngineInfo
    rank: int | None = None
    thresholds: Thresholds | None = None
    same_voice: float | None = None
    downloads: Mapping[str, tuple[Download, ...]] = {}
    voice_thresholds: VoiceThresholds | None = None
    #: What may follow the id and a colon in the settings, for people: ``MODEL``, ``FILE``; empty for nothing.
    argument: ClassVar[str] = "FILE"

    @property
    def id(self) -> str:
        return self.info.id

    @abstractmethod
    def survey(self, settings: Settings) -> EngineInfo:
        """The declaration, with where the weights would come from on this machine (``source``), and why (``reason``).

        Loads and downloads nothing. No source: not available, and the reason says what is missing.
        """

    @abstractmethod
    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> Loaded:
        """The engine, ready to work; its ``info`` says where it came from.

        Args:
            argument: what follows the id in the settings; empty for the usual weights.
            asked: whether it was named. Only then may anything be downloaded.

        Raises:
            ModelNotFound: what it needs is not available.
            ModelCorrupt: the weights are there, but are not what they should be.
        """

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        """Prepare what ``load`` needs, so that two processes do not do it at the same time.

        Raises:
            ModelNotFound, ModelCorrupt: as ``load``.
        """
        found = self.survey(settings)
        if not argument and not found.source:
            raise ModelNotFound(f"{self.info.title}: {found.reason}")

    def files(self, settings: Settings) -> list[Path]:
        """The files from which it is loaded; empty if it is not available."""
        source = self.survey(settings).source
        path = Path(source) if source else None
        if path is None or not path.exists():
            return []
        return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def registered(role: str) -> tuple[Engine, ...]:
    """All installed engines of a role: first those that ``auto`` tries, best first; then the others by id."""
    found = [engine for engine in _all() if engine.info.role == role]
    return tuple(sorted(found, key=lambda engine: (engine.rank is None, engine.rank or 0, engine.id)))


def find_engine(engine_id: str) -> Engine:
    """The installed engine with an id.

    Raises:
        ModelNotFound: there is none.
    """
    for engine in _all():
        if engine.id == engine_id:
            return engine
    raise ModelNotFound(f"there is no engine {engine_id!r}")


def thresholds_for(model: str) -> Thresholds:
    """The thresholds for an embedder id as written into parts, without the digest of its weights at the end.

    Raises:
        ModelError: no installed engine declares any for this id.
    """
    declared = {engine.id: engine.thresholds for engine in registered("embedder") if engine.thresholds}
    found = declared.get(model) or declared.get(model.rpartition("-")[0])
    if found is None:
        raise ModelError(f"no similarity thresholds are known for the embedder {model!r}")
    return found


def downloads() -> dict[str, tuple[Download, ...]]:
    """The available downloads by name: ours, and those that other packages' engines declare under their own ids."""
    own = {
        name: tuple(files)
        for engine in _all()
        for name, files in engine.downloads.items()
        if name.partition(":")[0] == engine.id and files
    }
    return own | DOWNLOADS


@lru_cache(maxsize=1)
def _all() -> tuple[Engine, ...]:
    """All engines that entry points name; one that cannot be imported is left out, and the log says why."""
    found: dict[str, Engine] = {}
    points = importlib.metadata.entry_points(group=GROUP)
    # Ours first: another engine cannot take the place of one by using its name.
    for point in sorted(points, key=lambda point: (not point.value.startswith("castline."), point.name)):
        engine = _loaded(point)
        if engine is None:
            continue
        if engine.id in found:
            logger.warning("an engine is left out: its id is taken", engine=engine.id, entry_point=point.value)
            continue
        found[engine.id] = engine
    if not found:
        raise ModelNotFound(
            f"no engine is registered: the metadata of Castline's package is not installed (group {GROUP})"
        )
    return tuple(found.values())


def _loaded(point: importlib.metadata.EntryPoint) -> Engine | None:
    try:
        named: Any = point.load()
        engine = named() if isinstance(named, type) else named
    except Exception as error:  # third-party code
        logger.warning("an engine is left out: it cannot be imported", entry_point=point.value, reason=repr(error))
        return None
    if not isinstance(engine, Engine) or engine.info.role not in ROLES:
        logger.warning("an engine is left out: it is not an engine", entry_point=point.value)
        return None
    return engine
