import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.engines.faces.align import aligned_crop, box_crop, similarity_transform, unit_rows, with_margin
from castline.engines.faces.onnx_embedders import ARCFACE_TEMPLATE, DLIB_TEMPLATE


@given(angle=st.floats(-3, 3), scale=st.floats(0.05, 20), shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_similarity_is_recovered(angle, scale, shift):
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = ARCFACE_TEMPLATE @ rotation.T + shift
    matrix = similarity_transform(ARCFACE_TEMPLATE, target)
    np.testing.assert_allclose(matrix, np.column_stack([rotation, shift]), atol=1e-6)


def test_points_in_one_place_give_a_finite_transform():
    assert np.isfinite(similarity_transform(np.full((5, 2), 7.0), ARCFACE_TEMPLATE)).all()


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.6, 9.3])
def test_landmarks_land_on_the_template(scale):
    points = DLIB_TEMPLATE * scale + [40, 30]
    picture = np.zeros((int(230 * scale) + 60, int(230 * scale) + 80, 3), np.uint8)
    for x, y in points:
        cv2.circle(picture, (round(x), round(y)), max(round(5 * scale), 2), (255, 255, 255), -1)
    crop = aligned_crop(picture, points.astype(np.float32), DLIB_TEMPLATE, 150)
    assert crop.shape == (150, 150, 3)
    count, _, _, centres = cv2.connectedComponentsWithStats((crop[:, :, 0] > 127).astype(np.uint8))
    assert count == 6
    for point in DLIB_TEMPLATE:
        assert np.hypot(*(centres[1:] - point).T).min() < 1.0 + 0.5 / scale


def test_crops_that_reach_over_the_border_are_filled_with_black():
    white = np.full((100, 100, 3), 255, np.uint8)
    crop = aligned_crop(white, (DLIB_TEMPLATE * 0.6 - 30).astype(np.float32), DLIB_TEMPLATE, 150)
    assert crop[0, 0].tolist() == [0, 0, 0]
    assert crop[-1, -1].tolist() == [255, 255, 255]


def test_a_face_far_outside_the_picture_is_black_and_not_an_error():
    white = np.full((60, 60, 3), 255, np.uint8)
    landmarks = (DLIB_TEMPLATE * 8 + 4000).astype(np.float32)
    assert aligned_crop(white, landmarks, DLIB_TEMPLATE, 150)[10:-10, 10:-10].max() == 0
    assert box_crop(white, np.float32([100, 100, 140, 140]), 160).max() == 0


def test_box_crop_is_clipped_to_the_picture():
    picture = np.zeros((50, 50, 3), np.uint8)
    picture[:20, :20] = 200
    assert (box_crop(picture, np.float32([-30, -30, 20.9, 20.9]), 160) == 200).all()


def test_unit_rows_have_unit_norm_and_zero_stays():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert rows.dtype == np.float32


def test_the_margin_lies_inside_the_crop_as_in_facenet_pytorch():
    # extract_face: margin * (x1 - x0) / (image_size - margin) / 2 on each side
    grown = with_margin(np.float32([10, 20, 138, 84]), 32, 160)
    np.testing.assert_allclose(grown, [10 - 16, 20 - 8, 138 + 16, 84 + 8])
    assert (with_margin(np.float32([1, 2, 3, 4]), 0, 160) == [1, 2, 3, 4]).all()
