"""The speech engines, as declarations: no engine is imported, no file searched.

What the command, the template and the settings accept is made from these. A name in the settings is
``auto``, an engine, or ``engine:model`` for an engine of the Whisper family; a model is one of ``MODELS``,
the name of something in the models folder, or a path.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from castline.engines.base import EngineInfo

#: The usual names of Whisper's models, better ones first. The turbo is ahead of the model it was distilled
#: from: it reads nearly as well at an eighth of the time, and on CPUs the time decides.
MODELS = (
    "large-v3-turbo", "distil-large-v3", "large-v3", "large-v2", "distil-large-v2", "large-v1",
    "medium", "medium.en", "distil-medium.en", "small", "small.en", "distil-small.en",
    "base", "base.en", "tiny", "tiny.en",
)  # fmt: skip
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


@dataclass(frozen=True, slots=True)
class Family:
    """An engine of the Whisper family.

    Attributes:
        info: what it can do with a multilingual model; a loaded engine tells what its model can do.
        package: what must be importable.
        prefix, suffix: around a model's name, what its file (or folder) in the models folder is called.
    """

    info: EngineInfo
    package: str
    prefix: str
    suffix: str

    @property
    def id(self) -> str:
        return self.info.id

    def file(self, model: str) -> str:
        """The name of a model's file or folder in the models folder."""
        return f"{self.prefix}{model}{self.suffix}"

    def model(self, file: str) -> str:
        """The model's name, from that of its file or folder."""
        return file.removeprefix(self.prefix).removesuffix(self.suffix)

    def installed(self) -> bool:
        """Whether the engine's package is there; it is not imported to know."""
        return importlib.util.find_spec(self.package) is not None


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


FASTER_WHISPER = Family(
    _whisper("faster-whisper", "faster-whisper, int8", "analyser"), "faster_whisper", "faster-whisper-", ""
)
WHISPER_CPP = Family(_whisper("whisper.cpp", "whisper.cpp", "whisper-cpp"), "pywhispercpp", "ggml-", ".bin")
OPENAI_WHISPER = Family(_whisper("openai-whisper", "openai-whisper", "openai-whisper"), "whisper", "whisper-", ".pt")

#: In the order in which ``auto`` tries them: the fastest on CPUs first.
FAMILIES = (FASTER_WHISPER, WHISPER_CPP, OPENAI_WHISPER)
#: All speech engines, better ones first.
ENGINES: tuple[EngineInfo, ...] = tuple(family.info for family in FAMILIES)

#: What people may write, for help texts and errors.
CHOICES: tuple[str, ...] = ("auto", *(f"{family.id}[:MODEL]" for family in FAMILIES))


def english_only(model: str) -> bool:
    """Whether a model of that name knows no other language (the distilled ones were trained on English alone)."""
    return model.endswith(".en") or model.startswith("distil-")


def names_pattern() -> str:
    """A regular expression that every valid name in the settings matches, and nothing else.

    Without groups that capture and without escapes but ``\\.``, so that CloudFormation (``AllowedPattern``,
    Java) reads it as Python does.
    """
    families = "|".join(family.id.replace(".", "\\.") for family in FAMILIES)
    return f"^(?:auto|(?:{families})(?::.+)?)$"
