"""One decode gives frames and sound with exact times, while it runs."""

from __future__ import annotations

import dataclasses
import io
import re
import time
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from castline.errors import MediaTooLarge, UndecodableMedia
from castline.media import AudioPiece, FramesPiece, SplitSummary, probe, split
from castline.media.chunks import SAMPLE_RATE
from castline.media.decode import Sampled
from castline.media.ffmpeg import Limits
from castline.media.mp4 import Index, read_index
from castline.media.summary import stands_until
from castline.records import AudioUnit, FramesUnit, Options
from tests.media.conftest import Outcome

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=4")
_BEEP_AT_1_S = ("-f", "lavfi", "-i", "aevalsrc='0.5*sin(2*PI*1000*t)*between(t,1,1.1)':d=4:s=16000")
#: Grey until 2.00 s, white from then on.
_FLASH = ("-f", "lavfi", "-i", "color=gray:size=160x90:rate=25:duration=4,drawbox=c=white:t=fill:enable='gte(t,2)'")


def _onset_s(samples: np.ndarray) -> float:
    """When sound begins."""
    return int(np.argmax(np.abs(samples) > 0.1)) / SAMPLE_RATE


def _brightness(jpeg: bytes) -> float:
    return float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).mean())


def _size(jpeg: bytes) -> tuple[int, int]:
    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height


