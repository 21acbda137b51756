"""Mouths are watched once, by the invocation that completes a run, and a run without them is still a run."""

import io
import zipfile
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from castline import keys
from castline.engines.base import EngineInfo
from castline.errors import ModelCorrupt, ModelNotFound
from castline.records import Mouths, Segment
from castline.runs.complete import complete_run
from castline.runs.removal import discard_run, owner_of
from castline.storage.objects import read_object

from .conftest import FakeEngines

MEDIA = "talk.mp4"


class Speaker:
    info = EngineInfo(id="scripted", role="active_speaker", title="Scripted", licence="MIT")

    def __init__(self):
        self.calls = 0

    def score_speaking(self, pictures, boxes, samples):
        self.calls += 1
        return np.full(len(pictures), 2.0, np.float32)


@dataclass
class Engines(FakeEngines):
    watches: Speaker = field(default_factory=Speaker)
    error: Exception | None = None

    @property
    def voice_encoder(self):
        raise ModelNotFound("none")

    @property
    def active_speaker(self):
        if self.error:
            raise self.error
        return self.watches


def motion(start_ms=0, count=100):
    body = io.BytesIO()
    jpegs = [cv2.imencode(".jpg", np.full((64, 64), grey, np.uint8))[1].tobytes() for grey in (0, 9)]
    with zipfile.ZipFile(body, "w") as archive:
        for at in range(count):
            archive.writestr(f"{start_ms + at * 40:09d}.jpg", jpegs[at % 2])
    return body.getvalue()


@pytest.fixture
def talk(world):
    """A red face for four seconds, and a word in each second; returns its units."""
    world.settings = world.settings.model_copy(update={"speakers": "auto"})
    world.engines = Engines()
    world.engines.transcriber.script = (Segment(start_s=0.0, end_s=1.0, text="hello"),)
    world.units = world.split(MEDIA, ["red", "red"], chunks=4)
    key = keys.motion_key(MEDIA, world.run(MEDIA), 0)
    world.store.put(world.settings.stage1_bucket, key, motion())
    return world


def seen(world):
    return read_object(Mouths, world.store, world.settings.output_bucket, keys.mouths_key(MEDIA, world.run(MEDIA)))


def test_mouths_are_watched_once_by_the_completing_invocation(talk):
    talk.analyse(*talk.units)
    found = seen(talk)
    assert {face.score for face in found.faces} == {2.0}
    assert [face.start_s for face in found.faces] == [0.0, 1.0, 2.0]
    result = talk.result()
    assert result.engines["active_speaker"] == "scripted"
    assert [timing.stage for timing in result.processing.timings] == ["split", "faces", "speech", "mouths"]
    assert any(track.speaking for person in result.people for track in person.tracks)
    calls = talk.engines.watches.calls
    talk.analyse(keys.manifest_key(MEDIA, talk.run(MEDIA)))
    complete_run(MEDIA, talk.run(MEDIA), talk.store, talk.settings)  # as when binding names, without a model
    assert talk.engines.watches.calls == calls
    assert talk.result().people == result.people


@pytest.mark.parametrize("error", [ModelNotFound("`castline models fetch lr-asd` gets it"), ModelCorrupt("damaged")])
def test_without_the_net_the_rest_is_there_with_a_warning(talk, error):
    talk.engines.error = error
    talk.analyse(*talk.units)
    result = talk.result()
    assert (result.status, len(result.people)) == ("complete", 1)
    (notice,) = [each for each in result.warnings if each.code == "no_mouths"]
    assert error.message in notice.message


def test_mouths_are_watched_only_on_request(talk):
    talk.settings = talk.settings.model_copy(update={"speakers": "voices"})
    talk.analyse(*talk.split(MEDIA, ["red"]))
    assert talk.result().status == "complete"
    assert seen(talk) is None
    assert not talk.engines.watches.calls


@pytest.mark.parametrize("body", [None, b"no zip", motion()[:2000], motion(count=1501)])
def test_missing_and_damaged_frames_are_reported(talk, body):
    key = keys.motion_key(MEDIA, talk.run(MEDIA), 0)
    talk.store.delete(talk.settings.stage1_bucket, [key])
    if body:
        talk.store.put(talk.settings.stage1_bucket, key, body)
    talk.analyse(*talk.units)
    assert talk.result().status == "complete"
    assert "mouths_missing" in {each.code for each in talk.result().warnings}


def test_unreadable_mouth_data_is_made_again(talk):
    key = keys.mouths_key(MEDIA, talk.run(MEDIA))
    talk.store.put(talk.settings.output_bucket, key, b"{}")
    talk.analyse(*talk.units)
    assert seen(talk).faces
    assert talk.result().status == "complete"


def test_mouth_data_belongs_to_its_run_and_is_deleted_with_it(talk):
    run = talk.run(MEDIA)
    for key in (keys.motion_key(MEDIA, run, 60_000), keys.mouths_key(MEDIA, run)):
        assert owner_of(key)[:2] == (MEDIA, run)
    assert keys.retention_class(keys.mouths_key(MEDIA, run)) == "part"
    assert keys.parse_unit(keys.motion_key(MEDIA, run, 0)) is None
    assert keys.parse_part(keys.mouths_key(MEDIA, run)) is None
    talk.analyse(*talk.units)
    discard_run(MEDIA, run, talk.store, talk.settings)
    for bucket in (talk.settings.stage1_bucket, talk.settings.output_bucket):
        assert talk.keys_in(bucket, f"{MEDIA}/") == []
