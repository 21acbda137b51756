"""Degraded photos, and how they are counted: with a detector and an embedder that read the picture's colours."""

from typing import get_args

import cv2
import numpy as np
import pytest

from castline.engines.base import DetectedFace, EngineInfo
from castline.engines.thresholds import Thresholds
from castline.errors import EvaluationError
from castline.evaluation.bands import bands
from castline.evaluation.degrade import WAYS
from castline.records import Grade

LIMITS = Thresholds(known=0.9, ambiguous=0.8, same_track=0.7, moved=0.9, cluster=0.95, poor=0.05)


class Colours:
    """Finds one face in the middle of a picture that is bright enough; its embedding is its mean colour."""

    def __init__(self) -> None:
        self.info = EngineInfo(id="arcface-colours", role="embedder", title="colours", licence="")

    def detect(self, images):
        found = []
        for image in images:
            height, width = image.shape[:2]
            box = np.float32([0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height])
            points = np.float32([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.4, 0.6], [0.6, 0.6]]) * [width, height]
            found.append([DetectedFace(box, points.astype(np.float32), 0.999)] if image.mean() > 20 else [])
        return found

    def embed(self, image, faces):
        mean = image.reshape(-1, 3).mean(axis=0) / 255
        return np.tile(mean / max(np.linalg.norm(mean), 1e-9), (len(faces), 1)).astype(np.float32)


@pytest.fixture
def photos(tmp_path):
    """Two photos each of a red person and a green one."""
    made = {}
    for name, colour in (("red", (1.0, 0.2, 0.2)), ("green", (0.2, 1.0, 0.2))):
        for number in (1, 2):
            path = tmp_path / f"{name}-{number}.png"
            areas = np.random.default_rng(number).integers(0, 256, (10, 10, 1), np.uint8)
            picture = (np.kron(areas, np.ones((21, 21, 1))) * np.float32(colour)).astype(np.uint8)
            cv2.imwrite(str(path), picture[:, :, ::-1])
            made[path] = name
    return made


def test_each_degradation_and_each_grade_is_counted(photos):
    ways = {"as it is": WAYS["as it is"], "black": lambda image, width: image * 0, "blur": WAYS["blur, sigma 6"]}
    engine, seen = Colours(), []
    found = {band.name: band for band in bands(photos, engine, engine, LIMITS, ways=ways, done=lambda: seen.append(1))}
    assert list(found) == ["as it is", "black", "blur", "clear", "degraded", "poor", "useless"]
    assert len(seen) == len(ways)
    clean = found["as it is"]
    assert (clean.photos, clean.found, clean.useless) == (4, 4, 0)
    assert (clean.same_pairs, clean.different_pairs) == (4, 8)  # each against the other one, and the two others
    assert (clean.eer, clean.far, clean.frr, clean.false_accepts) == (0, 0, 0, 0)
    assert clean.highest_different < 0.8
    assert (found["black"].found, found["black"].eer, found["black"].sharpness) == (0, None, None)
    blurred = found["blur"]
    # Too blurred to be trusted: nobody gets a name, right or wrong, however similar they are.
    assert (blurred.found, blurred.useless, blurred.eer, blurred.frr, blurred.false_accepts) == (4, 4, 0, 1, 0)
    assert sum(found[grade].found for grade in get_args(Grade)) == 8


def test_a_file_that_is_not_a_picture_is_named(tmp_path):
    engine = Colours()
    (tmp_path / "letter.png").write_text("Dear evaluator,")
    with pytest.raises(EvaluationError, match=r"letter\.png is not a picture"):
        bands({tmp_path / "letter.png": "somebody"}, engine, engine, LIMITS)


@pytest.mark.parametrize("way", WAYS)
def test_a_degraded_picture_is_still_a_picture(way, noise):
    before = noise(120, 90)
    after = WAYS[way](before, 60.0)
    assert after.dtype == np.uint8 and after.ndim == 3 and after.shape[2] == 3
    assert abs(after.shape[0] / after.shape[1] - 120 / 90) < 0.1
    assert (WAYS[way](before, 60.0) == after).all()  # nothing is random
    assert (before == noise(120, 90)).all()


def test_sizes_are_those_of_the_face(noise):
    assert WAYS["24 px wide"](noise(250, 250), 100.0).shape == (60, 60, 3)
    assert WAYS["96 px wide"](noise(100, 100), 48.0).shape == (200, 200, 3)


def test_colours_keep_their_places(noise):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    for way in WAYS.values():
        assert way(red, 50.0)[..., 0].mean() > 4 * way(red, 50.0)[..., 2].mean()
