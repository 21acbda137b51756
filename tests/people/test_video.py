"""Enrolling from a video: real ffmpeg, and engines that go by colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, EngineInfo, Image
from castline.errors import GalleryError, NotMedia
from castline.media.pictures import decode_jpeg
from castline.people import SeveralPeople, pictures_in_video
from castline.people.video import spread
from castline.recognition.photo import embed_photo
from castline.records import Embedding
from castline.settings import Settings

_MODEL = "dlib-resnet-v1"


class Patches:
    """Every patch of one colour on black is a face."""

    info = EngineInfo(id="patches", role="detector", title="Fake", licence="MIT")

    def detect(self, images: Sequence[Image]) -> list[list[DetectedFace]]:
        return [[face for colour in range(3) if (face := self._face(image, colour))] for image in images]

    def _face(self, image: Image, colour: int) -> DetectedFace | None:
        others = np.delete(image, colour, axis=2).max(axis=2)
        rows, columns = np.nonzero((image[..., colour] > 150) & (others < 100))
        if len(rows) < 100:
            return None
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        if (box[2:] - box[:2] >= image.shape[1::-1]).all():
            return None  # a face needs something around it
        points = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]], np.float32)
        return DetectedFace(box, box[:2] + points * (box[2:] - box[:2]), 0.999)


class Colours:
    info = EngineInfo(id=_MODEL, role="embedder", title="Fake", licence="MIT", dimension=128)

    def embed(self, image: Image, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        vectors = np.zeros((len(faces), 128), np.float32)
        for row, face in enumerate(faces):
            x0, y0, x1, y1 = face.box.astype(int)
            vectors[row, int(np.argmax(image[y0:y1, x0:x1].mean(axis=(0, 1))))] = 1
        return vectors


@dataclass
class Engines:
    detector: Patches = field(default_factory=Patches)
    embedder: Colours = field(default_factory=Colours)

    @property
    def transcriber(self) -> None:
        raise AssertionError("nobody listens")


@pytest.fixture
def settings() -> Settings:
    return Settings(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe(), ffmpeg_timeout_s=60)


@pytest.fixture
def film(tmp_path: Path, ffmpeg: Callable[..., None]) -> Callable[..., Path]:
    """``film("red@0-8", "lime@2-4")``: patches that wander over black during these times, with sound."""

    def make(*patches: str, seconds: int = 8, name: str = "film.mp4") -> Path:
        graph = [f"color=black:s=320x240:r=5:d={seconds}[v0]"]
        for at, patch in enumerate(patches):
            colour, _, times = patch.partition("@")
            start, end = times.split("-")
            graph.append(f"color={colour}:s=60x60:r=5:d={seconds},noise=c0s=40:all_seed=1[p{at}]")
            graph.append(
                f"[v{at}][p{at}]overlay=x=20+100*{at}+4*t:y=30+12*t:enable='gte(t,{start})*lt(t,{end})'[v{at + 1}]"
            )
        path = tmp_path / name
        ffmpeg(
            *("-f", "lavfi", "-i", f"sine=d={seconds}"),
            *("-filter_complex", ";".join(graph), "-map", f"[v{len(patches)}]", "-map", "0:a"),
            *("-c:v", "libx264", "-qp", 10, "-pix_fmt", "yuv420p", path),
        )
        return path

    return make


def _pictures(path: Path, settings: Settings, person: int | None = None) -> list[tuple[str, bytes]]:
    engines = Engines()
    embed = lambda body: embed_photo(body, engines)  # noqa: E731
    return [(item.label, item.body) for item in pictures_in_video(path, settings, engines, embed, person)]


def test_five_views_of_the_only_person_are_spread_over_the_film(film: Callable[..., Path], settings: Settings) -> None:
    found = _pictures(film("red@0-10", seconds=10), settings)
    times = [float(label.removeprefix("film.mp4 at ").removesuffix(" s")) for label, _ in found]
    assert len(times) == 5
    assert times == sorted(times)
    assert times[0] < 3
    assert times[-1] > 6
    for _, body in found:
        width = decode_jpeg(body).shape[1]
        assert 100 <= width <= 220, "the face with some margin, and not a whole frame"
        assert embed_photo(body, Engines()).vector()[0] == 1


def test_a_person_on_screen_for_a_moment_is_enough(film: Callable[..., Path], settings: Settings) -> None:
    assert len(_pictures(film("lime@3-5"), settings)) == 2


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (("red@0-8", "lime@0-8"), r"^film\.mp4: 2 people are in the video; enrol videos that show one person$"),
        (("red@0-3", "lime@3-6", "blue@6-8"), r"^film\.mp4: 3 people are in the video"),
        ((), r"^film\.mp4: nobody is in the video"),
    ],
)
def test_no_person_and_several_people_are_clear_errors(
    film: Callable[..., Path], settings: Settings, patches: tuple[str, ...], message: str
) -> None:
    with pytest.raises(GalleryError, match=message):
        _pictures(film(*patches), settings)


def test_one_of_several_can_be_chosen_by_their_pictures(film: Callable[..., Path], settings: Settings) -> None:
    path = film("red@0-4", "lime@2-8")
    with pytest.raises(SeveralPeople) as asked:
        _pictures(path, settings)
    red, lime = asked.value.people
    assert (red.start_s, red.end_s, lime.start_s, lime.end_s) == (0, 3, 2, 7)
    for number, seen in enumerate((red, lime)):
        assert embed_photo(seen.picture, Engines()).vector()[number] == 1
        found = _pictures(path, settings, number + 1)
        assert len(found) in (4, 5)
        assert all(embed_photo(body, Engines()).vector()[number] == 1 for _, body in found)
    with pytest.raises(GalleryError, match=r"there is no person 3 in the video, only 2$"):
        _pictures(path, settings, 3)


def test_sound_alone_and_other_files_are_clear_errors(
    tmp_path: Path, settings: Settings, odd_media: dict[str, Path]
) -> None:
    with pytest.raises(GalleryError, match=r"^no-video\.mp4: it has sound only"):
        _pictures(odd_media["no-video.mp4"], settings)
    with pytest.raises(NotMedia):
        _pictures(odd_media["text.mp4"], settings)


def test_without_a_usable_picture_nothing_is_enrolled(film: Callable[..., Path], settings: Settings) -> None:
    def refuse(body: bytes) -> Embedding:
        raise GalleryError("no face found in the photo")

    with pytest.raises(GalleryError, match="no face in the video is clear enough"):
        pictures_in_video(film("red@0-3", seconds=3), settings, Engines(), refuse)


def test_an_ffmpeg_missing_from_the_path_is_found_in_its_package(film: Callable[..., Path]) -> None:
    assert _pictures(film("red@0-2", seconds=2), Settings(ffmpeg="no-such-ffmpeg"))


def test_views_are_spread_in_time_with_the_best_first(people) -> None:
    qualities = [0.9, 0.8, 0.1, 0.95, 0.6, 0.7, 0.2]
    views = [(1000 * at, people.face("A", quality=quality)) for at, quality in enumerate(qualities)]
    stretches = [[(time, face.quality) for time, face in part] for part in spread(views[::-1], 2)]
    assert stretches == [[(0, 0.9), (1000, 0.8)], [(3000, 0.95), (5000, 0.7), (4000, 0.6)]]
    assert [len(part) for part in spread(views, 5)] == [1] * 5
    assert [len(part) for part in spread(views, 9)] == [1] * 5, "never more stretches than good views"
    assert spread([], 5) == []
