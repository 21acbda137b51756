"""FaceNet in int8 against FaceNet in fp32. Needs torch and facenet-pytorch; skipped without them."""

import shutil

import cv2
import numpy as np
import pytest

from castline.engines.choose import load_embedder, survey
from castline.engines.faces import quantize
from castline.engines.faces.mtcnn import MtcnnDetector
from castline.engines.faces.onnx_embedders import FaceNetEmbedder
from castline.engines.plugins import find_engine, thresholds_for
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.media.pictures import decode_jpeg
from castline.settings import Settings
from castline.weights import facenet
from castline.weights.prepare import ensure_mtcnn

torch = pytest.importorskip("torch")
if not facenet.can_export():
    pytest.skip("facenet-pytorch is not installed", allow_module_level=True)

from castline.weights import export  # noqa: E402  (imports torch)

FACENET, WEIGHTS = "facenet-vggface2.onnx", facenet.FACENETS["facenet-vggface2"][0].file
FACENET_INT8 = facenet.int8("facenet-vggface2")
FACENET_INT8_FILE = f"{FACENET_INT8}.onnx"


@pytest.fixture(scope="module")
def detector(models_dir):
    return MtcnnDetector(ensure_mtcnn(models_dir))


@pytest.fixture(scope="module")
def random_facenet(tmp_path_factory):
    """An untrained FaceNet as exported; it serves only for the shape of its input."""
    return export.export_facenet(tmp_path_factory.mktemp("random") / FACENET, None)


@pytest.fixture(scope="module")
def faces(detector, random_facenet):
    return quantize.calibration_faces(quantize.PORTRAITS, detector, FaceNetEmbedder(random_facenet))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces):
    """A models folder with a FaceNet of random weights that tells faces apart, in fp32 and int8.

    A newly initialised net gives every face the same embedding, which any quantisation would reproduce. With the
    statistics of real faces in its normalisation layers, the quantisation has to be exact.
    """
    torch.manual_seed(0)
    net = export.import_facenet_pytorch().InceptionResnetV1(pretrained=None, dropout_prob=0.0).train()
    for layer in net.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        net(torch.from_numpy(faces))
    made = tmp_path_factory.mktemp("models")
    torch.save(net.state_dict(), made / WEIGHTS)
    source = facenet.ensure_facenet(made)
    quantize.quantize_facenet(source, made / FACENET_INT8_FILE, faces)
    return made


def test_embeddings_stay_close_to_fp32_where_faces_differ(folder, faces):
    fp32 = FaceNetEmbedder(folder / FACENET).run(faces)
    int8 = FaceNetEmbedder(folder / FACENET_INT8_FILE).run(faces)
    between = (fp32 @ fp32.T)[np.triu_indices(len(faces), 1)]
    assert between.max() < 0.5
    # Measured 0.939, and 0.959 with eight-bit weights. This net amplifies the smallest differences between six
    # portraits of two people, so it is a harder case than a trained one.
    assert np.sum(fp32 * int8, axis=1).min() >= 0.92
    # Each face is nearest to its own fp32 embedding.
    assert (np.argmax(int8 @ fp32.T, axis=1) == np.arange(len(faces))).all()


def test_embeddings_of_a_newly_initialised_net_hardly_move(random_facenet, faces, tmp_path):
    assert quantize.quantize_facenet(random_facenet, tmp_path / FACENET_INT8_FILE, faces).min() >= 0.999


def test_faces_outside_the_calibration_set_stay_close_too(folder, faces):
    unseen = np.stack([cv2.GaussianBlur(face.transpose(1, 2, 0), (0, 0), 2).transpose(2, 0, 1) for face in faces])
    fp32 = FaceNetEmbedder(folder / FACENET).run(unseen)
    assert np.sum(fp32 * FaceNetEmbedder(folder / FACENET_INT8_FILE).run(unseen), axis=1).min() >= 0.95


def test_the_file_is_a_quarter_and_holds_seven_bit_weights(folder):
    onnx = pytest.importorskip("onnx")
    made = folder / FACENET_INT8_FILE
    assert made.stat().st_size < 0.33 * (folder / FACENET).stat().st_size
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(made).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(weights) > 100
    assert max(int(np.abs(tensor.astype(int)).max()) for tensor in weights) <= 64


def test_the_same_faces_give_the_same_bytes_and_no_other_files(folder, faces, tmp_path):
    again = tmp_path / FACENET_INT8_FILE
    cosines = quantize.quantize_facenet(folder / FACENET, again, faces)
    assert cosines.shape == (len(faces),)
    assert again.read_bytes() == (folder / FACENET_INT8_FILE).read_bytes()
    assert list(tmp_path.iterdir()) == [again]


