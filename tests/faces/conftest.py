"""Pictures and engines for the face tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data

from castline.engines import DetectedFace, Detector, Embedder, Image
from castline.faces.analyse import decode_jpeg
from castline.models import load_detector, load_embedder
from castline.settings import Settings


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
    """The one that ships in a package, whatever else is in the folder."""
    pytest.importorskip("dlib")
    return load_embedder(Settings(models_dir=models_dir, embedder="dlib-resnet-v1"))


@pytest.fixture(scope="session")
def lfw(shared_data: Path, detector: Detector) -> list[tuple[str, Image, DetectedFace]]:
    """Name, picture and its central face, 10 people x 10 photos."""
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


@pytest.fixture(scope="session")
def noise() -> Callable[[int, int], Image]:
    """Deterministic pictures without any face."""

    def build(height: int, width: int) -> Image:
        small = np.random.default_rng(height * 7919 + width).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
        return cv2.resize(small.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)

    return build
