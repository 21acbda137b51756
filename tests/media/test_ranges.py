"""A recording cut into ranges gives the units of the uncut one, byte for byte, and each range reads part of it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from castline.media import AudioPiece, FramesPiece, MotionPiece, Piece, SplitSummary, probe, sampling, split, split_part
from castline.media.decode import Part, Sampled
from castline.media.ffmpeg import Limits
from castline.media.mp4 import NotIndexed, read_index
from castline.media.packets import packets
from castline.media.ranges import Pictures, bytes_of, bytes_of_track, cut, opening
from castline.media.split import grid_of
from castline.media.summary import conclude
from castline.records import Options, Probe

DATA = Path(__file__).parents[3] / "shared" / "data" / "video"
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_TONE = ("-f", "lavfi", "-i", "aevalsrc='0.4*sin(2*PI*(300+20*floor(t))*t)*lt(mod(t,4),3)':s=44100:d=26")


@pytest.fixture
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three seconds, so that clips have several."""
    monkeypatch.setattr(sampling, "_STRETCH_S", 3)


def _film(seconds: float, rate: str = "25") -> tuple[str, ...]:
    """Moves for four seconds, then stands still for four, again and again."""
    still = "select='lt(mod(t,8),4)',fps=" + rate
    return "-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={rate}:duration={seconds},{still}"


def _reader(path: Path) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read


def _with_holes(path: Path, spans: list[tuple[int, int]], target: Path) -> Path:
    read = _reader(path)
    with target.open("wb") as file:
        file.truncate(path.stat().st_size)
        for begin, end in spans:
            file.seek(begin)
            file.write(read(begin, end - begin))
    return target


def _pieces(found: Iterator[Piece]) -> tuple[list[object], list[object], list[tuple[int, bytes]]]:
    frames, sound, motion = [], [], []
    for piece in found:
        if isinstance(piece, AudioPiece):
            sound.append((piece.unit, piece.body))
        elif isinstance(piece, MotionPiece):
            motion.append((piece.start_ms, piece.body))
        else:
            frames.append((piece.names, piece.body))
    return frames, sound, motion


def _same(path: Path, limits: Limits, folder: Path, options: Options, *, indexed: bool = True) -> list[Part]:
    """Check that ranges give the same as one decode; returns the ranges."""
    probed = probe(path, limits, options)
    whole = SplitSummary()
    expected = _pieces(split(path, probed, options, limits, whole, max_duration_s=3600))
    grid, _ = grid_of(probed, options, limits)
    assert probed.video
    index = read_index(_reader(path), path.stat().st_size) if indexed else None
    if index:
        holes = _with_holes(path, opening(index), folder / f"opening-{path.name}")
        assert probe(holes, limits, options.model_copy(update={"audio_track": 1})).video == probed.video
        pictures = Pictures.of_track(index.tracks[probed.video.index], probed.start_s)
        assert _agree(pictures, path, probed, limits)
    else:
        pictures = Pictures.of_packets(packets(path, [probed.video.index], limits))
    mode = sampling.decide(options.sampling, grid.interval_s, pictures.extent)
    assert mode == whole.sampling
    parts = cut(pictures, grid, mode == "keyframes", grid.stretch_s)
    merged = SplitSummary(sampling=mode)
    frames: list[object] = []
    sound: list[object] = []
    motion: list[tuple[int, bytes]] = []
    for part in (*parts, *([None] if probed.audio else [])):
        source = path
        if index:
            stream = probed.audio.index if part is None and probed.audio else -1
            spans = bytes_of(part, index, probed.video.index, grid, probed.start_s) if part else []
            spans = spans or bytes_of_track(index, stream)
            source = _with_holes(path, spans, folder / f"{part.begin if part else 'sound'}-{path.name}")
        one = SplitSummary()
        more = _pieces(split_part(source, probed, options, limits, one, part, max_duration_s=3600))
        assert (one.failures, one.told.errors) == ({}, whole.told.errors if len(parts) == 1 else [])
        frames += more[0]
        sound += more[1]
        motion += more[2]
        merged.sampled_ms += one.sampled_ms
        merged.frame_units += one.frame_units
        merged.audio_units += one.audio_units
        merged.audio_s = max(merged.audio_s, one.audio_s)
    merged.numbers = list(range(len(merged.frame_units)))
    conclude(merged, probed, options, limits, 3600, {}, lambda: False)
    assert frames == expected[0]
    assert sound == expected[1]
    assert motion == expected[2]
    assert bool(motion) == (options.speakers == "auto")
    assert merged.units() == whole.units()
    assert (merged.sampled_ms, merged.duration_s(probed)) == (whole.sampled_ms, whole.duration_s(probed))
    assert (merged.warnings, merged.error) == (whole.warnings, whole.error)
    return parts


def _agree(pictures: Pictures, path: Path, probed: Probe, limits: Limits) -> bool:
    """Whether our reading of the index agrees with ffmpeg's."""
    assert probed.video
    found = Pictures.of_packets(packets(path, [probed.video.index], limits))
    assert found
    shown = found.start_s >= 0
    assert found.start_s[shown] == pytest.approx(pictures.start_s, abs=2e-5)
    assert (found.keyframe[shown] == pictures.keyframe).all()
    return pictures.extent.widest_s == pytest.approx(found.extent.widest_s, abs=1e-4)


