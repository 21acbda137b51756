"""Makes the demo that ships with the project: ``demo.mp4`` and the gallery of the two people in it.

    python examples/make_demo.py [folder]

Nothing is downloaded. The portraits come with scikit-image and matplotlib, the voices from flite, which
has to be built into the ffmpeg that is used (Debian's is; name another one with ``--ffmpeg``). Sources
and licences: ``examples/README.md``.

The film has three scenes, each as long as what is said in it: one person, the other, both. The gallery
holds other renderings of the same portraits (mirrored, turned, scaled, lighter, darker), so that
recognising them is not a comparison of equal pixels.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import skimage.data
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 854, 480, 25
CARD_WIDTH, CARD_HEIGHT, CARD_RADIUS = 330, 400, 18
RATE = 16_000
FADE_S = 0.4

Picture = NDArray[np.uint8]
Canvas = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """A camera position over a portrait: centre (pixels of the portrait) and pixels shown across."""

    x: float
    y: float
    across: float


@dataclass(frozen=True)
class Shot:
    """One card on screen: whose portrait, where its centre is, and the camera's way over it."""

    person: str
    centre_x: int
    start: View
    end: View


@dataclass(frozen=True)
class Line:
    """One spoken sentence, and the silence after it."""

    voice: str
    text: str
    pause_s: float


@dataclass(frozen=True)
class Scene:
    lines: tuple[Line, ...]
    shots: tuple[Shot, ...]


COLLINS, HOPPER = "Eileen Collins", "Grace Hopper"

