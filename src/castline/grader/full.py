"""The full profile: a valid result per media file, readable subtitles, and a consistent timeline."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable

from castline import keys
from castline.assembly.assemble import timeline_of
from castline.errors import UnreadableObject
from castline.grader.base import Context, Finding, each, problems, some
from castline.grader.subtitles import FORMATS, subtitles_problem
from castline.records import Result, Source, json_schema

_MAX_RESULT = 128 * 1024 * 1024
_MAX_SUBTITLES = 8 * 1024 * 1024
#: Seconds by which the last frame or word may exceed the container's length.
_SLACK_S = 2.0


def check_results(context: Context) -> Finding:
    """The share of media files whose ``result.json`` is valid under the schema and belongs to the current upload.

    A result may say that a media file failed: that is reported, and costs nothing here.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    schema = Draft202012Validator(json_schema())
    ended: dict[str, list[str]] = defaultdict(list)

    def problem(media: str) -> str:
        body = _result_body(context, media)
        result = Result.from_json(body, keys.RESULT)  # first: it accepts any bytes
        broken = best_match(schema.iter_errors(json.loads(body)))
        if broken:
            why = f"breaks the schema at {broken.json_path}: {broken.message}"
        else:
            why = _other_upload(context, media, result.source)
        ended["" if why else result.status].append(media)
        return why

    found = _each_media(context, problem, "have a valid result of their current upload")
    unfinished = [(status, sorted(ended[status])) for status in ("partial", "failed") if ended[status]]
    return Finding(
        found.share, (*found.lines, *(f"{len(files)} {status}: {some(files)}" for status, files in unfinished))
    )


def check_subtitles(context: Context) -> Finding:
    """The share of media files whose SRT, WebVTT and TTML independent readers accept, in order and with equal cues."""
    import webvtt  # noqa: F401 - an extra: if it is missing, that is no fault of the subtitles

    def problem(media: str) -> str:
        said = bool(read_result(context, media).transcript.text.strip())
        bodies = {name: _whole(context, media, f"transcript.{name}", _MAX_SUBTITLES) for name in FORMATS}
        return subtitles_problem(bodies, said)

    return _each_media(context, problem, "have subtitles that parse")


def check_timelines(context: Context) -> Finding:
    """The share of media files whose timeline is in order, within the media, and complete."""
    return _each_media(
        context, lambda media: timeline_problem(read_result(context, media)), "have a timeline that agrees"
    )


def _each_media(context: Context, problem: Callable[[str], str], what: str) -> Finding:
    """Apply ``problem`` to every media file: the share without one, and the problems of the first few others."""
    files = context.inputs()

    def ask(media: str) -> str:
        try:
            return problem(media)
        except UnreadableObject as error:
            return error.message

    wrong = [(media, why) for media, why in zip(files, each(ask, files), strict=True) if why]
    right = len(files) - len(wrong)
    return Finding.of(right, len(files), [f"{right} of {len(files)} media files {what}", *problems(wrong)])


def read_result(context: Context, media: str) -> Result:
    """The newest result of a media file.

    Raises:
        UnreadableObject: there is none, or it violates the schema.
    """
    return Result.from_json(_result_body(context, media), keys.RESULT)


def _result_body(context: Context, media: str) -> bytes:
    body = _whole(context, media, keys.RESULT, _MAX_RESULT)
    if body is None:
        raise UnreadableObject(f"no {keys.RESULT}")
    return body


def timeline_problem(result: Result) -> str:
    """Why people, words and timeline do not agree; empty if they do."""
    entries = result.timeline
    if [entry.start_s for entry in entries] != sorted(entry.start_s for entry in entries):
        return "the timeline is not in order of time"
    end = result.duration_s + _SLACK_S if result.duration_s is not None else float("inf")
    for entry in entries:
        if not 0 <= entry.start_s <= entry.end_s <= end:
            return f"{entry.ref} is at {entry.start_s:g}-{entry.end_s:g} s of {result.duration_s} s"
    shown = Counter(entries)
    wanted = Counter(timeline_of(result.people, result.transcript.segments))
    odd = sorted({entry.ref for entry in (shown - wanted) + (wanted - shown)})
    return f"the timeline does not agree about {some(odd)}" if odd else ""


def _whole(context: Context, media: str, name: str, limit: int) -> bytes | None:
    """A published file of a media file; None if it does not exist, or is empty."""
    return context.target.store.get(context.target.output_bucket, keys.result_key(media, name), max_bytes=limit) or None


def _other_upload(context: Context, media: str, source: Source) -> str:
    """Why a result does not belong to the object in the input bucket; empty if it does."""
    bucket = context.target.input_bucket
    now = context.target.store.head(bucket, media)
    if now is None:
        return f"it is not in {bucket}"
    same = source.version == now.version if now.version else source.etag == now.etag
    return "" if same and (source.bucket, source.key) == (bucket, media) else "the result is of another upload"
