"""Warnings about a split: one typed warning for each reason why it is incomplete or degraded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from castline.errors import CastlineError
from castline.media.ffmpeg import Ffmpeg, Limits
from castline.records import Notice, Options, Probe, Stream

_SHORT_S, _SHORT_SHARE = 1.0, 0.05
_LONG_S = 10.0  # one picture is enough for a shorter video


class Summary(Protocol):
    """What the notices need to know of a ``SplitSummary``."""

    sampled_ms: list[int]
    audio_s: float

    @property
    def frame_units(self) -> list[tuple[int, ...]]: ...


@dataclass
class Told:
    """What was seen while decoding.

    Attributes:
        errors: ffmpeg's first errors; ``error_count`` is how many there were.
        interval_s: the interval that was used for sampling.
        cancelled_s: seconds in which the channels cancelled each other.
        noise_s: seconds in which a channel of noise was left out.
        left_out: frames left out because there were too many sizes.
        other_sizes: why frames of other sizes are missing.
    """

    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    log: str = ""
    interval_s: float = 0.0
    cancelled_s: float = 0.0
    noise_s: float = 0.0
    sound_capped: bool = False
    left_out: int = 0
    other_sizes: CastlineError | None = None

    def hear(self, process: Ffmpeg) -> None:
        self.errors += process.errors
        self.error_count += process.error_count
        self.log = process.log

    def forget(self) -> None:
        """What comes next is decoded from the start."""
        self.errors, self.error_count = [], 0


def notices(
    probed: Probe,
    options: Options,
    limits: Limits,
    told: Told,
    summary: Summary,
    end_s: float,
    stated_s: Mapping[str, float],
) -> list[Notice]:
    """The warnings of one split, in the order of its steps.

    Args:
        end_s: nothing was decoded after it.
        stated_s: when the pictures (``video``) and the sound (``audio``) end, where that is known of each.
    """
    return [
        *_streams(probed, options),
        *_capped(options, limits, told, summary, end_s),
        *_damage(probed, told, summary),
        *_short(probed, limits, told, summary, min(end_s, probed.duration_s or 0.0), stated_s),
    ]


def _streams(probed: Probe, options: Options) -> Iterator[Notice]:
    if probed.followed:
        message = "only the first recording in this file was read; others follow it (files joined byte by byte?)"
        yield Notice(code="recordings_passed_over", message=message)
    tracks = [stream for stream in probed.streams if stream.kind == "audio"]
    if options.audio_track and tracks:
        asked = tracks[options.audio_track - 1] if options.audio_track <= len(tracks) else None
        if asked is None or not asked.used:
            why = asked.note if asked else f"there {'is' if len(tracks) == 1 else 'are'} {len(tracks)}"
            yield Notice(code="option_ignored", message=f"sound track {options.audio_track} was not heard: {why}")
    for kind, word in (("audio", "sound track"), ("video", "video track")):
        same = [stream for stream in probed.streams if stream.kind == kind and not stream.cover]
        taken = next((number for number, stream in enumerate(same, 1) if stream.used), None)
        passed = [f"{number} ({_described(stream)})" for number, stream in enumerate(same, 1) if not stream.used]
        if taken and passed:
            this = f"{word} {taken} ({_described(same[taken - 1])})"
            message = f"{this} was taken of {len(same)}, not {', '.join(passed)}"
            yield Notice(code="streams_passed_over", message=message[:500])


def _described(stream: Stream) -> str:
    return ", ".join(part for part in (stream.codec, stream.language, stream.note) if part)


def _capped(options: Options, limits: Limits, told: Told, summary: Summary, end_s: float) -> Iterator[Notice]:
    sampled = summary.sampled_ms
    if sampled and told.interval_s > options.interval_s:
        message = f"a frame every {told.interval_s:g} s was looked at, not every {options.interval_s:g} s: the limit"
        yield Notice(code="capped", message=message)
    if len(sampled) >= limits.max_frames:
        message = f"only the first {len(sampled)} frames, up to {sampled[-1] / 1000:.1f} s, were looked at: the limit"
        yield Notice(code="capped", message=message, start_s=sampled[-1] / 1000)
    if told.left_out:
        message = f"{told.left_out} frames were left out: the picture changed its size too often"
        yield Notice(code="capped", message=message)
    if told.other_sizes:
        message = f"frames of another size than the first are missing: {told.other_sizes.message}"
        yield Notice(code="no_frames", message=message)
    reached = max(summary.audio_s, sampled[-1] / 1000 + told.interval_s if sampled else 0.0)
    if told.sound_capped or reached >= end_s:
        message = f"only the first {min(reached, end_s):.1f} s were taken: the limit"
        yield Notice(code="capped", message=message, start_s=round(min(reached, end_s), 3))
    if told.cancelled_s >= 1:
        message = f"for {told.cancelled_s:.0f} s the channels cancel each other when mixed; the louder one was heard"
        yield Notice(code="channels_cancel", message=message)
    if told.noise_s >= 1:
        message = f"for {told.noise_s:.0f} s one channel is loud noise; the other one alone was heard"
        yield Notice(code="noisy_channel", message=message)


def _damage(probed: Probe, told: Told, summary: Summary) -> Iterator[Notice]:
    if told.errors:
        more = f" (and {told.error_count - 1} more)" if told.error_count > 1 else ""
        message = f"damaged input, decoded as far as possible: {told.errors[0][:200]}{more}"
        yield Notice(code="damaged_input", message=message)
    if probed.video and not summary.frame_units:
        yield Notice(code="no_frames", message="the video stream gave no frame")
    if probed.audio and not summary.audio_s:
        yield Notice(code="no_sound", message="the audio stream gave no sound")
    expected = probed.duration_s or 0.0
    if len(summary.sampled_ms) == 1 and max(expected, summary.audio_s) > max(_LONG_S, 5 * told.interval_s):
        message = f"one picture stands for all {max(expected, summary.audio_s):.1f} s: there is no other"
        yield Notice(code="one_frame", message=message)


def _short(
    probed: Probe, limits: Limits, told: Told, summary: Summary, expected: float, stated_s: Mapping[str, float]
) -> Iterator[Notice]:
    """What of the file, or of its pictures or its sound alone, is missing at the end.

    Sampled frames end up to one step early, a picture that stands still may have no other to come, pictures and sound
    may differ in length, and a track that was passed over may be the longest: only all there is of sound, or an error,
    proves a short decode.
    """
    seen_s = summary.sampled_ms[-1] / 1000 if summary.sampled_ms else 0.0
    reached = max(summary.audio_s, seen_s)
    all_of_it = probed.audio and all(stream.used for stream in probed.streams if stream.kind == "audio")
    slack = _slack(expected) + (0.0 if probed.audio else told.interval_s)
    if (all_of_it or told.errors) and expected - reached > slack:
        message = f"the file says {expected:.1f} s, but only {reached:.1f} s could be decoded"
        yield Notice(code="short_decode", message=message, start_s=round(reached, 3), end_s=round(expected, 3))
        expected = reached
    if not told.errors:
        return
    end_s = min(expected, stated_s.get("video", expected))
    # As far apart as they were before, keyframes and changing pictures may be again.
    gap_s = max([told.interval_s, *((after - before) / 1000 for before, after in pairwise(summary.sampled_ms))])
    if 1 < len(summary.sampled_ms) < limits.max_frames and end_s - seen_s - gap_s > _slack(end_s):
        yield _ends("pictures", seen_s + told.interval_s, end_s)
    end_s = min(expected, stated_s.get("audio", expected))
    if summary.audio_s and not told.sound_capped and end_s - summary.audio_s > _slack(end_s):
        yield _ends("sound", summary.audio_s, end_s)


def _slack(length_s: float) -> float:
    return max(_SHORT_S, _SHORT_SHARE * length_s)


def _ends(what: str, at_s: float, end_s: float) -> Notice:
    message = f"the {what} could be decoded only up to {at_s:.1f} s, not up to {end_s:.1f} s"
    return Notice(code="short_decode", message=message, start_s=round(at_s, 3), end_s=round(end_s, 3), about=what)
