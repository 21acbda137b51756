"""What LR-ASD is given, and its scores for people who speak and who do not."""

import shutil
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from castline.engines.choose import load_active_speaker
from castline.engines.faces.lr_asd import crops
from castline.settings import Settings
from castline.weights import locate

#: Where the detector (MTCNN) finds the face in the first frame; these people hardly move.
BOXES = {"bbaf2n": (102, 103, 206, 252), "lbax4n": (127, 81, 251, 248), "swiz3n": (115, 85, 228, 247)}

#: The net's scores with 32-bit floats: the mean over each third of the clip, and that of its first frame held.
FLOATS = {
    "bbaf2n": (-0.154, 2.610, 3.043, -1.148),
    "lbax4n": (1.244, 3.307, 2.719, -1.204),
    "swiz3n": (0.980, 3.185, 3.239, -1.531),
}


@pytest.fixture(scope="module")
def engine(shared_data, tmp_path_factory):
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(shared_data / "models" / "lr-asd-finetuning_TalkSet.model", folder / locate.MOUTH_WEIGHTS_FILE)
    return load_active_speaker(Settings(models_dir=folder))


@pytest.fixture(scope="module")
def clip(shared_data):
    def read(name):
        path = shared_data / "video" / "grid" / f"{name}.mpg"
        film, pictures = cv2.VideoCapture(str(path)), []
        while (picture := film.read()[1]) is not None:
            pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path]
        sound = subprocess.run([*argv, "-ac", "1", "-ar", "16000", "-f", "f32le", "-"], capture_output=True, check=True)
        return pictures, np.repeat(np.float32([BOXES[name]]), len(pictures), 0), np.frombuffer(sound.stdout, np.float32)

    return read


@pytest.mark.parametrize("name", BOXES)
def test_speakers_are_told_from_listeners(engine, clip, name):
    pictures, boxes, sound = clip(name)
    speaking = engine.score_speaking(pictures, boxes, sound)
    assert speaking.shape == (len(pictures),)
    assert speaking.mean() > 1.2
    still = engine.score_speaking([pictures[0]] * len(pictures), boxes, sound)
    assert still.mean() < -0.8
    thirds = [each.mean() for each in np.array_split(speaking, 3)]
    np.testing.assert_allclose([*thirds, still.mean()], FLOATS[name], atol=0.12)


def test_it_sees_moving_mouths_and_not_whose_words_they_are(engine, clip):
    """A dubbed face scores like a speaking one: nobody may be named by it alone."""
    pictures, boxes, _ = clip("bbaf2n")
    _, _, other = clip("lbax4n")
    assert engine.score_speaking(pictures, boxes, other).mean() > 1.2


def test_missing_sound_and_long_stretches(engine, clip):
    pictures, boxes, sound = clip("bbaf2n")
    assert np.isfinite(engine.score_speaking(pictures[:10], boxes[:10], np.zeros(0, np.float32))).all()
    assert engine.score_speaking([], boxes[:0], sound).shape == (0,)
    many = engine.score_speaking(pictures[:1] * 260, boxes[:1].repeat(260, 0), np.zeros(260 * 640, np.float32))
    assert many.shape == (260,)


def test_the_crop_is_that_of_the_original_demo():
    """Rows of the picture differ in their grey: the middle half of [y - s, y + 1.8 s] is used."""
    picture = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 200, axis=1)
    (found,) = crops([picture], np.float32([[60, 50, 140, 130]]))  # middle (100, 90), s = 40
    assert found.shape == (112, 112)
    assert abs(int(found[0, 0]) - (90 - 0.3 * 40)) <= 1
    assert abs(int(found[-1, 0]) - (90 + 1.1 * 40)) <= 1
    (outside,) = crops([picture], np.float32([[-50, 150, 30, 230]]))
    assert (outside[-1] == 110).all()


def test_a_single_outlier_box_is_smoothed_away():
    pictures = [np.repeat(np.arange(200, dtype=np.uint8)[:, None], 200, axis=1)] * 20
    boxes = np.float32([[60, 50, 140, 130]] * 20)
    steady = crops(pictures, boxes)
    boxes[10] = [0, 0, 20, 20]
    np.testing.assert_array_equal(crops(pictures, boxes), steady)


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [500, 500, 600, 600], [-900, -900, -800, -800], [0, 0, 5000, 5000]])
def test_any_box_gives_a_crop(box):
    assert crops([np.zeros((40, 60), np.uint8)], np.float32([box])).shape == (1, 112, 112)
