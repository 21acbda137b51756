"""What a run costs on AWS: from what it used, or estimated before. Prices are constants with source and date.

Sources: aws.amazon.com/lambda/pricing and aws.amazon.com/s3/pricing, us-east-1, x86, without free
tier or volume discounts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from castline.records import Cost, CostItem, Options, Usage
from castline.report import VIEWS

PRICES_AS_OF = "2025-06"
LAMBDA_GB_SECOND_USD = 0.0000166667
LAMBDA_REQUEST_USD = 0.20 / 1_000_000
S3_PUT_USD = 0.005 / 1_000
S3_GET_USD = 0.0004 / 1_000
S3_STORAGE_GB_MONTH_USD = 0.023
#: Lambda gives one vCPU for this much memory (docs.aws.amazon.com/lambda, "Configuring function memory").
MB_PER_VCPU = 1769
#: Objects of a result beside its parts: its views, and a crop or two.
_OBJECTS = VIEWS + 2

# Work of the stages in vCPU-seconds, measured with the demo and the benchmarks (docs/BENCHMARKS.md): an
# estimate before anything is known of a media file but its length.
_DECODE_PER_S = 0.03  # of video, 720p
_FRAME = 0.07  # detect and embed, one or two faces
_SPEECH_PER_S = 0.16  # of audio, Whisper base in int8 with random weights; the embedded tiny.en takes 0.06
_START_S = {"split": 0.2, "faces": 0.5, "speech": 0.5}  # of each invocation, without work
#: How many vCPUs a stage can keep busy.
_PARALLEL = {"split": 2.0, "faces": 2.0, "speech": 1.0}


def work(duration_s: float, options: Options) -> tuple[float, float, float]:
    """vCPU-seconds of splitting a media file, of one full unit of its frames, and of one of its sound."""
    return (
        _START_S["split"] + duration_s * _DECODE_PER_S,
        _START_S["faces"] + options.frames_per_unit * _FRAME,
        _START_S["speech"] + options.chunk_s * _SPEECH_PER_S,
    )


def estimate(
    duration_s: float, options: Options, *, video: bool, audio: bool, splitter_mb: int, analyser_mb: int
) -> tuple[list[Usage], int]:
    """What a run will use, by rule of thumb: expect it within a factor of two.

    Args:
        duration_s: length of the media in seconds.
        splitter_mb, analyser_mb: memory of the two functions; it decides how fast they are, and what a
            second costs.

    Returns:
        Usages and the number of units, as ``cost_of`` takes them.
    """

    def usage(stage: str, work: float, memory_mb: int) -> Usage:
        seconds = _START_S[stage] + work / min(memory_mb / MB_PER_VCPU, _PARALLEL[stage])
        return Usage(stage=stage, seconds=round(seconds, 3), memory_mb=memory_mb)

    frames = math.ceil(duration_s / options.interval_s) if video else 0
    batches = math.ceil(frames / options.frames_per_unit)
    chunks = math.ceil(duration_s / options.chunk_s) if audio else 0
    usages = [usage("split", duration_s * _DECODE_PER_S if video else 0.0, splitter_mb)]
    usages += [usage("faces", frames / batches * _FRAME, analyser_mb) for _ in range(batches)]
    usages += [usage("speech", duration_s / chunks * _SPEECH_PER_S, analyser_mb) for _ in range(chunks)]
    return usages, batches + chunks


def cost_of(usages: Sequence[Usage], units: int, stored_bytes: int = 0) -> Cost:
    """Compute, requests and storage of one run.

    Args:
        usages: one per invocation.
        units: stage-1 objects; each is written once, read once, and leaves one part.
        stored_bytes: the upload, kept for a month. What stays longer costs the same every month; stage-1
            and results are small beside it.
    """
    gb_seconds = sum(usage.seconds * usage.memory_mb / 1024 for usage in usages)
    puts = 2 * units + 1 + _OBJECTS
    gets = 2 * units + 2
    items = (
        CostItem(
            what="Lambda compute", quantity=round(gb_seconds, 3), unit="GB-s", usd=gb_seconds * LAMBDA_GB_SECOND_USD
        ),
        CostItem(what="Lambda requests", quantity=len(usages), unit="requests", usd=len(usages) * LAMBDA_REQUEST_USD),
        CostItem(what="S3 writes", quantity=puts, unit="requests", usd=puts * S3_PUT_USD),
        CostItem(what="S3 reads", quantity=gets, unit="requests", usd=gets * S3_GET_USD),
        CostItem(
            what="S3 storage of the upload, one month",
            quantity=round(stored_bytes / 1e9, 6),
            unit="GB-month",
            usd=stored_bytes / 1e9 * S3_STORAGE_GB_MONTH_USD,
        ),
    )
    rounded = tuple(item.model_copy(update={"usd": round(item.usd, 8)}) for item in items)
    return Cost(usd=round(sum(item.usd for item in items), 6), items=rounded, prices_as_of=PRICES_AS_OF)
