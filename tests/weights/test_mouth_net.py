"""The active-speaker net written without torch, against the output of its authors' code in torch."""

import io
import shutil
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler

import numpy as np
import pytest
from typer.testing import CliRunner

from castline.cli import main as commands
from castline.engines.choose import load_active_speaker, prepare, survey
from castline.engines.session import open_session
from castline.errors import ModelCorrupt, ModelNotFound
from castline.settings import Settings
from castline.weights import locate, mouth_net
from castline.weights.downloads import DOWNLOADS
from castline.weights.torch_weights import read_tensors
from tests.answering import answering

pytest.importorskip("onnx")

#: torch 2.13.0 with the code of Junhua-Liao/LR-ASD at 1b6dcd2, for ``inputs()``.
RECORDED = [
    -1.0704900026321411,
    -1.180690050125122,
    -1.3473000526428223,
    -1.434380054473877,
    -1.4836699962615967,
    -1.498900055885315,
    -1.4505499601364136,
    -1.3428499698638916,
    -1.16103994846344,
    -0.9369800090789795,
]


@pytest.fixture(scope="module")
def weights(shared_data):
    return shared_data / "models" / "lr-asd-finetuning_TalkSet.model"


def inputs():
    faces = np.fromfunction(lambda t, y, x: (t * 7 + y * 2 + x * 3) % 256, (10, 112, 112))
    mfcc = np.fromfunction(lambda t, c: ((t * 5 + c * 3) % 17) - 8.0, (40, 13))
    return {"faces": faces[None].astype(np.uint8), "mfcc": mfcc[None].astype(np.float32)}


def test_it_nearly_equals_torch(weights, tmp_path):
    """Bytes instead of floats: tests/engines/faces/test_lr_asd.py measures the effect on faces."""
    path = mouth_net.convert(weights, tmp_path / "lr-asd.onnx")
    session = open_session(path)
    (scores,) = session.run(None, inputs())
    np.testing.assert_allclose(scores[0], RECORDED, atol=0.1)
    twice = {name: np.concatenate([values, values[:, ::-1]]) for name, values in inputs().items()}
    np.testing.assert_allclose(session.run(None, twice)[0][0], scores[0], atol=1e-4)
    again = mouth_net.convert(weights, tmp_path / "again.onnx")
    assert path.read_bytes() == again.read_bytes()


