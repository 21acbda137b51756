"""The exporter against the nets it exports. Needs torch and facenet-pytorch; skipped without them."""

import sys
import threading
import time

import numpy as np
import pytest

from castline.engines import DetectedFace
from castline.errors import ModelError, ModelNotFound
from castline.models import ensure_facenet, ensure_mtcnn, load_embedder, locate, prepare, session
from castline.settings import Settings

torch = pytest.importorskip("torch")
if not prepare.can_export():
    pytest.skip("facenet-pytorch is not installed", allow_module_level=True)

from castline.models import export  # noqa: E402  (imports torch)


def test_mtcnn_appears_once_and_whole_even_in_a_race(tmp_path):
    results = []
    racers = [threading.Thread(target=lambda: results.append(ensure_mtcnn(tmp_path))) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(results) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(locate.MTCNN_FILES.values())
    start = time.monotonic()
    assert ensure_mtcnn(tmp_path) == results[0]
    assert time.monotonic() - start < 0.1
    for path in results[0].values():
        session.open_session(path)


@pytest.mark.parametrize(
    ("name", "sizes"), [("pnet", [(1, 12, 12), (3, 40, 77)]), ("rnet", [(5, 24, 24)]), ("onet", [(5, 48, 48)])]
)
def test_exported_nets_give_what_the_originals_give(models_dir, name, sizes):
    package = export.import_facenet_pytorch()
    original = {"pnet": package.PNet, "rnet": package.RNet, "onet": package.ONet}[name]()
    exported = session.open_session(ensure_mtcnn(models_dir)[name])
    for count, height, width in sizes:
        pixels = np.random.default_rng(1).integers(0, 256, (count, 3, height, width)).astype(np.float32)
        with torch.no_grad():
            expected = original((torch.from_numpy(pixels) - 127.5) * 0.0078125)
        for ours, theirs in zip(exported.run(None, {"pixels": pixels}), expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_the_shim_leaves_no_trace():
    export.import_facenet_pytorch()
    assert "torchvision" not in sys.modules


def test_facenet_is_exported_from_weights_in_the_folder_and_then_preferred(tmp_path, noise):
    package = export.import_facenet_pytorch()
    torch.manual_seed(0)
    net = package.InceptionResnetV1(pretrained=None).eval()
    weights = net.state_dict() | {"logits.weight": torch.zeros(8, 512), "logits.bias": torch.zeros(8)}
    torch.save(weights, tmp_path / locate.FACENET_WEIGHTS)
    embedder = load_embedder(Settings(models_dir=tmp_path))
    assert embedder.info.id == "facenet-vggface2"
    assert embedder.info.source == str(tmp_path / locate.FACENET_FILE)
    assert embedder.info.reason == "FaceNet, found in the models folder"
    face = noise(160, 160)
    whole = DetectedFace(np.float32([0, 0, 160, 160]), np.zeros((5, 2), np.float32), 1.0)
    pixels = (torch.from_numpy(face.transpose(2, 0, 1).astype(np.float32))[None] - 127.5) / 128
    with torch.no_grad():
        expected = net(pixels).numpy()[0]
    ours = embedder.embed(face, [whole])[0]
    assert float(ours @ expected) > 0.9999


def test_weights_that_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(ModelNotFound, match="are not in"):
        ensure_facenet(tmp_path)
    (tmp_path / locate.FACENET_WEIGHTS).write_bytes(b"not weights")
    with pytest.raises(ModelError, match="exporting facenet to ONNX failed") as caught:
        ensure_facenet(tmp_path)
    assert "Traceback" in caught.value.detail
    assert [path.name for path in tmp_path.iterdir()] == [locate.FACENET_WEIGHTS]
    monkeypatch.setattr(prepare, "can_export", lambda: False)
    with pytest.raises(ModelNotFound, match="must be exported to ONNX first"):
        ensure_facenet(tmp_path)
