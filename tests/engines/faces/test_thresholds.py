import dataclasses

import pytest

from castline.engines.plugins import registered, thresholds_for
from castline.errors import ModelError

THRESHOLDS = {engine.id: engine.thresholds for engine in registered("embedder")}


@pytest.mark.parametrize("model", THRESHOLDS)
def test_thresholds_are_in_order(model):
    thresholds = THRESHOLDS[model]
    assert 0 < thresholds.same_track <= thresholds.ambiguous < thresholds.known <= thresholds.cluster < 1
    assert 0 < thresholds.poor < 1 - thresholds.cluster
    assert all(isinstance(value, float) for value in dataclasses.astuple(thresholds))


def test_every_embedder_has_thresholds():
    assert all(THRESHOLDS.values())


def test_models_given_by_path_share_their_family_s_thresholds():
    assert thresholds_for("arcface-0123456789ab") is THRESHOLDS["arcface"]


def test_an_unknown_embedder_is_an_error():
    with pytest.raises(ModelError, match="no similarity thresholds are known for the embedder 'eigenfaces'"):
        thresholds_for("eigenfaces")


def test_a_digest_at_the_end_of_an_id_does_not_count():
    assert thresholds_for("facenet-casia-0123456789ab") is THRESHOLDS["facenet-casia"]
    assert thresholds_for("facenet-casia-int8-0123456789ab") is THRESHOLDS["facenet-casia-int8"]
    with pytest.raises(ModelError):
        thresholds_for("facenet-0123456789ab")


@pytest.mark.parametrize("model", THRESHOLDS)
def test_a_worse_face_must_reach_a_higher_threshold(model):
    thresholds = THRESHOLDS[model]
    assert thresholds.of("clear") is thresholds
    poor, useless = thresholds.of("poor"), thresholds.of("useless")
    assert thresholds.known < poor.known < 1 < useless.known
    assert thresholds.ambiguous < poor.ambiguous < 1 < useless.ambiguous
    assert thresholds.cluster < poor.cluster < 1 < useless.cluster
