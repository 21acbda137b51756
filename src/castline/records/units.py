"""Stage 1: frames, chunks, and the manifest that declares a set of them complete."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from castline.records.base import SCHEMA_VERSION, Count, Failure, Milliseconds, Notice, Number, Record, Seconds
from castline.records.options import Options
from castline.records.source import Probe, Source


class Frame(Record):
    """One kept frame.

    Attributes:
        time_ms: presentation time, and its name in the unit's zip (``000012480.jpg``).
        until_ms: presentation time of the last sampled frame that looked the same and was dropped;
            equals ``time_ms`` if none was.
    """

    time_ms: Milliseconds
    until_ms: Milliseconds

    @property
    def name(self) -> str:
        return f"{self.time_ms:09d}.jpg"


class _Unit(Record):
    kind: str
    index: Count

    @property
    def name(self) -> str:
        """``frames-0000``: unique within the run; the same as ``keys.UnitId.name``."""
        return f"{self.kind}-{self.index:04d}"


class FramesUnit(_Unit):
    kind: Literal["frames"] = "frames"
    frames: tuple[Frame, ...] = Field(min_length=1)


class AudioUnit(_Unit):
    """Attributes:
    start_s, end_s: the piece of the media's timeline the chunk covers.
    hard_cut: whether the chunk ends in sound, because no silence was near the target length.
    level_db: level of its loudest second, dB below full scale; None in older manifests.
    """

    kind: Literal["audio"] = "audio"
    start_s: Seconds
    end_s: Seconds
    hard_cut: bool = False
    level_db: Number | None = None


Unit = Annotated[FramesUnit | AudioUnit, Field(discriminator="kind")]


class Usage(Record):
    """What one invocation took: wall time in seconds, and the memory it is billed for.

    Attributes:
        stage: ``split``, ``faces`` or ``speech``.
        steps: seconds by step within the stage.
        elsewhere: whether it did not run on Lambda, so that its seconds say nothing about Lambda's.
    """

    stage: str
    seconds: Seconds
    memory_mb: Count
    steps: dict[str, Seconds] = Field(default_factory=dict)
    elsewhere: bool = False


class Manifest(Record):
    """The output of the splitter. Written last, it declares the set of units complete.

    Attributes:
        attempt: how many times the upload was split; more than once after a temporary error.
        ranges: the usage of each range, if it was cut.
    """

    schema_version: int = SCHEMA_VERSION
    run: str
    source: Source
    options: Options
    probe: Probe | None
    duration_s: Seconds | None = None
    sampling: Literal["interval", "keyframes"] | None = None
    sample_times_ms: tuple[Milliseconds, ...] = ()
    units: tuple[Unit, ...]
    warnings: tuple[Notice, ...] = ()
    error: Failure | None = None
    attempt: Count = 1
    usage: Usage
    ranges: tuple[Usage, ...] = ()

    @property
    def media(self) -> str:
        return self.source.key
