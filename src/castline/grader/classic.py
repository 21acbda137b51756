"""The course's own contract: ``test_00.mp4`` gives ``test_00.jpg`` in stage-1 and ``test_00.txt`` in output."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable

from castline import keys
from castline.errors import EvaluationError, UnitError
from castline.grader.base import Context, Finding, each, problems, readable, some
from castline.media.pictures import decode_jpeg

#: A text with a name in it, bytes.
MAX_TEXT = 200
_READ_TEXT = 1024
_READ_PICTURE = 16 * 1024 * 1024


def check_stage1(context: Context) -> Finding:
    """One JPEG per video and nothing else.

    The share is (right objects) / (videos + objects that do not belong there).
    """
    wanted = set(map(keys.classic_frame_key, context.inputs()))
    return _exactly(context, context.target.stage1_bucket, wanted, _READ_PICTURE, jpeg_problem)


def check_output(context: Context) -> Finding:
    """One text of one line and at most 200 bytes per video and nothing else; the share is as in stage-1."""
    wanted = set(map(keys.classic_answer_key, context.inputs()))
    return _exactly(context, context.target.output_bucket, wanted, _READ_TEXT, text_problem)


def check_names(context: Context) -> Finding:
    """The share of videos that got the name of the ground truth, letter by letter."""
    truths = {key: truth.name for key, truth in context.truths().items() if truth.name}
    if not truths:
        raise EvaluationError("the ground truth has no name for any of the videos")
    store, bucket = context.target.store, context.target.output_bucket
    there = context.listing(bucket)
    infos = [there.get(keys.classic_answer_key(key)) for key in truths]
    bodies = each(lambda info: store.read(bucket, info, 0, _READ_TEXT) or b"" if info else b"", infos)
    confused: Counter[tuple[str, str]] = Counter()
    for name, body in zip(truths.values(), bodies, strict=True):
        got = None if text_problem(body) else _spelled(body.decode())
        if got != _spelled(name):
            confused[name, got or "no name"] += 1
    right = len(truths) - confused.total()
    lines = [f"{right} of {len(truths)} names are right"]
    lines += [f"{readable(name)} -> {readable(got)}: {times}" for (name, got), times in confused.most_common(20)]
    if ungraded := len(context.inputs()) - len(truths):
        lines.append(f"{ungraded} videos have no name in the ground truth and are not graded")
    return Finding.of(right, len(truths), lines)


def _spelled(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _exactly(context: Context, bucket: str, wanted: set[str], length: int, problem: Callable[[bytes], str]) -> Finding:
    """Exactly these objects and no others, with valid content."""
    store, there = context.target.store, context.listing(bucket)
    found = [there[key] for key in sorted(wanted & there.keys())]
    filled = [info for info in found if info.size]
    reasons = each(lambda info: problem(store.read(bucket, info, 0, length) or b""), filled)
    wrong = [(info.key, why) for info, why in zip(filled, reasons, strict=True) if why]
    right, extra = len(filled) - len(wrong), sorted(there.keys() - wanted)
    lines = [f"{right} of {len(wanted)} objects in {bucket} are as they should be"]
    for what, names in (
        ("missing", sorted(wanted - there.keys())),
        ("empty", [info.key for info in found if not info.size]),
        ("should not be there", extra),
    ):
        if names:
            lines.append(f"{len(names)} {what}: {some(names)}")
    return Finding.of(right, len(wanted) + len(extra), [*lines, *problems(wrong)])


def text_problem(body: bytes) -> str:
    """Why an object is not one line of text with a name in it; empty if it is."""
    if len(body) > MAX_TEXT:
        return f"longer than {MAX_TEXT} bytes"
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return "not text in UTF-8"
    if not text:
        return "nothing but white space"
    return "" if text.isprintable() else "more than one line, or control characters"


def jpeg_problem(body: bytes) -> str:
    """Why an object is not a JPEG that can be decoded completely; empty if it is."""
    if not body.startswith(b"\xff\xd8\xff"):
        return "not a JPEG"
    try:
        decode_jpeg(body)
    except UnitError:
        return "a JPEG that cannot be decoded"
    return ""