# "cast line": the speech engine of the demo knows English words, and Castline is none.
SCENES = (
    Scene(
        (
            Line("slt", "Hello, and welcome to this short film.", 0.6),
            Line("rms", "Eileen Collins was the first woman to command a space shuttle.", 0.7),
        ),
        (Shot(COLLINS, WIDTH // 2, View(232, 215, 350), View(222, 160, 235)),),
    ),
    Scene(
        (
            Line("slt", "Grace Hopper was an officer in the navy.", 0.5),
            Line("rms", "She helped people talk to computers in plain words.", 0.7),
        ),
        (Shot(HOPPER, WIDTH // 2, View(256, 215, 290), View(256, 270, 420)),),
    ),
    Scene(
        (
            Line("slt", "Here they are together.", 0.5),
            Line("rms", "Cast line tells you who is on the screen, and what is said.", 1.0),
        ),
        (
            Shot(COLLINS, 233, View(222, 165, 250), View(226, 180, 290)),
            Shot(HOPPER, WIDTH - 233, View(256, 260, 400), View(256, 240, 350)),
        ),
    ),
)


def portraits() -> dict[str, Picture]:
    """RGB portraits by name, from the packages that carry them."""
    hopper = cv2.imread(str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return {COLLINS: skimage.data.astronaut(), HOPPER: cv2.cvtColor(hopper, cv2.COLOR_BGR2RGB)}


# --- sound ---------------------------------------------------------------------------------------


def speak(ffmpeg: str, line: Line) -> NDArray[np.int16]:
    """The sentence as mono 16 kHz samples, its pause included."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "line.txt").write_text(line.text)
        # The file is given relative to the folder: a path would need escaping in a filter graph.
        command = [
            ffmpeg,
            "-v",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            f"flite=textfile=line.txt:voice={line.voice}",
        ]
        command += ["-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    if done.returncode != 0:
        raise SystemExit(f"{ffmpeg} cannot speak (is flite built in?): {done.stderr.decode().strip()}")
    pause = np.zeros(round(line.pause_s * RATE), np.int16)
    return np.concatenate([np.frombuffer(done.stdout, np.int16), pause])


def sound(ffmpeg: str) -> tuple[NDArray[np.int16], list[int]]:
    """All speech in a row, and the number of video frames of each scene."""
    silence = np.zeros(round(0.5 * RATE), np.int16)
    pieces, lengths = [], []
    for scene in SCENES:
        spoken = np.concatenate([silence, *(speak(ffmpeg, line) for line in scene.lines)])
        frames = -(-len(spoken) * FPS // RATE)
        pieces.append(np.pad(spoken, (0, frames * RATE // FPS - len(spoken))))
        lengths.append(frames)
    return np.concatenate(pieces), lengths


# --- picture -------------------------------------------------------------------------------------


def background() -> Canvas:
    """A calm grey wall: lighter above, darker towards the corners. A little noise keeps it from banding."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    top, bottom = np.float32([236, 235, 232]), np.float32([196, 201, 207])
    wall = top + (bottom - top) * (y / HEIGHT)[..., None]
    distance = np.hypot((x - WIDTH / 2) / WIDTH, (y - HEIGHT / 2) / HEIGHT)
    wall *= (1 - 0.35 * distance**2)[..., None]
    return wall + np.random.default_rng(0).normal(0, 0.6, wall.shape[:2]).astype(np.float32)[..., None]


def card_mask() -> Canvas:
    """1 inside a rectangle with round corners, 0 outside, soft at the edge; shape of a card."""
    y, x = np.mgrid[0:CARD_HEIGHT, 0:CARD_WIDTH].astype(np.float32) + 0.5
    dx = np.maximum(np.abs(x - CARD_WIDTH / 2) - (CARD_WIDTH / 2 - CARD_RADIUS), 0)
    dy = np.maximum(np.abs(y - CARD_HEIGHT / 2) - (CARD_HEIGHT / 2 - CARD_RADIUS), 0)
    return np.clip(CARD_RADIUS - np.hypot(dx, dy), 0, 1)


def shadow(mask: Canvas, centre_x: int) -> Canvas:
    """How dark the wall is behind a card, 0..1, shape (HEIGHT, WIDTH)."""
    cast = np.zeros((HEIGHT, WIDTH), np.float32)
    top, left = (HEIGHT - CARD_HEIGHT) // 2 + 8, centre_x - CARD_WIDTH // 2
    cast[top : top + CARD_HEIGHT, left : left + CARD_WIDTH] = mask
    return 0.35 * cv2.GaussianBlur(cast, (0, 0), 14)


def photograph(portrait: Picture, view: View) -> Canvas:
    """What the camera sees of the portrait, in the size of a card."""
    zoom = CARD_WIDTH / view.across
    matrix = np.float64([[zoom, 0, CARD_WIDTH / 2 - zoom * view.x], [0, zoom, CARD_HEIGHT / 2 - zoom * view.y]])
    seen = cv2.warpAffine(
        portrait, matrix, (CARD_WIDTH, CARD_HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return seen.astype(np.float32)


def between(shot: Shot, part: float) -> View:
    """The camera on its way, eased at both ends; ``part`` is 0..1."""
    eased = (1 - np.cos(np.pi * part)) / 2
    start, end = shot.start, shot.end
    return View(*(a + (b - a) * eased for a, b in ((start.x, end.x), (start.y, end.y), (start.across, end.across))))


def frames(lengths: list[int]) -> Iterator[Picture]:
    """All frames of the film, RGB, shape (HEIGHT, WIDTH, 3)."""
    people, wall, mask = portraits(), background(), card_mask()
    top = (HEIGHT - CARD_HEIGHT) // 2
    for scene, count in zip(SCENES, lengths, strict=True):
        dark = sum(shadow(mask, shot.centre_x) for shot in scene.shots)
        for index in range(count):
            # Cards fade against the wall, never into each other: a mix of two faces is nobody.
            edge = min(index + 1, count - index) / (FADE_S * FPS)
            shown = np.float32(min(edge, 1.0))
            frame = wall * (1 - dark * shown)[..., None]
            for shot in scene.shots:
                left = shot.centre_x - CARD_WIDTH // 2
                card = photograph(people[shot.person], between(shot, index / max(count - 1, 1)))
                place = frame[top : top + CARD_HEIGHT, left : left + CARD_WIDTH]
                place += (card - place) * (mask * shown)[..., None]
            yield np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def film(ffmpeg: str, target: Path) -> float:
    """Write the film as H.264 and AAC; returns its length in seconds."""
    samples, lengths = sound(ffmpeg)
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "speech.wav"
        with wave.open(str(speech), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.tobytes())
        command = [ffmpeg, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"]
        command += ["-r", str(FPS), "-i", "-", "-i", str(speech), "-map", "0:v", "-map", "1:a"]
        command += ["-c:v", "libx264", "-preset", "veryslow", "-crf", "30", "-pix_fmt", "yuv420p", "-g", str(4 * FPS)]
        command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
        command += ["-vf", "scale=out_color_matrix=bt709", "-threads", "1"]  # one thread: the same bytes each time
        command += ["-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart", "-bitexact", "-map_metadata", "-1"]
        with subprocess.Popen([*command, str(target)], stdin=subprocess.PIPE) as process:
            for frame in frames(lengths):
                if process.stdin is not None:
                    process.stdin.write(frame.tobytes())
            process.communicate(timeout=120)
        if process.returncode != 0:
            raise SystemExit(f"{ffmpeg} could not write {target}")
    return sum(lengths) / FPS


# --- gallery -------------------------------------------------------------------------------------


def rendering(
    portrait: Picture, view: View, *, side: int, turn: float = 0, mirror: bool = False, gain: float = 1, lift: float = 0
) -> Picture:
    """A square photo of part of a portrait: turned by degrees, mirrored, brighter or darker."""
    zoom = side / view.across
    matrix = cv2.getRotationMatrix2D((view.x, view.y), turn, zoom)
    matrix[:, 2] += np.array([side / 2 - view.x, side / 2 - view.y])
    photo = cv2.warpAffine(portrait, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    if mirror:
        photo = photo[:, ::-1]
    return np.clip(photo.astype(np.float32) * gain + lift, 0, 255).astype(np.uint8)


def gallery(folder: Path) -> int:
    """Write three photos per person; returns how many there are."""
    people = portraits()
    faces = {COLLINS: View(222, 120, 220), HOPPER: View(262, 215, 380)}
    written = 0
    for name, view in faces.items():
        photos = {
            "mirrored": rendering(people[name], view, side=320, mirror=True, gain=1.06, lift=4),
            "turned": rendering(people[name], view, side=280, turn=7, gain=0.9),
            "close": rendering(people[name], View(view.x, view.y + 5, view.across * 0.8), side=240, turn=-4, gain=1.1),
        }
        (folder / name).mkdir(parents=True, exist_ok=True)
        for title, photo in photos.items():
            data = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
            (folder / name / f"{title}.jpg").write_bytes(bytes(data))
            written += 1
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parent)
    parser.add_argument("--ffmpeg", default="ffmpeg", help="a build with flite and libx264")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    target = options.folder / "demo.mp4"
    seconds = film(options.ffmpeg, target)
    print(f"{target}: {seconds:.1f} s, {target.stat().st_size // 1024} kB")
    print(f"{options.folder / 'gallery'}: {gallery(options.folder / 'gallery')} photos")


if __name__ == "__main__":
    main()
