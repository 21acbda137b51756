"""The checks of both profiles, and the three with which both begin."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from castline.errors import EvaluationError, NoBucket
from castline.grader import answers, classic, full
from castline.grader.base import Check, Context, Finding, readable, some
from castline.workload_generator.load import run_load


def check_functions(context: Context) -> Finding:
    """Both functions are deployed under their names, and ready to be invoked."""
    wanted = (context.target.splitter, context.target.analyser)
    wrong = {name: why for name in wanted if (why := _function_problem(context.target.lambda_, name))}
    return Finding.of(len(wanted) - len(wrong), len(wanted), (f"{name}: {wrong.get(name, 'there')}" for name in wanted))


def _function_problem(lambda_: Any, name: str) -> str:
    """Why a function cannot be invoked; empty if it can."""
    try:
        found = lambda_.get_function(FunctionName=name)["Configuration"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return "does not exist"
        raise
    state = found.get("State") or "Active"  # emulators omit the state
    if state in ("Active", "Inactive"):  # an inactive function has not been used for long, and wakes up
        return ""
    why = f"{state}: {found['StateReason']}" if found.get("StateReason") else state
    return f"is there, but its state is {readable(why, 200)}"


def check_buckets(context: Context) -> Finding:
    """The three buckets exist, and they are empty: half of the points for each."""
    target, lines, good = context.target, [], 0
    for bucket in target.buckets:
        try:
            first = next(target.store.find(bucket), None)
        except NoBucket:
            lines.append(f"{bucket}: does not exist")
            continue
        good += 1 if first else 2
        lines.append(f"{bucket}: not empty, it has {readable(first.key)}" if first else f"{bucket}: there, empty")
    return Finding.of(good, 2 * len(target.buckets), lines)


def check_end_to_end(context: Context) -> Finding:
    """Upload everything and wait: the share of media files with a good answer in time."""
    if not context.jobs:
        raise EvaluationError("nothing to upload: give --testcase_folder")
    limit, start = context.time_limit_s, datetime.now(UTC)
    context.load = (start, start, 0)  # from here on there may be media, even if this is interrupted
    load = run_load(
        context.target, context.jobs, context.pattern, context.concurrency, limit, context.on_progress, within_s=limit
    )
    if load.interrupted:
        raise KeyboardInterrupt
    good = len(load.good)
    context.load = (start, datetime.now(UTC), good)
    lines = [f"{good} of {len(load.rows)} answered within {limit:g} s; {load.duration_s:.1f} s in all"]
    if seconds := load.latency_s:
        lines.append(f"from upload to answer: median {seconds['p50']:.1f} s, longest {seconds['max']:.1f} s")
    others: dict[str, list[str]] = defaultdict(list)
    for row in load.rows:
        if row.status != "ok":
            others[row.why or row.status].append(row.key)
    lines += [f"{len(files)}: {readable(why, 160)}: {some(files)}" for why, files in others.items()]
    return Finding.of(good, len(load.rows), lines)


#: The checks of a deployment; points add up to 100. Check 2 comes before check 3, which uploads.
CHECKS = {
    "classic": (
        Check(1, "both functions exist", 10, check_functions),
        Check(2, "the three buckets exist and start empty", 10, check_buckets),
        Check(3, "every video is answered within the time limit", 20, check_end_to_end),
        Check(4, "stage-1 holds exactly one JPEG per video", 20, classic.check_stage1),
        Check(5, "output holds exactly one short text per video", 20, classic.check_output),
        Check(6, "the names are right", 20, classic.check_names),
    ),
    "full": (
        Check(1, "both functions exist", 10, check_functions),
        Check(2, "the three buckets exist and start empty", 10, check_buckets),
        Check(3, "every media file is answered within the time limit", 20, check_end_to_end),
        Check(4, "every media file has a valid result of its current upload", 20, full.check_results),
        Check(5, "every subtitle file parses and no cues overlap", 10, full.check_subtitles),
        Check(6, "the people and the words are right", 20, answers.check_people_and_words),
        Check(7, "people, words and timeline agree with each other", 10, full.check_timelines),
    ),
}
