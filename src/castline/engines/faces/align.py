"""Cuts faces out of pictures the way an embedder was trained to see them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from castline.engines.base import Image


def similarity_transform(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring one set of points closest to another.

    Least squares in the complex plane (a similarity is ``w = a z + b``); equals Umeyama's solution
    without reflection.

    Args:
        source, target: shape (n, 2), n >= 2.

    Returns:
        Shape (2, 3), float64: maps source to target coordinates.
    """
    z = source[:, 0] + 1j * source[:, 1].astype(np.float64)
    w = target[:, 0] + 1j * target[:, 1].astype(np.float64)
    spread = z - z.mean()
    power = float(np.sum(np.abs(spread) ** 2))
    # Points that all coincide have no direction and no size; leave both unchanged.
    a = complex(np.sum(np.conj(spread) * (w - w.mean())) / power) if power > 1e-9 else 1 + 0j
    b = complex(w.mean() - a * z.mean())
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def aligned_crop(
    image: Image, landmarks: NDArray[np.float32], template: NDArray[np.floating], side: int
) -> NDArray[np.uint8]:
    """A square crop in which the landmarks are at the template's points; black outside the picture.

    Args:
        image: RGB, shape (h, w, 3), uint8.
        landmarks: shape (5, 2), pixels of the image.
        template: shape (5, 2), pixels of the crop.
        side: pixels of the crop.

    Returns:
        Shape (side, side, 3), uint8, RGB.
    """
    matrix = similarity_transform(landmarks, template)
    shrink = int(1 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6))
    if shrink >= 2:
        # Linear interpolation skips pixels when it shrinks by more than two; average them first.
        image, matrix = _shrunk(image, matrix, side, shrink)
    crop: NDArray[np.uint8] = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return crop


def _shrunk(
    image: Image, matrix: NDArray[np.float64], side: int, factor: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of the picture the crop needs, ``factor`` times smaller, and the matrix for it."""
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float64)
    inverse = cv2.invertAffineTransform(matrix)
    needed = corners @ inverse[:, :2].T + inverse[:, 2]
    height, width = image.shape[:2]
    x0, y0 = (int(v) for v in np.clip(np.floor(needed.min(axis=0)) - factor, 0, [width - 1, height - 1]))
    x1, y1 = (int(v) for v in np.clip(np.ceil(needed.max(axis=0)) + factor, [x0 + 1, y0 + 1], [width, height]))
    columns, rows = max((x1 - x0) // factor, 1), max((y1 - y0) // factor, 1)
    part = image[y0 : min(y0 + rows * factor, height), x0 : min(x0 + columns * factor, width)]
    small: NDArray[np.uint8] = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    # Pixel centres: small pixel i covers source pixels from factor * i to factor * i + factor - 1.
    to_source = np.array([[factor, 0, x0 + (factor - 1) / 2], [0, factor, y0 + (factor - 1) / 2], [0, 0, 1]])
    return small, matrix @ to_source


def with_margin(box: NDArray[np.float32], margin: int, side: int) -> NDArray[np.float32]:
    """The box grown so that its border is ``margin / 2`` pixels inside a crop of ``side`` pixels, on each side.

    facenet-pytorch's formula (``extract_face``), from D. Sandberg's ``align_dataset_mtcnn.py``.

    Args:
        box: ``x0, y0, x1, y1``.

    Returns:
        Shape (4,), float32.
    """
    grow = (box[2:] - box[:2]) * np.float32(margin / (side - margin) / 2)
    return np.concatenate([box[:2] - grow, box[2:] + grow])


def box_crop(image: Image, box: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """The box's pixels as a square, aspect not kept, box clipped to the picture (facenet-pytorch's way).

    Args:
        box: ``x0, y0, x1, y1`` in pixels; truncated to whole ones.

    Returns:
        Shape (side, side, 3), uint8. A box outside the picture gives black.
    """
    height, width = image.shape[:2]
    x0, y0 = (int(max(v, 0)) for v in box[:2])
    x1, y1 = int(min(box[2], width)), int(min(box[3], height))
    if x1 <= x0 or y1 <= y0:
        return np.zeros((side, side, 3), np.uint8)
    crop: NDArray[np.uint8] = cv2.resize(image[y0:y1, x0:x1], (side, side), interpolation=cv2.INTER_AREA)
    return crop


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to unit L2 norm, float32; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return scaled
