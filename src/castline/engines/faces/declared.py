"""The engines of the face half, as declarations: no model library, no search for files."""

from __future__ import annotations

from castline.engines.base import EngineInfo
from castline.errors import ModelNotFound

_VGGFACE2 = "VGGFace2: 3.3 M photos of 9131 people, for research"
_CASIA = "CASIA-WebFace: 0.5 M photos of 10575 people, for research"
_DIMENSION = 512

ENGINES: tuple[EngineInfo, ...] = (
    EngineInfo(id="mtcnn", role="detector", title="MTCNN (facenet-pytorch weights)", licence="MIT"),
    EngineInfo(
        id="yunet",
        role="detector",
        title="YuNet (libfacedetection.train's weights)",
        licence="Apache-2.0",
        trained_on="WIDER FACE: 32203 photos from the web, for research",
    ),
    EngineInfo(
        id="facenet-vggface2",
        role="embedder",
        title="FaceNet VGGFace2 (InceptionResnetV1)",
        licence="MIT",
        trained_on=_VGGFACE2,
        dimension=_DIMENSION,
    ),
    EngineInfo(
        id="facenet-casia",
        role="embedder",
        title="FaceNet CASIA-WebFace (InceptionResnetV1)",
        licence="MIT",
        trained_on=_CASIA,
        dimension=_DIMENSION,
    ),
    EngineInfo(
        id="dlib-resnet-v1",
        role="embedder",
        title="dlib ResNet v1",
        licence="CC0-1.0",
        trained_on="FaceScrub, VGG and others: 3 M photos of 7485 people",
        dimension=128,
    ),
    EngineInfo(
        id="facenet-vggface2-int8",
        role="embedder",
        title="FaceNet VGGFace2 in int8 (InceptionResnetV1)",
        licence="MIT",
        trained_on=_VGGFACE2,
        dimension=_DIMENSION,
    ),
    EngineInfo(
        id="facenet-casia-int8",
        role="embedder",
        title="FaceNet CASIA-WebFace in int8 (InceptionResnetV1)",
        licence="MIT",
        trained_on=_CASIA,
        dimension=_DIMENSION,
    ),
    EngineInfo(
        id="arcface", role="embedder", title="ArcFace-style ONNX model given by its path", licence="that of the file"
    ),
)
"""All face engines. Within a role those that ``auto`` tries come first, best first; the rest are by name only."""

#: What ``auto`` tries, best first: docs/FACES.md says why.
AUTO_EMBEDDERS = ("facenet-vggface2", "facenet-casia", "dlib-resnet-v1")
AUTO_DETECTOR = "mtcnn"


def engine(engine_id: str) -> EngineInfo:
    """The declaration of one engine.

    Raises:
        ModelNotFound: no engine has this id.
    """
    for info in ENGINES:
        if info.id == engine_id:
            return info
    known = ", ".join(info.id for info in ENGINES)
    raise ModelNotFound(f"there is no face engine {engine_id!r}; known: {known}")
