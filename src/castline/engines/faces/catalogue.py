"""The engines of the face half, and the rule that picks one.

A name in the settings is an engine's id, ``auto``, or ``id:path`` for a file of one's own:

    detector   auto | mtcnn | mtcnn:<folder with the three nets> | yunet[:<file>]
    embedder   auto | facenet-vggface2[:<file>] | facenet-casia[:<file>] | dlib-resnet-v1[:<file>]
               | facenet-vggface2-int8[:<file>] | facenet-casia-int8[:<file>] | arcface:<file>

Files are searched in this order: the explicit path, the models folder, weights inside an installed
package, download (only for an engine that was asked for by name).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines.base import Detector, Embedder, EngineInfo
from castline.engines.faces.declared import AUTO_DETECTOR, AUTO_EMBEDDERS, ENGINES, engine
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.weights import locate, prepare
from castline.weights.download import digest, fetch
from castline.weights.downloads import DOWNLOADS
from castline.weights.facenet import (
    FACENETS,
    INT8,
    can_export,
    check_member,
    ensure_facenet,
    find_weights,
    from_path,
    lacking,
    missing,
    onnx_file,
    packages,
)

if TYPE_CHECKING:
    from castline.settings import Settings


def survey(settings: Settings) -> tuple[EngineInfo, ...]:
    """All engines with where they would come from on this machine; loads and downloads nothing.

    ``source`` is empty for an engine that is not available; ``reason`` says why, or what is missing.
    """
    return tuple(_surveyed(info, settings.models_dir) for info in ENGINES)


def _surveyed(info: EngineInfo, models_dir: Path) -> EngineInfo:
    if info.id == "mtcnn":
        if locate.find_mtcnn(models_dir):
            return replace(info, source=str(models_dir), reason="in the models folder")
        if prepare.can_make_mtcnn():
            return replace(info, source="bundled", reason="ships in facenet-pytorch")
        return replace(info, reason=f"not in {models_dir}, and facenet-pytorch and onnx are not installed to make it")
    if info.id == "yunet":
        file = models_dir / locate.YUNET_FILE
        if file.is_file():
            return replace(info, source=str(file), reason="in the models folder; used when asked for by name")
        return replace(info, reason=f"{file.name} is not in {models_dir}; `castline models fetch yunet` gets it")
    if info.id in FACENETS:
        return _surveyed_facenet(info, models_dir)
    if info.id == "dlib-resnet-v1":
        weights = locate.find_dlib(models_dir)
        if weights is not None and weights.parent != models_dir:
            return replace(info, source="bundled", reason="ships in face_recognition_models")
        file = weights or models_dir / locate.DLIB_ONNX_FILE
        if file.is_file():
            return replace(info, source=str(file), reason="in the models folder")
        return replace(info, reason=f"not in {models_dir}, and face_recognition_models is not installed")
    if info.id in INT8:
        file = onnx_file(info.id, models_dir)
        if file.is_file():
            return replace(info, source=str(file), reason="in the models folder; used when asked for by name")
        return replace(info, reason=_unquantised(info.id, models_dir))
    return replace(info, reason="needs the path of a model: arcface:<file>")


def _surveyed_facenet(info: EngineInfo, models_dir: Path) -> EngineInfo:
    made = onnx_file(info.id, models_dir)
    if made.is_file():
        return replace(info, source=str(made), reason="in the models folder")
    weights = find_weights(info.id, models_dir)
    if weights is None:
        lack = "" if can_export() or info.id not in DOWNLOADS else ", and torch is not installed to export them"
        return replace(info, reason=missing(info.id, models_dir) + lack)
    if lack := lacking(weights):
        return replace(info, reason=f"{weights}: {lack}")
    if weights.parent == models_dir:
        return replace(info, source=str(weights), reason="weights in the models folder; made into ONNX at first use")
    return replace(info, source="bundled", reason=f"ships in {packages(info.id)}")


def _unquantised(name: str, models_dir: Path) -> str:
    return f"{name}.onnx is not in {models_dir}; `python -m castline.engines.faces.quantize` makes it of {INT8[name]}"


def load_detector(settings: Settings) -> Detector:
    """The face detector the settings name.

    Raises:
        ModelNotFound: unknown name, or its files are not to be had.
        ModelCorrupt: a file is there and is no model.
    """
    name, _, path = settings.detector.partition(":")
    info = _declared(AUTO_DETECTOR if name == "auto" else name, "detector")
    if info.id == "yunet":
        return _yunet(info, path, settings)
    from castline.engines.faces.mtcnn import MtcnnDetector

    if path:
        folder = Path(path).expanduser()
        paths = locate.find_mtcnn(folder)
        if paths is None:
            raise ModelNotFound(f"{folder} does not hold {', '.join(locate.MTCNN_FILES.values())}")
        info = replace(info, source=str(folder), reason="MTCNN from the folder that was asked for")
    else:
        paths = prepare.ensure_mtcnn(settings.models_dir)
        info = replace(info, source=str(settings.models_dir), reason="MTCNN, made of facenet-pytorch's weights")
    return MtcnnDetector(paths, min_face=settings.min_face_px, threads=settings.threads, info=info)


def _yunet(info: EngineInfo, path: str, settings: Settings) -> Detector:
    from castline.engines.faces.yunet import YuNetDetector

    file = locate.explicit(path) if path else yunet_file(settings.models_dir)
    info = replace(info, source=str(file), reason=f"{info.title}, as asked for")
    return YuNetDetector(file, min_face=settings.min_face_px, info=info)


def yunet_file(models_dir: Path) -> Path:
    """YuNet's file: in the models folder, or downloaded.

    Raises:
        ModelNotFound: it is not to be had.
        ModelCorrupt: the one that is there is not what was measured.
    """
    file = fetch("yunet", models_dir)
    if digest(file) != DOWNLOADS["yunet"][0].sha256:
        raise ModelCorrupt(f"{file} is not the file it should be; delete it to have it fetched again")
    return file


def load_embedder(settings: Settings) -> Embedder:
    """The face embedder the settings name; ``auto`` is the first of ``AUTO_EMBEDDERS`` that is to be had.

    Raises:
        ModelNotFound: unknown name, or its file is not to be had.
        ModelCorrupt: the file is there and is not what it should be.
    """
    name, _, path = settings.embedder.partition(":")
    if name == "auto":
        return _best_embedder(settings)
    info = _declared(name, "embedder")
    if not path:
        file = embedder_file(name, settings.models_dir)
        where = _where(name, file, settings)
        return _own(replace(info, source=where, reason=f"{info.title} ({where}), as asked for"), file, settings)
    given = locate.explicit(path)
    file = from_path(name, given, settings.models_dir) if name in FACENETS or name in INT8 else given
    return _embedder(
        replace(info, source=str(given), reason=f"{info.title}: the file that was asked for"), file, settings
    )


def best_embedder_file(models_dir: Path) -> tuple[EngineInfo, Path, list[str]]:
    """What ``auto`` takes: the engine, its ONNX file (made where it was not), and why not those before it.

    Raises:
        ModelNotFound: none is to be had.
        ModelCorrupt: the last of them is not what it should be.
    """
    missed: list[str] = []
    for name in AUTO_EMBEDDERS[:-1]:
        try:
            return engine(name), embedder_file(name, models_dir, download=False), missed
        except ModelError as error:
            missed.append(error.message)
    return engine(AUTO_EMBEDDERS[-1]), embedder_file(AUTO_EMBEDDERS[-1], models_dir), missed


def embedder_file(name: str, models_dir: Path, *, download: bool = True) -> Path:
    """The ONNX file of an embedder: there, made of weights that are there, or of a download.

    Raises:
        ModelNotFound: neither is to be had, or what makes the file is not installed.
        ModelCorrupt: weights are not what they should be.
        ModelError: making the file failed.
    """
    if name == "arcface":
        raise ModelNotFound("the embedder arcface needs the path of its model: arcface:<file>")
    if name == "dlib-resnet-v1":
        return prepare.ensure_dlib(models_dir)
    if name in INT8:
        file = onnx_file(name, models_dir)
        if not file.is_file():
            raise ModelNotFound(_unquantised(name, models_dir))
        return file
    there = onnx_file(name, models_dir).is_file() or find_weights(name, models_dir) is not None
    if download and not there and name in DOWNLOADS and can_export():
        fetch(name, models_dir)
    return ensure_facenet(models_dir, name)


def _best_embedder(settings: Settings) -> Embedder:
    info, file, missed = best_embedder_file(settings.models_dir)
    where = _where(info.id, file, settings)
    return _own(replace(info, source=where, reason="; ".join([f"{info.title} ({where})", *missed])), file, settings)


def _where(name: str, file: Path, settings: Settings) -> str:
    """Where an engine's weights are from, for people: "bundled" for those of an installed package."""
    found = _surveyed(engine(name), settings.models_dir).source
    return found or str(file)


def _own(info: EngineInfo, file: Path, settings: Settings) -> Embedder:
    """An embedder from a file that Castline made."""
    try:
        return _embedder(info, file, settings)
    except ModelCorrupt as error:
        raise ModelCorrupt(f"{error.message}; delete it to have it made again", detail=error.detail) from error


def _embedder(info: EngineInfo, file: Path, settings: Settings) -> Embedder:
    from castline.engines.faces.onnx_embedders import ArcFaceEmbedder, DlibEmbedder, FaceNetEmbedder

    kinds = {"arcface": ArcFaceEmbedder, "dlib-resnet-v1": DlibEmbedder}
    if info.id in kinds:
        return kinds[info.id](file, threads=settings.threads, info=info)
    facenet = FaceNetEmbedder(file, threads=settings.threads, info=info)
    check_member(info.id, facenet.weights, file)
    return facenet


def _declared(name: str, role: str) -> EngineInfo:
    info = engine(name)
    if info.role != role:
        raise ModelNotFound(f"{name} is a face engine of the role {info.role}, not {role}")
    return info
