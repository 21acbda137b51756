"""Still pictures: bytes to RGB and back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from castline import MAX_PIXELS
from castline.errors import UnitError

_QUALITY = 85


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG (or any still picture OpenCV knows) to RGB, shape (h, w, 3), uint8.

    Raises:
        UnitError: the bytes are not a picture, or one of more than ``MAX_PIXELS``, which is not decoded.
    """
    pixels = None
    if data:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            large = "CV_IO_MAX_IMAGE" in str(error)
            why = f": it has more than {MAX_PIXELS // 10**6} million pixels" if large else ""
            raise UnitError(f"a frame cannot be decoded{why}", detail=str(error)) from error
    if pixels is None:
        raise UnitError("a frame cannot be decoded: its bytes are not a picture")
    rgb: NDArray[np.uint8] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def encode_jpeg(image: NDArray[np.uint8], quality: int = _QUALITY) -> bytes:
    """Encode RGB as JPEG.

    Args:
        image: shape (h, w, 3), uint8.
        quality: 1..100.
    """
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise UnitError("a face cannot be encoded as JPEG")
    return bytes(data)


def limit_side(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """The image, scaled down where its longer side exceeds ``max_side`` pixels."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small: NDArray[np.uint8] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small
