"""axe-core in a page of the browser: finds obstacles for people with a screen reader, a keyboard or weak eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_AXE = Path(__file__).parent / "service" / "pages" / "node" / "node_modules" / "axe-core" / "axe.min.js"
_ASK = """axe.run().then((found) => [found.passes.length, found.violations.flatMap((each) =>
  each.nodes.map((node) => `${each.id}: ${node.target} ${node.failureSummary}`))])"""


def violations(page: Any) -> list[str]:
    """A line for each rule that an element of the open page breaks; the page's policy does not apply to DevTools.

    Skips the test where axe is not installed.
    """
    if not _AXE.exists():
        pytest.skip("axe is not installed: npm ci in tests/service/pages/node (make .venv/.dev)")
    page.js(f"{_AXE.read_text('utf-8')}; undefined")
    passed, found = page.js(_ASK)
    assert passed > 10, "it checked nothing"
    return list(found)
