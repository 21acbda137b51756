"""The exporter against the net that it exports. Needs torch and facenet-pytorch; skipped without them."""

import sys

import numpy as np
import pytest

from castline.engines.base import DetectedFace
from castline.engines.choose import load_embedder
from castline.errors import ModelError, ModelNotFound
from castline.settings import Settings
from castline.weights import facenet
from castline.weights.facenet import ensure_facenet

torch = pytest.importorskip("torch")
if not facenet.can_export():
    pytest.skip("facenet-pytorch is not installed", allow_module_level=True)

from castline.weights import export  # noqa: E402  (imports torch)

WEIGHTS = facenet.FACENETS["facenet-vggface2"][0].file


def test_the_shim_leaves_no_trace():
    export.import_facenet_pytorch()
    assert "torchvision" not in sys.modules


def test_facenet_is_exported_from_weights_in_the_folder_and_then_preferred(tmp_path, noise):
    package = export.import_facenet_pytorch()
    torch.manual_seed(0)
    net = package.InceptionResnetV1(pretrained=None).eval()
    weights = net.state_dict() | {"logits.weight": torch.zeros(8, 512), "logits.bias": torch.zeros(8)}
    torch.save(weights, tmp_path / WEIGHTS)
    embedder = load_embedder(Settings(models_dir=tmp_path))
    assert embedder.info.id == f"facenet-vggface2-{facenet.digest(tmp_path / WEIGHTS)[:12]}"
    assert embedder.info.source == str(tmp_path / "facenet-vggface2.onnx")
    assert embedder.info.reason.startswith("FaceNet VGGFace2 (InceptionResnetV1) (")
    face = noise(160, 160)
    whole = DetectedFace(np.float32([16, 16, 144, 144]), np.zeros((5, 2), np.float32), 1.0)
    pixels = (torch.from_numpy(face.transpose(2, 0, 1).astype(np.float32))[None] - 127.5) / 128
    with torch.no_grad():
        expected = net(pixels).numpy()[0]
    ours = embedder.embed(face, [whole])[0]
    assert float(ours @ expected) > 0.9999


def test_weights_that_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(ModelNotFound, match="are not in"):
        ensure_facenet(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"exporting FaceNet .* to ONNX failed") as caught:
        ensure_facenet(tmp_path)
    assert "Traceback" in caught.value.detail
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]
    monkeypatch.setattr(facenet, "can_export", lambda: False)
    with pytest.raises(ModelNotFound, match="must be exported to ONNX once, which needs torch"):
        ensure_facenet(tmp_path)
