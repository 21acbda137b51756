"""Makes missing ONNX files of nets: MTCNN, dlib's ResNet, the voice encoder, and the net for speaking faces.

``facenet.py`` does FaceNet's.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from castline.errors import ModelNotFound
from castline.weights.locate import (
    DLIB_FILE,
    DLIB_ONNX_FILE,
    MOUTH_FILE,
    MOUTH_WEIGHTS_FILE,
    VOICE_FILE,
    find_dlib,
    find_mtcnn,
    find_mtcnn_weights,
    find_voice_weights,
)


def can_make_mtcnn() -> bool:
    """Whether MTCNN's weights and onnx are installed (checked without importing them)."""
    return find_mtcnn_weights() is not None and importlib.util.find_spec("onnx") is not None


def ensure_mtcnn(models_dir: Path) -> dict[str, Path]:
    """Paths of MTCNN's nets by name (``pnet``, ``rnet``, ``onet``); made first if missing (0.3 s, once).

    Safe to call from several processes at once: each writes a temporary file and renames it.

    Raises:
        ModelNotFound: they are not in the folder, and cannot be made.
        ModelCorrupt: the weights are not MTCNN's.
    """
    found = find_mtcnn(models_dir)
    if found is not None:
        return found
    weights = find_mtcnn_weights()
    if weights is None:
        raise ModelNotFound(f"MTCNN is not in {models_dir}, and the package facenet-pytorch is not installed")
    if importlib.util.find_spec("onnx") is None:
        raise ModelNotFound(f"MTCNN must be converted to ONNX for {models_dir} first: that needs onnx installed")
    from castline.weights.mtcnn_nets import convert

    return convert(weights, models_dir)


def ensure_dlib(models_dir: Path) -> Path:
    """Path of dlib's ResNet as ONNX; converted first if only its weights are here (0.6 s, once).

    Raises:
        ModelNotFound: neither the ONNX file nor the weights are here, or onnx is not installed to convert them.
        ModelCorrupt: the weights are not dlib's face ResNet v1.
    """
    target = models_dir / DLIB_ONNX_FILE
    if target.is_file():
        return target
    weights = find_dlib(models_dir)
    if weights is None:
        raise ModelNotFound(
            f"dlib's ResNet ({DLIB_ONNX_FILE} or {DLIB_FILE}) is not in {models_dir}, "
            "and the package face_recognition_models is not installed"
        )
    _check_onnx(weights)
    from castline.weights.dlib_net import convert

    return convert(weights, target)


def can_make_voice() -> bool:
    """Whether the voice encoder's weights and onnx are installed (checked without importing them)."""
    return find_voice_weights() is not None and importlib.util.find_spec("onnx") is not None


def ensure_voice(models_dir: Path) -> Path:
    """Path of the voice encoder as ONNX; converted first if only its weights are here (0.2 s, once).

    Raises:
        ModelNotFound: neither the ONNX file nor the weights are here, or onnx is not installed to convert them.
        ModelCorrupt: the weights are not the voice encoder's.
    """
    target = models_dir / VOICE_FILE
    if target.is_file():
        return target
    weights = find_voice_weights()
    if weights is None:
        raise ModelNotFound(f"{VOICE_FILE} is not in {models_dir}, and the package resemblyzer is not installed")
    _check_onnx(weights)
    from castline.weights.voice_net import convert

    return convert(weights, target)


def can_make_mouth(models_dir: Path) -> bool:
    """Whether the weights for speaking faces are in the folder, and onnx is installed."""
    return (models_dir / MOUTH_WEIGHTS_FILE).is_file() and importlib.util.find_spec("onnx") is not None


def ensure_mouth(models_dir: Path, *, download: bool) -> Path:
    """Path of the net for speaking faces as ONNX; converted first if only its weights are here (0.2 s, once).

    Args:
        download: whether to fetch the weights (3 MB) if they are missing.

    Raises:
        ModelNotFound: neither the ONNX file nor the weights are available, or onnx is not installed to convert them.
        ModelCorrupt: the weights are not LR-ASD's.
    """
    target, weights = models_dir / MOUTH_FILE, models_dir / MOUTH_WEIGHTS_FILE
    if target.is_file():
        return target
    if not weights.is_file() and not download:
        raise ModelNotFound(f"{MOUTH_FILE} is not in {models_dir}; `castline models fetch lr-asd` gets it")
    if not weights.is_file():
        from castline.weights.download import fetch

        fetch("lr-asd", models_dir)
    _check_onnx(weights)
    from castline.weights.mouth_net import convert

    return convert(weights, target)


def _check_onnx(weights: Path) -> None:
    """Raises:
    ModelNotFound: onnx is not installed to convert weights with.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ModelNotFound(f"{weights} must be converted to ONNX first: that needs onnx installed")
