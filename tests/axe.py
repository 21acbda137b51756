"""axe-core in a page of the browser: what people with a screen reader, a keyboard or weak eyes would stumble over."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

# The package is installed for its script alone: it asks for playwright, which has a browser of its own to download.
_PACKAGE = "axe-playwright-python"
_RUN = """axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations.flatMap(
    ({id, nodes}) => nodes.map(({target, failureSummary}) => `${id} ${target.join(" ")}: ${failureSummary}`)))"""


def violations(page: Any) -> list[str]:
    """A line for each rule that an element of the open page breaks; the page's policy does not bind DevTools."""
    script = distribution(_PACKAGE).locate_file("axe_playwright_python/axe.min.js")
    page.js(f"{Path(str(script)).read_text('utf-8')}; true")
    found: list[str] = page.js(_RUN)
    return found
