"""Castline: who is on screen and what is said, on one timeline.

    from castline import transcribe, recognise, analyse

The names here are public; each is imported when it is first used, so that ``import castline`` costs nothing.
"""

import os
from importlib import import_module

TYPE_CHECKING = False  # importing typing takes longer than all else here
if TYPE_CHECKING:
    from castline.errors import CastlineError
    from castline.library import analyse, recognise, transcribe
    from castline.records import Person, Result, Transcript
    from castline.settings import Settings

__version__ = "0.1.0"

#: Pixels of a photo or frame that may be decoded; phones make 108 million. The header shows the size. OpenCV reads this
#: limit once, when it is loaded, which nothing here does before this; its default is a thousand million.
MAX_PIXELS = 120_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
# ONNX Runtime would report each process to its makers, with an identifier of the machine that it stores in the home
# folder. It reads this variable when it is loaded; its disable_telemetry_events() comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["CastlineError", "Person", "Result", "Settings", "Transcript", "analyse", "recognise", "transcribe"]

_MODULES = {"CastlineError": "errors", "Settings": "settings"} | dict.fromkeys(
    ("analyse", "recognise", "transcribe"), "library"
)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'records')}"), name)
