"""What `run` says before it works, and what it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.cli import run as running
from castline.engines.plugins import ROLES
from castline.engines.report import _TITLES
from castline.settings import Settings


@pytest.mark.parametrize(
    ("deployment", "options", "unused"),
    [
        ("off", [None], {"voice_encoder", "active_speaker"}),
        ("voices", [None], {"active_speaker"}),
        ("auto", [None], set()),
        ("off", [None, b'{"speakers": "auto"}'], set()),
        ("auto", [b'{"speakers": "off"}', b'{"speakers": "voices"}'], {"active_speaker"}),
    ],
)
def test_the_header_names_the_engines_that_will_be_used(
    deployment: str,
    options: list[bytes | None],
    unused: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nets = dict.fromkeys(ROLES, "mine")
    settings = Settings(models_dir=tmp_path, state_dir=tmp_path, speakers=deployment, **nets)  # type: ignore[arg-type]
    monkeypatch.setattr("castline.engines.report.make_ready", lambda *_: None)
    running._say_engines(options, settings)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == f"Castline  {len(options)} file{'s' * (len(options) > 1)}, engines on this machine:"
    assert lines == [f"  {_TITLES[role]}: mine, as asked for" for role in ROLES if role not in unused]
