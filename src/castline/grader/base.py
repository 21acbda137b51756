"""Checks: what they get, and how they are made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from castline import display, keys
from castline.errors import CastlineError, EvaluationError, NoBucket
from castline.grader.report import CheckResult, Status
from castline.grader.truth import Truth, TruthTable
from castline.records import ObjectInfo
from castline.workload_generator.load import Job, Load
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.target import Target

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8


@dataclass(slots=True)
class Context:
    """The input of checks. Its methods raise ``NoBucket``, and ``EvaluationError`` if there is nothing to check.

    Attributes:
        folder, jobs: what check 3 uploads, and from where; empty if no folder was given.
        truth: None if there is no ground truth.
        time_limit_s: seconds from the first upload to the last answer.
        pattern, concurrency: of the uploads.
        max_wer: word error rate up to which words get full points.
        on_progress: called from time to time while check 3 waits.
        load: when check 3 ran, and how many of its media files were answered; None before that.
    """

    target: Target
    folder: Path | None = None
    jobs: Sequence[Job] = ()
    truth: TruthTable | None = None
    time_limit_s: float = 300.0
    pattern: Pattern = field(default_factory=Pattern)
    concurrency: int = 8
    max_wer: float = 0.6
    on_progress: Callable[[Load], None] = lambda load: None
    load: tuple[datetime, datetime, int] | None = None

    def inputs(self) -> list[str]:
        """Keys of all media files: those in the input bucket, and those that check 3 was to upload."""
        bucket = self.target.input_bucket
        there = {key for key in self.listing(bucket) if keys.is_media(key)}
        planned = {job.key for job in self.jobs} if self.load else set()
        if not there | planned:
            raise EvaluationError(f"there is no media in {bucket}, so there is nothing to compare with")
        return sorted(there | planned)

    def truths(self) -> dict[str, Truth]:
        """The ground truth by media file: by the uploaded file's name if known, else by its key."""
        if self.truth is None:
            raise EvaluationError("no ground truth to compare with: give --ground_truth")
        files = {job.key: job.path.relative_to(self.folder).as_posix() for job in self.jobs if self.folder}
        return {key: truth for key in self.inputs() if (truth := self.truth.of(files.get(key, key)))}

    def listing(self, bucket: str) -> dict[str, ObjectInfo]:
        """All objects of a bucket by key."""
        return {info.key: info for info in self.target.store.find(bucket)}


@dataclass(frozen=True, slots=True)
class Finding:
    """Attributes:
    share: of the points, 0..1; 1 means that everything is right.
    """

    share: float
    lines: tuple[str, ...] = ()

    @classmethod
    def of(cls, good: float, total: float, lines: Iterable[str] = ()) -> Finding:
        return cls(good / total if total else 0.0, tuple(lines))


@dataclass(frozen=True, slots=True)
class Check:
    """Attributes:
    look: makes the check. Raises ``NoBucket``, which gives no points, and any other error if the check cannot be made.
    """

    number: int
    title: str
    points: int
    look: Callable[[Context], Finding]

    def result(self, status: Status, points: float, lines: Iterable[str], seconds: float = 0.0) -> CheckResult:
        return CheckResult(
            number=self.number,
            title=self.title,
            status=status,
            points=points,
            out_of=self.points,
            seconds=seconds,
            lines=tuple(lines),
        )


def perform(check: Check, context: Context) -> CheckResult:
    """Make one check. Any error in it becomes its result."""
    begin = time.monotonic()
    status: Status | None = None
    try:
        found = check.look(context)
    except NoBucket as missing:
        found = Finding(0.0, (f"the bucket {missing.bucket} does not exist",))
    except Exception as error:  # a grader that crashes on an odd pipeline has no score to show
        found, status = Finding(0.0, (reason(error),)), "error"
    points = math.floor(found.share * check.points * 10 + 1e-9) / 10  # never rounded up to full points
    if status is None:
        status = "passed" if found.share == 1 else "partial" if points else "failed"
    return check.result(status, points, found.lines, round(time.monotonic() - begin, 3))


def reason(error: Exception) -> str:
    """One line about why something could not be done."""
    kind = "" if isinstance(error, CastlineError) else f"{type(error).__name__}: "
    return readable(kind + " ".join(str(error).split()), 300)


def each(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map`` with a few concurrent calls to S3; results in order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(do, items)


def readable(text: str, limit: int = 80) -> str:
    """One printable line of untrusted text: no control characters, not longer than ``limit``."""
    text = "".join(char if char.isprintable() else "�" for char in text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def some(names: Sequence[str], most: int = 5) -> str:
    """``a, b, c and 12 more``."""
    return display.some([readable(name) for name in names], most)


def problems(wrong: Sequence[tuple[str, str]], most: int = 10) -> list[str]:
    """A line for each of the first (name, reason), and one for the others."""
    lines = [f"{readable(name)}: {readable(why, 200)}" for name, why in wrong[:most]]
    if others := [name for name, _ in wrong[most:]]:
        lines.append(f"and {len(others)} more: {some(others)}")
    return lines
