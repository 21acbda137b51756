"""The voice encoder written without torch, against torch."""

import subprocess
import sys

import numpy as np
import pytest

from castline.engines.session import open_session
from castline.errors import ModelCorrupt, ModelNotFound
from castline.weights import locate, prepare, voice_net
from castline.weights.torch_weights import read_tensors

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def weights():
    found = locate.find_voice_weights()
    if found is None:
        pytest.skip("resemblyzer is not installed")
    return found


def test_it_equals_torch(weights, tmp_path):
    torch = pytest.importorskip("torch")
    state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
    lstm, dense = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    for name, module in (("lstm.", lstm), ("linear.", dense)):
        own = {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
        module.load_state_dict(own)
    session = open_session(voice_net.convert(weights, tmp_path / "voices.onnx"))
    chance = np.random.default_rng(0)
    for count, frames in ((1, 160), (5, 160), (2, 37)):
        mels = np.abs(chance.normal(size=(count, frames, 40))).astype(np.float32)
        with torch.no_grad():
            theirs = torch.relu(dense(lstm(torch.from_numpy(mels))[1][0][-1])).numpy()
        (ours,) = session.run(None, {"mels": mels})
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_other_bytes_are_refused_before_they_are_read(weights, tmp_path):
    other = tmp_path / "pretrained.pt"
    other.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelCorrupt, match="not the voice encoder it should be"):
        voice_net.convert(other, tmp_path / "voices.onnx")
    assert not (tmp_path / "voices.onnx").exists()


def test_a_missing_member_is_refused(weights):
    with pytest.raises(ModelCorrupt):
        read_tensors(weights, "another_state")
    with pytest.raises(ModelCorrupt):  # the checkpoint itself is not a state dict
        read_tensors(weights)


def test_missing_weights_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "find_voice_weights", lambda: None)
    with pytest.raises(ModelNotFound, match="resemblyzer is not installed"):
        prepare.ensure_voice(tmp_path)


def test_the_package_is_data_and_never_imported(weights, tmp_path):
    program = (
        "import sys, pathlib, numpy as np; from castline.engines.choose import load_voice_encoder\n"
        "from castline.settings import Settings\n"
        f"encoder = load_voice_encoder(Settings(models_dir=pathlib.Path({str(tmp_path)!r})))\n"
        "print(encoder.info.id, [name for name in sys.modules if name.startswith(('resemblyzer', 'torch', 'librosa'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split(maxsplit=1) == ["ge2e", "[]\n"], done.stderr
