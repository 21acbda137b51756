"""The one frame of a video: typical, sharp, and not from a brief moment."""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from castline.errors import NoStreams, UndecodableMedia
from castline.media import probe
from castline.media.ffmpeg import Limits
from castline.media.representative import choose, representative_frame
from castline.records import Options

Grey = NDArray[np.uint8]


@pytest.fixture(scope="module")
def limits() -> Limits:
    return Limits(program=imageio_ffmpeg.get_ffmpeg_exe(), timeout_s=60)


def _texture(seed: int) -> Grey:
    """A distinct scene, 144 x 256, with detail at every scale."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((144, 256), np.float32)
    for size in (4, 12, 48):
        picture += cv2.resize(rng.random((size, size), np.float32), (256, 144), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture / 3 * 255, 0, 255).astype(np.uint8)


def _with(scene: Grey, patch: Grey, x: int, y: int) -> Grey:
    changed = scene.copy()
    changed[y : y + patch.shape[0], x : x + patch.shape[1]] = patch[:, : 256 - x]
    return changed


def _choose(pictures: list[Grey], weights: list[float] | None = None) -> int:
    return choose(np.stack(pictures), np.array(weights or [1.0] * len(pictures)))


def test_a_large_passer_by_at_the_start_is_not_the_subject() -> None:
    room, face, passer = _texture(1), _texture(2)[:40, :40], _texture(3)[:140, :120]
    talking = [_with(room, face, 100 + at % 3, 60) for at in range(20)]
    passing = [_with(talking[at], passer, 10 + 40 * at, 2) for at in range(4)]
    assert _choose(passing + talking[4:]) >= 4


def test_somebody_in_motion_is_preferred_to_an_empty_room() -> None:
    room, other, face = _texture(1), _texture(7), _texture(2)[:60, :60]
    empty = [room] * 12
    talking = [_with(other, face, 90 + 2 * (at % 4), 50) for at in range(8)]
    assert _choose(empty + talking) >= 12


def test_the_longest_of_equal_scenes_wins_and_black_is_not_a_scene() -> None:
    scenes = {1: 4, 5: 10, 6: 4}
    pictures = [np.roll(_texture(seed), at, axis=1) for seed, count in scenes.items() for at in range(count)]
    black = [np.zeros((144, 256), np.uint8)] * 6
    assert 6 + 4 <= _choose(black + pictures) < 6 + 14


def test_a_frame_counts_for_as_long_as_it_is_shown() -> None:
    pictures = [_texture(1), np.roll(_texture(1), 1, axis=1), _texture(2), np.roll(_texture(2), 1, axis=1)]
    assert _choose(pictures, [1, 1, 9, 9]) >= 2
    assert _choose(pictures, [9, 9, 1, 1]) < 2


def test_the_sharpest_of_similar_frames_is_chosen() -> None:
    scene = _texture(4)
    pictures = [cv2.GaussianBlur(scene, (0, 0), sigma) for sigma in (3, 2, 1)] + [scene]
    pictures += [cv2.GaussianBlur(scene, (0, 0), sigma) for sigma in (1, 2)]
    assert _choose([np.asarray(picture, np.uint8) for picture in pictures]) == 3


def test_a_single_frame_and_flat_frames_work() -> None:
    assert _choose([np.zeros((144, 256), np.uint8)]) == 0
    assert _choose([np.full((144, 256), level, np.uint8) for level in (0, 128, 255)]) in (0, 1, 2)


@pytest.mark.parametrize("name", ["both.mp4", "no-audio.mp4", "tiny.mp4", "rotated.mp4"])
def test_a_video_gives_one_upright_jpeg(name: str, odd_media: dict[str, Path], limits: Limits) -> None:
    if name not in odd_media:
        pytest.skip(f"no {name}")
    probed = probe(odd_media[name], limits)
    assert probed.video
    body = representative_frame(odd_media[name], probed, Options(), limits, max_duration_s=60)
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[:2] == (probed.video.height, probed.video.width)


def test_missing_and_undecodable_video_are_errors(odd_media: dict[str, Path], limits: Limits) -> None:
    voice = odd_media["voice.ogg"]
    with pytest.raises(NoStreams, match="no picture"):
        representative_frame(voice, probe(voice, limits), Options(), limits, max_duration_s=60)
    whole = odd_media["both.mp4"]
    with pytest.raises(UndecodableMedia):
        representative_frame(odd_media["text.mp4"], probe(whole, limits), Options(), limits, max_duration_s=60)
