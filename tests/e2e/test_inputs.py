"""Every kind of input ends in a typed status, and every error is one readable line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from castline import keys
from castline.cli.transfer import download_results
from castline.operations.pending import pending
from castline.records import Result
from castline.weights import locate
from castline.weights.prepare import can_make_voice

pytestmark = pytest.mark.e2e

#: The issue code of each file; everything else in the generated set is normal input.
_FAILS = {
    "zero.mp4": "not_media",
    "text.mp4": "not_media",
    "playlist.mp4": "forbidden_media",
    "cover-only.m4a": "no_streams",
    "cut-off-index.mp4": "not_media",
}
_SHARED_FAILS = {"text_named.mp4": "not_media", "zero_bytes.mp4": "not_media"}


def _check(result: Result, expected_code: str | None) -> None:
    if expected_code is None:
        assert result.status == "complete", result.error
        assert result.error is None
        return
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.code == expected_code
    assert "\n" not in result.error.message
    assert len(result.error.message) < 300
    assert not result.people
    assert not result.transcript.segments


def test_generated_inputs(pipeline, odd_media: dict[str, Path]) -> None:
    keys = [pipeline.upload(path, f"odd/{name}") for name, path in odd_media.items()]
    results = pipeline.results(keys, 180)
    for name in odd_media:
        _check(results[f"odd/{name}"], _FAILS.get(name))
    by_name = {key.removeprefix("odd/"): result for key, result in results.items()}
    rotated = by_name["rotated.mp4"].probe
    assert rotated and rotated.video
    assert rotated.video.rotation == 90
    assert (rotated.video.width, rotated.video.height) == (180, 320)
    assert by_name["no-audio.mp4"].probe.audio is None  # type: ignore[union-attr]
    assert by_name["no-video.mp4"].probe.video is None  # type: ignore[union-attr]
    assert by_name["forty-channels.wav"].probe.audio.channels == 40  # type: ignore[union-attr]
    assert any("damaged" in str(warning) for warning in by_name["truncated.mp4"].warnings)
    assert any("the file says 2.0 s" in str(warning) for warning in by_name["truncated.mp4"].warnings)
    for result in results.values():
        assert not result.people
        assert result.transcript.text == ""


def test_shared_bad_media(pipeline, shared_data: Path) -> None:
    files = sorted((shared_data / "badmedia").iterdir())
    keys = [pipeline.upload(path, f"bad/{path.name}") for path in files]
    results = pipeline.results(keys, 180)
    for path in files:
        _check(results[f"bad/{path.name}"], _SHARED_FAILS.get(path.name))


def test_awkward_keys_survive(pipeline, odd_media: dict[str, Path]) -> None:
    key = pipeline.upload(odd_media["no-audio.mp4"], "week 1/Été 2026 + party & 100%.MP4")
    result = pipeline.results([key])[key]
    assert result.media == key
    assert result.status == "complete"
    assert "report.html" in pipeline.output(key)


def test_foreign_keys_are_left_alone(pipeline, odd_media: dict[str, Path]) -> None:
    pipeline.upload(odd_media["text.mp4"], "notes/readme.txt")
    key = pipeline.upload(odd_media["no-audio.mp4"], "notes/clip.mp4")
    pipeline.results([key])
    assert not list(pipeline.store.find(pipeline.settings.stage1_bucket, "notes/readme.txt"))
    assert not list(pipeline.store.find(pipeline.settings.output_bucket, "notes/readme.txt"))


def test_a_sidecar_counts_after_its_media_file_and_until_it_is_removed(pipeline, odd_media: dict[str, Path]) -> None:
    """One media file with four sets of options; each is a run, and an earlier run is published again without work."""
    bucket, key = pipeline.settings.input_bucket, "asked/Été + note.mp4"
    sidecar = f"{key}.json"
    pipeline.store.put(bucket, sidecar, b'{"interval_s": 0.5, "word_times": false}')
    pipeline.upload(odd_media["both.mp4"], key)
    first = pipeline.results([key])[key]
    assert (first.status, first.options.interval_s, first.options.word_times) == ("complete", 0.5, False)
    pipeline.store.put(bucket, sidecar, b'{"langauge": "de"}')
    wrong = pipeline.results([key])[key]
    assert (wrong.status, wrong.error.code) == ("failed", "options")
    assert wrong.error.message.startswith(f"{sidecar}: unknown key 'langauge', did you mean 'language'?")
    pipeline.store.put(bucket, sidecar, b'{"interval_s": 0.5, "word_times": false}')
    assert pipeline.results([key])[key].run == first.run
    pipeline.stack.client("s3").delete_object(Bucket=bucket, Key=sidecar)
    assert pipeline.results([key])[key].options == pipeline.settings.options()


def test_speakers_are_named_if_a_sidecar_asks_for_it(
    pipeline, demo: Path, shared_data: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """Voices, and the mouths of the faces on screen, through both functions and the stages' objects."""
    if not can_make_voice():
        pytest.skip("resemblyzer or onnx is not installed")
    weights = pipeline.settings.models_dir / locate.MOUTH_WEIGHTS_FILE
    here = weights.exists()
    if not here:
        shutil.copy(shared_data / "models" / "lr-asd-finetuning_TalkSet.model", weights)
    try:
        key, film = "asked/who speaks.mp4", tmp_path / "film.mp4"
        ffmpeg("-t", 10, "-i", demo, "-c", "copy", film)
        pipeline.store.put(pipeline.settings.input_bucket, f"{key}.json", b'{"speakers": "auto"}')
        pipeline.upload(film, key)
        result = pipeline.results([key])[key]
    finally:
        if not here:
            weights.unlink()
    assert (result.status, result.options.speakers) == ("complete", "auto")
    assert {"voice_encoder", "active_speaker"} <= result.engines.keys(), result.warnings
    assert result.transcript.speakers
    said = [line for line in result.transcript.segments if line.speaker]
    assert said and all(line.said_by for line in said)
    assert f"<v {said[0].speaker}>" in pipeline.output(key)["transcript.vtt"].decode()
    assert "mouths" in {timing.stage for timing in result.processing.timings}
    prefix = keys.parts_prefix(key, result.run)
    stored = {info.key.removeprefix(prefix) for info in pipeline.store.find(pipeline.settings.output_bucket, prefix)}
    assert "mouths.json" in stored
    assert list(pipeline.store.find(pipeline.settings.stage1_bucket, keys.motion_prefix(key, result.run)))


