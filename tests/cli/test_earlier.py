"""Work of earlier runs is reused only if it would be done the same way now; and the command says what it reuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from castline.cli.earlier import send
from castline.events import object_created
from castline.stages import analyse_event
from tests.cli.conftest import KEY, Deployment

FAST = b'{"beam": 1}'


def test_kept_results_are_reported_and_made_again_on_request(
    stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    first = stack.makes()
    assert "--again" not in capsys.readouterr().out
    assert stack.makes() == first
    assert "talk.mp4: already has its result; --again makes it again" in capsys.readouterr().out
    assert stack.makes(again=True).run == first.run
    assert stack.engines.speech.calls == 2
    assert "talk.mp4: processed again, as asked" in capsys.readouterr().out


@pytest.mark.parametrize(("before", "now"), [(None, FAST), (FAST, None)])
def test_other_flags_bring_back_their_results_unless_they_are_to_be_made_again(
    before: bytes | None, now: bytes | None, stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = stack.makes(now)
    stack.makes(before)
    assert stack.engines.speech.calls == 2
    capsys.readouterr()
    assert stack.makes(now).run == earlier.run
    assert stack.engines.speech.calls == 2
    assert "what an earlier run made with these options is kept; --again makes it again" in capsys.readouterr().out
    stack.makes(before)
    stack.makes(now, again=True)
    assert stack.engines.speech.calls == 3


@pytest.mark.parametrize(("before", "now"), [(None, FAST), (FAST, None), (None, None)])
def test_a_new_engine_is_used_whatever_the_flags_were_meanwhile(
    before: bytes | None, now: bytes | None, stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.engines.installed = False
    assert "transcriber" not in stack.makes(now).engines
    stack.makes(before)
    stack.engines.installed = True
    assert stack.makes(now).engines["transcriber"] == "fake-speech"
    said = capsys.readouterr().out
    assert "talk.mp4: processed again, transcriber was none and is fake-speech" in said
    assert "kept" not in said


def test_a_run_stopped_under_these_flags_is_resumed_after_others(
    stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.makes()
    stack.asks(FAST)
    stack.works(stops_after=1)  # it was split
    stack.makes()
    capsys.readouterr()
    calls = stack.engines.speech.calls
    assert stack.makes(FAST).options.beam == 1
    assert stack.engines.speech.calls == calls + 1
    assert "an earlier run did not finish it; this one continues from there" in capsys.readouterr().out


@pytest.mark.parametrize("again", [True, False])
def test_a_stopped_run_starts_over_with_another_engine_or_on_request(
    again: bool, stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.engines.installed = again
    stack.asks()
    stack.works(stops_after=1)
    (audio,) = [info.key for info in stack.find(stack.settings.stage1_bucket, KEY) if info.key.endswith(".flac")]
    analyse_event(object_created(stack.settings.stage1_bucket, audio), stack, stack.settings, stack.engines)  # type: ignore[arg-type]
    assert stack.result() is None
    stack.engines.installed = True
    assert stack.makes(again=again).engines["transcriber"] == "fake-speech"
    assert "talk.mp4: processed again, " in capsys.readouterr().out
    assert stack.engines.speech.calls == 1 + again


def test_a_recording_that_replaces_another_is_new(stack: Deployment, odd_media: dict[str, Path], capsys: Any) -> None:
    stack.makes()
    capsys.readouterr()
    send([(odd_media["no-video.mp4"], KEY)], [None], stack.there, replace=True, again=False)
    stack.works()
    result = stack.result()
    assert result
    assert result.probe
    assert result.probe.video is None
    assert "--again" not in capsys.readouterr().out
