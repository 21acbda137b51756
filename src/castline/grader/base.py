"""What a check is, what it looks at, and how one is made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from castline import keys
from castline.errors import CastlineError, NoBucket
from castline.grader.objects import CannotCheck, listing, readable
from castline.grader.report import CheckResult, Status
from castline.grader.truth import Truth, TruthTable
from castline.workload_generator.load import Job, Progress
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.target import Target


@dataclass(slots=True)
class Context:
    """What checks look at.

    Attributes:
        folder, jobs: what check 3 uploads, and from where; empty when no folder was given.
        truth: None when there is no ground truth.
        time_limit_s: seconds from the first upload to the last answer.
        pattern, concurrency: of the uploads.
        max_wer: word error rate up to which words count as right.
        on_progress: called every now and then while check 3 waits.
        secrets: what must not appear in any line.
        load: when check 3 ran, and how many of its media files were answered; None before it.
    """

    target: Target
    folder: Path | None = None
    jobs: Sequence[Job] = ()
    truth: TruthTable | None = None
    time_limit_s: float = 300.0
    pattern: Pattern = field(default_factory=Pattern)
    concurrency: int = 8
    max_wer: float = 0.6
    on_progress: Callable[[Progress], None] = lambda progress: None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    load: tuple[datetime, datetime, int] | None = None

    def inputs(self) -> list[str]:
        """Keys of all media files: those in the input bucket, and those that were to be uploaded.

        Raises:
            NoBucket: there is no input bucket.
            CannotCheck: there are none.
        """
        there = {key for key in listing(self.target.store, self.target.input_bucket) if keys.is_media(key)}
        planned = {job.key for job in self.jobs} if self.load else set()
        if not there | planned:
            raise CannotCheck(f"there is no media in {self.target.input_bucket}, so there is nothing to compare with")
        return sorted(there | planned)

    def truths(self) -> dict[str, Truth]:
        """The ground truth by media: by the file it was uploaded from where that is known, else by its key.

        Raises:
            NoBucket, CannotCheck: as ``inputs``, or there is no ground truth at all.
        """
        if self.truth is None:
            raise CannotCheck("no ground truth to compare with: give --ground_truth")
        files = {job.key: job.path.relative_to(self.folder).as_posix() for job in self.jobs if self.folder}
        return {key: truth for key in self.inputs() if (truth := self.truth.of(files.get(key, key)))}


@dataclass(frozen=True, slots=True)
class Finding:
    """Attributes:
    share: of the points, 0..1; 1 is all right.
    """

    share: float
    lines: tuple[str, ...] = ()

    @classmethod
    def of(cls, good: float, total: float, lines: Iterable[str] = ()) -> Finding:
        return cls(good / total if total else 0.0, tuple(lines))


@dataclass(frozen=True, slots=True)
class Check:
    """Attributes:
    look: finds out; raises when it cannot.
    """

    number: int
    title: str
    points: int
    look: Callable[[Context], Finding]


def perform(check: Check, context: Context) -> CheckResult:
    """Make one check. Whatever goes wrong in it is its result."""
    begin = time.monotonic()
    status: Status | None = None
    try:
        found = check.look(context)
    except NoBucket as missing:
        found = Finding(0.0, (f"the bucket {missing.bucket} does not exist",))
    except Exception as error:  # a grader that dies on an odd pipeline has no score to show
        found, status = Finding(0.0, (reason(error, context.secrets),)), "error"
    share = min(max(found.share, 0.0), 1.0)
    points = math.floor(share * check.points * 10 + 1e-9) / 10  # never rounded up to full points
    if status is None:
        status = "passed" if share == 1 else "partial" if points else "failed"
    return CheckResult(
        number=check.number,
        title=check.title,
        status=status,
        points=points,
        out_of=check.points,
        seconds=round(time.monotonic() - begin, 3),
        lines=tuple(_without(context.secrets, line) for line in found.lines),
    )


def reason(error: Exception, secrets: Sequence[str] = ()) -> str:
    """One line that tells why something could not be done."""
    if isinstance(error, (CannotCheck, CastlineError)):
        text = str(error.args[0])
    elif isinstance(error, ClientError):
        said = error.response.get("Error", {})
        text = f"{error.operation_name} was refused: {said.get('Code', '')}, {said.get('Message', '')}"
    elif isinstance(error, (BotoCoreError, OSError)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return readable(" ".join(_without(secrets, text).split()), 300)


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
