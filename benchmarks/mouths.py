"""Who is speaking, in films composed of real clips: a mouth moves or rests, and the sound is or is not its own.

A scene is three seconds of one to three faces side by side, each moving or held still, with the sound of a clip or of a
reader. All faces are enrolled, and in some films also voices: each face gets a reader's voice, from other recordings of
that reader. A name is wrong if it is not that of the person who is heard.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from castline.library import listen
from castline.people import voice_in_file
from castline.records import Result
from castline.settings import Settings
from castline.weights import locate

_DATA = (ROOT / "../shared/data").resolve()
_GRID = _DATA / "video/grid"
_WEIGHTS = _DATA / "models/lr-asd-finetuning_TalkSet.model"
#: Clips of people whom both the face embedder and a viewer can tell apart.
FACES = ("bbaf2n", "brbk7n", "id2_vcd_swwp2s", "lbax4n", "lbbc2a", "lrwp9a", "lwbsza", "sbia1a", "sbwe5n")
#: Recordings for enrolling readers' voices, and for the sound; halves, where there is only one recording.
READERS = {
    "2412": ("librispeech/2412-153948-0000.flac", "librispeech/2412-153948-0001.flac"),
    "1088": ("librispeech/1088-*.wav", "librispeech/1088-*.wav"),
    "jfk": ("jfk/jfk.wav", "jfk/jfk.wav"),
    "lj": ("ljspeech/LJ050-*.wav", "ljspeech/LJ002-*.wav"),
    "spk1": ("speechbrain_ASR/spk1_snt[1-4].wav", "speechbrain_ASR/spk1_snt[56].wav"),
    "spk2": ("speechbrain_ASR/spk2_snt[1-4].wav", "speechbrain_ASR/spk2_snt[56].wav"),
}
_STRANGER = "jfk"  # half of it is too short to enrol
_PAUSE_S = 0.125  # ends each scene
#: Seeds on which nothing was tuned; on 101, something was.
SEEDS = (201, 202)
_LISTENS = 67  # from this frame of a clip on, the mouth is closed


@dataclass(frozen=True)
class Scene:
    """
    Attributes:
        faces: who is on screen, from left to right.
        sound: whose clip is heard, or which reader.
        moving: whose clip moves; the others are held still.
    """

    faces: tuple[str, ...]
    sound: str
    moving: str = ""
    seconds: float = 3.0


@dataclass(frozen=True)
class Film:
    """
    Attributes:
        voices: who has which reader's voice; empty if no voice is enrolled.
        live: whether listeners breathe and blink; otherwise they are still pictures.
    """

    scenes: tuple[Scene, ...]
    voices: Mapping[str, str]
    seed: int
    live: bool = False

    def owner(self, scene: Scene) -> str:
        return self.voices.get(scene.sound, scene.sound)

    def at(self, time_s: float) -> Scene:
        ends = np.cumsum([scene.seconds for scene in self.scenes])
        return self.scenes[min(int(np.searchsorted(ends, time_s, side="right")), len(ends) - 1)]


def films(seed: int) -> dict[str, Film]:
    """Films by name: people, readers, turns and lengths are drawn at random."""
    chance = np.random.default_rng(seed)
    a, b, c = (str(name) for name in chance.choice(FACES, 3, replace=False))
    x, y, z, *rest = (str(name) for name in chance.permutation([name for name in READERS if name != _STRANGER]))
    strange, stranger = (str(name) for name in chance.choice([*rest, _STRANGER], 2, replace=False))

    def shuffled(scenes: Sequence[Scene], rounds: int) -> tuple[Scene, ...]:
        return tuple(scenes[at] for _ in range(rounds) for at in chance.permutation(len(scenes)))

    plain = {
        "two side by side": ((Scene((a, b), a, a), Scene((a, b), b, b)), 3),
        "three side by side": (tuple(Scene((a, b, c), who, who) for who in (a, b, c)), 3),
        "sound swapped": ((Scene((a, b), b, a), Scene((a, b), a, b)), 3),
        "narration over a silent face": ((Scene((a,), b), Scene((a,), c)), 3),
        "a dubbed face": ((Scene((a,), b, a),), 4),
        "a voice off screen": ((Scene((a,), a, a), Scene((a,), b)), 3),
        "cuts between speaker and listener": (
            (Scene((a,), a, a), Scene((b,), a), Scene((b,), b, b), Scene((a,), b)), 3,
        ),
    }  # fmt: skip
    found = {name: Film(shuffled(*what), {}, seed, bool(chance.random() < 0.5)) for name, what in plain.items()}
    both, three = (a, b), (a, b, c)
    read = {
        "own voices, two faces": ((Scene(both, x, a), Scene(both, y, b)), 4),
        "own voices, three faces": ((Scene(three, x, a), Scene(three, y, b), Scene(three, z, c)), 3),
        "own voices, cuts": ((Scene((a,), x, a), Scene((b,), x), Scene((b,), y, b), Scene((a,), y)), 3),
        "own voices, all at once": (
            (Scene(three, x, a), Scene((b,), y, b), Scene((a,), z), Scene(both, x), Scene(both, strange)), 2,
        ),
        "voices swapped": ((Scene(both, y, a), Scene(both, x, b)), 4),
        "voices of strangers": ((Scene(both, strange, a), Scene(both, stranger, b)), 4),
        "a stranger between": ((Scene(both, x, a), Scene(both, strange, b)), 4),
        "a voice off screen, enrolled": ((Scene((a,), x, a), Scene((a,), y)), 4),
        "narration, enrolled": ((Scene((a,), y), Scene((b,), y)), 3),
    }  # fmt: skip
    for name, (scenes, rounds) in read.items():
        lengths = [
            replace(scene, seconds=round(float(chance.uniform(2, min(5, len(_read(scene.sound)) / 16_000))) * 25) / 25)
            for scene in shuffled(scenes, rounds)
        ]
        found[name] = Film(tuple(lengths), {x: a, y: b, z: c}, seed, bool(chance.random() < 0.5))
    return found


def make(film: Film, target: Path, wide: int | None = None) -> Path:
    """Write a film at 25 frames per second with H.264 and AAC, ``wide`` pixels wide if given."""
    width = 360 * max(len(scene.faces) for scene in film.scenes)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.f32"
        sound.write_bytes(b"".join(samples.tobytes() for samples in sounds(film)))
        size = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x288", "-r", "25")
        coding = (
            *(("-vf", f"scale={wide}:-2") if wide else ()),
            "-c:v",
            "libx264",
            "-crf",
            "18",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-shortest",
        )
        argv = [program, "-v", "error", "-y", *size, "-i", "-", "-f", "f32le", "-ar", "16000", "-ac", "1", "-i", sound]
        with subprocess.Popen([*argv, *coding, str(target)], stdin=subprocess.PIPE) as process:
            assert process.stdin
            for scene in film.scenes:
                for at in range(round(scene.seconds * 25)):
                    listens = _LISTENS + abs(at % 14 - 7) if film.live else 0
                    row = [_pictures(name)[_speaks(at) if name == scene.moving else listens] for name in scene.faces]
                    row.append(np.zeros((288, width - 360 * len(row), 3), np.uint8))
                    process.stdin.write(np.hstack(row).tobytes())
    return target


def _speaks(at: int) -> int:
    return at % 148 if at % 148 < 75 else 148 - at % 148


def _pictures(name: str) -> list[Any]:
    if name not in _CLIPS:
        film, found = cv2.VideoCapture(str(_GRID / f"{name}.mpg")), []
        while (picture := film.read()[1]) is not None:
            side = min(1.0, 360 / picture.shape[1], 288 / picture.shape[0])
            height, width = (round(length * side) for length in picture.shape[:2])
            framed = np.zeros((288, 360, 3), np.uint8)
            framed[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            found.append(framed)
        _CLIPS[name] = [*found, *found[-1:] * 75][:75]
    return _CLIPS[name]


_CLIPS: dict[str, list[Any]] = {}


def sounds(film: Film) -> list[Any]:
    """For each scene: a clip's own sound, or a stretch of a reader's recording."""
    chance = np.random.default_rng(film.seed)
    return [_sound(scene, chance) for scene in film.scenes]


def _sound(scene: Scene, chance: np.random.Generator) -> Any:
    samples = np.zeros(round(scene.seconds * 16_000), np.float32)
    length = len(samples) - round(_PAUSE_S * 16_000)
    whole = _read(scene.sound)
    at = int(chance.integers(max(1, len(whole) - length))) if scene.sound in READERS else 0
    said = whole[at : at + length]
    samples[: len(said)] = said
    return samples


def _read(name: str, *, enrolled: bool = False) -> Any:
    """What is heard of somebody at 16 kHz, or the recording for enrolling the voice."""
    if name not in READERS:
        argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(_GRID / f"{name}.mpg")]
        raw = subprocess.run([*argv, "-ac", "1", "-ar", "16000", "-f", "f32le", "-"], capture_output=True, check=True)
        return np.frombuffer(raw.stdout, np.float32)
    first, second = READERS[name]
    files = sorted((_DATA / "speech").glob(first if enrolled else second))
    whole = np.concatenate([read_mono(path) for path in files])
    middle = len(whole) // 2
    return whole if first != second else whole[middle:] if enrolled else whole[:middle]


def gallery(film: Film, folder: Path, settings: Settings) -> Path:
    """A photo of everybody, and the readers' voices."""
    for name in sorted({face for scene in film.scenes for face in scene.faces} | {*film.voices.values()}):
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "photo.jpg"), _pictures(name)[40])
    for reader, name in film.voices.items():
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            soundfile.write(file.name, _read(reader, enrolled=True), 16_000)
            voice = voice_in_file(Path(file.name), settings, Engines(settings))
        (folder / name / "reader.voice").write_bytes(voice.to_json())
    return folder


