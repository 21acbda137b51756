"""Stage 1 of a long recording: how it is cut into ranges, and the outcome of each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from castline.records.base import Count, Failure, Milliseconds, Number, Record, Seconds
from castline.records.options import Options
from castline.records.source import Probe, Source
from castline.records.units import AudioUnit, Usage


class PlannedRange(Record):
    """Pictures from one time to another, or all of the sound.

    Attributes:
        begin, end: slots of the sampling grid, the end exclusive; None is the end of the recording.
        seek_s: a time just after a keyframe before the range; None decodes from the beginning.
        start_s, end_s: its piece of the timeline, for people.
    """

    kind: Literal["frames", "audio"]
    begin: Count = 0
    end: Count | None = None
    seek_s: Number | None = None
    start_s: Seconds = 0.0
    end_s: Seconds


class RangePlan(Record):
    """How a recording is cut. Written before its ranges are requested.

    Attributes:
        sampling: as decided for the whole recording.
        even: whether its pictures come at an even rate.
    """

    run: str
    source: Source
    options: Options
    probe: Probe
    sampling: Literal["interval", "keyframes"]
    ranges: tuple[PlannedRange, ...] = Field(min_length=1)
    even: bool = Field(False, exclude_if=lambda even: not even)
    attempt: Count = 1
    usage: Usage


class RangeBytes(Record):
    """The request for a range.

    Attributes:
        spans: first byte and the one after the last, for each piece of the file that it needs; empty for the whole
            file.
    """

    spans: tuple[tuple[Count, Count], ...] = ()


class RangeDone(Record):
    """The outcome of a range. Written last, after its units.

    Attributes:
        frames: presentation times of the kept frames of each unit.
        audio: all chunks of sound.
        audio_s: where the sound ends on the clock.
        errors, error_count, cancelled_s, noise_s, sound_capped, left_out: the basis of warnings (``media.notices``).
        other_sizes: why frames of other sizes are missing.
        error: why some of it is missing.
        attempt: how many attempts were completed.
    """

    sampled_ms: tuple[Milliseconds, ...] = ()
    frames: tuple[tuple[Milliseconds, ...], ...] = ()
    audio: tuple[AudioUnit, ...] = ()
    audio_s: Seconds = 0.0
    errors: tuple[str, ...] = ()
    error_count: Count = 0
    cancelled_s: Seconds = 0.0
    noise_s: Seconds = Field(0.0, exclude_if=lambda seconds: not seconds)
    sound_capped: bool = False
    left_out: Count = 0
    other_sizes: Failure | None = None
    error: Failure | None = None
    attempt: Count = 1
    usage: Usage
