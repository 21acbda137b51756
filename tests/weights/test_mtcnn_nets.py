"""The nets written without torch, against those that torch exports and runs."""

import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from castline.engines.session import open_session
from castline.errors import ModelCorrupt, ModelNotFound
from castline.weights import locate, mtcnn_nets, prepare
from castline.weights.prepare import ensure_mtcnn

onnx = pytest.importorskip("onnx")
SIZES = {
    "pnet": [(1, 12, 12), (3, 40, 77), (2, 13, 14), (1, 201, 333)],
    "rnet": [(1, 24, 24), (65, 24, 24)],
    "onet": [(1, 48, 48), (65, 48, 48)],
}


@pytest.fixture(scope="module")
def weights():
    found = locate.find_mtcnn_weights()
    if found is None:
        pytest.skip("facenet-pytorch is not installed")
    return found


@pytest.fixture(scope="module")
def made(weights, tmp_path_factory):
    return mtcnn_nets.convert(weights, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def originals():
    """facenet-pytorch's nets, with the normalisation that is outside of them there, as torch modules by name."""
    torch = pytest.importorskip("torch")
    from castline.weights.export import import_facenet_pytorch

    package = import_facenet_pytorch()

    class Normalised(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, pixels):
            return self.net((pixels - 127.5) * 0.0078125)

    return {name: Normalised(getattr(package, name[0].upper() + "Net")().eval()) for name in SIZES}


@pytest.fixture(scope="module")
def exported(originals, tmp_path_factory):
    """The nets as torch exports them."""
    import torch

    folder = tmp_path_factory.mktemp("exported")
    for name, net in originals.items():
        outputs = ["offsets", "landmarks", "probabilities"] if name == "onet" else ["offsets", "probabilities"]
        axes = {key: {0: "n"} for key in ["pixels", *outputs]}
        if name == "pnet":
            axes["pixels"] |= {2: "h", 3: "w"}
            for output in outputs:
                axes[output] |= {2: "cells_y", 3: "cells_x"}
        _, height, width = SIZES[name][0]
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                (torch.zeros(2, 3, height, width),),
                str(folder / f"{name}.onnx"),
                input_names=["pixels"],
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=17,
                dynamo=False,
            )
    return {name: folder / f"{name}.onnx" for name in originals}


def pixels(count, height, width):
    return np.random.default_rng(height).integers(0, 256, (count, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize("name", SIZES)
def test_they_equal_torch_s_export(made, exported, name):
    ours, theirs = open_session(made[name]), open_session(exported[name])
    for size in SIZES[name]:
        for left, right in zip(
            *(session.run(None, {"pixels": pixels(*size)}) for session in (ours, theirs)), strict=True
        ):
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_they_have_the_structure_of_torch_s_export(made, exported, name):
    def described(path):
        session = open_session(path)
        return [(value.name, value.shape, value.type) for value in session.get_inputs() + session.get_outputs()]

    assert described(made[name]) == described(exported[name])


@pytest.mark.parametrize("name", SIZES)
def test_they_equal_the_originals_in_torch(made, originals, name):
    import torch

    session = open_session(made[name])
    for size in SIZES[name]:
        with torch.no_grad():
            expected = originals[name](torch.from_numpy(pixels(*size)))
        for ours, theirs in zip(session.run(None, {"pixels": pixels(*size)}), expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_they_are_valid_and_always_the_same_bytes(made, weights, tmp_path, name):
    onnx.checker.check_model(onnx.load(made[name]), full_check=True)
    again = mtcnn_nets.convert(weights, tmp_path)
    assert again[name].read_bytes() == made[name].read_bytes()


def test_they_appear_once_and_complete_even_in_a_race(weights, tmp_path):
    results = []
    racers = [threading.Thread(target=lambda: results.append(ensure_mtcnn(tmp_path))) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(results) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(locate.MTCNN_FILES.values())
    written = [path.stat().st_mtime_ns for path in results[0].values()]
    assert ensure_mtcnn(tmp_path) == results[0]
    assert [path.stat().st_mtime_ns for path in results[0].values()] == written
    for path in results[0].values():
        open_session(path)


def test_making_them_imports_neither_torch_nor_facenet_pytorch(weights, tmp_path):
    check = (
        "import sys, pathlib; from castline.weights.prepare import ensure_mtcnn\n"
        "ensure_mtcnn(pathlib.Path(sys.argv[1])); "
        "print([name for name in ('torch', 'facenet_pytorch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_net_is_refused_and_nothing_is_written(weights, tmp_path):
    swapped = weights | {"onet": weights["rnet"]}
    with pytest.raises(ModelCorrupt, match=r"rnet\.pt is not MTCNN's onet") as caught:
        mtcnn_nets.convert(swapped, tmp_path / "models")
    assert "conv1.weight should be a tensor of shape (32, 3, 3, 3); it has (28, 3, 3, 3)" in caught.value.detail
    cut = tmp_path / "cut.pt"
    cut.write_bytes(weights["onet"].read_bytes()[:100_000])
    with pytest.raises(ModelCorrupt, match=r"cut\.pt is not a PyTorch file"):
        mtcnn_nets.convert(weights | {"onet": cut}, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_layer_too_many_or_too_few(weights, tmp_path, monkeypatch):
    tensors = mtcnn_nets.read_tensors(weights["pnet"])
    monkeypatch.setattr(mtcnn_nets, "read_tensors", lambda path: tensors | {"conv5.weight": np.zeros(1, np.float32)})
    with pytest.raises(ModelCorrupt) as caught:
        mtcnn_nets.convert(weights, tmp_path)
    assert caught.value.detail == "there are more layers than the net has"
    monkeypatch.setattr(mtcnn_nets, "read_tensors", lambda path: {})
    with pytest.raises(ModelCorrupt) as caught:
        mtcnn_nets.convert(weights, tmp_path)
    assert caught.value.detail.endswith("there is none")


def test_the_command(weights, tmp_path):
    mtcnn_nets.main([str(weights["pnet"].parent), str(tmp_path)])
    assert locate.find_mtcnn(tmp_path)


def test_nothing_to_make_them_from(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "find_mtcnn_weights", dict)
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match="needs onnx installed"):
        ensure_mtcnn(tmp_path)
    monkeypatch.setattr(prepare, "find_mtcnn_weights", lambda: None)
    with pytest.raises(ModelNotFound, match="the package facenet-pytorch is not installed"):
        ensure_mtcnn(tmp_path)
