"""Pages of hostile text: one place where it is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from castline.display import visible


def environment(templates: Path, *, lines: bool = True) -> Environment:
    """Templates whose values are escaped, may not be missing, and cannot turn the reading direction of what follows.

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
