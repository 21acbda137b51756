"""Degrades photos in the ways in which footage is worse: fewer pixels, blur, compression, darkness.

Each way is a function of an RGB picture, shape (h, w, 3), uint8, and the width of its face in pixels; it returns an RGB
picture. Sizes are those of the face, so that they mean the same in every picture. Nothing is random. OpenCV is imported
only when needed: the command lists the ways even if it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from castline.engines.base import Image

Way = Callable[[Image, float], Image]

#: Blur is given for a face this many pixels wide, and scales with it.
_WIDTH = 100.0


def _sized(pixels: int) -> Way:
    def way(image: Image, width: float) -> Image:
        import cv2

        scale = pixels / width
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        resized: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        return resized

    return way


def _blurred(sigma: float) -> Way:
    def way(image: Image, width: float) -> Image:
        import cv2

        blurred: Image = cv2.GaussianBlur(image, (0, 0), sigma * width / _WIDTH)
        return blurred

    return way


def _moved(length: int) -> Way:
    """Motion along a row."""

    def way(image: Image, width: float) -> Image:
        import cv2

        pixels = max(round(length * width / _WIDTH), 1)
        moved: Image = cv2.filter2D(image, -1, np.full((1, pixels), 1 / pixels, np.float32))
        return moved

    return way


def _compressed(quality: int) -> Way:
    def way(image: Image, width: float) -> Image:
        import cv2

        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        # Red and blue are swapped in both directions alike.
        compressed: Image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return compressed

    return way


def _darkened(share: float) -> Way:
    def way(image: Image, width: float) -> Image:
        return (image * np.float32(share)).astype(np.uint8)

    return way


def _both(first: Way, second: Way, width: int) -> Way:
    """One way after the other; the first leaves a face of ``width`` pixels."""
    return lambda image, before: second(first(image, before), width)


def _same(image: Image, width: float) -> Image:
    return image


WAYS: dict[str, Way] = {
    "as it is": _same,
    **{f"{pixels} px wide": _sized(pixels) for pixels in (96, 64, 48, 32, 24)},
    **{f"blur, sigma {sigma:g}": _blurred(sigma) for sigma in (1, 2, 3, 4, 6)},
    **{f"motion of {length} px": _moved(length) for length in (7, 13, 19)},
    "JPEG 20": _compressed(20),
    "JPEG 10": _compressed(10),
    "48 px, JPEG 20": _both(_sized(48), _compressed(20), 48),
    "32 px, JPEG 20": _both(_sized(32), _compressed(20), 32),
    "64 px, blur": _both(_sized(64), _blurred(2), 64),
    "a quarter of the light": _darkened(0.25),
    "an eighth of the light": _darkened(0.125),
}
"""By name, from the mildest to the most severe. Blur and motion are in pixels of a face 100 px wide."""
