import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castline.engines.faces import geometry


def adaptive_average(image, height, width):
    """Adaptive average pooling by its definition, window by window; (3, height, width)."""
    rows, columns = image.shape[:2]
    out = np.empty((3, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            y0, y1 = y * rows // height, math.ceil((y + 1) * rows / height)
            x0, x1 = x * columns // width, math.ceil((x + 1) * columns / width)
            out[:, y, x] = image[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0)
    return out


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (12, 12), (24, 31), (40, 33), (61, 90)])
def test_area_resize_is_adaptive_average_pooling(size):
    image = random_image(61, 47)
    resized = geometry.area_resize(geometry.integral_image(image), *size)
    np.testing.assert_allclose(resized, adaptive_average(image, *size), rtol=1e-6)


@settings(max_examples=25, deadline=None)  # the definition that it is compared with is a slow loop
@given(
    st.tuples(st.integers(0, 40), st.integers(0, 30)),
    st.tuples(st.integers(1, 70), st.integers(1, 60)),
    st.sampled_from([24, 48]),
)
def test_area_crops_average_their_window(corner, size, side):
    image = random_image(90, 110)
    x0, y0 = corner
    x1, y1 = x0 + size[0], y0 + size[1]
    crops = geometry.area_crops(geometry.integral_image(image), np.array([[x0, y0, x1, y1]]), side)
    np.testing.assert_allclose(crops[0], adaptive_average(image[y0:y1, x0:x1], side, side), rtol=1e-6)


def test_integral_of_a_huge_white_picture_survives_32_bits():
    white = np.full((4320, 5000, 3), 255, np.uint8)  # sums to more than 32 bits hold
    sums = geometry.integral_image(white)
    assert (geometry.area_resize(sums, 270, 480) == 255).all()
    corner = geometry.area_crops(sums, np.array([[4500, 4000, 5000, 4320]]), 48)
    assert (corner == 255).all()


def test_both_ways_to_sum_agree(monkeypatch):
    image = random_image(50, 70)
    fast = geometry.integral_image(image)
    monkeypatch.setattr(geometry, "SIGNED_LIMIT", 1)
    np.testing.assert_array_equal(geometry.integral_image(image), fast)


def test_pyramid_starts_at_the_smallest_face_and_ends_at_the_window():
    scales = geometry.pyramid_scales(720, 1280, 40, 0.709)
    assert scales[0] == pytest.approx(0.3)
    assert 720 * scales[-1] >= 12 > 720 * scales[-1] * 0.709
    assert geometry.pyramid_scales(39, 500, 40, 0.709) == []


BOXES = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [0, 0, 10, 10], [2, 2, 6, 6]])
SCORES = np.float32([0.8, 0.9, 0.7, 0.6, 0.5])


def test_nms_keeps_the_best_box_of_each_cluster():
    assert geometry.nms(BOXES, SCORES, 0.5).tolist() == [1, 2, 4]


def test_nms_min_also_drops_a_box_inside_another():
    assert geometry.nms_min(BOXES, SCORES, 0.5).tolist() == [1, 2]


def test_nms_keeps_an_overlap_of_exactly_the_threshold():
    halves = np.float32([[0, 0, 10, 10], [0, 0, 10, 5]])
    assert geometry.nms(halves, np.float32([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert geometry.nms(halves, np.float32([0.9, 0.8]), 0.49).tolist() == [0]


def test_nms_of_no_boxes_and_of_boxes_without_area():
    assert geometry.nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.5).tolist() == []
    points = np.float32([[5, 5, 5, 5], [5, 5, 5, 5]])
    assert geometry.nms(points, np.float32([0.5, 0.9]), 0.5).tolist() == [1, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=1, max_size=40), st.integers(0, 99))
def test_nms_leaves_no_two_overlapping_boxes_and_drops_nothing_without_cause(corners, seed):
    boxes = np.float32([[x, y, x + w + 1, y + h + 1] for x, y, w, h in corners])
    scores = np.random.default_rng(seed).random(len(boxes)).astype(np.float32)
    kept = geometry.nms(boxes, scores, 0.4).tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    for index in range(len(boxes)):
        covered = any(iou(boxes[index], boxes[k]) > 0.4 and scores[k] >= scores[index] for k in kept if k != index)
        assert covered != (index in kept)


def iou(a, b):
    w = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    h = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def test_squares_keep_their_centre_and_longer_side():
    squares = geometry.to_squares(np.float32([[0, 10, 20, 50]]))
    assert squares.tolist() == [[-10, 10, 30, 50]]


def test_move_counts_the_end_pixel_only_when_it_belongs_to_the_box():
    box, offsets = np.float32([[0, 0, 9, 9]]), np.float32([[0.1, 0.2, -0.1, 0]])
    np.testing.assert_allclose(geometry.move(box, offsets), [[1, 2, 8, 9]], rtol=1e-6)
    np.testing.assert_allclose(geometry.move(box, offsets, inclusive=False), [[0.9, 1.8, 8.1, 9]], rtol=1e-6)


def test_windows_are_clipped_to_the_picture_and_may_be_empty():
    boxes = np.float32([[-5.7, -0.2, 30.9, 40.9], [3.9, 4.1, 8.9, 9.1], [70, 70, 90, 90]])
    assert geometry.clip_windows(boxes, 36, 25).tolist() == [[0, 0, 25, 36], [2, 3, 8, 9], [69, 69, 25, 36]]
