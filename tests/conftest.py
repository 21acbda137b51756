"""Fixtures for all tests: the shared test data, and the folder of model files."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from castline.weights.locate import find_mtcnn
from castline.weights.prepare import can_make_mtcnn, ensure_mtcnn

CHECKOUT = Path(__file__).resolve().parents[1]

# Times mean little on a busy machine: examples have no time limit, but tests have (pyproject.toml).
settings.register_profile("castline", deadline=None)
settings.load_profile("castline")

# A shell that starts the tests in the background makes them ignore Ctrl-C, and every command that they start with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Files of one or two tests that take minutes: if last, they would run alone while the other worker is idle.
_FIRST = ("test_wheel.py", "test_day.py", "test_export.py", "test_tools.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in _FIRST)


def at_scale(size: int, whole: int) -> int:
    """The everyday size of a test, and its full size with LONG=1 in the environment (`make test LONG=1`)."""
    return whole if os.environ.get("LONG") else size


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The test data beside the checkout; without it, the test is skipped."""
    folder = (CHECKOUT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip("there is no shared test data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """A models folder that contains MTCNN; made once, kept for later runs."""
    folder = CHECKOUT / ".castline" / "models"
    if find_mtcnn(folder) is None and not can_make_mtcnn():
        pytest.skip("MTCNN does not exist yet, and onnx and facenet-pytorch are not installed to export it")
    ensure_mtcnn(folder)
    return folder


@pytest.fixture(scope="session")
def noise() -> Callable[[int, int], NDArray[np.uint8]]:
    """Makes RGB pictures (height, width, 3) of coloured blocks: always the same, without people."""

    def build(height: int, width: int) -> NDArray[np.uint8]:
        rows, columns = height // 4 + 1, width // 4 + 1
        blocks = np.random.default_rng(height * 7919 + width).integers(0, 256, (rows, columns, 3), np.uint8)
        return blocks.repeat(4, axis=0).repeat(4, axis=1)[:height, :width].copy()

    return build


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """Runs the pinned ffmpeg to make media files: ``ffmpeg("-f", "lavfi", "-i", "sine=d=2", path)``."""

    def run(*arguments: object) -> None:
        argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr.decode()

    return run


_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2")
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture(autouse=True, scope="session")
def own_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave alone the library of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def audible_logs() -> Iterator[None]:
    """A command in an earlier test may have silenced them for the whole process (``quiet_logs``)."""
    logging.disable(logging.NOTSET)
    yield


@pytest.fixture(scope="session")
def odd_media(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, Path]:
    """Media files by name, each odd in the way its name says. They show nobody, and nothing is said."""
    folder = tmp_path_factory.mktemp("odd")
    made: dict[str, Path] = {}

    def make(name: str, *arguments: object) -> Path:
        made[name] = folder / name
        ffmpeg(*arguments, made[name])
        return made[name]

    def write(name: str, content: bytes) -> None:
        made[name] = folder / name
        made[name].write_bytes(content)

    both = make("both.mp4", *_PICTURE, *_TONE, *_X264)
    make("no-audio.mp4", *_PICTURE, *_X264)
    make("no-video.mp4", *_TONE)
    make("voice.ogg", *_TONE, "-c:a", "libopus")
    make("voice.mp3", *_TONE)
    make("voice.m4a", *_TONE)
    make("voice.flac", *_TONE)
    make("late-sound.mkv", *_PICTURE, "-itsoffset", 1, *_TONE, *_X264)
    make("short.mp4", *_PICTURE, *_TONE, *_X264, "-t", 0.2)
    make("anamorphic.mp4", *_PICTURE, *_X264, "-vf", "setsar=2")
    make("variable-rate.mp4", *_PICTURE, *_X264, "-vf", "select='not(mod(n,3))+lt(n,10)'", "-fps_mode", "vfr")
    make("rotated.mp4", "-display_rotation", -90, "-i", made["no-audio.mp4"], "-c", "copy")
    make("tiny.mp4", "-f", "lavfi", "-i", "testsrc2=size=16x16:rate=5:duration=1", *_X264)
    channels = 40
    inputs = "|".join(["0.1*sin(440*t)"] * channels)
    make("forty-channels.wav", "-f", "lavfi", "-i", f"aevalsrc={inputs}:d=1:s=16000", "-c:a", "pcm_s16le")
    stream = make("whole.ts", *_PICTURE, *_TONE, *_X264)
    write("cut-off.ts", stream.read_bytes()[: stream.stat().st_size // 2 + 57])
    fast = make("fast-start.mp4", *_PICTURE, *_TONE, *_X264, "-movflags", "+faststart")
    write("truncated.mp4", fast.read_bytes()[: fast.stat().st_size // 2])
    write("cut-off-index.mp4", both.read_bytes()[: both.stat().st_size // 2])
    make("cover.png", "-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", 1)
    cover = made.pop("cover.png")
    make("cover.mp3", *_TONE, "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic")
    make("cover-only.m4a", "-i", cover, "-c:v", "copy", "-disposition:v", "attached_pic", "-f", "mp4")
    write("zero.mp4", b"")
    write("text.mp4", b"This is a letter, not a film.\n" * 20)
    write("playlist.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")
    return made


@pytest.fixture(scope="session")
def quiet_media(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, Path]:
    """Sound without speech, by name."""
    folder = tmp_path_factory.mktemp("quiet")
    sources = {
        "silence.wav": "anullsrc=r=16000:d=5",
        "white.wav": "anoisesrc=color=white:amplitude=0.2:d=5:r=16000:seed=1",
        "pink.wav": "anoisesrc=color=pink:amplitude=0.3:d=5:r=16000:seed=2",
        "brown.wav": "anoisesrc=color=brown:amplitude=0.5:d=5:r=16000:seed=3",
        "hum.wav": "sine=frequency=50:duration=5",
        "faint.wav": "anoisesrc=color=white:amplitude=0.002:d=5:r=16000:seed=4",
    }
    for name, source in sources.items():
        ffmpeg("-f", "lavfi", "-i", source, folder / name)
    return {name: folder / name for name in sources}


@pytest.fixture(scope="session")
def short_clips(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> list[Path]:
    """Four clips of the demo, a second long, with faces and words: one frames unit and one audio unit each."""
    folder = tmp_path_factory.mktemp("clips")
    demo = CHECKOUT / "examples" / "demo.mp4"
    clips = []
    for index, start in enumerate((1, 10, 13, 18)):
        clips.append(folder / f"clip-{index}.mp4")
        ffmpeg("-ss", start, "-i", demo, "-t", 1.0, "-vf", "scale=-2:270", *_X264, clips[-1])
    return clips