def test_frames_and_sound_of_an_ordinary_video(odd_media: dict[str, Path], split_all) -> None:
    found = split_all(odd_media["both.mp4"], sampling="interval", interval_s=0.5)
    assert sorted(found.frames) == [0, 520, 1000, 1520]
    assert found.summary.sampled_ms == sorted(found.frames)
    assert found.samples.size == pytest.approx(2 * SAMPLE_RATE, abs=SAMPLE_RATE // 20)
    assert found.summary.duration_s(found.probed) == pytest.approx(2, abs=0.06)
    assert found.summary.error is None
    assert found.summary.warnings == []


def test_frames_are_named_by_their_exact_time_at_a_variable_rate(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "variable.mkv"
    keep = "lt(t,0.5)+between(t,1.27,1.29)+between(t,2.59,2.61)+gt(t,3.1)"
    ffmpeg(*_PICTURE, *_X264, "-vf", f"select='{keep}'", "-fps_mode", "vfr", path)
    found = split_all(path, sampling="interval", interval_s=1.0)
    assert sorted(found.frames) == [0, 1280, 2600, 3120]


def test_times_are_exact_after_an_hour_too(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    # A frame every 12.345 s: six digits of seconds would not be enough.
    source = "testsrc2=size=16x16:rate=200/2469:duration=5000"
    ffmpeg("-f", "lavfi", "-i", source, *_X264, "-g", 1, path)
    found = split_all(path, sampling="interval", interval_s=1.0, max_duration_s=7200)
    assert len(found.summary.sampled_ms) == pytest.approx(405, abs=1)
    assert all(abs(at - number * 12345) <= 1 for number, at in enumerate(found.summary.sampled_ms))
    assert set(found.frames) <= set(found.summary.sampled_ms)


def test_an_edit_list_moves_the_picture_and_not_the_sound(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "late.mp4"
    ffmpeg("-itsoffset", 1.52, *_FLASH, *_BEEP_AT_1_S, *_X264, "-g", 5, "-fps_mode", "passthrough", path)
    found = split_all(path, sampling="interval", interval_s=0.5)
    assert min(found.frames) == 1520
    white = [at for at, jpeg in sorted(found.frames.items()) if _brightness(jpeg) > 200]
    assert white[0] == 3520
    assert _onset_s(found.samples) == pytest.approx(1.0, abs=0.03)


def test_a_copy_that_begins_between_keyframes_stays_in_sync(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg(*_FLASH, *_BEEP_AT_1_S, *_X264, "-g", 1000, "-sc_threshold", 0, whole)
    ffmpeg("-ss", 0.52, "-i", whole, "-c", "copy", cut)  # an edit list hides what comes before
    found = split_all(cut, sampling="interval", interval_s=0.04)
    white = [at for at, jpeg in sorted(found.frames.items()) if _brightness(jpeg) > 200]
    assert white[0] / 1000 - _onset_s(found.samples) == pytest.approx(1.0, abs=0.05)
    assert _onset_s(found.samples) == pytest.approx(0.48, abs=0.05)


@pytest.mark.parametrize("container", ["mkv", "mp4", "ts"])
def test_late_sound_is_silence_until_it_begins(
    container: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / f"late.{container}"
    ffmpeg(*_FLASH, "-itsoffset", 1.25, *_BEEP_AT_1_S, *_X264, "-t", 4, path)
    found = split_all(path, sampling="interval", interval_s=0.5)
    assert _onset_s(found.samples) == pytest.approx(2.25, abs=0.03)
    assert np.abs(found.samples[: int(1.2 * SAMPLE_RATE)]).max() < 0.01
    white = [at for at, jpeg in sorted(found.frames.items()) if _brightness(jpeg) > 200]
    assert white[0] == pytest.approx(2000, abs=2)


def test_a_gap_in_the_sound_stays_a_gap(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    beeps = "aevalsrc='0.5*sin(2*PI*1000*t)*(between(t,0.5,0.6)+between(t,3,3.1))':d=4:s=16000"
    ffmpeg("-f", "lavfi", "-i", beeps, "-af", "aselect='lt(t,1)+gt(t,2.5)'", "-c:a", "pcm_s16le", path)
    samples = split_all(path).samples
    assert _onset_s(samples) == pytest.approx(0.5, abs=0.02)
    assert 2 + _onset_s(samples[2 * SAMPLE_RATE :]) == pytest.approx(3.0, abs=0.02)


def test_duplicate_frames_are_dropped_and_represented(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    ffmpeg(*_FLASH, *_X264, path)
    found = split_all(path, sampling="interval", interval_s=0.5)
    (unit,) = found.summary.units()
    assert isinstance(unit, FramesUnit)
    assert [(frame.time_ms, frame.until_ms) for frame in unit.frames] == [(0, 1520), (2000, 3520)]
    assert found.summary.sampled_ms == [0, 520, 1000, 1520, 2000, 2520, 3000, 3520]


@pytest.mark.parametrize(
    ("kept", "sampled", "until"),
    [
        ([0, 30], [0, 10, 20, 30], {0: 20, 30: 30}),
        ([0], [0, 10, 20], {0: 20}),
        ([5], [], {5: 5}),
        ([], [1, 2], {}),
        ([10, 20], [10, 20], {10: 10, 20: 20}),
    ],
)
def test_a_kept_frame_represents_those_that_follow_it(
    kept: list[int], sampled: list[int], until: dict[int, int]
) -> None:
    assert stands_until(kept, sampled) == until


def test_units_arrive_while_ffmpeg_runs(ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=80", "-f", "lavfi",
           "-i", "sine=frequency=300:duration=80", "-c:v", "mpeg4", "-g", "25", path)  # fmt: skip
    slow = _throttled(limits, tmp_path)
    summary = SplitSummary()
    options = Options(sampling="interval", interval_s=0.2, frames_per_unit=10, chunk_s=10)
    started = time.monotonic()
    arrived = [
        (time.monotonic() - started, piece)
        for piece in split(path, probe(path, limits), options, slow, summary, max_duration_s=90)
    ]
    total = time.monotonic() - started
    for kind in (FramesPiece, AudioPiece):
        times = [at for at, piece in arrived if isinstance(piece, kind)]
        assert len(times) > 3
        assert times[0] < total / 2, f"{kind.__name__} arrived only at the end"
        assert times == sorted(times)


def _throttled(limits: Limits, folder: Path) -> Limits:
    """The same ffmpeg, reading its input at thirty times its natural speed."""
    script = folder / "slow-ffmpeg"
    script.write_text(f'#!/bin/sh\nexec "{limits.program}" -readrate 30 "$@"\n')
    script.chmod(0o755)
    return dataclasses.replace(limits, program=str(script))


def test_units_are_full_and_numbered(odd_media: dict[str, Path], split_all) -> None:
    found = split_all(odd_media["both.mp4"], sampling="interval", interval_s=0.1, frames_per_unit=6)
    frames = [piece for piece in found.pieces if isinstance(piece, FramesPiece)]
    assert [piece.index for piece in frames] == list(range(len(frames)))
    assert [len(piece.names) for piece in frames[:-1]] == [6] * (len(frames) - 1)
    assert 1 <= len(frames[-1].names) <= 6
    every = [name for piece in frames for name in piece.names]
    assert every == sorted(set(every))
    with zipfile.ZipFile(io.BytesIO(frames[0].body)) as archive:
        assert archive.namelist() == [f"{name:09d}.jpg" for name in frames[0].names]
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
    assert [unit.name for unit in found.summary.units()][: len(frames)] == [
        f"frames-{index:04d}" for index in range(len(frames))
    ]


def test_audio_units_say_what_they_cover(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    sound = "aevalsrc='0.5*sin(2*PI*300*t)*lt(mod(t,3),2)':d=40:s=16000"
    ffmpeg("-f", "lavfi", "-i", sound, path)
    found = split_all(path, chunk_s=10)
    units = [piece.unit for piece in found.pieces if isinstance(piece, AudioPiece)]
    assert found.summary.units() == tuple(units)
    assert units[0].start_s == 0
    assert units[-1].end_s == pytest.approx(40, abs=0.01)
    for piece, following in pairwise(found.pieces):
        assert isinstance(piece, AudioPiece)
        assert isinstance(following, AudioPiece)
        assert piece.unit.end_s == following.unit.start_s
        assert 2.1 < piece.unit.end_s % 3 < 2.9, "cut in a pause"
        samples, rate = soundfile.read(io.BytesIO(piece.body))
        assert (rate, samples.ndim) == (SAMPLE_RATE, 1)
        assert len(samples) == round((piece.unit.end_s - piece.unit.start_s) * SAMPLE_RATE)


def test_keyframes_mode_gives_only_keyframes(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "groups.mp4"
    ffmpeg(*_PICTURE, *_X264, "-force_key_frames", "0.6,1.4,2.2,3", "-g", 1000, "-sc_threshold", 0, path)
    found = split_all(path, sampling="keyframes", interval_s=0.1)
    assert found.summary.sampling == "keyframes"
    assert sorted(found.frames) == [0, 600, 1400, 2200, 3000]
    thinned = split_all(path, sampling="keyframes", interval_s=2.0)
    assert sorted(thinned.frames) == [0, 2200]


def test_two_splits_give_the_same_bytes(odd_media: dict[str, Path], split_all) -> None:
    one = split_all(odd_media["both.mp4"], sampling="interval", interval_s=0.3)
    other = split_all(odd_media["both.mp4"], sampling="interval", interval_s=0.3)

    def by_name(found) -> dict[tuple[str, int], bytes]:
        return {
            ("a", piece.unit.index) if isinstance(piece, AudioPiece) else ("f", piece.index): piece.body
            for piece in found.pieces
        }

    assert by_name(one) == by_name(other)
    assert one.summary.units() == other.summary.units()


@pytest.mark.parametrize(
    ("name", "side", "size"),
    [
        ("both.mp4", 100, (100, 56)),
        ("both.mp4", 960, (320, 180)),
        ("rotated.mp4", 160, (90, 160)),
        ("anamorphic.mp4", 320, (320, 90)),
        ("tiny.mp4", 64, (16, 16)),
    ],
)
def test_frames_are_upright_with_square_pixels_and_small_enough(
    name: str, side: int, size: tuple[int, int], odd_media: dict[str, Path], split_all
) -> None:
    found = split_all(odd_media[name], long_side=side)
    assert {_size(jpeg) for jpeg in found.frames.values()} == {size}


def test_forty_channels_are_mixed_fairly(odd_media: dict[str, Path], split_all) -> None:
    samples = split_all(odd_media["forty-channels.wav"]).samples
    assert len(samples) == SAMPLE_RATE
    assert np.abs(samples).max() == pytest.approx(0.1, abs=0.01)


def test_a_voice_in_one_channel_of_forty_is_kept(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "one-of-forty.wav"
    sources = "|".join(["0.8*sin(440*t)" if channel == 17 else "0" for channel in range(40)])
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={sources}:d=1:s=16000", "-c:a", "pcm_s16le", path)
    assert np.abs(split_all(path).samples).max() == pytest.approx(0.8 / 40, rel=0.1)


def test_a_title_is_not_mistaken_for_a_sampled_frame(
    odd_media: dict[str, Path], ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "title.mp4"
    title = "[Parsed_showinfo_1 @ 0x1] [info] n:   1 pts: 9999999 pts_time:99999 showinfo"
    ffmpeg("-i", odd_media["both.mp4"], "-c", "copy", "-metadata", f"title={title}", path)
    found = split_all(path, sampling="interval")
    assert max(found.summary.sampled_ms) < 2000
    assert found.summary.duration_s(found.probed) < 3


def test_damaged_media_is_decoded_as_far_as_possible(odd_media: dict[str, Path], split_all) -> None:
    found = split_all(odd_media["truncated.mp4"], sampling="interval", interval_s=0.2)
    assert found.frames
    assert any("damaged" in str(warning) for warning in found.summary.warnings)
    assert any("the file says 2.0 s" in str(warning) for warning in found.summary.warnings)


_SLOW_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=5:duration=40")


# Containers whose length comes first. For a truncated WAV or MP3, ffmpeg derives the length from the file's size.
@pytest.mark.parametrize("name", ["sound.m4a", "sound.flac", "film.mp4", "film.mkv"])
def test_less_sound_than_promised_is_a_warning(
    name: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    noise = ("-f", "lavfi", "-i", "anoisesrc=duration=40:sample_rate=16000:amplitude=0.1:seed=1")
    film = name.startswith("film")
    index_first = ("-movflags", "+faststart") if name.endswith(("m4a", "mp4")) else ()
    ffmpeg(*(_SLOW_PICTURE if film else ()), *noise, *(_X264 if film else ()), *index_first, tmp_path / name)
    whole = split_all(tmp_path / name)
    assert whole.summary.warnings == []
    assert whole.probed.duration_s == pytest.approx(40, abs=0.1)
    body = (tmp_path / name).read_bytes()
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(body[: len(body) // 2])
    found = split_all(cut)
    assert 10 < found.summary.audio_s < 30
    (warning,) = [warning for warning in found.summary.warnings if warning.code == "short_decode"]
    promised, got = (float(number) for number in re.findall(r"[\d.]+(?= s)", warning.message))
    assert promised == pytest.approx(40, abs=0.1)
    last_frame = max(found.summary.sampled_ms, default=0) / 1000
    assert got == pytest.approx(max(found.summary.audio_s, last_frame), abs=0.06)


_NOISE = ("-f", "lavfi", "-i", "anoisesrc=duration=40:sample_rate=16000:amplitude=0.1:seed=1")


def _overwritten(path: Path, kind: str, begin_s: float, end_s: float) -> Path:
    """A copy of an MP4 in which one track's samples, between two times, are replaced."""
    body = bytearray(path.read_bytes())
    (track,) = (each for each in _index(bytes(body)).tracks if each.kind == kind)
    for offset, size, start_s in zip(track.offset, track.size, track.start_s, strict=True):
        if begin_s <= start_s < end_s:
            body[offset : offset + size] = b"\x55" * int(size)
    copy = path.with_name(f"{kind}-{begin_s}-{path.name}")
    copy.write_bytes(body)
    return copy


def _index(body: bytes) -> Index:
    return read_index(lambda offset, length: body[offset : offset + length], len(body))


def _cut_short(found: Outcome) -> list[tuple[str, float | None, float | None]]:
    return [(each.about, each.start_s, each.end_s) for each in found.summary.warnings if each.code == "short_decode"]


@pytest.mark.parametrize("keyframes_every", [5, 250])
@pytest.mark.parametrize(("kind", "about"), [("vide", "pictures"), ("soun", "sound")])
def test_frames_or_sound_alone_that_end_early_by_damage_are_a_warning(
    kind: str, about: str, keyframes_every: int, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg(*_SLOW_PICTURE, *_NOISE, *_X264, "-g", keyframes_every, path)
    ((which, start_s, end_s),) = _cut_short(split_all(_overwritten(path, kind, 20, 100)))
    assert which == about
    assert start_s == pytest.approx(20, abs=1.1)
    assert end_s == pytest.approx(40, abs=1.1)


def test_correct_lengths_are_not_a_short_decode_if_something_else_is_damaged(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=5:duration=15", *_NOISE, *_X264, path)
    damaged = _overwritten(path, "soun", 1, 2)
    copy = tmp_path / "film.mkv"
    ffmpeg("-i", damaged, "-c", "copy", copy)
    for each in (damaged, copy):
        found = split_all(each)
        assert [warning.code for warning in found.summary.warnings] == ["damaged_input"]


def test_sound_that_ends_before_the_video_is_not_a_short_decode(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "quiet-end.mp4"
    ffmpeg(*_PICTURE, "-f", "lavfi", "-i", "sine=duration=1", *_X264, path)
    found = split_all(path, sampling="interval", interval_s=0.5)
    assert found.summary.audio_s == pytest.approx(1, abs=0.1)
    assert found.summary.warnings == []


def test_empty_streams_cannot_be_decoded(odd_media: dict[str, Path], limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "hollow.mp4"
    content = bytearray(odd_media["voice.m4a"].read_bytes())
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4 if content.index(b"moov") > start else len(content)
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)
    summary = SplitSummary()
    with pytest.raises(UndecodableMedia) as caught:
        list(split(path, probe(path, limits), Options(), limits, summary, max_duration_s=60))
    assert "\n" not in caught.value.message
    assert not summary.units()


def test_a_recording_that_is_too_long_is_refused_before_decoding(odd_media: dict[str, Path], split_all) -> None:
    with pytest.raises(MediaTooLarge, match=r"^0:00:0[2-9] is longer than the limit of 0:00:01;"):
        split_all(odd_media["both.mp4"], max_duration_s=1.5)


def test_a_length_missing_from_the_header_is_read_from_the_packets(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "raw.mp4"
    ffmpeg(*_PICTURE, *_X264, "-f", "h264", path)
    assert split_all(path, interval_s=0.5).probed.duration_s == pytest.approx(4, abs=0.1)
    with pytest.raises(MediaTooLarge, match="longer than the limit"):
        split_all(path, max_duration_s=2)


def test_a_recording_of_unknown_length_is_cut_at_the_limit(
    odd_media: dict[str, Path], limits: Limits, tmp_path: Path
) -> None:
    path = odd_media["both.mp4"]
    probed = probe(path, limits).model_copy(update={"duration_s": None})
    summary = SplitSummary()
    pieces = list(split(path, probed, Options(interval_s=0.2), limits, summary, max_duration_s=1))
    assert pieces
    assert max(summary.sampled_ms) <= 1000
    assert summary.audio_s <= 1
    assert "capped" in [warning.code for warning in summary.warnings]


def test_sound_alone_and_video_alone(odd_media: dict[str, Path], split_all) -> None:
    sound = split_all(odd_media["voice.mp3"])
    assert sound.summary.sampling is None
    assert all(isinstance(unit, AudioUnit) for unit in sound.summary.units())
    picture = split_all(odd_media["no-audio.mp4"])
    assert all(isinstance(unit, FramesUnit) for unit in picture.summary.units())
    assert picture.summary.audio_s == 0


def test_frames_have_their_times_even_if_ffmpeg_s_lines_are_garbled(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, a thread may write into another's line: here none can be parsed."""
    path = tmp_path / "film.mp4"
    ffmpeg(*_PICTURE, *_X264, path)
    whole = split_all(path, sampling="interval", interval_s=0.5).summary
    monkeypatch.setattr(Sampled, "note", lambda self, line: None)
    garbled = split_all(path, sampling="interval", interval_s=0.5).summary
    assert garbled.sampled_ms == whole.sampled_ms
    assert garbled.frame_units == whole.frame_units
