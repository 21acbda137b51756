from pathlib import Path

import cv2
import numpy as np
import pytest

from castline.engines.faces.mtcnn import MtcnnDetector
from castline.errors import ModelCorrupt, ModelNotFound
from castline.media.pictures import decode_jpeg
from castline.weights.prepare import ensure_mtcnn


def iou(a, b):
    w = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    h = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


@pytest.fixture(scope="module")
def reference():
    """facenet-pytorch's own MTCNN, with the one function that it takes from torchvision written out."""
    torch = pytest.importorskip("torch")
    from castline.weights.export import import_facenet_pytorch

    package = import_facenet_pytorch()
    from facenet_pytorch.models.utils import detect_face

    def batched_nms(boxes, scores, groups, threshold):
        kept = []
        for index in torch.sort(scores, descending=True, stable=True).indices.tolist():
            rivals = [k for k in kept if groups[k] == groups[index]]
            if all(iou(boxes[index].tolist(), boxes[k].tolist()) <= threshold for k in rivals):
                kept.append(index)
        return torch.tensor(kept, dtype=torch.int64)

    before, detect_face.batched_nms = detect_face.batched_nms, batched_nms
    yield lambda image, min_face: package.MTCNN(min_face_size=min_face, select_largest=False).detect(
        image, landmarks=True
    )
    detect_face.batched_nms = before


def assert_same_faces(ours, theirs):
    """Every reference face is found at IoU >= 0.9 with its score and landmarks, and no other face is."""
    # Without a face it returns None, and [None] for the score.
    theirs = [[] if part is None or part[0] is None else part for part in theirs]
    boxes, scores, points = (np.array(part, np.float32) for part in theirs)
    assert len(ours) == len(boxes)
    for box, score, landmarks in zip(boxes, scores, points, strict=True):
        twin = max(ours, key=lambda face: iou(face.box, box))
        assert iou(twin.box, box) >= 0.9
        np.testing.assert_allclose(twin.box, box, atol=0.05)
        np.testing.assert_allclose(twin.landmarks, landmarks, atol=0.05)
        assert twin.score == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("min_face", [20, 40])
@pytest.mark.parametrize("width", [160, 333, 512])
def test_agrees_with_facenet_pytorch_on_portraits(models_dir, reference, astronaut, hopper, width, min_face):
    detector = MtcnnDetector(ensure_mtcnn(models_dir), min_face=min_face)
    for picture in (astronaut, hopper):
        image = cv2.resize(picture, (width, picture.shape[0] * width // 512), interpolation=cv2.INTER_AREA)
        ours = detector.detect([image])[0]
        assert len(ours) == 1
        assert_same_faces(ours, reference(image, min_face))


@pytest.mark.data
@pytest.mark.parametrize("name", ["group/facenet_multiface.jpg", "group/two_people.jpg", "noface/camera_backview.png"])
def test_agrees_with_facenet_pytorch_on_other_pictures(models_dir, reference, shared_data, name):
    image = decode_jpeg((shared_data / "faces" / name).read_bytes())
    detector = MtcnnDetector(ensure_mtcnn(models_dir), min_face=40)
    assert_same_faces(detector.detect([image])[0], reference(image, 40))


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("facenet_multiface.jpg", 6), ("two_people.jpg", 2)])
def test_finds_everybody_in_a_group(detector, shared_data, name, count):
    image = decode_jpeg((shared_data / "faces" / "group" / name).read_bytes())
    faces = detector.detect([image])[0]
    assert len(faces) == count
    assert all(face.score > 0.99 for face in faces)


@pytest.mark.data
@pytest.mark.parametrize(
    # camera_backview.png is filed under "no face", but it shows a man's face in profile, 58 pixels wide: finding it is
    # right, and facenet-pytorch finds it, too.
    ("name", "count"),
    [("chelsea.png", 0), ("coffee.png", 0), ("rocket.jpg", 0), ("camera_backview.png", 1)],
)
def test_finds_no_faces_where_there_are_none(detector, shared_data, name, count):
    image = decode_jpeg((shared_data / "faces" / "noface" / name).read_bytes())
    assert len(detector.detect([image])[0]) == count


def test_a_batch_of_mixed_sizes_equals_each_picture_alone(detector, astronaut, hopper, noise):
    images = [astronaut, hopper, noise(512, 512), astronaut[:, ::-1].copy(), noise(200, 300)]
    together = detector.detect(images)
    assert [len(faces) for faces in together] == [1, 1, 0, 1, 0]
    for image, faces in zip(images, together, strict=True):
        for face, alone in zip(faces, detector.detect([image])[0], strict=True):
            np.testing.assert_allclose(face.box, alone.box, atol=1e-3)
            np.testing.assert_allclose(face.landmarks, alone.landmarks, atol=1e-3)


def test_landmarks_lie_where_the_face_is(detector, astronaut):
    face = detector.detect([astronaut])[0][0]
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert face.box[0] < left_eye[0] < right_eye[0] < face.box[2]
    assert 180 < nose[0] < 260


def test_two_faces_of_one_picture_are_ordered_by_score(detector, astronaut):
    twice = np.hstack([astronaut, cv2.GaussianBlur(astronaut, (0, 0), 2)])
    scores = [face.score for face in detector.detect([twice])[0]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (23, 500), (500, 23), (24, 24), (25, 600)])
def test_tiny_and_narrow_pictures_have_no_faces(detector, noise, size):
    assert detector.detect([noise(*size)]) == [[]]


def test_no_pictures_give_no_faces(detector):
    assert detector.detect([]) == []


def test_the_same_picture_gives_the_same_faces_to_the_bit(detector, astronaut):
    first, second = detector.detect([astronaut])[0], detector.detect([astronaut])[0]
    assert [f.box.tobytes() + f.landmarks.tobytes() for f in first] == [
        f.box.tobytes() + f.landmarks.tobytes() for f in second
    ]


def test_faces_below_the_least_score_are_not_reported(models_dir, astronaut):
    detector = MtcnnDetector(ensure_mtcnn(models_dir), min_score=1.1)
    assert detector.detect([astronaut]) == [[]]


def test_missing_and_broken_nets_are_named(models_dir, tmp_path: Path):
    paths = dict(ensure_mtcnn(models_dir))
    with pytest.raises(ModelNotFound, match=r"rnet\.onnx does not exist"):
        MtcnnDetector(paths | {"rnet": tmp_path / "rnet.onnx"})
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(paths["pnet"].read_bytes()[:1000])
    with pytest.raises(ModelCorrupt, match=r"broken\.onnx is not a usable ONNX model"):
        MtcnnDetector(paths | {"pnet": broken})