def test_hostile_objects_harm_nobody_else(pipeline, odd_media: dict[str, Path], tmp_path: Path) -> None:
    store, settings = pipeline.store, pipeline.settings
    long = "borders/" + "k" * 998 + ".mp4"
    assert len(long) == 1010
    for name, sidecar in (("brackets", b"[" * 60_000), ("infinite", b'{"interval_s": 1e999}')):
        store.put(settings.input_bucket, f"borders/{name}.mp4.json", sidecar)
        pipeline.upload(odd_media["both.mp4"], f"borders/{name}.mp4")
    store.put(settings.output_bucket, "borders/a/../../../evil.wav/result.json", b"[" * 60_000)
    pipeline.upload(odd_media["both.mp4"], long)
    good = pipeline.upload(odd_media["both.mp4"], "borders/good.mp4")
    bad = ["borders/brackets.mp4", "borders/infinite.mp4"]
    results = pipeline.results([*bad, good], 180)
    assert [results[key].error.code for key in bad] == ["options", "options"]
    assert results[good].status == "complete"
    seen = pipeline.look(long)
    assert (seen.state, seen.result.error.code) == ("failed", "key_layout")
    assert not [event for _, event in pending(store, settings) if "borders/" in str(event)]
    told: list[str] = []
    medias = [good, "borders/a/../../../evil.wav"]
    assert set(download_results(medias, tmp_path / "results", store, settings, lambda: None, told.append)) == {good}
    assert len(told) == 1
