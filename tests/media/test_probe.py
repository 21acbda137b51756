"""The output of ``ffmpeg -i``, read with suspicion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from castline.errors import ForbiddenMedia, MediaTooLarge, NoStreams, NotMedia
from castline.media import probe
from castline.media.ffmpeg import Limits
from castline.media.probe import Listing, parse
from castline.records import AudioStream, VideoStream

_H264 = "h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive)"


def _parse(text: str) -> Listing:
    return parse(text.split("\n"))


def _video(line: str) -> VideoStream:
    return _parse(f"  Stream #0:0: Video: {line}").videos[0]


def test_an_ordinary_file() -> None:
    found = _parse(
        "  Metadata:\n"
        "    major_brand     : isom\n"
        "  Duration: 01:02:03.45, start: 0.000000, bitrate: 1205 kb/s\n"
        f"  Stream #0:0[0x1](und): Video: {_H264}, 1920x1080 [SAR 1:1 DAR 16:9], 1189 kb/s, 29.97 fps, 29.97 tbr (default)\n"  # noqa: E501
        "      Metadata:\n"
        "        handler_name    : VideoHandler\n"
        "  Stream #0:1[0x2](eng): Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, stereo, fltp, 128 kb/s (default)"
    )
    assert found.duration_s == pytest.approx(3723.45)
    assert found.videos == {0: VideoStream(codec="h264", width=1920, height=1080, fps=29.97)}
    assert found.audios == {1: AudioStream(index=1, codec="aac", sample_rate=48000, channels=2, layout="stereo")}
    assert [(stream.kind, stream.language, stream.default) for stream in found.streams] == [
        ("video", None, True),
        ("audio", "eng", True),
    ]


@pytest.mark.parametrize(
    ("layout", "channels"),
    [
        ("mono", 1),
        ("stereo", 2),
        ("2.1", 3),
        ("5.1", 6),
        ("5.1(side)", 6),
        ("quad(side)", 4),
        ("7.1(wide-side)", 8),
        ("1 channels", 1),
        ("40 channels", 40),
        ("40 channels (FL+FR+39)", 40),
        ("ambisonic 1", 4),
        ("something new", 0),
    ],
)
def test_channels_of_named_and_unnamed_layouts(layout: str, channels: int) -> None:
    found = _parse(f"  Stream #0:0: Audio: pcm_s16le ([1][0][0][0] / 0x0001), 16000 Hz, {layout}, s16, 256 kb/s")
    assert found.audios == {0: AudioStream(codec="pcm_s16le", sample_rate=16000, channels=channels, layout=layout)}


@pytest.mark.parametrize(
    ("degrees", "size", "clockwise"),
    [
        ("-90.00", (1080, 1920), 90),
        ("90.00", (1080, 1920), 270),
        ("-180.00", (1920, 1080), 180),
        ("0.00", (1920, 1080), 0),
    ],
)
def test_rotation_swaps_width_and_height(degrees: str, size: tuple[int, int], clockwise: int) -> None:
    found = _parse(
        f"  Stream #0:0: Video: {_H264}, 1920x1080, 30 fps\n"
        "      Side data:\n"
        f"        displaymatrix: rotation of {degrees} degrees\n"
        "  Stream #0:1: Audio: aac, 48000 Hz, mono, fltp\n"
        "        displaymatrix: rotation of -90.00 degrees"
    ).videos[0]
    assert (found.width, found.height) == size
    assert found.rotation == clockwise


@pytest.mark.parametrize(
    ("aspect", "width"),
    [
        ("[SAR 2:1 DAR 32:9]", 640),
        ("[SAR 1:2 DAR 8:9]", 160),
        ("SAR 64:45 DAR 4:3", 455),
        ("[SAR 0:1 DAR 0:1]", 320),
        ("[SAR 1:1 DAR 16:9], SAR 2:1 DAR 32:9", 640),
    ],  # the container knows better than the codec
)
def test_pixels_that_are_not_square(aspect: str, width: int) -> None:
    separator = " " if aspect.startswith("[") else ", "
    found = _video(f"mpeg2video (Main), yuv420p(tv), 320x180{separator}{aspect}, 25 fps, 25 tbr")
    assert (found.width, found.height) == (width, 180)


@pytest.mark.parametrize(
    ("text", "fps"), [("25 fps", 25), ("23.98 fps", 23.98), ("25k fps", 25_000), ("90k tbr", None)]
)
def test_frame_rates(text: str, fps: float | None) -> None:
    assert _video(f"{_H264}, 320x180, {text}").fps == fps


def test_cover_art_is_not_video_even_if_it_comes_first() -> None:
    found = _parse(
        "  Stream #0:0: Video: mjpeg (Baseline), yuvj420p(pc), 600x600, 90k tbr, 90k tbn (attached pic)\n"
        f"  Stream #0:1: Video: {_H264}, 320x180, 25 fps"
    )
    assert [(video.index, video.codec) for video in found.videos.values()] == [(1, "h264")]
    assert [stream.cover for stream in found.streams] == [True, False]
    assert not _parse("  Stream #0:0: Video: png, rgb24(pc), 64x64, 90k tbr, 90k tbn (attached pic)").videos


def test_a_stream_with_too_little_information_is_passed_over() -> None:
    found = _parse(
        "  Duration: N/A, start: 5.040000, bitrate: N/A\n"
        "  Stream #0:0[0x100]: Video: h264 ([27][0][0][0] / 0x001B), none, 90k tbr\n"
        "  Stream #0:1[0x101]: Audio: aac ([15][0][0][0] / 0x000F), 0 channels\n"
        "  Stream #0:2[0x102](eng us): Video: hevc, yuv420p, 64x48, 25 fps\n"
        "  Stream #0:3: Subtitle: subrip, 10x10\n"
        "  Stream #0:4: Data: none"
    )
    assert found.duration_s is None
    assert found.start_s == 5.04
    assert found.audios == {}
    assert [(video.index, video.codec, video.width) for video in found.videos.values()] == [(2, "hevc", 64)]
    assert [stream.kind for stream in found.streams] == ["video", "audio", "video", "subtitle", "data"]


def test_a_stream_without_a_decoder_is_listed_but_not_chosen() -> None:
    found = _parse(
        "  Stream #0:0[0x1]: Video: none (xvc9 / 0x39637678), none, 640x360, 367 kb/s, 25 fps (default)\n"
        "  Stream #0:1[0x2]: Audio: none (apac / 0x63617061), 16000 Hz, mono, 73 kb/s (default)\n"
        "  Stream #0:2[0x3](deu): Audio: aac (LC) (mp4a / 0x6134706D), 16000 Hz, mono, fltp, 69 kb/s"
    )
    assert [(stream.codec, stream.decodable) for stream in found.streams] == [
        ("xvc9", False),
        ("apac", False),
        ("aac", True),
    ]
    assert (list(found.videos), list(found.audios)) == ([], [2])
    known = parse(["  Stream #0:0: Audio: ac4 (ac-4 / 0x342D6361), 48000 Hz, stereo"], frozenset({"aac"}))
    assert not known.streams[0].decodable


def test_a_sample_rate_too_low_for_speech_is_not_chosen() -> None:
    found = _parse("  Stream #0:0: Audio: pcm_u8 ([1][0][0][0] / 0x0001), 1 Hz, mono, u8, 0 kb/s")
    assert found.audios == {}
    assert "1 Hz" in found.streams[0].note


@pytest.mark.parametrize(("transfer", "hdr"), [("smpte2084", True), ("arib-std-b67", True), ("bt709", False)])
def test_hdr_is_recognised(transfer: str, hdr: bool) -> None:
    line = f"hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/{transfer}, progressive), 320x180, 25 fps"
    assert _video(line).hdr is hdr


def test_titles_cannot_pose_as_streams() -> None:
    found = _parse(
        "    title           :   Stream #0:0: Video: h264, 10x10, 25 fps\n"
        "                    :   Duration: 99:00:00.00\n"
        "        displaymatrix   : rotation of 90.00 degrees\n"
        "    Stream #0:0: Video: h264, 10x10, 25 fps"
    )
    assert found == Listing()


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c"], ids=ascii)
def test_a_line_break_in_a_real_title_adds_no_stream(
    ending: str, limits: Limits, ffmpeg: Callable[..., None], odd_media: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "title.mkv"
    fake = f"{ending}  Stream #0:9: Video: h264, 10x10, 25 fps{ending}  Duration: 99:00:00.00, start"
    ffmpeg("-i", odd_media["voice.flac"], "-c", "copy", "-metadata", f"title=x{fake}{fake}", path)
    found = probe(path, limits)
    assert found.video is None
    assert found.audio
    assert found.duration_s == pytest.approx(2, abs=0.1)


def test_a_long_title_adds_no_stream(
    limits: Limits, ffmpeg: Callable[..., None], odd_media: dict[str, Path], tmp_path: Path
) -> None:
    fake = "  Stream #0:9: Video: h264, 10x10, 25 fps"
    # Wherever a reader may cut the line, one of these begins there.
    for shift in range(0, len(fake) + 4, 7):
        path = tmp_path / f"{shift}.mkv"
        title = "x" * (4096 - 30 + shift) + fake * 4
        ffmpeg("-i", odd_media["voice.flac"], "-c", "copy", "-metadata", f"title={title}", path)
        assert probe(path, limits).video is None


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("zero.mp4", NotMedia, "empty"),
        ("text.mp4", NotMedia, "not an MP4"),
        ("cut-off-index.mp4", NotMedia, "moov atom"),
        ("playlist.mp4", ForbiddenMedia, "playlist"),
        ("cover-only.m4a", NoStreams, "cover art"),
    ],
)
def test_files_that_are_not_media_are_explained_in_one_line(
    name: str, error: type[Exception], words: str, odd_media: dict[str, Path], limits: Limits
) -> None:
    with pytest.raises(error, match=words) as caught:
        probe(odd_media[name], limits)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"GIF89a\x01\x00", "a GIF picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(8) + b"IHDR", "a PNG picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(25) + b"acTL", "an animated PNG picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG picture"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "a WebP picture"),
        (b"\x00\x00\x00\x18ftypheic", "a HEIF or AVIF picture"),
        (b"BM\x36\x00\x0c\x00\x00\x00\x00\x00", "a BMP picture"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x03ds2" + bytes(600), "a DS2 dictation"),
        (b"1\n00:00:00,000 --> 00:00:02,000\nhello\n", "but in 'srt'"),
        (b".RMF\x00\x00\x00\x12\x00\x00" + bytes(80), "but in 'rm'"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG picture"),
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg/>', "an SVG picture"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "a web page"),
        (b"<HTML><head>", "a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an answer that says AccessDenied"),
    ],
)
def test_misnamed_files_are_called_what_they_are(content: bytes, words: str, limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "named.mp4"
    path.write_bytes(content)
    with pytest.raises(NotMedia, match=words) as caught:
        probe(path, limits)
    assert "\n" not in caught.value.message


def test_real_files_are_read_as_they_were_made(odd_media: dict[str, Path], limits: Limits) -> None:
    both = probe(odd_media["both.mp4"], limits)
    assert both.duration_s == pytest.approx(2, abs=0.1)
    assert both.video == VideoStream(codec="h264", width=320, height=180, fps=25)
    assert [(stream.kind, stream.used) for stream in both.streams] == [("video", True), ("audio", True)]
    assert both.audio
    assert (both.audio.codec, both.audio.channels) == ("aac", 1)
    rotated = probe(odd_media["rotated.mp4"], limits).video
    assert rotated
    assert (rotated.width, rotated.height, rotated.rotation) == (180, 320, 90)
    wide = probe(odd_media["anamorphic.mp4"], limits).video
    assert wide
    assert (wide.width, wide.height) == (640, 180)
    many = probe(odd_media["forty-channels.wav"], limits).audio
    assert many
    assert many.channels == 40
    cover = probe(odd_media["cover.mp3"], limits)
    assert cover.video is None
    assert cover.audio


def test_more_pixels_than_allowed_are_refused(odd_media: dict[str, Path], limits: Limits) -> None:
    few = Limits(program=limits.program, max_pixels=320 * 180 - 1)
    with pytest.raises(MediaTooLarge, match="320x180"):
        probe(odd_media["both.mp4"], few)
    assert probe(odd_media["both.mp4"], Limits(program=limits.program, max_pixels=320 * 180)).video
