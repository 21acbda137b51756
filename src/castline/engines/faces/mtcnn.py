"""MTCNN: finds faces and five landmarks, with NumPy and ONNX Runtime.

Method: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks", IEEE Signal Processing Letters 2016. Three small nets in a row: P-Net slides over a pyramid of the image and
proposes boxes, R-Net discards most of them, O-Net decides and places the landmarks. The nets are facenet-pytorch's
(MIT), and so are thresholds, scale factor and numerics: tests require the same boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, EngineInfo, Image
from castline.engines.faces import geometry
from castline.engines.faces.geometry import Boxes, Integral
from castline.engines.plugins import find_engine
from castline.engines.session import open_session, thread_count

_T = TypeVar("_T")
_R = TypeVar("_R")

#: P-Net looks at windows of 12 pixels, two pixels apart.
_WINDOW, _STRIDE = 12, 2
#: Images with a shorter side below this contain no face that could be recognised, and break the pyramid.
MIN_IMAGE_SIDE = 24
_SCALE_FACTOR = 0.709
_THRESHOLDS = (0.6, 0.7, 0.7)
#: Crops that go through R- or O-Net at once: limits memory without cost.
_CHUNK = 128


class _Candidates(NamedTuple):
    """Boxes of all images of a batch. Arrays share their first axis."""

    image: NDArray[np.intp]
    boxes: Boxes
    scores: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(self.image[index], self.boxes[index], self.scores[index], self.offsets[index])


class MtcnnDetector:
    """Face detector over exported P-, R- and O-Net.

    Args:
        paths: the ONNX files by net: ``pnet``, ``rnet``, ``onet``.
        min_face: smallest face to look for, pixels. Time grows with the inverse of its square.
        min_score: faces below this probability are not reported.
        threads: threads to use; 0 chooses automatically. The small nets of the pyramid gain little from
            several threads each, so its images and scales are spread over them instead.
        device: as for ``open_session``.

    Raises:
        ModelNotFound, ModelCorrupt: as ``open_session``.
    """

    info: EngineInfo

    def __init__(
        self,
        paths: Mapping[str, Path],
        *,
        min_face: int = 40,
        min_score: float = 0.0,
        threads: int = 0,
        device: str = "cpu",
        info: EngineInfo | None = None,
    ) -> None:
        workers = thread_count(threads)
        self._pool = ThreadPoolExecutor(workers, "mtcnn") if workers > 1 else None
        self._pnet = open_session(paths["pnet"], 1, device)
        self._rnet = open_session(paths["rnet"], threads, device)
        self._onet = open_session(paths["onet"], threads, device)
        self._min_face = max(min_face, _WINDOW)
        self._min_score = min_score
        self.info = info or replace(find_engine("mtcnn").info, source=str(paths["pnet"].parent))

    def detect(self, images: Sequence[Image]) -> list[list[DetectedFace]]:
        """Faces of each image, best score first; images of equal size share the runs of R- and O-Net.

        Args:
            images: RGB, shape (h, w, 3), uint8 each; sizes may differ. Images with a side under 24
                pixels give no faces.
        """
        found: list[list[DetectedFace]] = [[] for _ in images]
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            if min(image.shape[:2]) >= MIN_IMAGE_SIDE:
                by_size.setdefault((image.shape[0], image.shape[1]), []).append(index)
        for (height, width), indices in by_size.items():
            sums = self._map(geometry.integral_image, [images[index] for index in indices])
            for index, faces in zip(indices, self._cascade(sums, height, width), strict=True):
                found[index] = faces
        return found

    def _cascade(self, sums: Sequence[Integral], height: int, width: int) -> list[list[DetectedFace]]:
        candidates = self._propose(sums, height, width)
        candidates = self._refine(sums, candidates, height, width)
        return self._decide(sums, candidates, height, width)

    def _map(self, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """Results in the order of the items, whichever thread computes them."""
        return list(self._pool.map(work, items) if self._pool else map(work, items))

    def _propose(self, sums: Sequence[Integral], height: int, width: int) -> _Candidates:
        """P-Net over the pyramid. Returns square boxes."""
        scales = geometry.pyramid_scales(height, width, self._min_face, _SCALE_FACTOR, _WINDOW)
        # The first scale is half of the work, so the others run beside it.
        found = self._map(
            lambda job: self._propose_at(sums[job[1]], *job, height, width),
            [(scale, image) for scale in scales for image in range(len(sums))],
        )
        merged = _Candidates(*(np.concatenate(values) for values in zip(_none(), *found, strict=True)))
        merged = merged.take(_nms_per_image(merged, 0.7))
        moved = geometry.move(merged.boxes, merged.offsets, inclusive=False)
        return merged._replace(boxes=geometry.to_squares(moved))

    def _propose_at(self, sums: Integral, scale: float, image: int, height: int, width: int) -> _Candidates:
        """P-Net over one image at one scale."""
        pixels = geometry.area_resize(sums, int(height * scale + 1), int(width * scale + 1))
        offsets, probabilities = self._pnet.run(None, {"pixels": pixels[None]})
        scored = probabilities[0, 1]
        row, column = np.nonzero(scored >= np.float32(_THRESHOLDS[0]))
        cell = np.stack([column, row], axis=1).astype(np.float32) * np.float32(_STRIDE)
        boxes = np.floor(np.concatenate([cell + 1, cell + _WINDOW], axis=1) / np.float32(scale))
        scores = scored[row, column]
        kept = geometry.nms(boxes, scores, 0.5)
        here = _Candidates(np.full(len(row), image, np.intp), boxes, scores, offsets[0, :, row, column])
        return here.take(kept)

    def _refine(self, sums: Sequence[Integral], candidates: _Candidates, height: int, width: int) -> _Candidates:
        """R-Net on each proposal. Returns square boxes."""
        candidates, pixels = self._crops(sums, candidates, height, width, 24)
        if not len(pixels):
            return candidates
        offsets, probabilities = _in_chunks(self._rnet, pixels)
        scores = probabilities[:, 1]
        passed = scores > np.float32(_THRESHOLDS[1])
        candidates = candidates._replace(scores=scores, offsets=offsets).take(passed)
        candidates = candidates.take(_nms_per_image(candidates, 0.7))
        return candidates._replace(boxes=geometry.to_squares(geometry.move(candidates.boxes, candidates.offsets)))

    def _decide(
        self, sums: Sequence[Integral], candidates: _Candidates, height: int, width: int
    ) -> list[list[DetectedFace]]:
        """O-Net on the remaining boxes: final boxes, landmarks and scores per image."""
        faces: list[list[DetectedFace]] = [[] for _ in sums]
        candidates, pixels = self._crops(sums, candidates, height, width, 48)
        if not len(pixels):
            return faces
        offsets, landmarks, probabilities = _in_chunks(self._onet, pixels)
        scores = probabilities[:, 1]
        passed = np.flatnonzero((scores > np.float32(_THRESHOLDS[2])) & (scores >= np.float32(self._min_score)))
        candidates = candidates._replace(scores=scores, offsets=offsets).take(passed)
        # Landmarks come as five x, then five y, in fractions of the box before its last move.
        fractions = landmarks[passed].reshape(-1, 2, 5).transpose(0, 2, 1)
        corner, size = candidates.boxes[:, None, :2], candidates.boxes[:, None, 2:] - candidates.boxes[:, None, :2]
        points = (size + 1) * fractions + corner - 1
        boxes = geometry.move(candidates.boxes, candidates.offsets)
        for image in range(len(sums)):
            mine = np.flatnonzero(candidates.image == image)
            kept = mine[geometry.nms_min(boxes[mine], candidates.scores[mine], 0.7)]
            faces[image] = [DetectedFace(boxes[i], points[i], float(candidates.scores[i])) for i in kept]
        return faces

    def _crops(
        self, sums: Sequence[Integral], candidates: _Candidates, height: int, width: int, side: int
    ) -> tuple[_Candidates, NDArray[np.float32]]:
        """The candidates that overlap their image, and their pixels, shape (n, 3, side, side)."""
        windows = geometry.clip_windows(candidates.boxes, height, width)
        visible = (windows[:, 2] > windows[:, 0]) & (windows[:, 3] > windows[:, 1])
        candidates, windows = candidates.take(visible), windows[visible]
        pixels = np.empty((len(windows), 3, side, side), np.float32)

        def cut(image: int) -> None:
            mine = candidates.image == image
            pixels[mine] = geometry.area_crops(sums[image], windows[mine], side)

        self._map(cut, np.unique(candidates.image).tolist())
        return candidates, pixels


def _none() -> _Candidates:
    return _Candidates(
        np.empty(0, np.intp), np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 4), np.float32)
    )


def _nms_per_image(candidates: _Candidates, threshold: float) -> NDArray[np.intp]:
    """Indices that survive suppression within their own image."""
    kept = [np.empty(0, np.intp)]
    for image in np.unique(candidates.image):
        mine = np.flatnonzero(candidates.image == image)
        kept.append(mine[geometry.nms(candidates.boxes[mine], candidates.scores[mine], threshold)])
    return np.concatenate(kept)


def _in_chunks(net: object, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """All outputs of a net over a batch of any length."""
    runs = [net.run(None, {"pixels": pixels[i : i + _CHUNK]}) for i in range(0, len(pixels), _CHUNK)]  # type: ignore[attr-defined]
    return [np.concatenate(outputs) for outputs in zip(*runs, strict=True)]