def test_sums_fit_where_processors_add_in_16_bits(weights, tmp_path):
    """Without VNNI, two products of a byte and a weight are added in 16 bits, and larger sums saturate."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(mouth_net.convert(weights, tmp_path / "lr-asd.onnx"))
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    wholes = [stored[node.input[3]] for node in model.graph.node if node.op_type == "QLinearConv"]
    assert len(wholes) == 12
    assert all(whole.dtype == np.int8 and np.abs(whole.astype(int)).max() * 2 * 255 < 2**15 for whole in wholes)


def test_the_weights_are_the_ones_that_are_fetched(weights):
    (entry,) = DOWNLOADS["lr-asd"]
    assert entry.sha256 == mouth_net.SHA256
    assert "/1b6dcd2" in entry.url
    assert entry.max_bytes >= weights.stat().st_size


def test_other_bytes_are_refused_before_they_are_read(weights, tmp_path):
    other = tmp_path / "finetuning_TalkSet.model"
    other.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelCorrupt, match="not the net for speaking faces that it should be"):
        mouth_net.convert(other, tmp_path / "lr-asd.onnx")
    assert not (tmp_path / "lr-asd.onnx").exists()


def test_missing_weights_are_reported_and_optional(tmp_path):
    settings = Settings(models_dir=tmp_path)
    (info,) = survey(settings, "active_speaker")
    assert not info.source
    assert "castline models fetch lr-asd" in info.reason
    prepare("active_speaker", settings)
    with pytest.raises(ModelNotFound, match="castline models fetch lr-asd"):
        load_active_speaker(settings)


def test_it_is_made_once_from_what_was_fetched(weights, tmp_path):
    shutil.copy(weights, tmp_path / locate.MOUTH_WEIGHTS_FILE)
    settings = Settings(models_dir=tmp_path)
    assert survey(settings, "active_speaker")[0].reason.endswith("to be converted once")
    engine = load_active_speaker(settings)
    assert (engine.info.id, engine.info.licence) == ("lr-asd", "MIT")
    assert survey(settings, "active_speaker")[0].source.endswith(locate.MOUTH_FILE)
    with pytest.raises(ModelCorrupt, match="is not a net for speaking faces"):
        load_active_speaker(Settings(models_dir=tmp_path, active_speaker=f"lr-asd:{_other_net(tmp_path)}"))


@pytest.fixture
def mirror(weights, monkeypatch):
    """The hub, replaced by this machine: the file that the measurements used, served on loopback."""
    serve = partial(SimpleHTTPRequestHandler, directory=str(weights.parent))
    with answering(serve) as address:
        (entry,) = DOWNLOADS["lr-asd"]

        def at(name):
            monkeypatch.setitem(DOWNLOADS, "lr-asd", (replace(entry, url=f"{address}/{name}"),))

        yield at


def test_the_command_fetches_it_by_its_digest_and_it_scores(weights, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr("castline.cli.models.settings", lambda: Settings(models_dir=tmp_path))
    mirror(weights.name)
    done = CliRunner().invoke(commands.app, ["models", "fetch", "lr-asd"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / locate.MOUTH_WEIGHTS_FILE).read_bytes() == weights.read_bytes()
    pictures = [np.full((120, 120), at, np.uint8) for at in range(10)]
    boxes = np.tile(np.float32([30, 30, 90, 90]), (10, 1))
    engine = load_active_speaker(Settings(models_dir=tmp_path))
    assert engine.score_speaking(pictures, boxes, np.zeros(6400, np.float32)).shape == (10,)


def test_the_command_accepts_no_other_net(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr("castline.cli.models.settings", lambda: Settings(models_dir=tmp_path))
    mirror("yunet_n_dynamic.onnx")
    refused = CliRunner().invoke(commands.app, ["models", "fetch", "lr-asd"])
    assert refused.exit_code == 2
    assert "SHA-256" in refused.stderr
    assert not (tmp_path / locate.MOUTH_WEIGHTS_FILE).exists()


def _other_net(folder):
    from castline.weights.onnx_file import Graph

    graph = Graph()
    graph.node("Relu", "x", output="y")
    graph.write(folder / "other.onnx", "other", {"x": (1, 1, 7)}, {"y": (1, 1, 7)})
    return folder / "other.onnx"


# --- the format -----------------------------------------------------------------------------------


def _changed(weights, target, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(weights) as source, zipfile.ZipFile(target, "w", compression) as archive:
        for entry in source.infolist():
            for name, body in change(entry.filename, source.read(entry)):
                archive.writestr(name, body)
    return target


@pytest.mark.parametrize(
    "change",
    {
        "a storage is gone": lambda name, body: [] if name.endswith("16") else [(name, body)],
        "a storage is short": lambda name, body: [(name, body[:-4] if "/data/" in name else body)],
        "two states": lambda name, body: [
            (name, body),
            *([("other/data.pkl", b"N.")] if name.endswith("pkl") else []),
        ],
        "the other byte order": lambda name, body: [
            (name, body),
            *([("archive/byteorder", b"big")] if name.endswith("pkl") else []),
        ],
        "no state": lambda name, body: [] if name.endswith("data.pkl") else [(name, body)],
        "a call": lambda name, body: [(name, b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.")],
        "many entries": lambda name, body: [(f"{name}{each}", b"") for each in range(20)],
    }.items(),
    ids=lambda each: each[0],
)
def test_a_damaged_or_hostile_zip_is_refused(weights, tmp_path, change):
    with pytest.raises(ModelCorrupt):
        read_tensors(_changed(weights, tmp_path / "net.model", change[1]))


def test_a_compressed_zip_is_refused(weights, tmp_path):
    packed = _changed(weights, tmp_path / "net.model", lambda name, body: [(name, body)], zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelCorrupt) as caught:
        read_tensors(packed)
    assert "compressed" in caught.value.detail


def test_it_reads_what_torch_writes_now(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    ours = read_tensors(tmp_path / "net.pt")
    assert set(ours) == {name for name in net.state_dict() if "num_batches" not in name}
    for name, values in ours.items():
        np.testing.assert_array_equal(values, net.state_dict()[name].numpy())


def test_truncated_anywhere_it_is_refused(weights, tmp_path):
    body = weights.read_bytes()
    for length in (4, 100, 30_000, len(body) // 2, len(body) - 1):
        (tmp_path / "cut").write_bytes(body[:length])
        with pytest.raises(ModelCorrupt):
            read_tensors(tmp_path / "cut")
    assert zipfile.is_zipfile(io.BytesIO(body))
