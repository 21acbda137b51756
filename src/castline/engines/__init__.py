"""Engines: what a detector, an embedder and a transcriber must be able to do, and ours.

``base`` has the interfaces, ``process`` the engines of one process, ``report`` which engines are here and why.
Importing a declaration loads no model library.

The names here are what an engine of another package needs (CONTRIBUTING.md, "Add an engine"); each is imported when it
is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from castline.engines.base import (
        ActiveSpeaker,
        DetectedFace,
        Detector,
        Embedder,
        EngineInfo,
        Speech,
        Transcriber,
        Transcription,
        VoiceEncoder,
    )
    from castline.engines.plugins import Engine
    from castline.engines.speech.declared import Family
    from castline.engines.speech.listening import Hearing, listen
    from castline.engines.thresholds import Thresholds, VoiceThresholds
    from castline.errors import ModelCorrupt, ModelNotFound
    from castline.records import Segment, Word
    from castline.weights.downloads import Download

_MODULES = {
    "Download": "weights.downloads",
    "Engine": "engines.plugins",
    "Family": "engines.speech.declared",
    "Hearing": "engines.speech.listening",
    "ModelCorrupt": "errors",
    "ModelNotFound": "errors",
    "Segment": "records",
    "Thresholds": "engines.thresholds",
    "VoiceThresholds": "engines.thresholds",
    "Word": "records",
    "listen": "engines.speech.listening",
}

__all__ = [
    "ActiveSpeaker", "DetectedFace", "Detector", "Download", "Embedder", "Engine", "EngineInfo", "Family", "Hearing",
    "ModelCorrupt", "ModelNotFound", "Segment", "Speech", "Thresholds", "Transcriber", "Transcription", "VoiceEncoder",
    "VoiceThresholds", "Word", "listen",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"castline.{_MODULES.get(name, 'engines.base')}"), name)
