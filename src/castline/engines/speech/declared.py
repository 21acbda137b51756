"""The speech engines, as declarations: no engine is imported, and no file is searched for.

What the command, the template and the settings accept is made from these. A name in the settings is
``auto``, an engine, or ``engine:model`` for an engine of the Whisper family; a model is one of ``MODELS``,
the name of something in the models folder, or a path.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from castline.engines.base import EngineInfo, Transcriber
from castline.engines.plugins import Engine, registered

if TYPE_CHECKING:
    from castline.settings import Settings

#: The usual names of Whisper's models, better ones first. The turbo is ahead of the model it was distilled
#: from: it is nearly as accurate in an eighth of the time, and on CPUs time decides.
MODELS = (
    "large-v3-turbo", "distil-large-v3", "large-v3", "large-v2", "distil-large-v2", "large-v1",
    "medium", "medium.en", "distil-medium.en", "small", "small.en", "distil-small.en",
    "base", "base.en", "tiny", "tiny.en",
)  # fmt: skip
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


@dataclass(frozen=True)
class Family(Engine):
    """An engine of the Whisper family: windows of sound in, words out; ``listening`` does the rest.

    Attributes:
        info: what it can do with a multilingual model; a loaded engine says what its own model can do.
        package: what must be importable.
        prefix, suffix: around a model's name, what its file (or folder) in the models folder is called.
        transcriber: ``module:class`` of what is loaded, called with a path, ``threads`` and ``info``, and with
            ``device`` if that is not the processor.
    """

    info: EngineInfo
    package: str
    prefix: str
    suffix: str
    transcriber: str
    rank: int | None = None
    argument: ClassVar[str] = "MODEL"

    def file(self, model: str) -> str:
        """The name of a model's file or folder in the models folder."""
        return f"{self.prefix}{model}{self.suffix}"

    def model(self, file: str) -> str:
        """The model's name, from that of its file or folder."""
        return file.removeprefix(self.prefix).removesuffix(self.suffix)

    def installed(self) -> bool:
        """Whether the engine's package is there (checked without importing it)."""
        return importlib.util.find_spec(self.package) is not None

    def is_there(self, path: Path) -> bool:
        """Whether a model's file, or its folder with all that belongs there, exists."""
        return path.is_file()

    def build(self, path: Path, *, threads: int, device: str = "cpu", info: EngineInfo) -> Transcriber:
        """Load a model."""
        module, _, name = self.transcriber.partition(":")
        more = {} if device == "cpu" else {"device": device}
        loaded: Transcriber = getattr(importlib.import_module(module), name)(path, threads=threads, info=info, **more)
        return loaded

    def survey(self, settings: Settings) -> EngineInfo:
        from castline.engines.speech.find import survey

        return survey(self, settings.models_dir)

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        from castline.engines.speech.choose import ensure_model

        if argument and self.installed():
            ensure_model(self, argument, settings.models_dir)

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> Transcriber:
        from castline.engines.speech.choose import load_asked

        return load_asked(self, argument, settings)


class _FasterWhisper(Family):
    def is_there(self, path: Path) -> bool:
        from castline.engines.speech.faster_whisper_engine import missing_files

        return not missing_files(path)


def _whisper(engine_id: str, title: str, extra: str) -> EngineInfo:
    return EngineInfo(
        id=engine_id,
        role="transcriber",
        title=f"Whisper ({title})",
        licence="MIT",
        languages=("*",),
        word_times=True,
        translates=True,
        prompts=True,
        extra=extra,
    )


_HERE = "castline.engines.speech"
# Ranks: the fastest on CPUs first.
FASTER_WHISPER = _FasterWhisper(
    _whisper("faster-whisper", "faster-whisper, int8", "analyser"),
    "faster_whisper", "faster-whisper-", "", f"{_HERE}.faster_whisper_engine:FasterWhisperTranscriber", 10,
)  # fmt: skip
WHISPER_CPP = Family(
    _whisper("whisper.cpp", "whisper.cpp", "whisper-cpp"),
    "pywhispercpp", "ggml-", ".bin", f"{_HERE}.whisper_cpp_engine:WhisperCppTranscriber", 20,
)  # fmt: skip
OPENAI_WHISPER = Family(
    _whisper("openai-whisper", "openai-whisper", "openai-whisper"),
    "whisper", "whisper-", ".pt", f"{_HERE}.openai_whisper_engine:OpenAIWhisperTranscriber", 30,
)  # fmt: skip


def families() -> tuple[Family, ...]:
    """The installed engines of the Whisper family, in the order in which ``auto`` tries them."""
    return tuple(engine for engine in registered("transcriber") if isinstance(engine, Family))


def english_only(model: str) -> bool:
    """Whether a model of that name knows no other language (the distilled ones were trained on English alone)."""
    return model.endswith(".en") or model.startswith("distil-")
