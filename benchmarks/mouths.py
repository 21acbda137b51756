"""Who says it, in films made of GRID's clips: a mouth that moves or rests, and a sound that is or is not its own.

A scene is three seconds of one to three faces side by side, each moving or held still, and the sound of a clip. Voices
are enrolled for nobody unless said so, and faces for everybody. A name is wrong if it is not that of whose sound it is.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np

from benchmarks.common import ROOT
from castline import analyse
from castline.records import Result
from castline.settings import Settings
from castline.weights import locate

_GRID = (ROOT / "../shared/data/video/grid").resolve()
_WEIGHTS = (ROOT / "../shared/data/models/lr-asd-finetuning_TalkSet.model").resolve()
#: Clips of people who are not alike, to the face embedder or to the ear.
PEOPLE = ("bbaf2n", "lrwp9a", "lbbc2a")


@dataclass(frozen=True)
class Scene:
    """Attributes:
    faces: who is on screen, from left to right.
    sound: whose clip is heard.
    moving: whose clip moves; the others are held still.
    """

    faces: tuple[str, ...]
    sound: str
    moving: str = ""


def films() -> dict[str, tuple[Scene, ...]]:
    """Films by name; in ``dubbed`` and ``swapped`` nobody who is seen to speak does, in the others who moves does."""
    a, b, c = PEOPLE[:3]
    return {
        "two side by side": (Scene((a, b), a, a), Scene((a, b), b, b)) * 3,
        "three side by side": (Scene((a, b, c), a, a), Scene((a, b, c), b, b), Scene((a, b, c), c, c)) * 3,
        "swapped sound": (Scene((a, b), b, a), Scene((a, b), a, b)) * 3,
        "narration over a silent face": (Scene((a,), b), Scene((a,), c)) * 3,
        "a dubbed face": (Scene((a,), b, a),) * 4,
        "a voice off screen": (Scene((a,), a, a), Scene((a,), b)) * 3,
        "cuts between speaker and listener": (
            Scene((a,), a, a), Scene((b,), a), Scene((b,), b, b), Scene((a,), a, a), Scene((b,), b, b), Scene((a,), b),
        ) * 2,
    }  # fmt: skip


def make(scenes: Sequence[Scene], target: Path) -> Path:
    """Write a film, 25 pictures a second, with H.264 and AAC."""
    width = 360 * max(len(scene.faces) for scene in scenes)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.f32"
        sound.write_bytes(b"".join(_sound(scene.sound).tobytes() for scene in scenes))
        size = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x288", "-r", "25")
        coding = ("-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest")
        argv = [program, "-v", "error", "-y", *size, "-i", "-", "-f", "f32le", "-ar", "16000", "-ac", "1", "-i", sound]
        with subprocess.Popen([*argv, *coding, str(target)], stdin=subprocess.PIPE) as process:
            assert process.stdin
            for scene in scenes:
                for at in range(75):
                    row = [_pictures(name)[at if name == scene.moving else 0] for name in scene.faces]
                    row.append(np.zeros((288, width - 360 * len(row), 3), np.uint8))
                    process.stdin.write(np.hstack(row).tobytes())
    return target


def _pictures(name: str) -> list[Any]:
    if name not in _CLIPS:
        film, found = cv2.VideoCapture(str(_GRID / f"{name}.mpg")), []
        while (picture := film.read()[1]) is not None:
            found.append(picture)
        _CLIPS[name] = [*found, *found[-1:] * 75][:75]
    return _CLIPS[name]


_CLIPS: dict[str, list[Any]] = {}


def _sound(name: str) -> Any:
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(_GRID / f"{name}.mpg")]
    raw = subprocess.run([*argv, "-ac", "1", "-ar", "16000", "-f", "f32le", "-"], capture_output=True, check=True)
    samples = np.zeros(48_000, np.float32)
    read = np.frombuffer(raw.stdout, np.float32)[:48_000]
    samples[: len(read)] = read
    return samples


def gallery(folder: Path) -> Path:
    for name in PEOPLE:
        (folder / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name / "photo.jpg"), _pictures(name)[40])
    return folder


def judge(result: Result, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Lines by what is said of them."""
    counts = {"lines": 0, "right": 0, "wrong": 0, "maybe": 0, "off_screen": 0, "unknown": 0}
    for line in result.transcript.segments:
        scene = scenes[min(int((line.start_s + line.end_s) / 2 / 3), len(scenes) - 1)]
        said = line.said_by
        counts["lines"] += 1
        if said is not None and said.outcome == "says":
            counts["right" if said.name == scene.sound else "wrong"] += 1
        elif said is not None:
            counts[said.outcome] += 1
    shown = {line.speaker for line in result.transcript.segments} & set(PEOPLE)
    return {**counts, "names": sorted(shown)}


def settings(folder: Path) -> Settings:
    """With LR-ASD in the models folder."""
    if not (folder / locate.MOUTH_WEIGHTS_FILE).exists():
        shutil.copy(_WEIGHTS, folder / locate.MOUTH_WEIGHTS_FILE)
    return Settings(models_dir=folder, language="en")


def run(folder: Path) -> dict[str, Any]:
    chosen, known = settings(folder), gallery(folder / "gallery")
    found: dict[str, Any] = {}
    for name, scenes in films().items():
        path = make(scenes, folder / f"{name.replace(' ', '-')}.mp4")
        times: dict[str, float] = {}
        for speakers in ("off", "auto"):
            start = perf_counter()
            result = analyse(path, gallery=known, settings=chosen, speakers=speakers)
            times[speakers] = round(perf_counter() - start, 2)
        timings = {timing.stage: timing.seconds for timing in result.processing.timings}
        found[name] = {**judge(result, scenes), "seconds": times, "stages": timings}
        print(name, found[name], flush=True)
    return found
