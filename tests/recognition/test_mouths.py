"""Which mouths are watched, and how scores are made of them."""

import numpy as np
import pytest

from castline.engines.base import EngineInfo
from castline.recognition.mouths import looks, score
from castline.recognition.tracks import FaceTrack
from castline.records import Embedding, Face


def track(*times_ms, left=0.2, step=0.0):
    found = FaceTrack()
    for at, time in enumerate(times_ms):
        x = left + at * step
        face = Face(
            box=(x, 0.2, x + 0.2, 0.6),
            landmarks=((0.3, 0.3),) * 5,
            score=0.99,
            size_px=80,
            sharpness=100,
            quality=0.9,
            embedding=Embedding.of("m", np.eye(1, 4, dtype=np.float32)[0]),
        )
        found.add(at, time, face)
    return found


class Film:
    """A frame every 40 ms except in gaps, its grey value showing its time; the sound is its own time in seconds."""

    def __init__(self, *gaps, rate=25, still=False):
        self._gaps, self._rate, self._still = gaps, rate, still

    def pictures(self, start_s, end_s):
        times = [at / self._rate for at in range(int(start_s * self._rate), int(end_s * self._rate) + 1)]
        shown = [time for time in times if not any(low <= time < high for low, high in self._gaps)]
        return [(time, np.full((360, 640), 0 if self._still else int(time * 25) % 250, np.uint8)) for time in shown]

    def sound(self, start_s, end_s):
        return np.arange(round(start_s * 16000), round(end_s * 16000), dtype=np.float32) / 16000


class Engine:
    info = EngineInfo(id="scripted", role="active_speaker", title="Scripted", licence="MIT")

    def __init__(self, *scores):
        self.calls, self._scores = [], list(scores)

    def score_speaking(self, pictures, boxes, samples):
        self.calls.append((len(pictures), boxes, samples))
        return np.full(len(pictures), self._scores.pop(0) if self._scores else 0.0, np.float32)


def times(scenes):
    return [[(look.start_s, look.end_s) for look in scene] for scene in scenes]


def test_faces_are_watched_during_speech_within_their_tracks():
    one, two = track(0, 1000, 2000, 3000), track(2000, 3000, left=0.6)
    found, capped = looks([two, one], {}, [(0.5, 1.0), (1.2, 2.5), (8.0, 9.0)])
    assert not capped
    assert times(found) == [[(0.5, 1.0)], [(1.2, 2.5), (2.0, 2.5)]]
    assert found[1][0].track is one


def test_a_long_line_is_several_scenes_and_overlapping_lines_share_one():
    whole = track(*range(0, 20_000, 1000))
    assert times(looks([whole], {}, [(1.0, 8.0)])[0]) == [
        [(1.0, pytest.approx(10 / 3))],
        [(pytest.approx(10 / 3), pytest.approx(17 / 3))],
        [(pytest.approx(17 / 3), 8.0)],
    ]  # fmt: skip
    assert times(looks([whole], {}, [(1.0, 3.0), (2.0, 4.0), (2.5, 3.5)])[0]) == [[(1.0, 3.0)], [(3.0, 4.0)]]


def test_a_still_frame_lasts_and_a_single_sighting_is_not_a_track():
    assert looks([track(1000)], {}, [(0.0, 9.0)])[0] == []
    found, _ = looks([track(1000)], {1000: 4000}, [(1.0, 4.0)])
    assert times(found) == [[(1.0, 4.0)]]


def test_of_too_much_speech_evenly_spread_lines_are_watched():
    speech = [(at * 10.0, at * 10.0 + 2.5) for at in range(20)]
    whole = track(*range(0, 200_000, 1000))
    found, capped = looks([whole], {}, speech, most_s=25.0)
    assert capped
    assert sum(look.end_s - look.start_s for (look,) in found) == pytest.approx(25.0, abs=2.5)
    assert np.ptp(np.diff([look.start_s for (look,) in found])) <= 10


