"""Situations that users reported to projects of this kind, each with the right answer.

The inputs are not in this repository; the tests are skipped where ``../shared/cases`` is missing.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from castline import analyse, recognise, transcribe
from castline.engines.choose import load_transcriber
from castline.errors import ModelError, NotMedia, UndecodableMedia
from castline.media import SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.records import Options, Transcript
from castline.settings import Settings

_FOLDER = (Path(__file__).resolve().parents[1] / "../shared/cases").resolve()
_MEDIA = _FOLDER / "media"
_KENNEDY = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
_QUILTER = "mr quilter is the apostle of the middle classes and we are glad to welcome his gospel"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not _FOLDER.is_dir(), reason="there are no shared cases beside the checkout"),
]


@pytest.fixture(scope="module")
def models(models_dir: Path) -> Settings:
    settings = Settings(models_dir=models_dir)
    try:
        load_transcriber(settings)
    except ModelError as error:
        pytest.skip(f"no weights: {error.message}")
    return settings


def _words(transcript: Transcript) -> str:
    return " ".join(re.findall(r"[a-z]+", transcript.text.lower()))


def _sampled(name: str, **options: float) -> SplitSummary:
    summary, limits, asked = SplitSummary(), Limits.of(Settings()), Options.model_validate(options)
    for _ in split(_MEDIA / name, probe(_MEDIA / name, limits, asked), asked, limits, summary, max_duration_s=1e6):
        pass
    return summary


#: Files whose right answer is words: these, the second at which the last one ends, and the length.
_SAID = {
    "A1_obs_first_track_silent.mp4": (_KENNEDY, 10.5, 12.0),
    "B1_apac_first.mov": (_KENNEDY, 10.5, 11.1),
    "D1_out_of_phase.wav": (_KENNEDY, 10.5, 11.0),
    "E1_ambisonic.mkv": (_KENNEDY, 10.5, 11.0),
    "F1_tv_51_then_stereo.ts": (f"{_QUILTER} {_KENNEDY}", 16.3, 16.8),
    "F3_mp3_joined_rate_change.mp3": (f"{_QUILTER} {_KENNEDY}", 16.2, 16.9),
    "H1_clock_jump_14h.ts": (_KENNEDY, 10.5, 11.2),
    "I8_vbr_without_xing.mp3": (_KENNEDY, 16.5, 17.1),
}
_WARNED = {
    "A1_obs_first_track_silent.mp4": "streams_passed_over",
    "B1_apac_first.mov": "streams_passed_over",
    "D1_out_of_phase.wav": "channels_cancel",
}
#: Those whose right answer is an error, and its message.
_REFUSED = {
    "K16_gif_named.mp4": (NotMedia, "GIF picture"),
    "K25_s3_error_xml.mp4": (NotMedia, "XML document"),
    "rate_1hz.wav": (UndecodableMedia, "1 Hz"),
}
_TRIED_BELOW = {
    "B3_unknown_video_codec.mov",
    "C1_mediarecorder_one_keyframe.webm",
    "G1_landscape_then_portrait.webm",
    "J_short_0.1.mp3",
    "audio_gap_8h.mkv",
    "flicker_1000fps_20s.mp4",
}


def test_every_file_is_tried() -> None:
    with (_FOLDER / "cases.tsv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    files = {row["file"].removeprefix("media/") for row in rows if row["file"].startswith("media/")}
    assert files == {*_SAID, *_REFUSED, *_TRIED_BELOW}


@pytest.mark.parametrize("name", _SAID)
def test_all_words_are_there_with_their_times(name: str, models: Settings) -> None:
    said, last_s, length_s = _SAID[name]
    found = transcribe(_MEDIA / name, settings=models, language="en")
    assert _words(found) == said
    assert found.segments[-1].end_s == pytest.approx(last_s, abs=0.3)
    assert probe(_MEDIA / name, Limits.of(models)).duration_s == pytest.approx(length_s, abs=0.3)


@pytest.mark.parametrize("name", _WARNED)
def test_the_chosen_stream_is_reported(name: str) -> None:
    assert _WARNED[name] in [warning.code for warning in _sampled(name).warnings]


@pytest.mark.parametrize("name", _REFUSED)
def test_files_that_are_not_recordings_are_called_what_they_are(name: str) -> None:
    error, message = _REFUSED[name]
    with pytest.raises(error, match=message):
        analyse(_MEDIA / name)


def test_undecodable_video_does_not_affect_the_words(models: Settings) -> None:
    result = analyse(_MEDIA / "B3_unknown_video_codec.mov", settings=models, language="en")
    assert (result.status, _words(result.transcript)) == ("partial", _QUILTER)
    assert result.error and (result.error.code, "pictures" in result.error.message) == ("undecodable_media", True)


def test_one_keyframe_is_not_one_frame(models: Settings) -> None:
    name = "C1_mediarecorder_one_keyframe.webm"
    assert len(_sampled(name).sampled_ms) == pytest.approx(11, abs=1)
    people = recognise(_MEDIA / name, settings=models)
    assert people
    assert all(each.end_s - each.start_s <= 3 for person in people for each in person.ranges)


def test_a_phone_turned_while_recording(models: Settings) -> None:
    people = recognise(_MEDIA / "G1_landscape_then_portrait.webm", settings=models)
    starts = [each.start_s for person in people for each in person.ranges]
    assert min(starts) < 5 <= max(starts)


def test_a_tenth_of_a_second(models: Settings) -> None:
    found = transcribe(_MEDIA / "J_short_0.1.mp3", settings=models, language="en")
    assert all(segment.suspect for segment in found.segments)


def test_sound_that_pauses_for_eight_hours() -> None:
    summary = _sampled("audio_gap_8h.mkv")
    assert len(summary.audio_units) < 10
    assert summary.audio_s > 8 * 3600


def test_a_thousand_frames_a_second() -> None:
    summary = _sampled("flicker_1000fps_20s.mp4", interval_s=0.0005)
    assert len(summary.sampled_ms) <= 1001
    assert len(summary.frame_units) < 50
    assert "capped" in [warning.code for warning in summary.warnings]