_CODING = {
    "closed": ("-g", 50, "-bf", 0),
    "b-frames": ("-g", 70, "-bf", 3, "-x264-params", "open-gop=1:scenecut=0"),
    "long groups": ("-g", 130, "-bf", 2, "-sc_threshold", 0),
    "every second": ("-g", 25, "-bf", 2, "-sc_threshold", 0, "-force_key_frames", "expr:gte(t,n_forced)"),
}


def test_keyframes_that_the_decoder_does_not_accept_lose_nothing_in_ranges_either(
    ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path, short_stretches: None
) -> None:
    path = tmp_path / "film.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=12")
    ffmpeg(*picture, "-c:v", "libx264", "-preset", "veryfast", "-x264-params", "open-gop=1:bframes=3", "-g", 25, path)
    options = Options(interval_s=1.0, frames_per_unit=3)
    probed = probe(path, limits, options)
    grid, _ = grid_of(probed, options, limits)
    pictures = Pictures.of_packets(packets(path, [0], limits))
    assert pictures
    assert sampling.decide("auto", grid.interval_s, pictures.extent) == "keyframes"
    parts = cut(pictures, grid, True, grid.stretch_s)
    seconds: list[int] = []
    for part in parts:
        one = SplitSummary()
        list(split_part(path, probed, options, limits, one, part, max_duration_s=3600))
        assert (one.failures, one.told.errors) == ({}, [])
        seconds += [time_ms // 1000 for time_ms in one.sampled_ms]
    assert len(parts) > 2
    assert sorted(set(seconds)) == list(range(12))


@pytest.mark.parametrize(
    ("coding", "asked"),
    [("closed", "interval"), ("b-frames", "interval"), ("long groups", "auto"), ("every second", "auto")],
)
def test_ranges_give_the_units_of_one_decode(
    coding: str, asked: str, ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path, short_stretches: None
) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg(*_film(26), *_TONE, *_X264, *_CODING[coding], "-c:a", "aac", "-shortest", path)
    options = Options(sampling=asked, interval_s=1.0 if asked == "auto" else 0.3, frames_per_unit=3, chunk_s=10)
    assert len(_same(path, limits, tmp_path, options)) > 3
    if coding in ("b-frames", "every second"):
        assert len(_same(path, limits, tmp_path, options.model_copy(update={"speakers": "auto"}))) > 3


def test_a_range_is_whole_even_if_ffmpeg_s_lines_are_garbled(
    ffmpeg: Callable[..., None],
    limits: Limits,
    tmp_path: Path,
    short_stretches: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread may write into another's line, so that a message follows it without a prefix."""
    path = tmp_path / "film.mp4"
    ffmpeg(*_film(26), *_TONE, *_X264, *_CODING["b-frames"], "-c:a", "aac", "-shortest", path)
    note, named = Sampled.note, re.compile(r"\[Parsed_showinfo_\d+ @ 0x[0-9a-f]+\] \[info\] ")
    monkeypatch.setattr(Sampled, "note", lambda self, line: note(self, named.sub("    Stream #1:0", line)))
    assert len(_same(path, limits, tmp_path, Options(sampling="interval", interval_s=0.3, frames_per_unit=3))) > 3


def _odd(name: str, ffmpeg: Callable[..., None], folder: Path) -> Path:
    path = folder / name
    film, coding = _film(20), (*_X264, "-g", 40, "-bf", 2)
    match name:
        case "rotated.mp4":
            ffmpeg(*film, *_TONE, *coding, "-c:a", "aac", "-shortest", folder / "straight.mp4")
            ffmpeg("-display_rotation", -90, "-i", folder / "straight.mp4", "-c", "copy", path)
        case "silent-first.mp4":
            silence = ("-f", "lavfi", "-i", "anullsrc=r=44100:d=20")
            ffmpeg(*film, *silence, *_TONE, "-map", 0, "-map", 1, "-map", 2, *coding, "-c:a", "aac", "-t", 20, path)
        case "late.mov":
            ffmpeg("-itsoffset", 1.7, *film, "-itsoffset", 0.4, *_TONE, *coding, "-c:a", "aac", "-shortest", path)
        case "variable.mp4" | "variable.mkv":
            keep = "lt(mod(t,9),3)+between(mod(t,9),4.29,4.31)+between(mod(t,9),6.39,6.45)"
            ffmpeg(*film, *_TONE, *coding, "-vf", f"select='{keep}'", "-fps_mode", "vfr", "-c:a", "aac", path)
        case "index-first.mp4":
            ffmpeg(*film, *_TONE, *coding, "-c:a", "aac", "-shortest", "-movflags", "+faststart", path)
        case "edited.mp4":
            ffmpeg(*film, *_TONE, *coding, "-c:a", "aac", "-shortest", folder / "all.mp4")
            ffmpeg("-ss", 3.3, "-i", folder / "all.mp4", "-c", "copy", path)
        case "hdr.mp4":
            colours = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
            quiet = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:keyint=50:{colours}")
            ffmpeg(*film, "-vf", "format=yuv420p10le", *quiet, path)
        case "vp9.webm":
            small = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-g", 60)
            ffmpeg(*film, *_TONE, *small, "-c:a", "libopus", "-shortest", path)
        case "hevc.mp4":
            quiet = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=50:open-gop=1")
            ffmpeg(*film, *_TONE, *quiet, "-tag:v", "hvc1", "-c:a", "aac", "-shortest", path)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "rotated.mp4",
        "silent-first.mp4",
        "late.mov",
        "variable.mp4",
        "index-first.mp4",
        "edited.mp4",
        "hevc.mp4",
        "hdr.mp4",
    ],
)
def test_odd_recordings_too(
    name: str, ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path, short_stretches: None
) -> None:
    path = _odd(name, ffmpeg, tmp_path)
    speakers = "auto" if name in ("rotated.mp4", "late.mov", "variable.mp4") else "off"
    options = Options(interval_s=0.5, frames_per_unit=3, chunk_s=10, speakers=speakers)
    assert len(_same(path, limits, tmp_path, options)) > 2


