"""Writes FaceNet with 8-bit integers: half the time per face, a quarter of the file. Build time only.

    python -m castline.engines.faces.quantize <models folder> [<folder of photos>] [--net facenet-casia]

The net and MTCNN are found as usual: in the models folder, or made from an installed package. Photos with faces,
anywhere below their folder, show the quantiser which values occur inside the net; without them it uses the portraits in
``examples/gallery``. A few dozen photos similar to those to be analysed are better than these six.

Method: static quantisation of weights per channel and of activations per tensor, in ONNX's QDQ form
(Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018). Weights get seven bits: processors without VNNI add products of eight-bit
numbers in sixteen bits, and would saturate.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import Detector
from castline.engines.faces.onnx_embedders import FaceNetEmbedder
from castline.errors import CastlineError, ModelCorrupt, ModelError, ModelNotFound, UnitError
from castline.media.pictures import decode_jpeg
from castline.weights.facenet import FACENETS, ensure_facenet, int8, onnx_file
from castline.weights.onnx_file import set_weights
from castline.weights.prepare import ensure_mtcnn

PORTRAITS = Path(__file__).resolve().parents[4] / "examples" / "gallery"
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
#: Detections below this are often patterns, which would widen the ranges needlessly.
_MIN_SCORE = 0.9
#: Below this the net is broken, not merely coarser; seven-bit weights keep well above it.
_MIN_COSINE = 0.9
#: Kinds of operators that are quantised. The last layer is not among them (preparation turns it into a
#: Gemm): as float it costs nothing, and its numbers are the embedding.
_OPERATORS = ("Conv", "Add", "Concat", "MaxPool", "Mul", "Relu")


def calibration_faces(photos: Path, detector: Detector, embedder: FaceNetEmbedder) -> NDArray[np.float32]:
    """All clearly visible faces of a folder's photos in FaceNet's input format, photos in order of their paths.

    Returns:
        Shape (n, 3, 160, 160), float32, n >= 1.

    Raises:
        ModelError: no such folder, a file in it is not a picture, or no face is visible.
    """
    if not photos.is_dir():
        raise ModelError(f"there is no folder {photos} with photos to calibrate with")
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in _PHOTOS and path.is_file())
    found = [np.empty((0, 3, 160, 160), np.float32)]
    for path in paths:
        try:
            image = decode_jpeg(path.read_bytes())
        except UnitError as error:
            raise ModelError(f"{path} is not a picture to calibrate with", detail=error.detail) from error
        faces = [face for face in detector.detect([image])[0] if face.score >= _MIN_SCORE]
        if faces:
            found.append(embedder.pixels(image, faces))
    inputs = np.concatenate(found)
    if not len(inputs):
        raise ModelError(f"no face was found in the {len(paths)} photos of {photos}; calibration needs some")
    return inputs


def quantize_facenet(source: Path, target: Path, faces: NDArray[np.float32]) -> NDArray[np.float32]:
    """Write an int8 version of a FaceNet; the same faces give the same bytes.

    Args:
        source: what ``ensure_facenet`` returned.
        target: written atomically.
        faces: what ``calibration_faces`` returned.

    Returns:
        Cosine between the embeddings of both nets, shape (len(faces),).

    Raises:
        ModelNotFound: no source, or the package onnx is not installed.
        ModelCorrupt: the source is no FaceNet.
        ModelError: the result differs too much from the source to be used.
    """
    before = FaceNetEmbedder(source)
    if importlib.util.find_spec("onnx") is None:
        raise ModelNotFound(f"{source} cannot be quantised: that needs onnx installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.stem}-", dir=target.parent) as folder:
        made = Path(folder) / target.name
        _quantize(source, Path(folder) / "prepared.onnx", made, faces)
        cosines: NDArray[np.float32] = np.sum(before.run(faces) * FaceNetEmbedder(made).run(faces), axis=1)
        if cosines.min() < _MIN_COSINE:
            raise ModelError(
                f"FaceNet's int8 embeddings are off (cosine to fp32 {cosines.min():.3f} on the calibration faces); "
                "nothing was written, and fp32 works as before"
            )
        made.chmod(0o644)
        made.replace(target)
    return cosines


def _quantize(source: Path, prepared: Path, target: Path, faces: NDArray[np.float32]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Faces(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped here
        def __init__(self) -> None:
            self._left = iter(faces)

        def get_next(self) -> dict[str, Any] | None:
            face = next(self._left, None)
            return None if face is None else {"faces": face[None]}

    try:
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Faces(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATORS),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        # Its numbers depend on the photos, too, so it is identified by its own digest, not by that of the weights.
        set_weights(target, "")
    except Exception as error:  # onnx and ONNX Runtime have no common base below Exception
        raise ModelCorrupt(f"{source} cannot be quantised", detail=str(error)) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.engines.faces.quantize``."""
    parser = argparse.ArgumentParser(prog="python -m castline.engines.faces.quantize", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="models folder")
    parser.add_argument("photos", type=Path, nargs="?", default=PORTRAITS, help="photos to calibrate with")
    parser.add_argument("--net", choices=FACENETS, default="facenet-casia", help="which FaceNet (%(default)s)")
    options = parser.parse_args(arguments)
    target = onnx_file(int8(options.net), options.folder)
    from castline.engines.faces.mtcnn import MtcnnDetector

    try:
        source = ensure_facenet(options.folder, options.net)
        faces = calibration_faces(options.photos, MtcnnDetector(ensure_mtcnn(options.folder)), FaceNetEmbedder(source))
        cosines = quantize_facenet(source, target, faces)
    except CastlineError as error:
        parser.exit(1, f"{parser.prog}: {error.message}\n{error.detail}")
    parser.exit(
        0,
        f"{target}: {len(faces)} faces, cosine to fp32 "
        f"{cosines.min():.4f} at least, {np.median(cosines):.4f} in the middle\n",
    )


if __name__ == "__main__":
    main()