def judge(result: Result, film: Film) -> dict[str, Any]:
    """Lines by how they were named."""
    counts = dict.fromkeys(("lines", "right", "wrong", "maybe", "maybe_wrong", "off_screen", "unknown"), 0)
    counts |= {"knowable": 0, "known": 0}
    for line in result.transcript.segments:
        scene, said = film.at((line.start_s + line.end_s) / 2), line.said_by
        owner = film.owner(scene)
        counts["lines"] += 1
        right = said is not None and said.outcome == "says" and said.name == owner
        if knowable(film, scene) and line.end_s - line.start_s >= 0.8:
            counts["knowable"] += 1
            counts["known"] += right
        if said is None:
            counts["unknown"] += 1
        elif said.outcome == "says":
            counts["right" if right else "wrong"] += 1
        else:
            wrong = said.outcome == "maybe" and said.name != owner
            counts["maybe_wrong" if wrong else said.outcome] += 1
    shown = {line.speaker for line in result.transcript.segments if line.speaker}
    return {**counts, "names": sorted(name for name in shown if not name.startswith("Speaker "))}


def knowable(film: Film, scene: Scene) -> bool:
    """Whether the voice can be known: it is enrolled, and no mouth moves but its owner's."""
    return scene.sound in film.voices and scene.moving in ("", film.owner(scene))


