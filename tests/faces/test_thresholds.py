import dataclasses

import pytest

from castline.errors import ModelError
from castline.faces import THRESHOLDS, thresholds_for
from castline.models import ENGINES


@pytest.mark.parametrize("model", THRESHOLDS)
def test_thresholds_are_in_order(model):
    thresholds = THRESHOLDS[model]
    assert 0 < thresholds.same_track <= thresholds.ambiguous < thresholds.known <= thresholds.cluster < 1
    assert 0 < thresholds.poor < 1 - thresholds.cluster
    assert all(isinstance(value, float) for value in dataclasses.astuple(thresholds))


def test_every_embedder_has_thresholds():
    assert all(thresholds_for(engine.id) for engine in ENGINES if engine.role == "embedder")


def test_models_given_by_path_share_their_kinds():
    assert thresholds_for("arcface-0123456789ab") is THRESHOLDS["arcface"]


def test_an_unknown_embedder_is_an_error():
    with pytest.raises(ModelError, match="no similarity thresholds are known for the embedder 'eigenfaces'"):
        thresholds_for("eigenfaces")
