"""Embedders that are one ONNX net over one square crop: FaceNet, dlib's ResNet, and ArcFace-style models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, EngineInfo, Image
from castline.engines.faces.align import aligned_crop, box_crop, unit_rows, with_margin
from castline.engines.plugins import find_engine
from castline.engines.session import open_session
from castline.errors import ModelCorrupt
from castline.weights.onnx_file import WEIGHTS_KEY

#: Faces per run: limits memory, and larger batches gain nothing on a CPU.
_BATCH = 16

#: Where the five landmarks belong in a 112 x 112 crop: the template that ArcFace's authors publish with
#: their models (Deng et al., "ArcFace", CVPR 2019) and that models of this kind are trained on.
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


#: Characters of a digest in an embedder's id.
_DIGEST_LETTERS = 12


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _OnnxEmbedder:
    """Common part: crop each face, normalise, run in batches, scale to unit norm."""

    info: EngineInfo
    _side: int

    def __init__(self, path: Path, threads: int, device: str) -> None:
        self._session = open_session(path, threads, device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or list(shape[1:]) != [3, self._side, self._side] or len(outputs[0].shape) != 2:
            raise ModelCorrupt(
                f"{path} is not an embedder of {self._side} x {self._side} RGB faces: "
                f"it takes {[i.shape for i in inputs]} and gives {[o.shape for o in outputs]}"
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        # Some files are exported for one face at a time.
        self._batch = shape[0] if isinstance(shape[0], int) else _BATCH

    def _crop(self, image: Image, face: DetectedFace) -> NDArray[np.uint8]:
        raise NotImplementedError

    def _normalise(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError

    def embed(self, image: Image, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        """Unit-norm embeddings, shape (len(faces), dimension), float32."""
        if not faces:
            return np.empty((0, self.info.dimension or 0), np.float32)
        return self.run(self.pixels(image, faces))

    def pixels(self, image: Image, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        """The net's input: shape (len(faces), 3, side, side), at least one face."""
        crops = np.stack([self._crop(image, face) for face in faces]).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(self._normalise(crops.astype(np.float32)))

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit-norm embeddings of what ``pixels`` returned, shape (n, dimension), n >= 1."""
        return unit_rows(
            np.concatenate([self._run(pixels[i : i + self._batch]) for i in range(0, len(pixels), self._batch)])
        )

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._session.run([self._output], {self._input: pixels})[0]
        return vectors


class FaceNetEmbedder(_OnnxEmbedder):
    """FaceNet: the detector's box with a margin, not aligned, as 160 x 160, (x - 127.5) / 128; 512 numbers.

    Model: Schroff et al., "FaceNet" (CVPR 2015), as Inception-ResNet-v1; ``castline.weights.facenet`` has the family.
    Its id contains the start of its weights' SHA-256, so that embeddings of different weights are never compared: from
    the file's metadata, or else that of the file. ``weights`` is the whole digest.

    Raises:
        ModelNotFound, ModelCorrupt: as ``open_session``; also when input or output has another shape.
    """

    _side = 160
    #: As in training. Measured on LFW (docs/FACES.md): equal error rate 0.89 %, with 0, 16 and 44 pixels 3.11, 1.56 and
    #: 1.47 %; a crop that keeps its aspect has 2.9 %, one aligned by landmarks 2.4 %.
    _margin = 32

    def __init__(self, path: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo | None = None) -> None:
        super().__init__(path, threads, device)
        info = info or replace(find_engine("facenet-casia").info, source=str(path))
        self.weights = self._session.get_modelmeta().custom_metadata_map.get(WEIGHTS_KEY) or _digest(path)
        self.info = replace(info, id=f"{info.id}-{self.weights[:_DIGEST_LETTERS]}")

    def _crop(self, image: Image, face: DetectedFace) -> NDArray[np.uint8]:
        return box_crop(image, with_margin(face.box, self._margin, self._side), self._side)

    def _normalise(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return (pixels - np.float32(127.5)) / np.float32(128)


#: Where MTCNN's five landmarks are in dlib's own chips (150 px, padding 0.25), medians over 100 photos,
#: made mirror-symmetric. Aligning by them separates people better than dlib's five-point predictor on
#: MTCNN's boxes (misses at no false match 4 % against 5-14 %) and needs no second model.
DLIB_TEMPLATE = np.array([[47.9, 46.3], [102.1, 46.3], [75.0, 79.0], [50.9, 106.5], [99.1, 106.5]])


class DlibEmbedder(_OnnxEmbedder):
    """dlib's ResNet v1: aligned to 150 x 150, RGB 0..255; 128 numbers.

    Model: D. King, "High Quality Face Recognition with Deep Metric Learning" (2017); weights in the
    public domain (CC0). ``castline.weights.dlib_net`` makes the ONNX file from them; its vectors equal
    dlib's own to six digits and take a twentieth of the time.

    Raises:
        ModelNotFound, ModelCorrupt: as ``open_session``; also when input or output has another shape.
    """

    _side = 150

    def __init__(self, path: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo | None = None) -> None:
        super().__init__(path, threads, device)
        self.info = info or replace(find_engine("dlib-resnet-v1").info, source=str(path))

    def _crop(self, image: Image, face: DetectedFace) -> NDArray[np.uint8]:
        return aligned_crop(image, face.landmarks, DLIB_TEMPLATE, self._side)

    def _normalise(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return pixels


class ArcFaceEmbedder(_OnnxEmbedder):
    """Any ArcFace-style model: five-point alignment to 112 x 112, (x / 255 - 0.5) / 0.5.

    Its id contains the start of the file's SHA-256, so that embeddings of different files are never compared.

    Raises:
        ModelNotFound, ModelCorrupt: as ``open_session``; also when input or output has another shape.
    """

    _side = 112

    def __init__(self, path: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo | None = None) -> None:
        super().__init__(path, threads, device)
        dimension = self._session.get_outputs()[0].shape[1]
        if not isinstance(dimension, int):
            dimension = self._run(np.zeros((1, 3, 112, 112), np.float32)).shape[1]
        self.info = replace(
            info or find_engine("arcface").info,
            id=f"arcface-{_digest(path)[:_DIGEST_LETTERS]}",
            title=f"ArcFace-style {path.stem}",
            source=str(path),
            dimension=dimension,
        )

    def _crop(self, image: Image, face: DetectedFace) -> NDArray[np.uint8]:
        return aligned_crop(image, face.landmarks, ARCFACE_TEMPLATE, self._side)

    def _normalise(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return (pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
