"""The full profile: a valid result per media file, subtitles others can read, and a timeline that agrees."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NoReturn

from castline import keys
from castline.errors import UnreadableObject
from castline.grader.base import Context, Finding
from castline.grader.objects import CannotCheck, each, listing, readable, some
from castline.grader.subtitles import FORMATS, check_readers, subtitles_trouble
from castline.records import Result, json_schema

_MAX_RESULT = 128 * 1024 * 1024
_MAX_SUBTITLES = 8 * 1024 * 1024
#: How far the last frame or word may reach over what the container says of its length, seconds.
_SLACK_S = 2.0


#: Of a timeline: kind, ref, start and end in seconds, label.
_Entry = tuple[str, str, float, float, str]


class NoResult(Exception):
    """There is no result that could be looked at, and why: one readable line."""


def check_results(context: Context) -> Finding:
    """The share of media whose ``result.json`` keeps to the schema and is of the upload that is there now.

    A result may well say that a media file failed: that is told, and costs nothing here.

    Raises:
        CannotCheck: there is no media, or no schema to compare with.
    """
    violation = _schema_check()
    ended: dict[str, list[str]] = defaultdict(list)

    def trouble(media: str) -> str:
        result = _json(_result_body(context, media))
        why = violation(result) or _other_upload(context, media, result["source"])
        ended["not valid" if why else result["status"]].append(media)
        return why

    found = each_media(context, trouble, "have a valid result of their current upload")
    told = [f"{len(ended[status])} {status}: {some(sorted(ended[status]))}" for status in ("partial", "failed")
            if ended[status]]  # fmt: skip
    return Finding(found.share, (*found.lines, *told))


def check_subtitles(context: Context) -> Finding:
    """The share of media whose SRT, WebVTT and TTML other people's readers take, in order and alike.

    Raises:
        CannotCheck: there is no media, or a reader is not installed.
    """
    check_readers()

    def trouble(media: str) -> str:
        said = bool(read_result(context, media).transcript.text.strip())
        bodies = {name: _whole(context, media, f"transcript.{name}", _MAX_SUBTITLES) for name in FORMATS}
        return subtitles_trouble(bodies, said)

    return each_media(context, trouble, "have subtitles that parse")


def check_timelines(context: Context) -> Finding:
    """The share of media whose timeline is in order, within the media, and has everybody and every word.

    Raises:
        CannotCheck: there is no media.
    """
    return each_media(
        context, lambda media: timeline_trouble(read_result(context, media)), "have a timeline that agrees"
    )


def each_media(context: Context, trouble: Callable[[str], str], what: str) -> Finding:
    """Ask ``trouble`` about every media file: the share without, and what is wrong with the first few others."""
    files = context.inputs()
    listing(context.target.store, context.target.output_bucket, limit=1)  # so that a missing bucket is said as such

    def ask(media: str) -> str:
        try:
            return trouble(media)
        except NoResult as why:
            return str(why)

    wrong = {media: why for media, why in zip(files, each(ask, files), strict=True) if why}
    lines = [f"{len(files) - len(wrong)} of {len(files)} media {what}"]
    lines += [f"{readable(media)}: {readable(why, 200)}" for media, why in list(wrong.items())[:10]]
    if len(wrong) > 10:
        lines.append(f"and {len(wrong) - 10} more: {some(list(wrong)[10:])}")
    return Finding.of(len(files) - len(wrong), len(files), lines)


def read_result(context: Context, media: str) -> Result:
    """Raises:
    NoResult: there is none, or it is not one of this version of Castline.
    """
    try:
        return Result.from_json(_result_body(context, media), keys.RESULT)
    except UnreadableObject as error:
        raise NoResult(error.message) from error


def timeline_trouble(result: Result) -> str:
    """Why people, words and timeline do not agree; empty when they do."""
    entries = result.timeline
    if [entry.start_s for entry in entries] != sorted(entry.start_s for entry in entries):
        return "the timeline is not in order of time"
    end = result.duration_s + _SLACK_S if result.duration_s is not None else float("inf")
    for entry in entries:
        if not 0 <= entry.start_s <= entry.end_s <= end:  # NaN is none of them
            return f"{entry.ref} is at {entry.start_s:g}-{entry.end_s:g} s of {result.duration_s} s"
    # What is on the timeline, and what must be.
    shown: Counter[_Entry] = Counter(
        (entry.kind, entry.ref, entry.start_s, entry.end_s, entry.label) for entry in entries
    )
    wanted: Counter[_Entry] = Counter(
        ("person", person.id, part.start_s, part.end_s, person.name)
        for person in result.people
        for part in person.ranges
    )
    wanted.update(
        ("speech", segment.id, segment.start_s, segment.end_s, segment.text)
        for segment in result.transcript.segments
        if not segment.suspect
    )
    odd = sorted({item[1] for item in (shown - wanted) + (wanted - shown)})
    return f"the timeline does not agree about {some(odd)}" if odd else ""


def _result_body(context: Context, media: str) -> bytes:
    body = _whole(context, media, keys.RESULT, _MAX_RESULT)
    if body is None:
        raise NoResult(f"no {keys.RESULT}")
    return body


def _whole(context: Context, media: str, name: str, limit: int) -> bytes | None:
    """A published file of a media file; None when it is not there, or empty."""
    try:
        path = keys.result_key(media, name)
        return context.target.store.get(context.target.output_bucket, path, max_bytes=limit) or None
    except UnreadableObject as error:
        raise NoResult(error.message) from error


def _json(body: bytes) -> Any:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise NoResult(f"{keys.RESULT} is not JSON: {error}") from error


@cache
def _schema_check() -> Callable[[Any], str]:
    """What tells how a value breaks the schema of results; empty when it does not.

    Raises:
        CannotCheck: jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError as error:
        raise CannotCheck("comparing with the schema needs jsonschema: pip install jsonschema") from error
    validator = Draft202012Validator(json_schema())

    def violation(value: Any) -> str:
        error = best_match(validator.iter_errors(value))
        return "" if error is None else f"breaks the schema at {error.json_path}: {error.message}"

    return violation


def _other_upload(context: Context, media: str, source: Mapping[str, Any]) -> str:
    """Why a result is not of the object that is in the input bucket now; empty when it is."""
    bucket = context.target.input_bucket
    now = context.target.store.head(bucket, media)
    if now is None:
        return f"it is not in {bucket}"
    if (source["bucket"], source["key"]) != (bucket, media):
        return f"the result is of s3://{source['bucket']}/{source['key']}"
    same = source["version"] == now.version if now.version else source["etag"].strip('"') == now.etag
    return "" if same else "the result is of another upload"
