"""Makes the ONNX files that are not there yet; FaceNet's, which needs torch, in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from castline.errors import ModelError, ModelNotFound
from castline.models.locate import (
    DLIB_FILE,
    DLIB_ONNX_FILE,
    FACENET_WEIGHTS,
    find_dlib,
    find_facenet,
    find_mtcnn,
    find_mtcnn_weights,
)

#: An export takes three seconds, of which two are torch's import; a cold disk multiplies that.
_EXPORT_TIMEOUT_S = 120
EXPORT_NEEDS = (
    "FaceNet must be exported to ONNX once, which needs torch (Castline's extra facenet-export) and facenet-pytorch"
)


def can_export() -> bool:
    """Whether what FaceNet's export needs is installed (nothing of it is imported to know)."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "onnx", "facenet_pytorch"))


def can_make_mtcnn() -> bool:
    """Whether MTCNN's weights and onnx are installed (neither is imported to know)."""
    return find_mtcnn_weights() is not None and importlib.util.find_spec("onnx") is not None


def ensure_mtcnn(models_dir: Path) -> dict[str, Path]:
    """Paths of MTCNN's nets by name (``pnet``, ``rnet``, ``onet``); made first where missing (0.3 s, once).

    Safe to call from several processes at once: each writes aside and renames.

    Raises:
        ModelNotFound: not in the folder, and nothing here to make them of.
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
    from castline.models.mtcnn_nets import convert

    return convert(weights, models_dir)


def ensure_facenet(models_dir: Path) -> Path:
    """Path of FaceNet's ONNX file; exported first when facenet-pytorch's weights are in the folder.

    Raises:
        ModelNotFound: neither the ONNX file nor the weights are in the folder, or no exporter is.
        ModelError: the export failed.
    """
    found = find_facenet(models_dir)
    weights = models_dir / FACENET_WEIGHTS
    if found is None:
        if not weights.is_file():
            raise ModelNotFound(f"FaceNet's weights ({FACENET_WEIGHTS}) are not in {models_dir}")
        if not can_export():
            raise ModelNotFound(f"{weights}: {EXPORT_NEEDS}")
        _export_facenet(models_dir, weights)
        found = find_facenet(models_dir)
    if found is None:
        raise ModelError(f"the export of FaceNet left no file in {models_dir}")
    return found


def ensure_dlib(models_dir: Path) -> Path:
    """Path of dlib's ResNet as ONNX; converted first when its weights are here (0.6 s, once).

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
    if importlib.util.find_spec("onnx") is None:
        raise ModelNotFound(f"{weights} must be converted to ONNX first: that needs onnx installed")
    from castline.models.dlib_net import convert

    return convert(weights, target)


def _export_facenet(models_dir: Path, weights: Path) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "castline.models.export", str(models_dir), str(weights)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_EXPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"exporting FaceNet to ONNX took over {_EXPORT_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise ModelError("exporting FaceNet to ONNX failed", detail=done.stderr[-4000:])