@pytest.mark.parametrize("name", ["variable.mkv", "vp9.webm"])
@pytest.mark.parametrize("asked", ["interval", "keyframes"])
def test_without_an_index_keyframes_are_searched_in_the_whole_file(
    name: str, asked: str, ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path, short_stretches: None
) -> None:
    path = _odd(name, ffmpeg, tmp_path)
    speakers = "auto" if name == "variable.mkv" else "off"
    options = Options(sampling=asked, interval_s=0.5, frames_per_unit=3, chunk_s=10, speakers=speakers)
    with pytest.raises(NotIndexed):
        read_index(_reader(path), path.stat().st_size)
    assert len(_same(path, limits, tmp_path, options, indexed=False)) > 2


@pytest.mark.parametrize("clip", ["facenet_pytorch_video.mp4", *(f"celebrity_clips/test_0{n}.mp4" for n in range(4))])
def test_real_clips_too(clip: str, limits: Limits, tmp_path: Path, short_stretches: None) -> None:
    if not (DATA / clip).exists():
        pytest.skip("the shared test data is not beside the checkout")
    path = tmp_path / Path(clip).name
    path.write_bytes((DATA / clip).read_bytes())
    _same(path, limits, tmp_path, Options(sampling="interval", interval_s=0.2, frames_per_unit=3))


def test_frames_that_change_their_size_equal_those_of_one_decode(
    ffmpeg: Callable[..., None],
    limits: Limits,
    tmp_path: Path,
    short_stretches: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their batches may differ: one decode writes frames of another size last."""
    monkeypatch.setenv("GCONV_PATH", "/nonexistent")  # media/ffmpeg.py says why
    parts = []
    for number, size in enumerate(("160x90", "90x160", "160x90", "90x160")):
        part = tmp_path / f"{number}.ts"
        picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=4")
        ffmpeg(*picture, *_X264, "-g", 25, "-output_ts_offset", 4 * number, part)
        parts.append(part.read_bytes())
    (tmp_path / "turned.ts").write_bytes(b"".join(parts))
    path = tmp_path / "turned.mkv"
    ffmpeg("-i", tmp_path / "turned.ts", "-c", "copy", path)
    options = Options(sampling="interval", interval_s=0.5, frames_per_unit=3)
    probed = probe(path, limits, options)
    grid, _ = grid_of(probed, options, limits)
    pictures = Pictures.of_packets(packets(path, [0], limits))
    assert pictures
    parted = cut(pictures, grid, False, 3.0)
    assert len(parted) > 3
    whole = SplitSummary()
    expected = _jpegs(split(path, probed, options, limits, whole, max_duration_s=3600))
    found: dict[str, bytes] = {}
    for part in parted:
        one = SplitSummary()
        found |= _jpegs(split_part(path, probed, options, limits, one, part, max_duration_s=3600))
        assert one.failures == {}
    assert len(expected) > 20
    assert found == expected


def _jpegs(pieces: Iterator[FramesPiece | AudioPiece]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for piece in pieces:
        if isinstance(piece, FramesPiece):
            with zipfile.ZipFile(io.BytesIO(piece.body)) as archive:
                found |= {name: archive.read(name) for name in archive.namelist()}
    return found


@pytest.mark.parametrize("size", ["853x480", "854x481", "853x481", "201x151"])
def test_frames_of_odd_sizes_are_sampled(
    tmp_path: Path, ffmpeg: Callable[..., None], limits: Limits, size: str
) -> None:
    """The filters that detect duplicates pad the frame to whole chroma samples."""
    path = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", f"testsrc=s={size}:r=5:d=3", "-c:v", "ffv1", path)
    summary = SplitSummary()
    probed = probe(path, limits)
    pieces = list(split(path, probed, Options(), limits, summary, max_duration_s=3600))
    assert summary.error is None
    assert [len(piece.names) for piece in pieces if isinstance(piece, FramesPiece)] == [3]