def test_a_second_is_enough_if_one_mouth_moves_and_the_others_rest():
    one, two = track(*range(0, 9000, 1000)), track(*range(0, 9000, 1000), left=0.6)
    engine = Engine(2.0, -1.0)
    faces = list(score(looks([one, two], {}, [(2.0, 5.0)])[0], Film(), engine))
    assert [count for count, _, _ in engine.calls] == [25, 25]
    assert [(face.start_s, face.end_s, face.score) for face in faces] == [
        (pytest.approx(3.0), pytest.approx(4.0), 2.0), (pytest.approx(3.0), pytest.approx(4.0), -1.0),
    ]  # fmt: skip
    assert [face.box[0] for face in faces] == [pytest.approx(0.2), pytest.approx(0.6)]


@pytest.mark.parametrize("glances", [(2.0, 2.0), (2.0, 1.2), (0.0, -0.9), (-1.0, -1.0)])
def test_the_rest_of_the_line_is_watched_if_a_second_does_not_decide(glances):
    one, two = track(*range(0, 9000, 1000)), track(*range(0, 9000, 1000), left=0.6)
    engine = Engine(*glances, 2.0, 2.0, -1.0, -1.0)
    faces = list(score(looks([one, two], {}, [(2.0, 5.0)])[0], Film(), engine))
    assert [count for count, _, _ in engine.calls] == [25] * 6, "no second of it twice"
    assert len(engine.calls[2][2]) == 25 * 640
    assert [face.score for face in faces] == [glances[0], 2.0, 2.0, glances[1], -1.0, -1.0]
    assert sorted(face.start_s for face in faces[:3]) == [pytest.approx(at, abs=0.04) for at in (2.0, 3.0, 4.0)]


def test_a_mouth_that_moves_clearly_less_than_another_is_not_watched_for_longer():
    three = [track(*range(0, 9000, 1000), left=left) for left in (0.0, 0.3, 0.6)]
    engine = Engine(0.4, -0.7, 0.0)
    faces = list(score(looks(three, {}, [(2.0, 5.0)])[0], Film(), engine))
    assert [round(boxes[0][0] / 640, 1) for _, boxes, _ in engine.calls[3:]] == [0.0, 0.0, 0.6, 0.6]
    assert [face.score for face in faces if face.box[0] == pytest.approx(0.3)] == [-0.7]


def test_a_line_that_is_hardly_longer_than_a_second_is_watched_once():
    engine = Engine(-1.0)
    list(score(looks([track(*range(0, 5000, 1000))], {}, [(1.0, 2.6)])[0], Film(), engine))
    assert [count for count, _, _ in engine.calls] == [25]


def test_the_box_is_interpolated_between_sightings():
    engine = Engine(2.0)
    (face,) = score(looks([track(0, 1000, 2000, step=0.1)], {}, [(0.5, 1.5)])[0], Film(), engine)
    middle = engine.calls[0][1][12] / [640, 360, 640, 360]
    np.testing.assert_allclose(middle, (0.298, 0.2, 0.498, 0.6), atol=1e-5)
    assert face.box[0] == pytest.approx(0.3, abs=0.01)
    assert face.engine == "scripted"


def test_a_still_picture_of_a_face_rests_whatever_the_net_says():
    engine = Engine(2.0)
    faces = list(score(looks([track(*range(0, 5000, 1000))], {}, [(1.0, 3.0)])[0], Film(still=True), engine))
    assert not engine.calls
    assert [face.score for face in faces] == [-1.0] * 3


def test_nothing_is_seen_in_a_gap_and_at_lower_rates_frames_are_repeated():
    engine = Engine()
    found, _ = looks([track(0, 1000, 2000, 3000, 4000)], {}, [(0.5, 3.5)])
    faces = list(score(found, Film((1.0, 3.0)), engine))
    assert all(face.end_s <= 1.3 or face.start_s >= 2.98 for face in faces)
    assert len(engine.calls) == 2
    engine.calls.clear()
    list(score(found, Film(rate=12), engine))
    assert [count for count, _, _ in engine.calls] == [25, 25, 25]
    assert list(score(found, Film((0.0, 9.0)), engine)) == []
