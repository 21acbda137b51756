"""The course's own contract: ``test_00.mp4`` gives ``test_00.jpg`` in stage-1 and ``test_00.txt`` in output."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable

from castline.grader.base import Context, Finding
from castline.grader.objects import MAX_LISTED, CannotCheck, each, listing, readable, some
from castline.workload_generator.watching import result_key, stage1_key

#: A text with a name in it, bytes.
MAX_TEXT = 200
_READ_TEXT = 1024
_READ_PICTURE = 256 * 1024
#: JPEG markers that begin a frame and so hold its size (ITU-T T.81, table B.1); C4, C8 and CC mean other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def check_stage1(context: Context) -> Finding:
    """One JPEG per video and nothing else.

    The share is (right objects) / (videos + objects that do not belong there).
    """
    wanted = {stage1_key("classic", key) for key in context.inputs()}
    return _exactly(context, context.target.stage1_bucket, wanted, _READ_PICTURE, jpeg_trouble)


def check_output(context: Context) -> Finding:
    """One text of one line and at most 200 bytes per video and nothing else; the share is as in stage-1."""
    wanted = {result_key("classic", key) for key in context.inputs()}
    return _exactly(context, context.target.output_bucket, wanted, _READ_TEXT, text_trouble)


def check_names(context: Context) -> Finding:
    """The share of videos that got the name of the ground truth, letter by letter.

    Raises:
        CannotCheck: no ground truth, or none of these videos.
    """
    truths = {key: truth.name for key, truth in context.truths().items() if truth.name}
    if not truths:
        raise CannotCheck("the ground truth has no name for any of the videos")
    store, bucket = context.target.store, context.target.output_bucket
    there = listing(store, bucket)
    infos = [there.get(result_key("classic", key)) for key in truths]
    bodies = each(lambda info: store.read(bucket, info, 0, _READ_TEXT) or b"" if info else b"", infos)
    confused: Counter[tuple[str, str]] = Counter()
    for name, body in zip(truths.values(), bodies, strict=True):
        got = None if text_trouble(body) else _spelled(body.decode())
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


def _exactly(context: Context, bucket: str, wanted: set[str], length: int, trouble: Callable[[bytes], str]) -> Finding:
    """These objects and no others, with nothing wrong in the first bytes of them."""
    store = context.target.store
    there = listing(store, bucket)
    missing = sorted(wanted - there.keys())
    extra = sorted(there.keys() - wanted)
    found = [there[key] for key in sorted(wanted & there.keys())]
    empty = [info.key for info in found if not info.size]
    filled = [info for info in found if info.size]
    found_wrong = each(lambda info: trouble(store.read(bucket, info, 0, length) or b""), filled)
    wrong = {info.key: why for info, why in zip(filled, found_wrong, strict=True) if why}
    right = len(filled) - len(wrong)
    lines = [f"{right} of {len(wanted)} objects in {bucket} are as they should be"]
    for what, names in (("missing", missing), ("empty", empty), ("should not be there", extra)):
        if names:
            lines.append(f"{len(names)} {what}: {some(names)}")
    lines += [f"{readable(key)}: {why}" for key, why in list(wrong.items())[:5]]
    if len(wrong) > 5:
        lines.append(f"{len(wrong) - 5} more are not what they should be")
    if len(there) >= MAX_LISTED:
        lines.append(f"only the first {len(there)} objects were looked at")
    return Finding.of(right, len(wanted) + len(extra), lines)


def text_trouble(body: bytes) -> str:
    """Why an object is not one line of text with a name in it; empty when it is."""
    if len(body) > MAX_TEXT:
        return f"longer than {MAX_TEXT} bytes"
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return "not text in UTF-8"
    if not text:
        return "nothing but white space"
    return "" if text.isprintable() else "more than one line, or control characters"


def jpeg_trouble(body: bytes) -> str:
    """Why the beginning of an object (or all of it) is not a JPEG; empty when it is one with a size."""
    if not body.startswith(b"\xff\xd8\xff"):
        return "not a JPEG"
    at = 2
    while at + 9 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            height, width = int.from_bytes(body[at + 5 : at + 7]), int.from_bytes(body[at + 7 : at + 9])
            cut_off = len(body) < _READ_PICTURE and b"\xff\xd9" not in body[at:]
            return "a JPEG without a size" if not height * width else "a JPEG that is cut off" if cut_off else ""
        at += 2 + int.from_bytes(body[at + 2 : at + 4])
    return "a JPEG that is cut off or damaged"
