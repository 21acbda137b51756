"""Area resampling and box arithmetic of the MTCNN cascade, on arrays only.

Method: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks" (2016), with the numerics of facenet-pytorch, whose weights we run: its resampling is
adaptive average pooling, and its boxes are inclusive in some steps and exclusive in others.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from castline.engines.base import Image

Boxes = NDArray[np.float32]
Integral = NDArray[np.uint32]

#: OpenCV sums in signed 32 bits, whose overflow is not defined; larger pictures are summed by NumPy.
SIGNED_LIMIT = 2**31
#: Boxes whose overlaps are computed at once in suppression.
_NMS_BLOCK = 128


def integral_image(image: Image) -> Integral:
    """Sums over all pixels above and left of each position, per channel.

    Args:
        image: shape (h, w, 3), uint8.

    Returns:
        Shape (h + 1, w + 1, 4), uint32; the fourth channel is ballast (see ``_gather``). Sums wrap modulo
        2**32; differences of them are right as long as the window itself sums to less, which is any
        window under 16 megapixels.
    """
    height, width = image.shape[:2]
    padded = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    if height * width * 255 < SIGNED_LIMIT:
        fast: Integral = cv2.integral(padded, sdepth=cv2.CV_32S).view(np.uint32)
        return fast
    sums = np.zeros((height + 1, width + 1, 4), np.uint32)
    inner = sums[1:, 1:]
    np.cumsum(padded, axis=0, dtype=np.uint32, out=inner)
    np.cumsum(inner, axis=1, dtype=np.uint32, out=inner)
    return sums


def _gather(cells: Integral, index: NDArray[np.int64], axis: int) -> Integral:
    """``take`` along an axis of pixels, shape (..., 4).

    A pixel's four sums are 16 bytes. Seen as one complex number they are moved in one piece, three times
    as fast as three separate channels.
    """
    taken = cells.view(np.complex128)[..., 0].take(index, axis=axis)
    return taken.view(np.uint32).reshape(*taken.shape, 4)


def _window_edges(size: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of the ``count`` windows that adaptive pooling lays over ``size`` pixels."""
    index = np.arange(count, dtype=np.int64)
    return index * size // count, -(-(index + 1) * size // count)


def area_resize(sums: Integral, height: int, width: int) -> NDArray[np.float32]:
    """The whole image averaged down to ``height`` x ``width``.

    Args:
        sums: what ``integral_image`` returned; one for all scales of a pyramid.

    Returns:
        Shape (3, height, width), float32, 0..255.
    """
    y0, y1 = _window_edges(sums.shape[0] - 1, height)
    x0, x1 = _window_edges(sums.shape[1] - 1, width)
    rows = sums[y1]
    rows -= sums[y0]
    total = _gather(rows, x1, axis=1)
    total -= _gather(rows, x0, axis=1)
    pooled = total[..., :3].transpose(2, 0, 1).astype(np.float32, order="C")
    pooled /= (y1 - y0).astype(np.float32)[:, None]
    pooled /= (x1 - x0).astype(np.float32)
    return pooled


