"""Who says it, in films made of real clips: a mouth that moves or rests, and a sound that is or is not its own.

A scene is three seconds of one to three faces side by side, each moving or held still, and the sound of a clip or of a
reader. All faces are enrolled, and voices in some films: each face has that of a reader, by other recordings. A name is
wrong if it is not that of whose sound it is.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import soundfile

from benchmarks.common import ROOT
from castline import analyse
from castline.engines.process import Engines
from castline.engines.speech.voice import stretches
from castline.evaluation.voices import Mix, Turn, rates, read_mono
from castline.people import voice_in_file
from castline.records import Result
from castline.settings import Settings
from castline.weights import locate

_DATA = (ROOT / "../shared/data").resolve()
_GRID, _CELEBRITIES = _DATA / "video/grid", _DATA / "video/celebrity_clips"
_WEIGHTS = _DATA / "models/lr-asd-finetuning_TalkSet.model"
#: Clips of people who are not alike, to the face embedder or to the ear.
PEOPLE = ("bbaf2n", "lrwp9a", "lbbc2a")
#: Others, whom no threshold was chosen on; the last two are of films.
OTHERS = ("swiz3n", "pwij3p", "lwbsza")
ACTORS = ("test_00", "test_01")
#: Readers whom no threshold was chosen on: what their voices are enrolled by, and what is heard of them.
READERS = {
    "2412": ("librispeech/2412-153948-0000.flac", "librispeech/2412-153948-0001.flac"),
    "spk2": ("speechbrain_ASR/spk2_snt[1-4].wav", "speechbrain_ASR/spk2_snt[56].wav"),
    "LJ": ("ljspeech/LJ050-*.wav", "ljspeech/LJ002-*.wav"),
}
STRANGERS = {"1272": "librispeech/1272-*.wav", "jfk": "jfk/jfk.wav"}
_SEED = 20


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
    """Films by name, without enrolled voices; in ``dubbed`` and ``swapped`` nobody who is seen to speak does."""
    found = {}
    for suffix, (a, b, c) in (("", PEOPLE), (" (others)", OTHERS)):
        found |= {
            f"two side by side{suffix}": (Scene((a, b), a, a), Scene((a, b), b, b)) * 3,
            f"three side by side{suffix}": tuple(Scene((a, b, c), who, who) for who in (a, b, c)) * 3,
            f"swapped sound{suffix}": (Scene((a, b), b, a), Scene((a, b), a, b)) * 3,
            f"three, swapped{suffix}": (Scene((a, b, c), b, a), Scene((a, b, c), c, b), Scene((a, b, c), a, c)) * 3,
            f"narration over a silent face{suffix}": (Scene((a,), b), Scene((a,), c)) * 3,
            f"a dubbed face{suffix}": (Scene((a,), b, a),) * 4,
            f"a voice off screen{suffix}": (Scene((a,), a, a), Scene((a,), b)) * 3,
            f"cuts between speaker and listener{suffix}": (
                Scene((a,), a, a), Scene((b,), a), Scene((b,), b, b), Scene((a,), a, a), Scene((b,), b, b),
                Scene((a,), b),
            ) * 2,
        }  # fmt: skip
    d, e = ACTORS
    return {**found, "swapped sound (actors)": (Scene((d, e), e, d), Scene((d, e), d, e)) * 3}


def voiced_films() -> dict[str, tuple[Scene, ...]]:
    """Films by name in which readers are heard, and each face's reader is enrolled."""
    found = {}
    for suffix, (a, b, c) in (("", PEOPLE), (" (others)", OTHERS), (" (actors)", (*ACTORS, OTHERS[0]))):
        x, y, z = READERS
        strange, stranger = STRANGERS
        found |= {
            f"own voices, two faces{suffix}": (Scene((a, b), x, a), Scene((a, b), y, b)) * 3,
            f"own voices, three faces{suffix}": (
                Scene((a, b, c), x, a), Scene((a, b, c), y, b), Scene((a, b, c), z, c),
            ) * 3,
            f"voices swapped{suffix}": (Scene((a, b), y, a), Scene((a, b), x, b)) * 3,
            f"voices of strangers{suffix}": (Scene((a, b), strange, a), Scene((a, b), stranger, b)) * 3,
            f"a voice off screen, enrolled{suffix}": (Scene((a,), x, a), Scene((a,), y)) * 3,
        }  # fmt: skip
    return found


