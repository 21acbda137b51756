"""Castline's own face engines.

    detector   mtcnn[:<folder with the three nets>] | yunet[:<file>]
    embedder   facenet-vggface2[:<file>] | facenet-casia[:<file>] | dlib-resnet-v1[:<file>]
               | facenet-vggface2-int8[:<file>] | facenet-casia-int8[:<file>] | arcface:<file>

Files are searched in this order: the explicit path, the models folder, weights inside an installed
package, download (only for an engine that was named).

Thresholds are cosine similarities. "Clean" means 10 people x 10 photos of LFW, all 450 pairs of one person and all
4500 pairs of two, as ``castline eval faces`` counts them. "Degraded" means the same photos in 25 ways smaller, blurred,
compressed and darkened, each against all clean ones: 232 000 pairs of two people. docs/FACES.md has the numbers and
curves. They cannot show rarer false matches, so ``known`` also keeps a distance from the best pair of strangers.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines.base import Detector, Embedder, EngineInfo
from castline.engines.plugins import Engine
from castline.engines.thresholds import Thresholds
from castline.errors import ModelCorrupt, ModelNotFound
from castline.weights import locate, prepare
from castline.weights.download import digest, fetch
from castline.weights.downloads import DOWNLOADS
from castline.weights.facenet import (
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

_IN_FOLDER = "in the models folder"
_BY_NAME = f"{_IN_FOLDER}; used when asked for by name"
_VGGFACE2 = "VGGFace2: 3.3 M photos of 9131 people, for research"
_CASIA = "CASIA-WebFace: 0.5 M photos of 10575 people, for research"


class Mtcnn(Engine):
    info = EngineInfo(id="mtcnn", role="detector", title="MTCNN (facenet-pytorch weights)", licence="MIT")
    rank = 10
    argument = "FOLDER"

    def survey(self, settings: Settings) -> EngineInfo:
        models_dir = settings.models_dir
        if locate.find_mtcnn(models_dir):
            return replace(self.info, source=str(models_dir), reason=_IN_FOLDER)
        if prepare.can_make_mtcnn():
            return replace(self.info, source="bundled", reason="ships in facenet-pytorch")
        lack = f"not in {models_dir}, and facenet-pytorch and onnx are not installed to make it"
        return replace(self.info, reason=lack)

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        if not argument:
            prepare.ensure_mtcnn(settings.models_dir)

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> Detector:
        from castline.engines.faces.mtcnn import MtcnnDetector

        if argument:
            folder = Path(argument).expanduser()
            paths = locate.find_mtcnn(folder)
            if paths is None:
                raise ModelNotFound(f"{folder} does not hold {', '.join(locate.MTCNN_FILES.values())}")
            info = replace(self.info, source=str(folder), reason="MTCNN from the folder that was asked for")
        else:
            paths = prepare.ensure_mtcnn(settings.models_dir)
            made = "MTCNN, made of facenet-pytorch's weights"
            info = replace(self.info, source=str(settings.models_dir), reason=made)
        threads, device = settings.threads, settings.device
        return MtcnnDetector(paths, min_face=settings.min_face_px, threads=threads, device=device, info=info)

    def files(self, settings: Settings) -> list[Path]:
        return list((locate.find_mtcnn(settings.models_dir) or {}).values())


class YuNet(Engine):
    info = EngineInfo(
        id="yunet",
        role="detector",
        title="YuNet (libfacedetection.train's weights)",
        licence="Apache-2.0",
        trained_on="WIDER FACE: 32203 photos from the web, for research",
    )

    def survey(self, settings: Settings) -> EngineInfo:
        file = settings.models_dir / locate.YUNET_FILE
        if file.is_file():
            return replace(self.info, source=str(file), reason=_BY_NAME)
        lack = f"{file.name} is not in {settings.models_dir}; `castline models fetch yunet` gets it"
        return replace(self.info, reason=lack)

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        if not argument:
            self._file(settings.models_dir)

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> Detector:
        from castline.engines.faces.yunet import YuNetDetector

        file = locate.explicit(argument) if argument else self._file(settings.models_dir)
        info = replace(self.info, source=str(file), reason=f"{self.info.title}, as asked for")
        return YuNetDetector(file, min_face=settings.min_face_px, info=info)

    def _file(self, models_dir: Path) -> Path:
        """The file in the models folder, downloaded if necessary."""
        file = fetch("yunet", models_dir)
        if digest(file) != DOWNLOADS["yunet"][0].sha256:
            raise ModelCorrupt(f"{file} is not the file it should be; delete it to have it fetched again")
        return file


class OneFile(Engine):
    """An embedder that is one ONNX file, which Castline makes if it does not exist."""

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        if not argument:
            self._file(settings.models_dir, download=asked)

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> Embedder:
        if argument:
            given = locate.explicit(argument)
            reason = f"{self.info.title}: the file that was asked for"
            file = self._given(given, settings.models_dir)
            return self._embedder(replace(self.info, source=str(given), reason=reason), file, settings)
        file = self._file(settings.models_dir, download=asked)
        where = self.survey(settings).source or str(file)
        info = replace(self.info, source=where, reason=f"{self.info.title} ({where}), as asked for")
        try:
            return self._embedder(info, file, settings)
        except ModelCorrupt as error:
            raise ModelCorrupt(f"{error.message}; delete it to have it made again", detail=error.detail) from error

    @abstractmethod
    def _file(self, models_dir: Path, *, download: bool = True) -> Path:
        """The ONNX file, made from existing or downloaded weights if necessary."""

    def _given(self, file: Path, models_dir: Path) -> Path:
        """The ONNX file for a given file."""
        return file

    @abstractmethod
    def _embedder(self, info: EngineInfo, file: Path, settings: Settings) -> Embedder: ...


class FaceNet(OneFile):
    """One member of the FaceNet family (``castline.weights.facenet``)."""

    def __init__(self, engine_id: str, data: str, trained_on: str, rank: int | None, thresholds: Thresholds) -> None:
        self.info = EngineInfo(
            id=engine_id,
            role="embedder",
            title=f"FaceNet {data} (InceptionResnetV1)",
            licence="MIT",
            trained_on=trained_on,
            dimension=512,
        )
        self.rank = rank
        self.thresholds = thresholds

    def survey(self, settings: Settings) -> EngineInfo:
        models_dir = settings.models_dir
        made = onnx_file(self.id, models_dir)
        if made.is_file():
            return replace(self.info, source=str(made), reason=_IN_FOLDER)
        weights = find_weights(self.id, models_dir)
        if weights is None:
            lack = "" if can_export() or self.id not in DOWNLOADS else ", and torch is not installed to export them"
            return replace(self.info, reason=missing(self.id, models_dir) + lack)
        if lack := lacking(weights):
            return replace(self.info, reason=f"{weights}: {lack}")
        if weights.parent == models_dir:
            made_later = "weights in the models folder; made into ONNX at first use"
            return replace(self.info, source=str(weights), reason=made_later)
        return replace(self.info, source="bundled", reason=f"ships in {packages(self.id)}")

    def files(self, settings: Settings) -> list[Path]:
        if self.survey(settings).source != "bundled":
            return super().files(settings)
        found = find_weights(self.id, settings.models_dir)
        return [found] if found else []

    def _file(self, models_dir: Path, *, download: bool = True) -> Path:
        there = onnx_file(self.id, models_dir).is_file() or find_weights(self.id, models_dir) is not None
        if download and not there and self.id in DOWNLOADS and can_export():
            fetch(self.id, models_dir)
        return ensure_facenet(models_dir, self.id)

    def _given(self, file: Path, models_dir: Path) -> Path:
        return from_path(self.id, file, models_dir)

    def _embedder(self, info: EngineInfo, file: Path, settings: Settings) -> Embedder:
        from castline.engines.faces.onnx_embedders import FaceNetEmbedder

        facenet = FaceNetEmbedder(file, threads=settings.threads, device=settings.device, info=info)
        check_member(self.id, facenet.weights, file)
        return facenet


class FaceNetInt8(FaceNet):
    """As ``castline.engines.faces.quantize`` makes it; used only if named."""

    def __init__(self, engine_id: str, data: str, trained_on: str, thresholds: Thresholds) -> None:
        super().__init__(engine_id, f"{data} in int8", trained_on, None, thresholds)

    def survey(self, settings: Settings) -> EngineInfo:
        file = onnx_file(self.id, settings.models_dir)
        if file.is_file():
            return replace(self.info, source=str(file), reason=_BY_NAME)
        return replace(self.info, reason=self._unquantised(settings.models_dir))

    def _file(self, models_dir: Path, *, download: bool = True) -> Path:
        file = onnx_file(self.id, models_dir)
        if not file.is_file():
            raise ModelNotFound(self._unquantised(models_dir))
        return file

    def _unquantised(self, models_dir: Path) -> str:
        return (
            f"{self.id}.onnx is not in {models_dir}; `python -m castline.engines.faces.quantize` makes it "
            f"of {INT8[self.id]}"
        )


class Dlib(OneFile):
    info = EngineInfo(
        id="dlib-resnet-v1",
        role="embedder",
        title="dlib ResNet v1",
        licence="CC0-1.0",
        trained_on="FaceScrub, VGG and others: 3 M photos of 7485 people",
        dimension=128,
    )
    rank = 30
    thresholds = Thresholds(
        known=0.940,  # measured: strangers reach 0.918 clean and 0.934 degraded, a passer-by in a film 0.934 of a man
        # in another film; misses 17.6 % of clean pairs, 2.1 % of photos with five enrolled
        ambiguous=0.920,  # measured: 1 of 4500 clean strangers, misses 5.3 % of pairs
        same_track=0.915,  # at one place, in a slide show whose cuts were missed, strangers reach 0.911
        moved=0.940,  # as known
        cluster=0.955,  # measured on means of five photos: strangers up to 0.935 clean, 0.954 in JPEG of quality 10;
        # one person from 0.976 on
        poor=0.010,  # measured: poor strangers reach 0.938 of a clean photo and 0.958 of each other
    )

    def survey(self, settings: Settings) -> EngineInfo:
        models_dir = settings.models_dir
        weights = locate.find_dlib(models_dir)
        if weights is not None and weights.parent != models_dir:
            return replace(self.info, source="bundled", reason="ships in face_recognition_models")
        file = weights or models_dir / locate.DLIB_ONNX_FILE
        if file.is_file():
            return replace(self.info, source=str(file), reason=_IN_FOLDER)
        return replace(self.info, reason=f"not in {models_dir}, and face_recognition_models is not installed")

    def files(self, settings: Settings) -> list[Path]:
        if self.survey(settings).source != "bundled":
            return super().files(settings)
        found = locate.find_dlib(settings.models_dir)
        return [found] if found else []

    def _file(self, models_dir: Path, *, download: bool = True) -> Path:
        return prepare.ensure_dlib(models_dir)

    def _embedder(self, info: EngineInfo, file: Path, settings: Settings) -> Embedder:
        from castline.engines.faces.onnx_embedders import DlibEmbedder

        return DlibEmbedder(file, threads=settings.threads, device=settings.device, info=info)


class ArcFace(OneFile):
    info = EngineInfo(
        id="arcface", role="embedder", title="ArcFace-style ONNX model given by its path", licence="that of the file"
    )
    thresholds = Thresholds(
        known=0.400,  # measured with EdgeFace-XXS: best pair of strangers 0.284 clean, 0.349 degraded; misses 3.3 % of
        # single pairs, 0.4 % of photos when the best of three enrolled photos counts
        ambiguous=0.300,  # measured: no stranger of 4500, misses 0.2 % of pairs
        same_track=0.275,  # measured: 2 of 4500 strangers, no miss
        moved=0.400,  # as known
        cluster=0.500,  # measured on means of five photos: strangers up to 0.238 clean, 0.496 in the same motion blur;
        # one person from 0.745 on
        poor=0.050,  # measured: poor strangers reach 0.349 of a clean photo and 0.553 of each other
    )

    def survey(self, settings: Settings) -> EngineInfo:
        return replace(self.info, reason="needs the path of a model: arcface:<file>")

    def _file(self, models_dir: Path, *, download: bool = True) -> Path:
        raise ModelNotFound("the embedder arcface needs the path of its model: arcface:<file>")

    def _embedder(self, info: EngineInfo, file: Path, settings: Settings) -> Embedder:
        from castline.engines.faces.onnx_embedders import ArcFaceEmbedder

        return ArcFaceEmbedder(file, threads=settings.threads, device=settings.device, info=info)


_CASIA_LIMITS = Thresholds(
    known=0.620,  # measured: strangers reach 0.512 clean and 0.587 degraded, 80 faces of other films and photos 0.556;
    # misses 16.7 % of clean pairs, 2.1 % of photos with five enrolled
    ambiguous=0.530,  # measured: no clean pair of strangers, misses 6.2 % of pairs
    same_track=0.530,  # measured as above; with 0.500 (2 of 4500 strangers) cut sequences mix people
    moved=0.550,  # above all clean strangers; at known, people who walk through a street are listed 1.4 times each
    cluster=0.700,  # measured on means of five photos: strangers up to 0.506 clean, 0.687 at 24 px; one person from
    # 0.741 on, clean from 0.778
    poor=0.060,  # measured: poor strangers reach 0.562 of a clean photo and 0.731 of each other; with 0.040 one of
    # 64 277 sightings of strangers in cut footage got a name, with 0.060 none
)
_VGGFACE2_LIMITS = Thresholds(
    # Not measured here (the weights were not available). Published evaluations of this net have few false matches at a
    # Euclidean distance of 0.8 to 0.9 between unit vectors: cosine 0.68 to 0.60.
    known=0.700,
    ambiguous=0.600,
    same_track=0.550,
    moved=0.700,
    cluster=0.750,
    poor=0.040,
)

# Ranks: docs/FACES.md gives the reasons for this order.
FACENET_VGGFACE2 = FaceNet("facenet-vggface2", "VGGFace2", _VGGFACE2, 10, _VGGFACE2_LIMITS)
FACENET_CASIA = FaceNet("facenet-casia", "CASIA-WebFace", _CASIA, 20, _CASIA_LIMITS)
FACENET_VGGFACE2_INT8 = FaceNetInt8("facenet-vggface2-int8", "VGGFace2", _VGGFACE2, _VGGFACE2_LIMITS)  # not measured
# Measured: strangers reach 0.522 clean and 0.592 degraded; all misses within 0.5 % of fp32's.
FACENET_CASIA_INT8 = FaceNetInt8("facenet-casia-int8", "CASIA-WebFace", _CASIA, _CASIA_LIMITS)
