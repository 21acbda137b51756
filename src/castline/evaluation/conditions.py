"""Conditions of footage, made from good photos, so that the people in them are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from castline.engines.base import Image
from castline.media.pictures import decode_jpeg, encode_jpeg

_GREY = 96


def _smaller(factor: float) -> Callable[[Image], Image]:
    """The picture at ``factor`` of its size on a grey one of the original size: a slide on a background."""

    def change(image: Image) -> Image:
        height, width = image.shape[:2]
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        framed = np.full_like(image, _GREY)
        top, left = (height - size[1]) // 2, (width - size[0]) // 2
        framed[top : top + size[1], left : left + size[0]] = small
        return framed

    return change


def _blurred(share: float) -> Callable[[Image], Image]:
    """A Gaussian whose standard deviation is a share of the picture's width."""

    def change(image: Image) -> Image:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), share * image.shape[1]), np.uint8)

    return change


def _moving(image: Image) -> Image:
    """Smeared over 6 % of the width, as by a fast turn."""
    length = max(round(0.06 * image.shape[1]), 1)
    return np.asarray(cv2.filter2D(image, -1, np.full((1, length), 1 / length)), np.uint8)


def _compressed(quality: int) -> Callable[[Image], Image]:
    def change(image: Image) -> Image:
        return decode_jpeg(encode_jpeg(image, quality))

    return change


def _dark(image: Image) -> Image:
    """A fifth of the light, and the noise of a camera that compensates for it; always the same."""
    noise = np.random.default_rng(image.size).normal(0, 4, image.shape)
    return np.clip(image * 0.22 + noise, 0, 255).astype(np.uint8)


def _bright(image: Image) -> Image:
    """Twice the light: what was lighter than half is burnt out."""
    return np.asarray(np.clip(image * 2.1, 0, 255), np.uint8)


def _moved(image: Image) -> Image:
    """The same scene a moment later: a tenth nearer, and a little to the side."""
    height, width = image.shape[:2]
    part = image[round(0.04 * height) : round(0.944 * height), round(0.016 * width) : round(0.92 * width)]
    return np.asarray(cv2.resize(part, (width, height)), np.uint8)


#: Functions of an RGB picture (h, w, 3), uint8, by the name of the condition. Blur, motion and size are for LFW's 250
#: pixels: a face of 94 becomes 47 and 25 pixels wide, and is blurred by 2, 3 and 4.
CONDITIONS: Mapping[str, Callable[[Image], Image]] = {
    "clean": lambda image: image,
    "moved": _moved,
    "half": _smaller(0.5),
    "small": _smaller(0.27),
    "blur 2": _blurred(0.008),
    "blur 3": _blurred(0.012),
    "blur 4": _blurred(0.016),
    "motion": _moving,
    "jpeg 10": _compressed(10),
    "jpeg 5": _compressed(5),
    "dark": _dark,
    "bright": _bright,
}
