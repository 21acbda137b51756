import base64
import subprocess
import sys
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from castline.engines.base import EngineInfo
from castline.errors import UnitError
from castline.media.pictures import decode_jpeg, encode_jpeg, limit_side
from castline.recognition.analyse import analyse_frames, face_picture
from castline.records import FrameFaces


@dataclass
class ScriptedDetector:
    """Returns the faces that are listed for the red value of the picture's first pixel."""

    faces: dict[int, list]
    info: EngineInfo = field(default_factory=lambda: EngineInfo("scripted", "detector", "", ""))

    def detect(self, images):
        return [self.faces.get(int(image[0, 0, 0]), []) for image in images]


class PlaceEmbedder:
    """Identity depends on where the face is: left, right, or (for the middle) in between."""

    info = EngineInfo("arcface-test", "embedder", "", "", dimension=4)

    def embed(self, image, faces):
        vectors = [[0, 1, 0, 0] if face.box[0] > image.shape[1] / 2 else [1, 0, 0, 0] for face in faces]
        return np.array(vectors, np.float32).reshape(-1, 4)


@pytest.fixture
def frame(noise):
    def build(number, height=240, width=320):
        picture = noise(height, width)
        picture[0, 0, 0] = number
        return picture

    return build


def test_boxes_and_landmarks_become_fractions_inside_the_frame(frame, make_face):
    detector = ScriptedDetector({1: [make_face(0, 120, 100)]})
    (result,) = analyse_frames([(40, frame(1))], detector, PlaceEmbedder(), max_image_side=960)
    (face,) = result.faces
    assert result.time_ms == 40
    assert face.box == pytest.approx((0, 70 / 240, 50 / 320, 170 / 240), abs=1e-4)
    assert face.landmarks[0][0] == 0
    assert face.landmarks[2] == pytest.approx((0, 125 / 240), abs=1e-4)
    assert face.size_px == 50, "relative to the part inside the frame"
    assert face.embedding.model == "arcface-test"
    assert face.embedding.vector().tolist() == [1, 0, 0, 0]


def test_each_person_has_one_picture_and_it_is_the_best(frame, make_face):
    detector = ScriptedDetector(
        {
            1: [make_face(80, 120, 60), make_face(240, 120, 90)],
            2: [make_face(80, 120, 90), make_face(240, 120, 60)],
        }
    )
    frames = [(1000 * n, frame(n)) for n in (1, 2)]
    first, second = analyse_frames(frames, detector, PlaceEmbedder(), max_image_side=960)
    assert [face.crop is not None for face in first.faces] == [False, True]
    assert [face.crop is not None for face in second.faces] == [True, False]


def test_two_faces_in_one_frame_are_two_people_however_similar(frame, make_face):
    detector = ScriptedDetector({1: [make_face(50, 120, 60), make_face(120, 120, 60)]})
    (result,) = analyse_frames([(0, frame(1))], detector, PlaceEmbedder(), max_image_side=960)
    assert all(face.crop for face in result.faces)


def test_frames_keep_their_order_and_empty_ones_stay(frame, make_face):
    detector = ScriptedDetector({7: [make_face(80, 120, 60)]})
    frames = [(100 * n, frame(n)) for n in range(20)]
    result = analyse_frames(frames, detector, PlaceEmbedder(), max_image_side=960)
    assert [entry.time_ms for entry in result] == [100 * n for n in range(20)]
    assert [len(entry.faces) for entry in result] == [int(n == 7) for n in range(20)]
    assert analyse_frames([], detector, PlaceEmbedder(), max_image_side=960) == ()


def test_large_frames_are_scaled_down_first(detector, embedder, hopper):
    large = cv2.resize(hopper, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    (small,) = analyse_frames([(0, large)], detector, embedder, max_image_side=600)
    (face,) = small.faces
    assert 130 < face.size_px < 250
    (original,) = analyse_frames([(0, hopper)], detector, embedder, max_image_side=600)
    assert face.box == pytest.approx(original.faces[0].box, abs=0.02)


def test_the_same_frames_give_the_same_bytes(detector, embedder, astronaut, hopper):
    frames = [(0, astronaut), (500, hopper), (1000, astronaut)]
    first = analyse_frames(frames, detector, embedder, max_image_side=400)
    second = analyse_frames(frames, detector, embedder, max_image_side=400)
    assert [entry.to_json() for entry in first] == [entry.to_json() for entry in second]
    assert [FrameFaces.from_json(entry.to_json()) for entry in first] == list(first)
    assert [sum(face.crop is not None for face in entry.faces) for entry in first].count(1) == 3, (
        "a track ends at a cut"
    )


def test_a_real_face_is_described(detector, embedder, astronaut):
    (result,) = analyse_frames([(0, astronaut)], detector, embedder, max_image_side=960)
    (face,) = result.faces
    assert face.score > 0.99
    assert face.sharpness > 200
    assert 0.5 < face.quality < 1
    crop = decode_jpeg(base64.b64decode(face.crop))
    assert crop.shape[0] == crop.shape[1] <= 256
    assert detector.detect([crop])[0]  # the picture shows the face


def test_blur_lowers_the_weight_and_keeps_the_face(detector, embedder, astronaut):
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 3)
    sharp, dull = analyse_frames([(0, astronaut), (1, blurred)], detector, embedder, max_image_side=960)
    assert len(dull.faces) == 1
    assert 0 < dull.faces[0].quality < sharp.faces[0].quality / 2


@pytest.mark.parametrize("centre", [(5, 5), (315, 235), (160, 120)])
@pytest.mark.parametrize("size", [30, 120, 900])
def test_pictures_of_faces_are_square_and_inside_the_frame(noise, make_face, centre, size):
    picture = face_picture(noise(240, 320), make_face(*centre, size))
    assert picture.shape[0] == picture.shape[1]
    assert 1 <= picture.shape[0] <= 240


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0" + b"\0" * 40])
def test_garbage_is_a_unit_error(data):
    with pytest.raises(UnitError, match="cannot be decoded"):
        decode_jpeg(data)


def test_jpeg_keeps_the_colours_in_order():
    picture = np.full((32, 32, 3), (220, 40, 90), np.uint8)
    np.testing.assert_allclose(decode_jpeg(encode_jpeg(picture, 95)), picture, atol=4)


def test_limit_side_keeps_small_pictures_and_the_aspect(noise):
    small = noise(90, 160)
    assert limit_side(small, 160) is small
    assert limit_side(noise(900, 1600), 160).shape == (90, 160, 3)
    assert limit_side(noise(1, 4000), 100).shape == (1, 100, 3)


def test_a_picture_of_too_many_pixels_is_refused_by_its_header() -> None:
    """OpenCV reads its limit when it is loaded, which other tests may have done already."""
    check = """
import re, struct, zlib
from castline.errors import UnitError
from castline.media.pictures import decode_jpeg
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
packer = zlib.compressobj()
rows = b"".join(packer.compress(bytes(30_001)) for _ in range(30_000)) + packer.flush()
head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
try:
    decode_jpeg(bytes([137]) + b"PNG\\r\\n" + bytes([26]) + b"\\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
except UnitError as error:
    peak = re.search("VmHWM:\\\\s+(\\\\d+) kB", open("/proc/self/status").read())
    print(error.message, int(peak[1]) // 1024, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=600)
    message, megabytes = done.stdout.strip().split("|")
    assert message == "a frame cannot be decoded: it has more than 120 million pixels"
    assert int(megabytes) < 500  # decoded, it has 2.7 GB