def test_it_is_used_only_on_request(folder):
    asked = load_embedder(Settings(models_dir=folder, embedder=FACENET_INT8))
    assert asked.info.id == f"{FACENET_INT8}-{facenet.digest(folder / FACENET_INT8_FILE)[:12]}"
    assert asked.info.source == str(folder / FACENET_INT8_FILE)
    weights = facenet.digest(folder / WEIGHTS)
    assert load_embedder(Settings(models_dir=folder)).info.id == f"facenet-vggface2-{weights[:12]}"
    by_path = load_embedder(Settings(models_dir=folder, embedder=f"{FACENET_INT8}:{folder / FACENET_INT8_FILE}"))
    assert by_path.info.id == asked.info.id
    found = {info.id: info for info in survey(Settings(models_dir=folder))}
    assert found[FACENET_INT8].source == str(folder / FACENET_INT8_FILE)
    assert thresholds_for(FACENET_INT8) == thresholds_for("facenet-vggface2")
    assert find_engine(FACENET_INT8).info.dimension == 512


def test_without_the_file_it_says_how_to_make_it(tmp_path):
    with pytest.raises(
        ModelNotFound, match=r"facenet-vggface2-int8\.onnx is not in .*castline\.engines\.faces\.quantize"
    ):
        load_embedder(Settings(models_dir=tmp_path, embedder=FACENET_INT8))
    found = {info.id: info for info in survey(Settings(models_dir=tmp_path))}
    assert found[FACENET_INT8].source == ""
    assert "python -m castline.engines.faces.quantize" in found[FACENET_INT8].reason


def test_unusable_photos(detector, random_facenet, tmp_path):
    embedder = FaceNetEmbedder(random_facenet)
    with pytest.raises(ModelError, match="there is no folder"):
        quantize.calibration_faces(tmp_path / "nowhere", detector, embedder)
    with pytest.raises(ModelError, match="no face was found in the 0 photos"):
        quantize.calibration_faces(tmp_path, detector, embedder)
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(ModelError, match="no face was found in the 1 photos"):
        quantize.calibration_faces(tmp_path, detector, embedder)
    (tmp_path / "letter.jpg").write_text("Dear quantiser,")
    with pytest.raises(ModelError, match=r"letter\.jpg is not a picture to calibrate with"):
        quantize.calibration_faces(tmp_path, detector, embedder)


def test_faces_are_cropped_as_the_embedder_crops_them(detector, random_facenet, tmp_path):
    portrait = min(quantize.PORTRAITS.rglob("*.jpg"))
    shutil.copy(portrait, tmp_path / "one.JPG")
    embedder = FaceNetEmbedder(random_facenet)
    faces = quantize.calibration_faces(tmp_path, detector, embedder)
    image = decode_jpeg(portrait.read_bytes())
    assert faces.shape == (1, 3, 160, 160)
    assert (embedder.run(faces) == embedder.embed(image, detector.detect([image])[0])).all()


def test_a_source_other_than_facenet(models_dir, faces, tmp_path):
    with pytest.raises(ModelNotFound, match="does not exist"):
        quantize.quantize_facenet(tmp_path / "nothing.onnx", tmp_path / "out.onnx", faces)
    with pytest.raises(ModelCorrupt, match="is not an embedder of 160 x 160 RGB faces"):
        quantize.quantize_facenet(ensure_mtcnn(models_dir)["onet"], tmp_path / "out.onnx", faces)
    assert list(tmp_path.iterdir()) == []


def test_an_inexact_net_is_not_written(folder, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(quantize, "_quantize", lambda source, prepared, target, faces: shutil.copy(source, target))
    monkeypatch.setattr(quantize, "_MIN_COSINE", 1.1)
    with pytest.raises(ModelError, match=r"int8 embeddings are off .* fp32 works as before"):
        quantize.quantize_facenet(folder / FACENET, tmp_path / FACENET_INT8_FILE, faces)
    assert list(tmp_path.iterdir()) == []


def test_the_command(folder, models_dir, monkeypatch, capsys):
    for path in ensure_mtcnn(models_dir).values():
        shutil.copy(path, folder)
    monkeypatch.setattr(quantize, "_quantize", lambda source, prepared, target, faces: shutil.copy(source, target))
    monkeypatch.setattr(quantize, "int8", lambda name: "made")
    with pytest.raises(SystemExit) as ended:
        quantize.main([str(folder), "--net", "facenet-vggface2"])
    assert ended.value.code == 0
    assert "made.onnx: 6 faces, cosine to fp32 1.0000 at least" in capsys.readouterr().err
    assert (folder / "made.onnx").is_file()
    with pytest.raises(SystemExit) as ended:
        quantize.main([str(folder), str(folder / "no photos")])
    assert ended.value.code == 1
    assert "there is no folder" in capsys.readouterr().err
