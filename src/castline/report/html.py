"""Renders pages with hostile text, which is escaped in this one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from castline.display import visible


def environment(templates: Path, *, lines: bool = True) -> Environment:
    """Templates whose values are escaped, must exist, and cannot change the reading direction of the following text.

    Args:
        lines: keep line breaks.
    """

    def shown(value: Any) -> Any:
        return visible(value, lines=lines) if type(value) is str else value

    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
