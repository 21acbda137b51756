"""What is looked at of mouths, and what becomes a score."""

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
    """A picture every 40 ms but in gaps, each of its time's grey; sound is its own time in seconds."""

    def __init__(self, *gaps, rate=25):
        self._gaps, self._rate = gaps, rate

    def pictures(self, start_s, end_s):
        times = [at / self._rate for at in range(int(start_s * self._rate), int(end_s * self._rate) + 1)]
        shown = [time for time in times if not any(low <= time < high for low, high in self._gaps)]
        return [(time, np.full((360, 640), int(time * 10), np.uint8)) for time in shown]

    def sound(self, start_s, end_s):
        return np.arange(round(start_s * 16000), round(end_s * 16000), dtype=np.float32) / 16000


class Engine:
    info = EngineInfo(id="scripted", role="active_speaker", title="Scripted", licence="MIT")

    def __init__(self):
        self.calls = []

    def score_speaking(self, pictures, boxes, samples):
        self.calls.append((len(pictures), boxes, samples))
        return np.arange(len(pictures), dtype=np.float32)


def test_faces_are_looked_at_while_somebody_speaks_within_their_tracks():
    one, two = track(0, 1000, 2000, 3000), track(2000, 3000, left=0.6)
    found, capped = looks([one, two], {}, [(0.5, 1.0), (1.2, 2.5), (8.0, 9.0)])
    assert not capped
    assert [(look.track is one, look.start_s, look.end_s) for look in found] == [(True, 0.5, 2.5), (False, 2.0, 2.5)]
    assert (found[0].from_s, found[0].until_s) == (0.0, 3.0)
    assert (found[1].from_s, found[1].until_s) == (2.0, 3.0)


def test_a_still_picture_stays_and_one_sighting_is_no_track():
    assert looks([track(1000)], {}, [(0.0, 9.0)])[0] == []
    (look,), _ = looks([track(1000)], {1000: 4000}, [(0.0, 9.0)])
    assert (look.start_s, look.end_s) == (1.0, 4.0)


def test_of_too_much_evenly_spread_lines_are_looked_at():
    speech = [(at * 10.0, at * 10.0 + 5.0) for at in range(20)]
    whole = track(*range(0, 200_000, 1000))
    found, capped = looks([whole], {}, speech, most_s=50.0)
    assert capped
    assert sum(look.end_s - look.start_s for look in found) == pytest.approx(50.0, abs=5)
    assert np.ptp(np.diff([look.start_s for look in found])) <= 10


def test_a_score_for_about_each_second_where_the_face_is():
    engine = Engine()
    found, _ = looks([track(0, 1000, 2000, step=0.1)], {}, [(0.5, 1.5)])
    faces = list(score(found, Film(), engine))
    (face,) = faces
    assert (face.start_s, face.end_s) == (pytest.approx(0.5, abs=0.04), pytest.approx(1.5, abs=0.04))
    (count, boxes, samples) = engine.calls[0]
    assert count == 50, "with what is around it"
    assert len(samples) == count * 640
    middle = boxes[25] / [640, 360, 640, 360]
    np.testing.assert_allclose(middle, (0.3, 0.2, 0.5, 0.6), atol=1e-5)
    assert faces[0].box[0] == pytest.approx(0.3, abs=0.01)
    assert faces[0].engine == "scripted"


def test_nothing_is_seen_in_a_gap_and_fewer_pictures_are_taken_twice():
    engine = Engine()
    found, _ = looks([track(0, 1000, 2000, 3000, 4000)], {}, [(0.0, 4.0)])
    faces = list(score(found, Film((1.0, 3.0)), engine))
    assert all(face.end_s <= 1.3 or face.start_s >= 3.0 for face in faces)
    assert len(engine.calls) == 2
    engine.calls.clear()
    list(score(found, Film(rate=12), engine))
    assert [count for count, _, _ in engine.calls] == [100]
    assert list(score(found, Film((0.0, 9.0)), engine)) == []
