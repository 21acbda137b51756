"""Views of a result: text, subtitles, JSON, and the page to watch it on.

Everything here is a pure function of the result: no clock, no network, no file outside the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from castline import keys
from castline.records import Result
from castline.report.page import render_report
from castline.report.writers import WRITERS, ResultWriter, flat_transcript, writer_for

__all__ = ["WRITERS", "ResultWriter", "flat_transcript", "render_report", "render_views", "writer_for"]

_NO_IMAGES: Mapping[str, bytes] = MappingProxyType({})


def render_views(
    result: Result,
    images: Mapping[str, bytes] = _NO_IMAGES,
    *,
    media_sources: Sequence[str] | None = None,
) -> dict[str, bytes]:
    """All views of a result.

    Args:
        images: JPEG or PNG crops by ``Person.image``; they are built into the report.
        media_sources: see `render_report`.

    Returns:
        File name to content: ``transcript.txt`` and so on for each of `WRITERS`, and ``report.html``.
        Equal arguments give equal bytes.
    """
    views = {f"transcript.{extension}": writer.write(result) for extension, writer in WRITERS.items()}
    views[keys.REPORT] = render_report(result, images, media_sources=media_sources).encode()
    return views
