"""Views of a result: text, subtitles, JSON, and the report page.

Everything here is a pure function of the result: no clock, no network, no file outside the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType

from castline import keys
from castline.records import Result
from castline.report.page import render_report
from castline.report.writers import UNKNOWN, WRITERS, ResultWriter, flat_transcript, writer_for

__all__ = [
    "UNKNOWN",
    "WRITERS",
    "ResultWriter",
    "content_type",
    "flat_transcript",
    "may_hold_names",
    "render_report",
    "render_views",
    "view_types",
    "writer_for",
]

_NO_IMAGES: Mapping[str, bytes] = MappingProxyType({})


def render_views(
    result: Result,
    images: Mapping[str, bytes] = _NO_IMAGES,
    *,
    media_sources: Sequence[str] | None = None,
) -> dict[str, bytes]:
    """All views of a result.

    Args:
        images: JPEG or PNG crops by ``Person.image``, to be embedded in the report.
        media_sources: see `render_report`.

    Returns:
        File name to content: ``transcript.txt`` and so on for each of `WRITERS`, and ``report.html``.
        Equal arguments give equal bytes.
    """
    views = {f"transcript.{extension}": writer.write(result) for extension, writer in WRITERS.items()}
    views[keys.REPORT] = render_report(result, images, media_sources=media_sources).encode()
    return views


def view_types() -> dict[str, str]:
    """The files of a result without pictures of people, and their content types: each format as its writer says."""
    return {keys.REPORT: "text/html; charset=utf-8", keys.RESULT: "application/json"} | {
        f"transcript.{extension}": writer.content_type for extension, writer in WRITERS.items()
    }


def content_type(view: str) -> str | None:
    """Content type of a published file for browsers; None if it is not text (pictures of people)."""
    return view_types().get(view)


def may_hold_names(name: str) -> bool:
    """Whether a file may contain somebody's name: every view except pictures, and any file that looks like a view."""
    return PurePosixPath(name).suffix.lower() in {PurePosixPath(view).suffix for view in view_types()}
