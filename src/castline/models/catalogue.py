"""The engines of the face half, and the rule that picks one.

A name in the settings is an engine's id, ``auto``, or ``id:path`` for a file of one's own:

    detector   auto | mtcnn | mtcnn:<folder with the three nets>
    embedder   auto | facenet-vggface2[:<file>] | dlib-resnet-v1[:<file>] | facenet-vggface2-int8[:<file>]
               | arcface:<file>

Files are searched in this order: the explicit path, the models folder, weights inside an installed
package, download (only for an engine that was asked for by name).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines import Detector, Embedder, EngineInfo
from castline.errors import ModelError, ModelNotFound
from castline.models import locate, prepare
from castline.models.declared import ENGINES, FACENET_INT8, FACENET_INT8_FILE, engine
from castline.models.download import fetch

if TYPE_CHECKING:
    from castline.settings import Settings

_QUANTIZE = "`python -m castline.models.quantize` makes it from the exported FaceNet"


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
    if info.id == "facenet-vggface2":
        if facenet := locate.find_facenet(models_dir):
            return replace(info, source=str(facenet), reason="in the models folder")
        exportable = models_dir / locate.FACENET_WEIGHTS
        if exportable.is_file():
            if not prepare.can_export():
                return replace(info, reason=f"its weights are in {models_dir}; {prepare.EXPORT_NEEDS}")
            return replace(info, source=str(exportable), reason="weights in the models folder; exported at first use")
        lack = "" if prepare.can_export() else ", and torch is not installed to export them"
        return replace(info, reason=f"its weights are not in {models_dir}{lack}")
    if info.id == "dlib-resnet-v1":
        weights = locate.find_dlib(models_dir)
        if weights is not None and weights.parent != models_dir:
            return replace(info, source="bundled", reason="ships in face_recognition_models")
        file = weights or models_dir / locate.DLIB_ONNX_FILE
        if file.is_file():
            return replace(info, source=str(file), reason="in the models folder")
        return replace(info, reason=f"not in {models_dir}, and face_recognition_models is not installed")
    if info.id == FACENET_INT8:
        file = models_dir / FACENET_INT8_FILE
        if file.is_file():
            return replace(info, source=str(file), reason="in the models folder; used when asked for by name")
        return replace(info, reason=f"not in {models_dir}; {_QUANTIZE}")
    return replace(info, reason="needs the path of a model: arcface:<file>")


def load_detector(settings: Settings) -> Detector:
    """The face detector the settings name.

    Raises:
        ModelNotFound: unknown name, or its files are not to be had.
        ModelCorrupt: a file is there and is no model.
    """
    name, _, path = settings.detector.partition(":")
    info = _declared("mtcnn" if name == "auto" else name, "detector")
    from castline.faces.mtcnn import MtcnnDetector

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


def load_embedder(settings: Settings) -> Embedder:
    """The face embedder the settings name; ``auto`` is FaceNet where its weights are, otherwise dlib.

    Raises:
        ModelNotFound: unknown name, or its file is not to be had.
        ModelCorrupt: the file is there and is not what it should be.
    """
    name, _, path = settings.embedder.partition(":")
    if name == "auto":
        return _best_embedder(settings)
    info = _declared(name, "embedder")
    if path:
        file = locate.explicit(path)
        return _embedder(
            replace(info, source=str(file), reason=f"{info.title}: the file that was asked for"), file, settings
        )
    if name == "arcface":
        raise ModelNotFound("the embedder arcface needs the path of its model: arcface:<file>")
    if name == "dlib-resnet-v1":
        return _dlib(info, settings, "dlib ResNet v1 ({where}), as asked for")
    if name == FACENET_INT8:
        file = settings.models_dir / FACENET_INT8_FILE
        if not file.is_file():
            raise ModelNotFound(f"{FACENET_INT8_FILE} is not in {settings.models_dir}; {_QUANTIZE}")
    else:
        file = facenet_file(settings.models_dir)
    return _embedder(replace(info, source=str(file), reason=f"{info.title}, as asked for"), file, settings)


def _best_embedder(settings: Settings) -> Embedder:
    facenet = engine("facenet-vggface2")
    try:
        file = prepare.ensure_facenet(settings.models_dir)
    except ModelError as error:
        why = f"dlib ResNet v1 ({{where}}); {error.message}"
        return _dlib(engine("dlib-resnet-v1"), settings, why)
    return _embedder(replace(facenet, source=str(file), reason="FaceNet, found in the models folder"), file, settings)


def facenet_file(models_dir: Path) -> Path:
    """FaceNet's ONNX file: there, exported from weights that are there, or from a download.

    Raises:
        ModelNotFound: neither is to be had, or nothing here can export.
        ModelError: the export failed.
    """
    if (
        locate.find_facenet(models_dir) is None
        and not (models_dir / locate.FACENET_WEIGHTS).is_file()
        and prepare.can_export()
    ):
        fetch("facenet-vggface2", models_dir)
    return prepare.ensure_facenet(models_dir)


def _dlib(info: EngineInfo, settings: Settings, reason: str) -> Embedder:
    weights = locate.find_dlib(settings.models_dir)
    file = prepare.ensure_dlib(settings.models_dir)
    where = "bundled" if weights is not None and weights.parent != settings.models_dir else str(file)
    # Not str.format: a path in the reason may hold braces.
    return _embedder(replace(info, source=where, reason=reason.replace("{where}", where)), file, settings)


def _embedder(info: EngineInfo, file: Path, settings: Settings) -> Embedder:
    from castline.faces.onnx_embedders import ArcFaceEmbedder, DlibEmbedder, FaceNetEmbedder

    kinds = {
        "arcface": ArcFaceEmbedder,
        "dlib-resnet-v1": DlibEmbedder,
        "facenet-vggface2": FaceNetEmbedder,
        FACENET_INT8: FaceNetEmbedder,
    }
    return kinds[info.id](file, threads=settings.threads, info=info)


def _declared(name: str, role: str) -> EngineInfo:
    info = engine(name)
    if info.role != role:
        raise ModelNotFound(f"{name} is a face engine of the role {info.role}, not {role}")
    return info
