"""The documentation lists every declared engine, with its threshold."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.engines.plugins import ROLES, Engine, registered

ROOT = Path(__file__).parents[2]
ENGINES = [engine for role in ROLES for engine in registered(role) if type(engine).__module__.startswith("castline.")]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.info.id)
def test_every_engine_of_ours_is_documented(engine: Engine) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(engine.info.id in page.read_text() for page in pages)
    if engine.thresholds:
        assert f"{engine.thresholds.known:.3f}" in (ROOT / "docs" / "FACES.md").read_text()
