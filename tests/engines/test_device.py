"""The device in the settings reaches every library that computes. There is no GPU here: the test pretends that there is
one, and records what the libraries are asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import onnxruntime
import pytest

from castline.engines import device
from castline.engines.choose import (
    load_active_speaker,
    load_detector,
    load_embedder,
    load_transcriber,
    load_voice_encoder,
)
from castline.engines.faces import mtcnn
from castline.engines.session import open_session
from castline.engines.speech import faster_whisper_engine, ggml
from castline.errors import DeviceMissing, ModelCorrupt
from castline.settings import Settings
from castline.weights.locate import MTCNN_FILES

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Asked = list[dict[str, Any]]


@pytest.fixture
def asked() -> Asked:
    """What libraries were asked for."""
    return []


@pytest.fixture
def asking(asked: Asked) -> Callable[..., Any]:
    """Replaces a library's constructor: records the request, and fails."""

    def ask(*_: object, **named: Any) -> Any:
        asked.append(named)
        raise RuntimeError("it was asked")

    return ask


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
    ],
)
def test_the_chosen_device(wanted: str, there: bool, found: str) -> None:
    assert device.device_of(wanted, "it", lambda: there) == found


def test_a_missing_gpu_is_an_error() -> None:
    with pytest.raises(DeviceMissing, match=r"^CASTLINE_DEVICE=cuda: CTranslate2 sees no GPU here$"):
        device.device_of("cuda", "CTranslate2", lambda: False)


@pytest.mark.parametrize(("wanted", "there"), [("cpu", 1), ("cuda", 1), ("auto", 1), ("auto", 0)])
def test_faster_whisper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked, asking: Any, wanted: str, there: int
) -> None:
    for name in (*faster_whisper_engine.REQUIRED_FILES, "vocabulary.txt"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr("faster_whisper.WhisperModel", asking)
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: there)
    with pytest.raises(ModelCorrupt):
        load_transcriber(Settings(transcriber=f"faster-whisper:{tmp_path}", device=wanted))
    on_gpu = there and wanted != "cpu"
    assert (asked[0]["device"], asked[0]["compute_type"]) == (("cuda", "auto") if on_gpu else ("cpu", "int8"))


def test_openai_whisper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked, asking: Any) -> None:
    library, torch = pytest.importorskip("whisper"), pytest.importorskip("torch")
    file = tmp_path / "whisper-own.pt"
    file.write_bytes(b"x")
    monkeypatch.setattr(library, "load_model", asking)
    wanted = Settings(transcriber=f"openai-whisper:{file}", device="cuda")
    with pytest.raises(DeviceMissing, match="PyTorch sees no GPU"):
        load_transcriber(wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ModelCorrupt):
        load_transcriber(wanted)
    assert asked == [{"device": "cuda"}]


def test_whisper_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("_pywhispercpp")
    file = tmp_path / "ggml-own.bin"
    file.write_bytes(b"x")
    monkeypatch.setattr(ggml, "check", lambda _: None)
    wanted: list[bool] = []

    def load(_file: str, parameters: Any) -> Any:
        wanted.append(parameters.use_gpu)
        raise ModelCorrupt("it was asked")

    monkeypatch.setattr(library, "whisper_init_from_file_with_params", load)
    for name in ("cpu", "auto", "cuda"):
        config = Settings(transcriber=f"whisper.cpp:{file}", device=name)
        with pytest.raises(DeviceMissing if name == "cuda" else ModelCorrupt):
            load_transcriber(config)
    monkeypatch.setattr(library, "whisper_print_system_info", lambda: "CUDA : ARCHS = 890 | CPU : AVX = 1 | ")
    with pytest.raises(ModelCorrupt):
        load_transcriber(config)
    assert wanted == [False, False, True]


@pytest.mark.parametrize(
    ("role", "load"),
    [
        ("detector", load_detector),
        ("embedder", load_embedder),
        ("voice_encoder", load_voice_encoder),
        ("active_speaker", load_active_speaker),
    ],
)
def test_nets_of_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked, asking: Any, role: str, load: Any
) -> None:
    for name in (*MTCNN_FILES.values(), "net.onnx"):
        (tmp_path / name).write_bytes(b"x")
    net = tmp_path / "net.onnx"
    names = {
        "detector": f"mtcnn:{tmp_path}",
        "embedder": f"arcface:{net}",
        "voice_encoder": f"ge2e:{net}",
        "active_speaker": f"lr-asd:{net}",
    }
    monkeypatch.setattr(onnxruntime, "InferenceSession", asking)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    for device_, providers in (("cuda", [CUDA, CPU]), ("cpu", [CPU])):
        asked.clear()
        with pytest.raises(ModelCorrupt):
            load(Settings(**{role: names[role], "device": device_}))
        assert [each["providers"] for each in asked] == [providers]


def test_all_nets_of_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(mtcnn, "open_session", lambda *given: opened.append(given))
    mtcnn.MtcnnDetector(dict.fromkeys(MTCNN_FILES, tmp_path), device="cuda")
    assert [given[2] for given in opened] == ["cuda"] * 3


def test_a_session_that_silently_uses_the_processor_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ONNX Runtime does if a library of CUDA is missing."""

    class Session:
        def __init__(self, *_: object, providers: list[str]) -> None:
            pass

        def get_providers(self) -> list[str]:
            return [CPU]

    file = tmp_path / "net.onnx"
    file.write_bytes(b"x")
    with pytest.raises(DeviceMissing, match="onnxruntime-gpu"):
        open_session(file, device="cuda")
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(DeviceMissing, match="onnxruntime-gpu"):
        open_session(file, device="cuda")
    assert open_session(file, device="auto").get_providers() == [CPU]


def test_gpus_are_counted_in_a_separate_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.gpus_seen() == ctranslate2.get_cuda_device_count()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DeviceMissing, match="cannot count"):
        device.gpus_seen()
