"""The longest recording that is taken, with default settings: nothing cut off, lost or told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from castline.local.stack import LocalStack
from castline.records import Result
from castline.settings import Settings
from tests.conftest import at_scale

#: So long, so many times: twelve hours less what AAC's frames add.
_PERIOD_S = 599
_TIMES = at_scale(0, 72)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not _TIMES, reason="only with LONG=1: an hour or more"),
]


@pytest.fixture(scope="module")
def own(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    settings = make_settings(prefix="hours", language="en")
    with LocalStack(settings, slots=2) as stack:
        yield attach(stack, settings)


@pytest.fixture(scope="module")
def lecture(demo: Path, ffmpeg: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, and then nobody and silence until the ten minutes are over."""
    path = tmp_path_factory.mktemp("hours") / "lecture.mp4"
    picture = f"color=gray:size=320x180:rate=10:duration={_PERIOD_S}"
    shown = "[1:v]fps=10,scale=320:180[faces];[0:v][faces]overlay=eof_action=pass[v];[1:a]apad[a]"
    made = ("-filter_complex", shown, "-map", "[v]", "-map", "[a]", "-t", _PERIOD_S, "-ar", 16_000, "-ac", 1)
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", 100, "-c:a", "aac")
    ffmpeg("-f", "lavfi", "-i", picture, "-i", demo, *made, *coded, path)
    return path


def _told(result: Result) -> list[tuple[float, str]]:
    assert result.transcript
    return [(segment.start_s, segment.text) for segment in result.transcript.segments]


def _seen(result: Result) -> list[float]:
    return sorted(span.start_s for person in result.people for span in person.ranges)


def test_twelve_hours_are_told_whole(own: Any, lecture: Path, ffmpeg: Callable[..., None]) -> None:
    whole = lecture.with_name("Été, 12 h.mp4")
    ffmpeg("-stream_loop", _TIMES - 1, "-i", lecture, "-c", "copy", whole)
    own.upload(lecture)
    once = own.results([lecture.name])[lecture.name]
    own.upload(whole)
    found = own.results([whole.name], timeout_s=3 * 3600)[whole.name]
    assert (once.status, found.status) == ("complete", "complete")
    assert not found.warnings
    assert found.duration_s == pytest.approx(_TIMES * _PERIOD_S, abs=_TIMES * 0.1)
    period = found.duration_s / _TIMES
    expected = [(at + number * period, text) for number in range(_TIMES) for at, text in _told(once)]
    assert [at for at, _ in _told(found)] == pytest.approx([at for at, _ in expected], abs=1.0)
    # Each time, the words are cut at other samples, so now and then one of them is read in another way.
    otherwise = sum(one != two for (_, one), (_, two) in zip(_told(found), expected, strict=True))
    assert otherwise <= 0.05 * len(expected)
    assert len(found.people) == len(once.people)
    seen = _seen(found)
    assert all(
        any(abs(start - (at + number * period)) < 2 * found.options.interval_s for start in seen)
        for number in range(_TIMES)
        for at in _seen(once)
    )