def error_rate(result: Result, film: Film) -> float:
    """DER of the lines; pauses shorter than a line, inside of one, count as speech."""
    heard = sounds(film)
    starts = np.cumsum([0.0, *(scene.seconds for scene in film.scenes)])
    truth = tuple(
        Turn(float(start) + begin, float(start) + end, scene.sound)
        for start, scene, samples in zip(starts, film.scenes, heard, strict=False)
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
    """Films of each seed with voices alone, and with faces and mouths; and what the latter cost."""
    chosen = settings(folder)
    found = {seed: answers(seed, folder, chosen) for seed in SEEDS}
    by_name = {name: {seed: rows[name] for seed, rows in found.items()} for name in next(iter(found.values()))}
    return {"films": by_name, "all": summed(by_name), "cost": costs(folder, chosen)}


def answers(seed: int, folder: Path, chosen: Settings) -> dict[str, Any]:
    """How the lines of a seed's films were named, by film."""
    found = {}
    for name, film in films(seed).items():
        path, known = make(film, folder / f"{seed}.mp4"), gallery(film, folder / f"{seed}" / name, chosen)
        auto = analyse(path, gallery=known, settings=chosen, speakers="auto")
        voices = listen(path, settings=chosen, speakers="voices")
        rates = {"voices": error_rate(voices, film), "auto": error_rate(auto, film)}
        found[name] = {**judge(auto, film), "der": rates}
        print(name, seed, found[name], flush=True)
    return found


def summed(found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """All seeds of each kind of film, and in how many films names made the error rate worse."""
    rows = {}
    for name, seeds in {**found, "all": dict(enumerate(_rows(found)))}.items():
        counts = {
            key: sum(row[key] for row in seeds.values()) for key in next(iter(seeds.values())) if key not in _APART
        }
        rates = [row["der"] for row in seeds.values()]
        means = {key: round(float(np.mean([rate[key] for rate in rates])), 4) for key in ("voices", "auto")}
        worse = sum(rate["auto"] > rate["voices"] + 1e-4 for rate in rates)
        rows[name] = {**counts, "der": means, "films": len(rates), "worse": worse}
        print(name, rows[name], flush=True)
    return rows


_APART = ("names", "der")


def _rows(found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [row for seeds in found.values() for row in seeds.values()]


def costs(folder: Path, chosen: Settings, times: int = 3) -> dict[str, Any]:
    """Wall-clock and processor seconds for films full of speech and faces: medians, in turn."""
    found: dict[str, Any] = {}
    drawn = films(SEEDS[0])
    drawn |= {_LECTURE: _lecture(drawn["own voices, two faces"])}
    for name, width in _COSTLY:
        film = replace(drawn[name if name in drawn else _LECTURE], live=True)
        film = replace(film, scenes=film.scenes * max(1, round(30 / sum(scene.seconds for scene in film.scenes))))
        path = make(film, folder / "film.mp4", width)
        if name == _SOUND:
            path = folder / "film.wav"
            soundfile.write(path, np.concatenate(sounds(film)), 16_000)
        known = gallery(film, folder / "costs" / f"{name} {width}", chosen)
        taken: dict[str, list[tuple[float, float]]] = {"off": [], "auto": []}
        for at in range(times + 1):
            for speakers, rows in taken.items():
                wall, processors = perf_counter(), _processor_seconds()
                analyse(path, gallery=known, settings=chosen, speakers=speakers)
                if at:  # the first one loads the models
                    rows.append((perf_counter() - wall, _processor_seconds() - processors))
        medians = {key: [round(float(value), 2) for value in np.median(rows, axis=0)] for key, rows in taken.items()}
        ratios = [round(medians["auto"][at] / medians["off"][at], 2) for at in (0, 1)]
        shown = f"{name}, {width or 'own'} wide"
        found[shown] = {"seconds": round(sum(scene.seconds for scene in film.scenes)), **medians, "ratio": ratios}
        print(shown, found[shown], flush=True)
    return found


def _lecture(film: Film) -> Film:
    """One face that speaks all the time."""
    first = film.scenes[0]
    return replace(film, scenes=tuple(replace(first, faces=(first.moving,)) for _ in film.scenes))


_LECTURE, _SOUND = "a lecture", "sound alone"
_COSTLY = (
    ("own voices, two faces", None),
    ("own voices, three faces", None),
    ("narration, enrolled", None),
    (_LECTURE, None),
    (_SOUND, None),
    ("own voices, two faces", 1280),
)


def _processor_seconds() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
