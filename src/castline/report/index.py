"""``index.html`` of a folder of results: one page that lists the results and links to their reports."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup

from castline import keys
from castline.records import Record, Result
from castline.report.html import environment
from castline.report.text import clock

_TEMPLATES = Path(__file__).parent / "templates"
_WORDS = 160


class Entry(Record):
    """One result in a list of them.

    Attributes:
        people: names, as the report shows them.
        words: the first words.
    """

    media: str
    status: str
    duration_s: float | None
    people: tuple[str, ...]
    words: str

    @classmethod
    def of(cls, result: Result) -> Entry:
        said = " ".join(segment.text for segment in result.transcript.segments if not segment.suspect)
        words = f"{said[:_WORDS].rsplit(' ', 1)[0]} …" if len(said) > _WORDS else said
        return cls(
            media=result.media,
            status=result.status,
            duration_s=result.duration_s,
            people=tuple(person.name for person in result.people),
            words=words or (result.error.message if result.error else ""),
        )


def render_index(entries: Sequence[tuple[str, Entry]]) -> str:
    """Render the page. Names and words are hostile: they are escaped, and a policy prevents scripts.

    Args:
        entries: by the path of a result's folder relative to the page, with slashes.
    """
    style = (_TEMPLATES / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            csp=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            style=Markup(style),  # noqa: S704 - our own file
            entries=[(f"{quote(place)}/{keys.REPORT}", entry) for place, entry in entries],
        )
    )


@cache
def _environment() -> Environment:
    made = environment(_TEMPLATES, lines=False)
    made.filters["clock"] = clock
    return made
