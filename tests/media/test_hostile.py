"""Hostile media: it reads no other file, uses no network, and ends within its limits."""

from __future__ import annotations

import base64
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from castline.errors import (
    CastlineError,
    FfmpegTimeout,
    ForbiddenMedia,
    MediaTooLarge,
    NoStreams,
    ResourceError,
    UndecodableMedia,
)
from castline.media import SplitSummary, probe, split
from castline.media.ffmpeg import Limits, arguments, explain, open_input, run
from castline.records import Options, Probe, VideoStream

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


class _Server:
    """A web server that answers everything and remembers the requests."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[_Server]:
    server = _Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """A real, playable file that no other media file may reach."""
    path = tmp_path_factory.mktemp("secret") / "secret.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5:duration=2",
           "-f", "lavfi", "-i", "sine=d=2", *_X264, path)  # fmt: skip
    return path


_LISTS: dict[str, str] = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{url}\n#EXT-X-ENDLIST\n",
    "hls-after-blank": "\n\n#EXTM3U\n#EXTINF:2,\n{url}\n#EXT-X-ENDLIST\n",
    "hls-master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n",
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
    "dash-bare": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\na=control:{url}\r\n"
    "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    "pls": "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>\n',
    "imf": '<AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><Path>{url}</Path></AssetMap>\n',
}


@pytest.mark.parametrize("kind", sorted(_LISTS))
@pytest.mark.parametrize("target", ["file", "http", "relative"])
def test_lists_of_other_files_reach_nothing(
    kind: str, target: str, server: _Server, secret: Path, limits: Limits, tmp_path: Path
) -> None:
    (tmp_path / "beside.ts").write_bytes(secret.read_bytes())
    url = {"file": f"file://{secret}", "http": f"http://{server.address}/x.ts", "relative": "beside.ts"}[target]
    content = _LISTS[kind].format(url=url)
    for suffix in (".mp4", ".ts", ".mkv", ".mp3"):
        path = tmp_path / f"list{suffix}"
        path.write_text(content)
        with pytest.raises(CastlineError) as caught:
            probe(path, limits)
        assert not caught.value.retryable
        assert "\n" not in caught.value.message
    # Even decoding without a probe gets nothing out of it.
    probed = Probe(container="?", duration_s=None, video=VideoStream(codec="h264", width=64, height=64), audio=None)
    options = Options(sampling="interval")
    with pytest.raises(CastlineError):
        list(split(tmp_path / "list.mp4", probed, options, limits, SplitSummary(), max_duration_s=10))
    assert server.asked == []


@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "sdp", "pls"])
def test_a_playlist_is_called_a_playlist(kind: str, limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text(_LISTS[kind].format(url="http://example.invalid/x.ts"))
    with pytest.raises(ForbiddenMedia, match="refers to other files"):
        probe(path, limits)


def test_the_server_and_the_secret_are_worth_reaching(server: _Server, secret: Path, limits: Limits) -> None:
    """Without the limits, ffmpeg does follow a list, and the tests above would see it."""
    import urllib.request

    urllib.request.urlopen(f"http://{server.address}/alive").read()
    assert server.asked.pop() == "/alive"
    found = probe(secret, limits)
    assert found.video
    path = secret.parent / "list.m3u8"
    path.write_text(_LISTS["hls"].format(url=secret.name))
    status, _, log, _ = run([limits.program, "-nostdin", "-i", str(path)], limits)
    assert status == 1
    assert "Video: h264" in log


@pytest.mark.parametrize(
    "name",
    ["http:x.mp4", "-i.mp4", "concat:a|b.mp4", "%03d.mp4", "a b'\"$(x).mp4", "pipe:0.mp4", "data:,x.mp4", "file:x.mp4",
     "subfile,,start,0,end,9,,:x.mp4", "*.mp4", "new\nline.mp4", "crypto:x.mp4", "é.mp4"],
)  # fmt: skip
def test_a_name_is_only_a_name(
    name: str, odd_media: dict[str, Path], limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = odd_media["both.mp4"].read_bytes()
    (tmp_path / name).write_bytes(content)
    (tmp_path / "001.mp4").write_bytes(b"not this one")
    for path in (tmp_path / name, Path(name)):
        found = probe(path, limits)
        assert found.duration_s == pytest.approx(2, abs=0.1)
        summary = SplitSummary()
        assert list(split(path, found, Options(), limits, summary, max_duration_s=10))
        assert summary.error is None


def test_a_pattern_of_picture_names_is_not_expanded(
    ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path
) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5:duration=1", tmp_path / "%03d.jpg")
    assert (tmp_path / "001.jpg").is_file()
    path = tmp_path / "%03d.mp4"
    path.write_bytes((tmp_path / "001.jpg").read_bytes())
    with pytest.raises(CastlineError):
        probe(path, limits)


def test_a_film_that_refers_to_other_files_shows_none_of_them(
    odd_media: dict[str, Path], ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path
) -> None:
    """An MP4 whose data reference does not say "in this file"; ffmpeg must not look for the other file."""
    made = tmp_path / "own.mov"
    ffmpeg("-i", odd_media["no-audio.mp4"], "-c", "copy", made)
    content = made.read_bytes()
    inside = next(box for box in (b"\0\0\0\x0curl \0\0\0\x01", b"\0\0\0\x0calis\0\0\0\x01") if box in content)
    path = tmp_path / "elsewhere.mov"
    path.write_bytes(content.replace(inside, inside[:-1] + b"\0"))
    argv = arguments(open_input(path, limits).output("-", format="null"), limits)
    _, _, log, _ = run(argv, limits)
    assert "Opening" not in log


@pytest.mark.parametrize("container", ["mkv", "ogg", "mp3"])
def test_attached_pictures_are_not_film(
    container: str, odd_media: dict[str, Path], ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path
) -> None:
    cover = tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", 1, cover)
    path = tmp_path / f"song.{container}"
    if container == "mkv":
        ffmpeg(
            "-i", odd_media["voice.flac"], "-c", "copy", "-attach", cover, "-metadata:s:1", "mimetype=image/png", path
        )
    elif container == "mp3":
        path = odd_media["cover.mp3"]
    else:
        picture = _flac_picture(cover.read_bytes())
        ffmpeg("-i", odd_media["voice.ogg"], "-c", "copy", "-metadata:s:a", f"METADATA_BLOCK_PICTURE={picture}", path)
    found = probe(path, limits)
    assert found.video is None
    assert found.audio
    summary = SplitSummary()
    list(split(path, found, Options(), limits, summary, max_duration_s=10))
    assert [unit.kind for unit in summary.units()] == ["audio"]
    assert summary.audio_s == pytest.approx(2, abs=0.1)
    with pytest.raises(NoStreams):
        probe(odd_media["cover-only.m4a"], limits)


def _flac_picture(png: bytes) -> str:
    def number(value: int) -> bytes:
        return value.to_bytes(4, "big")

    block = number(3) + number(9) + b"image/png" + number(0) + number(64) * 2 + number(24) + number(0)
    return base64.b64encode(block + number(len(png)) + png).decode()


def test_the_wall_clock_ends_ffmpeg(odd_media: dict[str, Path], limits: Limits, tmp_path: Path) -> None:
    script = tmp_path / "stuck-ffmpeg"
    script.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    script.chmod(0o755)
    path = odd_media["both.mp4"]
    found = probe(path, limits)
    stuck = dataclasses.replace(limits, program=str(script), timeout_s=0.2)
    options = Options(sampling="interval")
    started = time.monotonic()
    for action in (
        lambda: probe(path, stuck),
        lambda: list(split(path, found, options, stuck, SplitSummary(), max_duration_s=60)),
    ):
        with pytest.raises(FfmpegTimeout, match=r"did not finish within 0\.2 s") as caught:
            action()
        assert not caught.value.retryable
    assert time.monotonic() - started < 120


def test_what_was_decoded_before_the_time_limit_is_kept(
    odd_media: dict[str, Path], limits: Limits, tmp_path: Path
) -> None:
    script = tmp_path / "slow-ffmpeg"
    script.write_text(f'#!/bin/sh\nexec "{limits.program}" -readrate 1 "$@"\n')
    script.chmod(0o755)
    path = odd_media["both.mp4"]
    found = probe(path, limits)
    summary = SplitSummary()
    slow = dataclasses.replace(limits, program=str(script), timeout_s=1.0)
    pieces = list(split(path, found, Options(sampling="interval", interval_s=0.1), slow, summary, max_duration_s=60))
    assert isinstance(summary.error, FfmpegTimeout)
    assert pieces
    assert len(summary.units()) == len(pieces)


def test_leaving_in_the_middle_ends_ffmpeg(ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path) -> None:
    script = tmp_path / "slow-ffmpeg"
    pids = tmp_path / "pids"
    script.write_text(f'#!/bin/sh\necho $$ >> {pids}\nexec "{limits.program}" -readrate 5 "$@"\n')
    script.chmod(0o755)
    path = tmp_path / "long.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=30", "-c:v", "mpeg4", path)
    options = Options(sampling="interval", interval_s=0.1, frames_per_unit=1)
    slow = dataclasses.replace(limits, program=str(script))
    pieces = split(path, probe(path, limits), options, slow, SplitSummary(), max_duration_s=60)
    next(pieces)
    pieces.close()
    (pid,) = pids.read_text().split()
    assert not Path(f"/proc/{pid}").exists()


def test_memory_is_limited(ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "big.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=3840x2160:rate=1:duration=3", *_X264, path)
    tight = dataclasses.replace(limits, memory_mb=150)
    started = time.monotonic()
    with pytest.raises((ResourceError, UndecodableMedia)) as caught:
        probed = Probe(
            container="mkv", duration_s=3, video=VideoStream(codec="h264", width=3840, height=2160), audio=None
        )
        list(split(path, probed, Options(sampling="interval"), tight, SplitSummary(), max_duration_s=10))
    assert "\n" not in caught.value.message
    assert time.monotonic() - started < 120
    assert probe(path, limits).video


def test_too_many_pixels_are_not_decoded(ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=1:duration=1", *_X264, path)
    few = dataclasses.replace(limits, max_pixels=640 * 480)
    with pytest.raises(MediaTooLarge, match="1920x1080 is more than"):
        probe(path, few)
    # The decoder stops a container that lies about its size.
    lie = Probe(container="mp4", duration_s=1, video=VideoStream(codec="h264", width=64, height=64), audio=None)
    with pytest.raises(CastlineError):
        list(split(path, lie, Options(), few, SplitSummary(), max_duration_s=10))


@pytest.mark.parametrize(("signal", "name"), [("SEGV", "SIGSEGV"), ("ABRT", "SIGABRT"), ("BUS", "SIGBUS")])
def test_a_crash_is_one_readable_line(
    signal: str, name: str, odd_media: dict[str, Path], limits: Limits, tmp_path: Path
) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text(f"#!/bin/sh\necho '[h264 @ 0x1] [error] something is odd' >&2\nkill -{signal} $$\n")
    script.chmod(0o755)
    broken = dataclasses.replace(limits, program=str(script))
    for action in (
        lambda: probe(odd_media["both.mp4"], broken),
        lambda: list(
            split(
                odd_media["both.mp4"],
                probe(odd_media["both.mp4"], limits),
                Options(),
                broken,
                SplitSummary(),
                max_duration_s=10,
            )
        ),
    ):
        with pytest.raises(UndecodableMedia, match=rf"^ffmpeg crashed on this file \({name}\)$") as caught:
            action()
        assert not caught.value.retryable
        assert "something is odd" in caught.value.detail


def test_a_missing_program_is_not_the_file_s_fault(odd_media: dict[str, Path]) -> None:
    for program in ("no-such-ffmpeg", "/nonexistent/ffmpeg"):
        with pytest.raises(ResourceError, match="not installed"):
            probe(odd_media["both.mp4"], Limits(program=program))


def test_a_file_that_disappeared_is_not_the_file_s_fault(limits: Limits, tmp_path: Path) -> None:
    gone = open_input(tmp_path / "gone.mp4", limits)
    status, _, log, errors = run(arguments(gone["a:0"].output("-", format="null"), limits), limits)
    found = explain(status, errors, log, opened=False)
    assert isinstance(found, ResourceError)
    assert found.retryable


def test_a_title_is_never_read_as_an_error(odd_media: dict[str, Path], ffmpeg: Callable[..., None], limits: Limits,
                                       tmp_path: Path) -> None:  # fmt: skip
    path = tmp_path / "title.mp4"
    title = "No space left on device. Format not on whitelist. Cannot allocate memory."
    ffmpeg("-i", odd_media["no-audio.mp4"], "-c", "copy", "-metadata", f"title={title}", path)
    status, _, log, errors = run(arguments(open_input(path, limits)["a:0"].output("-", format="null"), limits), limits)
    assert title in log
    found = explain(status, errors, log, opened=True)
    assert type(found) is UndecodableMedia


@pytest.mark.parametrize(
    ("error", "opened", "kind", "words"),
    [
        ("Error opening input: No space left on device", True, ResourceError, "temporary disk is full"),
        ("Error opening input: No such file or directory", True, ResourceError, "gone from the temporary disk"),
        ("Error: Cannot allocate memory", True, ResourceError, "more memory than allowed"),
        ("moov atom not found", False, CastlineError, "no index"),
        ("something new", True, UndecodableMedia, "ffmpeg cannot read the file: something new"),
    ],
)
def test_ffmpeg_s_message_becomes_a_typed_line(error: str, opened: bool, kind: type, words: str) -> None:
    found = explain(1, [error], "the log", opened=opened)
    assert isinstance(found, kind)
    assert words in found.message
    assert found.detail == "the log"
    assert len(explain(1, ["x" * 5000], "", opened=True).message) <= 300
