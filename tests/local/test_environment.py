"""Which settings the functions of a local stack see."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.local.stack import settings_environment
from castline.settings import Settings


def test_functions_read_the_chosen_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = Settings(hotwords=("Ada", "Bernoulli numbers"), whatsapp_numbers=("1",), state_dir=tmp_path, beam=3)
    for name, value in settings_environment(chosen).items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert (read.hotwords, read.whatsapp_numbers) == (chosen.hotwords, chosen.whatsapp_numbers)
    assert (read.state_dir, read.beam) == (tmp_path, 3)