def make(scenes: Sequence[Scene], target: Path) -> Path:
    """Write a film, 25 pictures a second, with H.264 and AAC."""
    width = 360 * max(len(scene.faces) for scene in scenes)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.f32"
        sound.write_bytes(b"".join(samples.tobytes() for samples in sounds(scenes)))
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
        folder, suffix = (_CELEBRITIES, "mp4") if name in ACTORS else (_GRID, "mpg")
        film, found = cv2.VideoCapture(str(folder / f"{name}.{suffix}")), []
        while (picture := film.read()[1]) is not None:
            side = min(1.0, 360 / picture.shape[1], 288 / picture.shape[0])
            height, width = (round(length * side) for length in picture.shape[:2])
            framed = np.zeros((288, 360, 3), np.uint8)
            framed[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            found.append(framed)
        _CLIPS[name] = ([*found, *found[::-1]] * 3)[:75] if name in ACTORS else [*found, *found[-1:] * 75][:75]
    return _CLIPS[name]


_CLIPS: dict[str, list[Any]] = {}


def sounds(scenes: Sequence[Scene]) -> list[Any]:
    """Three seconds for each scene: a clip's own sound, or a stretch of what a reader says."""
    chance = np.random.default_rng(_SEED)
    return [_sound(scene.sound, chance) for scene in scenes]


def _sound(name: str, chance: np.random.Generator) -> Any:
    samples = np.zeros(48_000, np.float32)
    if files := READERS.get(name, ("",))[-1] or STRANGERS.get(name):
        whole = np.concatenate([read_mono(path) for path in sorted((_DATA / "speech").glob(files))])
        at = int(chance.integers(max(1, len(whole) - 46_000)))
        read = whole[at : at + 46_000]  # a pause ends each
    else:
        path = _CELEBRITIES / f"{name}.mp4" if name in ACTORS else _GRID / f"{name}.mpg"
        argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
        raw = subprocess.run([*argv, "-ac", "1", "-ar", "16000", "-f", "f32le", "-"], capture_output=True, check=True)
        read = np.frombuffer(raw.stdout, np.float32)[:48_000]
    samples[: len(read)] = read
    return samples


def gallery(folder: Path, people: Sequence[str] = PEOPLE) -> Path:
    """A photo of each."""
    for name in people:
        (folder / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name / "photo.jpg"), _pictures(name)[40])
    return folder


def voiced_gallery(folder: Path, people: Sequence[str], settings: Settings) -> Path:
    """A photo of each, and the voice of a reader."""
    gallery(folder, people)
    for name, (enrolled, _) in zip(people, READERS.values(), strict=True):
        whole = np.concatenate([read_mono(path) for path in sorted((_DATA / "speech").glob(enrolled))])
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            soundfile.write(file.name, whole, 16_000)
            voice = voice_in_file(Path(file.name), settings, Engines(settings))
        (folder / name / "reader.voice").write_bytes(voice.to_json())
    return folder


def judge(result: Result, scenes: Sequence[Scene], owners: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Lines by what is said of them.

    Args:
        owners: whose voice a reader's is.
    """
    counts = dict.fromkeys(("lines", "right", "wrong", "maybe", "maybe_wrong", "off_screen", "unknown"), 0)
    for line in result.transcript.segments:
        scene = scenes[min(int((line.start_s + line.end_s) / 2 / 3), len(scenes) - 1)]
        said, owner = line.said_by, (owners or {}).get(scene.sound, scene.sound)
        counts["lines"] += 1
        if said is None:
            counts["unknown"] += 1
        elif said.outcome == "says":
            counts["right" if said.name == owner else "wrong"] += 1
        else:
            wrong = said.outcome == "maybe" and said.name != owner
            counts["maybe_wrong" if wrong else said.outcome] += 1
    shown = {line.speaker for line in result.transcript.segments if line.speaker}
    return {**counts, "names": sorted(name for name in shown if not name.startswith("Speaker "))}


def error_rate(result: Result, scenes: Sequence[Scene]) -> float:
    """DER of the lines, pauses of less than a line inside of them counted as said."""
    heard = sounds(scenes)
    truth = tuple(
        Turn(3.0 * at + begin, 3.0 * at + end, scene.sound)
        for at, (scene, samples) in enumerate(zip(scenes, heard, strict=True))
        for begin, end in stretches(samples)
    )
    lines = [Turn(each.start_s, each.end_s, each.speaker) for each in result.transcript.segments if each.speaker]
    return round(rates(Mix(np.concatenate(heard), truth), lines).der, 4)


def settings(folder: Path) -> Settings:
    """With LR-ASD in the models folder."""
    if not (folder / locate.MOUTH_WEIGHTS_FILE).exists():
        shutil.copy(_WEIGHTS, folder / locate.MOUTH_WEIGHTS_FILE)
    return Settings(models_dir=folder, language="en")


def run(folder: Path) -> dict[str, Any]:
    """Each film without speakers, with voices alone, and with mouths; rates, and seconds as measured in turn."""
    chosen = settings(folder)
    casts = {"": PEOPLE, " (others)": OTHERS, " (actors)": (*ACTORS, OTHERS[0])}
    photos = {suffix: gallery(folder / f"photos{suffix}", cast) for suffix, cast in casts.items()}
    voiced = {
        suffix: (voiced_gallery(folder / f"voices{suffix}", cast, chosen), dict(zip(READERS, cast, strict=True)))
        for suffix, cast in casts.items()
    }
    found: dict[str, Any] = {}
    for name, scenes in {**films(), **voiced_films()}.items():
        path = make(scenes, folder / "film.mp4")
        suffix = name[name.find(" (") :] if " (" in name else ""
        known, owners = voiced[suffix] if name in voiced_films() else (photos[suffix], None)
        times: dict[str, float] = {}
        results: dict[str, Result] = {}
        for speakers in ("off", "voices", "auto"):
            start = perf_counter()
            results[speakers] = analyse(path, gallery=known, settings=chosen, speakers=speakers)
            times[speakers] = round(perf_counter() - start, 2)
        found[name] = {
            **judge(results["auto"], scenes, owners),
            "der": {speakers: error_rate(results[speakers], scenes) for speakers in ("voices", "auto")},
            "seconds": times,
            "stages": {timing.stage: timing.seconds for timing in results["auto"].processing.timings},
        }
        print(name, found[name], flush=True)
    return found
