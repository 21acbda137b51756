"""dlib's ResNet v1 as an embedder, run by dlib: 128 numbers per face, from weights in a package.

The fallback for where the net has not been converted to ONNX (``DlibOnnxEmbedder`` is about ten times faster).

Model: D. King, "High Quality Face Recognition with Deep Metric Learning" (2017), a 29-layer ResNet
over 150 x 150 RGB chips; weights in the public domain (CC0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.engines import DetectedFace, EngineInfo, Image
from castline.errors import ModelCorrupt, ModelNotFound
from castline.faces.align import aligned_crop, unit_rows
from castline.models.declared import engine

SIDE = 150

#: Where MTCNN's five landmarks lie in dlib's own chips (150 px, padding 0.25), medians over 100 photos,
#: made mirror-symmetric. Aligning by them separates people better than dlib's five-point predictor on
#: MTCNN's boxes (misses at no false match 4 % against 5-14 %) and needs no second model.
TEMPLATE = np.array([[47.9, 46.3], [102.1, 46.3], [75.0, 79.0], [50.9, 106.5], [99.1, 106.5]])


class DlibEmbedder:
    """Face embedder over ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        ModelNotFound: the file or dlib is not there.
        ModelCorrupt: dlib cannot read the file.
    """

    info: EngineInfo

    def __init__(self, path: Path, *, info: EngineInfo | None = None) -> None:
        if not path.is_file():
            raise ModelNotFound(f"model file {path} does not exist")
        try:
            import dlib
        except ImportError as error:
            raise ModelNotFound("the embedder dlib-resnet-v1 needs the package dlib-bin") from error
        try:
            self._net = dlib.face_recognition_model_v1(str(path))
        except RuntimeError as error:
            raise ModelCorrupt(f"dlib cannot read {path}", detail=str(error)) from error
        self.info = info or replace(engine("dlib-resnet-v1"), source=str(path))

    def embed(self, image: Image, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        """Unit-norm embeddings, shape (len(faces), 128), float32."""
        if not faces:
            return np.empty((0, 128), np.float32)
        chips = [aligned_crop(image, face.landmarks, TEMPLATE, SIDE) for face in faces]
        vectors = [np.asarray(vector, np.float64) for vector in self._net.compute_face_descriptor(chips, 0)]
        # dlib's own vectors have norms around 1.4, nearly constant; cosine then orders pairs as its
        # Euclidean distance does.
        return unit_rows(np.stack(vectors))
