"""Finds model files. Reads folders; imports no model library."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from castline.errors import ModelNotFound

#: MTCNN's three nets, as ``castline.weights.mtcnn_nets`` writes them.
MTCNN_FILES = {"pnet": "mtcnn-pnet.onnx", "rnet": "mtcnn-rnet.onnx", "onet": "mtcnn-onet.onnx"}
#: As its authors named it.
YUNET_FILE = "yunet_n_dynamic.onnx"
DLIB_FILE = "dlib_face_recognition_resnet_model_v1.dat"
#: The same net as ONNX, as ``castline.weights.dlib_net`` writes it.
DLIB_ONNX_FILE = "dlib-resnet-v1.onnx"
#: The voice encoder as ONNX, as ``castline.weights.voice_net`` writes it.
VOICE_FILE = "ge2e.onnx"
#: The net for speaking faces, as its authors named it, and as ONNX, as ``castline.weights.mouth_net`` writes it.
MOUTH_WEIGHTS_FILE = "finetuning_TalkSet.model"
MOUTH_FILE = "lr-asd-u8.onnx"


def bundled(distribution: str, relative: str) -> Path | None:
    """A file or folder of an installed package, found without importing it; None if it does not exist.

    Some packages that carry weights import things at their top level that Python no longer has, so only their files are
    used.

    Args:
        distribution: its name in the package index.
        relative: path relative to the folder of installed packages.
    """
    try:
        path = Path(str(importlib.metadata.distribution(distribution).locate_file(relative)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.exists() else None


def find_mtcnn(models_dir: Path) -> dict[str, Path] | None:
    """Paths of P-, R- and O-Net by name, or None unless all three are in the folder."""
    paths = {name: models_dir / file for name, file in MTCNN_FILES.items()}
    return paths if all(path.is_file() for path in paths.values()) else None


def find_mtcnn_weights() -> dict[str, Path] | None:
    """Weights of P-, R- and O-Net by name in PyTorch's format, in the package that carries them, or None."""
    paths = {name: bundled("facenet-pytorch", f"facenet_pytorch/data/{name}.pt") for name in MTCNN_FILES}
    found = {name: path for name, path in paths.items() if path is not None}
    return found if len(found) == len(paths) else None


def find_dlib(models_dir: Path) -> Path | None:
    """dlib's ResNet in its own format: the models folder first, then the package that carries it."""
    path = models_dir / DLIB_FILE
    return path if path.is_file() else bundled("face_recognition_models", f"face_recognition_models/models/{DLIB_FILE}")


def explicit(path: str) -> Path:
    """A model file named by the user.

    Raises:
        ModelNotFound: it does not exist, or is a folder.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise ModelNotFound(f"model file {found} does not exist")
    return found


def find_voice_weights() -> Path | None:
    """The voice encoder in PyTorch's format, inside the package that carries it, or None."""
    return bundled("resemblyzer", "resemblyzer/pretrained.pt")
