import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.recognition import quality


def test_blur_lowers_sharpness_step_by_step(detector, astronaut):
    box = detector.detect([astronaut])[0][0].box
    steps = [quality.sharpness(astronaut, box)]
    steps += [quality.sharpness(cv2.GaussianBlur(astronaut, (0, 0), sigma), box) for sigma in (1, 2, 4, 8)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 200
    assert steps[-1] < 10


def test_a_flat_picture_has_no_sharpness():
    assert quality.sharpness(np.full((80, 80, 3), 128, np.uint8), np.float32([0, 0, 80, 80])) == pytest.approx(
        0, abs=1e-3
    )


def test_smear_in_any_direction_darkness_and_blur_reduce_detail(detector, astronaut):
    box = detector.detect([astronaut])[0][0].box
    assert quality.detail(astronaut, box) > 40
    for way in (np.full((1, 15), 1 / 15), np.full((15, 1), 1 / 15), np.eye(15) / 15, np.eye(15)[::-1] / 15):
        assert quality.detail(cv2.filter2D(astronaut, -1, way), box) < 12
    assert quality.detail((astronaut * 0.2).astype(np.uint8), box) < 12
    assert quality.detail(cv2.GaussianBlur(astronaut, (0, 0), 3), box) < 12
    assert quality.detail(np.full((80, 80, 3), 128, np.uint8), np.float32([0, 0, 80, 80])) == pytest.approx(0, abs=1e-3)


def test_codec_blocks_are_detected_wherever_they_begin(detector, astronaut):
    box = detector.detect([astronaut])[0][0].box
    assert quality.blocking(astronaut, box) < 1.3
    _, body = cv2.imencode(".jpg", astronaut, [cv2.IMWRITE_JPEG_QUALITY, 5])
    blocks = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    for shift in (0, 3):
        assert quality.blocking(np.roll(blocks, shift, (0, 1)), box + shift) > 2
    assert quality.blocking(blocks, np.float32([10, 10, 30, 30])) == 1, "too few blocks to tell"
    assert quality.blocking(blocks, np.float32([-50, -50, -10, -10])) == 1


def test_noise_is_detected_in_colour_and_grey_and_beards_are_not_noise(detector, astronaut):
    box = detector.detect([astronaut])[0][0].box
    clean = quality.noise(astronaut, box)
    assert clean < 0.05
    grain = np.random.default_rng(1).normal(0, 25, astronaut.shape)
    for each in (grain, grain[:, :, :1]):
        assert quality.noise(np.clip(astronaut + each, 0, 255).astype(np.uint8), box) > 0.06
    assert quality.noise(np.full((80, 80, 3), 128, np.uint8), np.float32([0, 0, 80, 80])) == pytest.approx(0, abs=1e-3)


def test_a_frontal_face_has_no_yaw_and_no_roll(make_face):
    assert quality.pose(make_face(100, 100, 80).landmarks) == pytest.approx((0, 0), abs=0.01)


def test_yaw_follows_the_nose(make_face):
    face = make_face(100, 100, 80)
    yaws = []
    for shift in (-12, -6, 0, 6, 12):
        landmarks = face.landmarks.copy()
        landmarks[2, 0] += shift
        yaws.append(quality.pose(landmarks)[0])
    assert yaws == sorted(yaws)
    assert yaws[0] == pytest.approx(-yaws[-1], abs=0.01)
    assert 20 < yaws[-1] < 60


@pytest.mark.parametrize("degrees", [-60, -20, 15, 45])
def test_roll_is_the_face_s_rotation_and_not_yaw(make_face, degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    yaw, roll = quality.pose((make_face(0, 0, 80).landmarks @ turn.T).astype(np.float32))
    assert roll == pytest.approx(degrees, abs=0.1)
    assert yaw == pytest.approx(0, abs=0.1)


def test_coinciding_eyes_are_a_profile():
    assert quality.pose(np.zeros((5, 2), np.float32)) == (90.0, 0.0)


NUMBER = {"allow_nan": False, "allow_infinity": False}


@given(
    st.floats(0, 4000, **NUMBER),
    st.floats(0, 1e5, **NUMBER),
    st.floats(-90, 90, **NUMBER),
    st.floats(-180, 180, **NUMBER),
    st.floats(0.5, 1, **NUMBER),
)
def test_quality_stays_in_range_and_never_hides_a_face(size, sharp, yaw, roll, score):
    assert 0 < quality.combined(size, sharp, yaw, roll, score) <= 1


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ((120, 300, 0, 0, 0.99), (40, 300, 0, 0, 0.99)),
        ((120, 300, 0, 0, 0.99), (120, 30, 0, 0, 0.99)),
        ((120, 300, 0, 0, 0.99), (120, 300, 50, 0, 0.99)),
        ((120, 300, 0, 0, 0.99), (120, 300, 0, 50, 0.99)),
        ((120, 300, 0, 0, 0.99), (120, 300, 0, 0, 0.75)),
    ],
    ids=["size", "sharpness", "yaw", "roll", "score"],
)
def test_each_factor_counts(better, worse):
    assert quality.combined(*better) > quality.combined(*worse)


def test_overexposure_is_detected(detector, astronaut):
    box = detector.detect([astronaut])[0][0].box
    assert quality.burnt(astronaut, box) < 0.1
    assert quality.burnt(np.clip(astronaut * 2.1, 0, 255).astype(np.uint8), box) > 0.3
    assert quality.burnt(astronaut, np.float32([-9, -9, -1, -1])) == 0
