"""The engines of the face half, as declarations: no model library, no search for files."""

from __future__ import annotations

from castline.engines import EngineInfo
from castline.errors import ModelNotFound

#: FaceNet as ``castline.models.quantize`` makes it. An id of its own: its embeddings do not meet fp32's.
FACENET_INT8 = "facenet-vggface2-int8"
FACENET_INT8_FILE = f"{FACENET_INT8}.onnx"

ENGINES: tuple[EngineInfo, ...] = (
    EngineInfo(id="mtcnn", role="detector", title="MTCNN (facenet-pytorch weights)", licence="MIT"),
    EngineInfo(
        id="facenet-vggface2",
        role="embedder",
        title="FaceNet (InceptionResnetV1, VGGFace2)",
        licence="MIT",
        dimension=512,
    ),
    EngineInfo(id="dlib-resnet-v1", role="embedder", title="dlib ResNet v1", licence="CC0-1.0", dimension=128),
    EngineInfo(
        id=FACENET_INT8,
        role="embedder",
        title="FaceNet in int8 (InceptionResnetV1, VGGFace2)",
        licence="MIT",
        dimension=512,
    ),
    EngineInfo(
        id="arcface", role="embedder", title="ArcFace-style ONNX model given by its path", licence="that of the file"
    ),
)
"""All face engines. Within a role those that ``auto`` tries come first, best first; the rest are by name only."""


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