def area_crops(sums: Integral, windows: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """Many windows of one image, each averaged (or repeated) to ``side`` x ``side``.

    Args:
        windows: shape (n, 4), ``x0, y0, x1, y1`` in whole pixels, end exclusive, not empty, inside
            the image.

    Returns:
        Shape (n, 3, side, side), float32, 0..255.
    """
    index = np.arange(side, dtype=np.int64)
    size = windows[:, 2:] - windows[:, :2]
    first = windows[:, :2, None] + index * size[:, :, None] // side
    last = windows[:, :2, None] - (-(index + 1) * size[:, :, None] // side)
    cells, stride = sums.reshape(-1, 4), sums.shape[1]
    x0, x1 = first[:, 0, None, :], last[:, 0, None, :]
    y0, y1 = first[:, 1, :, None] * stride, last[:, 1, :, None] * stride
    total = _gather(cells, y1 + x1, axis=0)
    total -= _gather(cells, y0 + x1, axis=0)
    total -= _gather(cells, y1 + x0, axis=0)
    total += _gather(cells, y0 + x0, axis=0)
    pooled = total[..., :3].transpose(0, 3, 1, 2).astype(np.float32, order="C")
    pooled /= (last[:, 1] - first[:, 1]).astype(np.float32)[:, None, :, None]
    pooled /= (last[:, 0] - first[:, 0]).astype(np.float32)[:, None, None, :]
    return pooled


def pyramid_scales(height: int, width: int, smallest_face: int, factor: float, window: int = 12) -> list[float]:
    """Scales at which a ``window``-pixel detector sees faces of ``smallest_face`` pixels and larger."""
    scale = window / smallest_face
    shorter = min(height, width) * scale
    scales = []
    while shorter >= window:
        scales.append(scale)
        scale *= factor
        shorter *= factor
    return scales


def nms(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression by intersection over union, areas without the extra pixel.

    Args:
        boxes: shape (n, 4), ``x0, y0, x1, y1``.
        scores: shape (n,).

    Returns:
        Indices kept, best score first; equal scores keep their order.
    """
    return _suppress(boxes, scores, threshold, extra=np.float32(0), smaller=False)


def nms_min(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Like ``nms``, by intersection over the smaller box, areas with inclusive ends (one pixel more)."""
    return _suppress(boxes, scores, threshold, extra=np.float32(1), smaller=True)


def _suppress(
    boxes: Boxes, scores: NDArray[np.float32], threshold: float, *, extra: np.float32, smaller: bool
) -> NDArray[np.intp]:
    order = np.argsort(-scores, kind="stable")
    edges = boxes[order].T
    area = (edges[2] - edges[0] + extra) * (edges[3] - edges[1] + extra)

    def rivals(these: NDArray[np.intp], those: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of ``those`` each of ``these`` suppresses, shape (these, those)."""
        a, b = edges[:, these, None], edges[:, None, those]
        shared = np.minimum(a[2], b[2])
        shared -= np.maximum(a[0], b[0])
        shared += extra
        height = np.minimum(a[3], b[3])
        height -= np.maximum(a[1], b[1])
        height += extra
        shared = np.maximum(shared, 0, out=shared) * np.maximum(height, 0, out=height)
        pair = area[these, None], area[None, those]
        base = np.minimum(*pair) if smaller else np.add(*pair) - shared
        # Written as a product, so that boxes without area (0 / 0) neither warn nor suppress.
        beaten: NDArray[np.bool_] = shared > np.float32(threshold) * base
        return beaten

    # All pairs of a block at once, because a NumPy call costs more than its work on a few boxes.
    alive = np.arange(len(order))
    kept = [alive[:0]]
    while alive.size:
        block, alive = alive[:_NMS_BLOCK], alive[_NMS_BLOCK:]
        beaten = np.zeros(len(block), np.bool_)
        for index, beats in enumerate(rivals(block, block)):
            if not beaten[index]:
                beaten[index + 1 :] |= beats[index + 1 :]
        kept.append(block[~beaten])
        if alive.size:
            alive = alive[~rivals(kept[-1], alive).any(axis=0)]
    return order[np.concatenate(kept)]


def to_squares(boxes: Boxes) -> Boxes:
    """Boxes grown around their centres to squares of their longer side; shape (n, 4)."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    x0 = boxes[:, 0] + width * np.float32(0.5) - side * np.float32(0.5)
    y0 = boxes[:, 1] + height * np.float32(0.5) - side * np.float32(0.5)
    return np.stack([x0, y0, x0 + side, y0 + side], axis=1)


def move(boxes: Boxes, offsets: NDArray[np.float32], *, inclusive: bool = True) -> Boxes:
    """Boxes with each corner moved by a fraction of the box's size.

    Args:
        offsets: shape (n, 4), fractions for ``x0, y0, x1, y1``.
        inclusive: whether a box's end pixel belongs to it (P-Net's boxes end exclusively).
    """
    extra = np.float32(1 if inclusive else 0)
    size = boxes[:, 2:4] - boxes[:, 0:2] + extra
    moved: Boxes = boxes + offsets * np.concatenate([size, size], axis=1)
    return moved


def clip_windows(boxes: Boxes, height: int, width: int) -> NDArray[np.int64]:
    """Whole-pixel windows inside the image for boxes that count pixels from one and end inclusively.

    Returns:
        Shape (n, 4), int64, ``x0, y0, x1, y1`` from zero, end exclusive; may be empty for boxes that
        lie outside the image.
    """
    windows = np.trunc(boxes).astype(np.int64)
    windows[:, :2] = np.maximum(windows[:, :2], 1) - 1
    windows[:, 2] = np.minimum(windows[:, 2], width)
    windows[:, 3] = np.minimum(windows[:, 3], height)
    return windows
