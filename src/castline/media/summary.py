"""What a split produced, known when it is over: from one decode, or from all ranges of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from castline.errors import CastlineError, UndecodableMedia
from castline.media import sampling
from castline.media.ffmpeg import Limits
from castline.media.missing import missing
from castline.media.notices import Told, notices
from castline.media.probe import unreadable
from castline.records import AudioUnit, Frame, FramesUnit, Notice, Options, Probe

_WORDS = {"video": "pictures", "audio": "sound"}


@dataclass
class SplitSummary:
    """What is only known at the end. Filled by ``split`` while it runs.

    Attributes:
        sampled_ms: presentation times of all sampled frames, including dropped near-duplicates.
        frame_units: times of the kept frames of each unit; ``numbers`` are the units' own.
        told: what was seen while decoding.
        failures: why some or all pictures (``video``) or sound (``audio``) are missing.
        error: the error that names what is missing.
    """

    sampling: Literal["interval", "keyframes"] | None = None
    sampled_ms: list[int] = field(default_factory=list)
    frame_units: list[tuple[int, ...]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    audio_units: list[AudioUnit] = field(default_factory=list)
    audio_s: float = 0.0
    told: Told = field(default_factory=Told)
    failures: dict[str, CastlineError] = field(default_factory=dict)
    warnings: list[Notice] = field(default_factory=list)
    error: CastlineError | None = None

    def units(self) -> tuple[FramesUnit | AudioUnit, ...]:
        """All units, frames first, with the time each kept frame stands for."""
        kept = sorted(time for unit in self.frame_units for time in unit)
        until = stands_until(kept, self.sampled_ms)
        frames = tuple(
            FramesUnit(index=index, frames=tuple(Frame(time_ms=time, until_ms=until[time]) for time in unit))
            for index, unit in zip(self.numbers, self.frame_units, strict=True)
        )
        return (*frames, *self.audio_units)

    def duration_s(self, probed: Probe) -> float:
        """Length of the timeline in seconds: the container's, or what was decoded if that is longer."""
        last_frame = self.sampled_ms[-1] / 1000 if self.sampled_ms else 0.0
        return round(max(probed.duration_s or 0.0, last_frame, self.audio_s), 3)


def stands_until(kept: list[int], sampled: list[int]) -> dict[int, int]:
    """For each kept frame (ms) the last sampled time before the next kept one."""
    until = {}
    position = 0
    for this, following in zip_longest(kept, kept[1:]):
        last = this
        while position < len(sampled) and (following is None or sampled[position] < following):
            last = max(last, sampled[position])
            position += 1
        until[this] = last
    return until


def conclude(
    summary: SplitSummary,
    probed: Probe,
    options: Options,
    limits: Limits,
    end_s: float,
    stated_s: Mapping[str, float],
    even: Callable[[], bool],
) -> None:
    """Turn the end of a decode, or of all ranges of one, into an error or warnings.

    Args:
        stated_s: when the pictures (``video``) and the sound (``audio``) end, where that is known of each.
        even: whether pictures come at an even rate.

    Raises:
        CastlineError: nothing could be decoded.
    """
    if not (summary.frame_units or summary.audio_units):
        raise next(
            iter(summary.failures.values()), UndecodableMedia("nothing could be decoded", detail=summary.told.log)
        )
    summary.error = _named(summary.failures, probed)
    summary.told.interval_s = sampling.affordable(options.interval_s, probed.duration_s, limits)
    summary.warnings += notices(probed, options, limits, summary.told, summary, end_s, stated_s)
    interval_s = summary.told.interval_s
    sampled_ms = summary.sampled_ms if summary.sampling == "interval" else []  # keyframes are as far apart as they are
    summary.warnings += missing(probed, sampled_ms, interval_s, summary.audio_units, even)


def _named(failures: dict[str, CastlineError], probed: Probe) -> CastlineError | None:
    """The error that names what is missing; None if nothing is."""
    for kind in _WORDS:
        tracks = [stream for stream in probed.streams if stream.kind == kind and not stream.cover]
        if tracks and not any(stream.decodable for stream in tracks):
            return UndecodableMedia(unreadable(tracks[0]))
    if len(failures) == 1 and probed.video and probed.audio:
        ((kind, failure),) = failures.items()
        return type(failure)(f"the {_WORDS[kind]} could not all be decoded: {failure.message}", detail=failure.detail)
    return next(iter(failures.values()), None)
