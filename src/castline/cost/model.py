"""Estimates what a run uses, before it is made or if it did not run on Lambda. Right within a factor of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from castline.records import Options, Usage, VideoStream

#: Lambda gives one vCPU for this much memory (docs.aws.amazon.com/lambda, "Configuring function memory").
MB_PER_VCPU = 1769

# Work of the stages in vCPU-seconds, measured with the demo and the benchmarks (docs/BENCHMARKS.md).
_DECODE_PER_MEGAPIXEL = 0.0015  # H.264: an hour of 1080p30 took 286 s at 2048 MB, 2.9 hours of it 840 s
#: In addition, if the size of the file is known (docs/BENCHMARKS.md, "4K"): decoding bits takes as long as pixels do.
_DECODE_PER_MEGABIT = {"h264": 0.013, "hevc": 0.05}
#: Factors for other codecs, relative to H.264 (docs/BENCHMARKS.md, "Decoding by codec").
_CODECS = {"vp9": 0.9, "av1": 1.5, "mpeg4": 0.8, "mpeg2video": 0.65, "mjpeg": 0.6, "prores": 3.3}
_KEYFRAMES = 1 / 9  # of the work, if only keyframes are decoded
_USUAL_FPS = 30.0
# For a proxy, on top of a full decode: 20 s of MPEG-2 in 720p took 4.2 vCPU-seconds, 0.5 of them to decode.
_PROXY_PER_MEGAPIXEL, _PROXY_LONG_SIDE, _PROXY_MOST_S = 0.012, 960, 120.0
_FRAME = 0.07  # detect and embed, one or two faces
_SPEECH_PER_S = 0.16  # per second of audio, Whisper base in int8 with random weights; the embedded tiny.en takes 0.06
_VOICES_PER_S = 0.09  # of sound, if voices are told apart: finding speech, and embedding it (docs/VOICES.md)
#: Watching mouths, per second of film with one face and speech half of the time; and writing the small pictures.
_MOUTHS_PER_S, _MOTION_PER_S = 0.08, 0.04
_INVOCATION_S = {"split": 0.2, "faces": 0.5, "speech": 0.5, "mouths": 0.0}  # overhead of each
#: Seconds until a new environment works: imports, and for the analyser its models.
_INIT_S = {"split": 1.0, "faces": 2.0, "speech": 3.2}
#: How many vCPUs a stage can keep busy.
_PARALLEL = {"split": 2.0, "faces": 2.0, "speech": 1.0, "mouths": 2.0}

#: The assumption about a film of which only the length is known.
USUAL_FILM = VideoStream(codec="h264", width=1280, height=720, fps=_USUAL_FPS)


@dataclass(frozen=True)
class Sizes:
    """The parameters of a deployment that determine its price; the defaults are the template's.

    Attributes:
        executions: concurrent ones of one function; a new account has 10.
    """

    splitter_mb: int = 2048
    analyser_mb: int = 3008
    splitter_disk_mb: int = 10240
    analyser_disk_mb: int = 1024
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    orchestration: str = "queue"
    executions: int = 10

    def disk_mb(self, stage: str) -> int:
        return self.splitter_disk_mb if stage == "split" else self.analyser_disk_mb


def estimate(
    duration_s: float, options: Options, film: VideoStream | None, *, audio: bool, sizes: Sizes, proxied: bool = False
) -> tuple[list[Usage], int]:
    """Estimate what a run will use.

    Args:
        duration_s: length of the media in seconds.
        film: the decoded video; None for sound alone.
        proxied: whether a proxy is made for browsers.

    Returns:
        Usages and the number of units, for ``cost_of``. Usages of the stage ``init`` are starts of environments: as
        many as there are concurrent units, all of them new.
    """

    def usage(stage: str, work: float, memory_mb: int) -> Usage:
        seconds = _INVOCATION_S[stage] + work / min(memory_mb / MB_PER_VCPU, _PARALLEL[stage])
        return Usage(stage=stage, seconds=round(seconds, 3), memory_mb=memory_mb)

    frames = math.ceil(duration_s / options.interval_s) if film else 0
    batches = math.ceil(frames / options.frames_per_unit)
    chunks = math.ceil(duration_s / options.chunk_s) if audio else 0
    splitting = decode_work(duration_s, options, film) + (proxy_work(duration_s, film) if proxied else 0.0)
    usages = [usage("split", splitting, sizes.splitter_mb)]
    usages += [usage("faces", frames / batches * _FRAME, sizes.analyser_mb) for _ in range(batches)]
    heard = _speech_per_s(options)
    usages += [usage("speech", duration_s / chunks * heard, sizes.analyser_mb) for _ in range(chunks)]
    if film and audio and options.speakers == "auto":
        usages.append(usage("mouths", duration_s * _MOUTHS_PER_S, sizes.analyser_mb))
    starts = ["split", *(["faces"] * batches + ["speech"] * chunks)[: sizes.executions]]
    memory = {"split": sizes.splitter_mb}
    usages += [
        Usage(stage="init", seconds=_INIT_S[stage], memory_mb=memory.get(stage, sizes.analyser_mb)) for stage in starts
    ]
    return usages, batches + chunks


def decode_work(duration_s: float, options: Options, film: VideoStream | None, megabits: float = 0.0) -> float:
    """vCPU-seconds of decoding, by size, frame rate and codec of the film.

    Args:
        megabits: of the film, if known.
    """
    if film is None:
        return 0.0
    megapixels = film.width * film.height / 1e6 * (film.fps or _USUAL_FPS) * duration_s
    watched = options.speakers == "auto"
    share = _KEYFRAMES if options.sampling == "keyframes" and not watched else 1.0
    decoded = megapixels * _DECODE_PER_MEGAPIXEL * _CODECS.get(film.codec, 1.0)
    decoded += megabits * _DECODE_PER_MEGABIT.get(film.codec, 0.0)
    return decoded * share + (duration_s * _MOTION_PER_S if watched else 0.0)


def proxy_work(duration_s: float, film: VideoStream | None) -> float:
    """vCPU-seconds of a proxy: H.264 is copied, and a proxy that exceeds its time limit is given up."""
    if film is None or (film.codec == "h264" and not film.hdr):
        return 0.0
    fps = min(film.fps or _USUAL_FPS, _USUAL_FPS)
    scale = min(1.0, _PROXY_LONG_SIDE / max(film.width, film.height, 1))
    encoded = film.width * film.height * scale**2 / 1e6 * fps * duration_s
    whole = decode_work(duration_s, Options(sampling="interval"), film) + encoded * _PROXY_PER_MEGAPIXEL
    return min(whole, _PROXY_MOST_S * _PARALLEL["split"])


def decode_seconds(
    duration_s: float, options: Options, film: VideoStream | None, memory_mb: int, megabits: float = 0.0
) -> float:
    """Seconds that a splitter of this size needs to decode in one piece."""
    return decode_work(duration_s, options, film, megabits) / min(memory_mb / MB_PER_VCPU, _PARALLEL["split"])


def work(duration_s: float, options: Options) -> tuple[float, float, float]:
    """vCPU-seconds of splitting a typical film, of one full unit of its frames, and of one of its sound."""
    return (
        _INVOCATION_S["split"] + decode_work(duration_s, options, USUAL_FILM),
        _INVOCATION_S["faces"] + options.frames_per_unit * _FRAME,
        _INVOCATION_S["speech"] + options.chunk_s * _speech_per_s(options),
    )


def _speech_per_s(options: Options) -> float:
    return _SPEECH_PER_S + (0.0 if options.speakers == "off" else _VOICES_PER_S)


def throttled_tries(usages: list[Usage], sizes: Sizes, at_once: int = 40, between_s: float = 60.0) -> int:
    """Attempts of a state machine that find no free execution; each is a billed transition.

    Args:
        at_once: concurrent items of the Map (statemachine/run.asl.json).
        between_s: mean wait between two attempts of an item, which grows up to two minutes with full jitter.
    """
    units = [usage.seconds for usage in usages if usage.stage in ("faces", "speech")]
    waiting = max(0, min(at_once, len(units)) - sizes.executions)
    return round(waiting * sum(units) / sizes.executions / between_s) if waiting else 0
