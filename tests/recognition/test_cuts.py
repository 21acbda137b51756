"""Looks of frames: similar within a shot, different across a cut."""

from __future__ import annotations

import numpy as np
import pytest

from castline.recognition.cuts import CUT, distance, pack, shots, stayed
from castline.recognition.look import look_of
from castline.records import FrameFaces


def _noise(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), np.uint8)
    return blocks.repeat(20, axis=0).repeat(20, axis=1)


def test_a_look_is_small_and_equals_itself() -> None:
    look = look_of(_noise(1))
    assert len(look) == 192
    assert distance(look, look) == pytest.approx(0, abs=1e-9)
    assert distance(look, look_of(_noise(2))) == pytest.approx(distance(look_of(_noise(2)), look))


def test_another_picture_is_a_cut_and_a_dimmed_or_moved_one_is_not() -> None:
    picture = _noise(1)
    assert distance(look_of(picture), look_of(_noise(2))) >= CUT
    assert distance(look_of(picture), look_of(np.roll(picture, 2, axis=1))) < CUT
    assert distance(look_of(picture), look_of((picture * 0.95).astype(np.uint8))) < CUT


def test_flat_pictures_are_similar_whatever_their_noise() -> None:
    one, other = (np.random.default_rng(seed).integers(99, 102, (90, 160, 3), np.uint8) for seed in (1, 2))
    assert distance(look_of(one), look_of(other)) < CUT


def test_shots_are_numbered_and_a_frame_without_a_look_continues_its_shot() -> None:
    one, other = look_of(_noise(1)), look_of(_noise(2))
    looks = [None, one, None, one, other, None, one]
    frames = [FrameFaces(time_ms=at, faces=(), look=look) for at, look in enumerate(looks)]
    assert shots(frames) == [0, 0, 0, 0, 1, 1, 2]


def test_the_surroundings_of_a_face_may_change_in_an_unchanged_frame() -> None:
    colours = np.ones(48, np.float32)
    still = np.arange(96, dtype=np.uint8).reshape(8, 12)
    changed = still.copy()
    changed[3:5, 1:3] += 90
    before, after = pack(still, colours), pack(changed, colours)
    assert stayed(before, before, (0.1, 0.4, 0.2, 0.6))
    assert not stayed(before, after, (0.1, 0.4, 0.2, 0.6))
    assert stayed(before, after, (0.8, 0.4, 0.9, 0.6))
    assert stayed(None, after, (0.1, 0.4, 0.2, 0.6))


def test_an_invalid_look_is_an_error() -> None:
    with pytest.raises(ValueError, match="144 bytes"):
        distance("AAAA", "AAAA")
