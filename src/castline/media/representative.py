"""The one frame that represents a whole video: it shows what is on screen for long, moving, and sharp.

Stage 1 has no face model, so this judges pictures only. A frame is worth the share of the video that looks like it, and
more if that share moves: people move, empty rooms do not, and passers-by are seen too briefly and too differently from
frame to frame. Among the frames that look like the best one, the sharpest is taken.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from castline.errors import NoStreams, UndecodableMedia
from castline.media.ffmpeg import Limits, arguments, run
from castline.media.pieces import FramesPiece
from castline.media.split import split
from castline.media.summary import SplitSummary, stands_until
from castline.records import Options, Probe
from castline.scratch import SCRATCH

_SAMPLES = 48  # samples of a video whose length is known
_KEPT = 2 * _SAMPLES  # samples at most, whatever the container says
_WIDTH, _HEIGHT = 256, 144  # size at which frames are compared
_BLOCK = 8  # pixels of that size per thumbnail pixel: small movements do not count as another picture
_ALIKE = 0.8  # correlation of two thumbnails that show the same scene
_STILL = 0.25  # weight of a share of the video without any movement, against 1 + this for the liveliest


def representative_frame(
    path: Path, probed: Probe, options: Options, limits: Limits, *, max_duration_s: float
) -> bytes:
    """The most representative frame as a JPEG, its longer side at most ``options.long_side`` pixels.

    Raises:
        NoStreams: it contains no video.
        UndecodableMedia, MediaTooLarge, FfmpegTimeout, ResourceError: as ``split``.
    """
    if probed.video is None:
        raise NoStreams("there is no picture in it")
    interval_s = max(probed.duration_s / _SAMPLES, 0.04) if probed.duration_s else 1.0
    wanted = options.model_copy(update={"sampling": "interval", "interval_s": interval_s})
    silent = probed.only("video")
    summary = SplitSummary()
    frames: dict[int, bytes] = {}
    for piece in split(path, silent, wanted, limits, summary, max_duration_s=max_duration_s):
        if isinstance(piece, FramesPiece):
            with zipfile.ZipFile(io.BytesIO(piece.body)) as archive:
                frames.update((int(name.removesuffix(".jpg")), archive.read(name)) for name in archive.namelist())
            while len(frames) > _KEPT:
                frames = dict(list(frames.items())[::2])
    times = sorted(frames)
    until = stands_until(times, summary.sampled_ms)
    weights = np.array([1 + sum(time < each <= until[time] for each in summary.sampled_ms) for time in times], float)
    greys = _greys([frames[time] for time in times], limits)
    return frames[times[choose(greys, weights)]]


def choose(greys: NDArray[np.uint8], weights: NDArray[np.float64]) -> int:
    """Index of the frame that represents all.

    Args:
        greys: grey pictures of one size, shape (n, height, width), uint8, n at least 1.
        weights: how much of the video each frame stands for, shape (n,), above 0.
    """
    pictures = greys.astype(np.float32)
    count, height, width = pictures.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    blocks = pictures[:, : rows * _BLOCK, : columns * _BLOCK].reshape(count, rows, _BLOCK, columns, _BLOCK)
    thumbnails = blocks.mean(axis=(2, 4)).reshape(count, -1)
    alike = _correlation(thumbnails) >= _ALIKE
    share = alike @ weights / weights.sum()
    apart = np.stack([np.abs(pictures - each).mean(axis=(1, 2)) for each in pictures])
    motion = (alike * apart) @ weights / (alike @ weights)
    worth = share * (_STILL + motion / max(float(motion.max()), 1e-6))
    best = int(np.argmax(worth))
    same = np.flatnonzero(alike[best])
    return int(same[np.argmax([_sharpness(pictures[at]) for at in same])])


def _correlation(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pearson's r of each row with each; a flat picture is similar only to itself and other flat ones."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length[:, 0] < 1.0
    unit = centred / np.maximum(length, 1e-6)
    found: NDArray[np.float32] = unit @ unit.T
    found[flat] = found[:, flat] = 0.0
    found[np.ix_(flat, flat)] = 1.0
    np.fill_diagonal(found, 1.0)
    return found


def _sharpness(picture: NDArray[np.float32]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000)."""
    middle = picture[1:-1, 1:-1]
    laplacian = picture[:-2, 1:-1] + picture[2:, 1:-1] + picture[1:-1, :-2] + picture[1:-1, 2:] - 4 * middle
    return float(laplacian.var())


def _greys(jpegs: list[bytes], limits: Limits) -> NDArray[np.uint8]:
    """Our own JPEGs as small grey pictures, shape (n, _HEIGHT, _WIDTH), uint8."""
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}greys-") as folder:
        path = Path(folder) / "frames.mjpeg"
        path.write_bytes(b"".join(jpegs))
        node = ffmpeg.input(f"file:{path}", format="mjpeg", protocol_whitelist="file")
        output = node.output(
            "pipe:1",
            format="rawvideo",
            pix_fmt="gray",
            vf=f"scale={_WIDTH}:{_HEIGHT}:flags=area",
            fps_mode="passthrough",
        )
        status, body, log, _ = run(arguments(output, limits), limits)
    greys = np.frombuffer(body, np.uint8)
    if status or len(greys) != len(jpegs) * _WIDTH * _HEIGHT:
        raise UndecodableMedia("its frames could not be compared", detail=log)
    return greys.reshape(-1, _HEIGHT, _WIDTH)
