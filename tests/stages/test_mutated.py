"""Whatever happens to a stored object, the stages answer with a result or a typed error, and others are unharmed."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from castline import keys
from castline.cli.render import print_result
from castline.errors import CastlineError, UnreadableObject
from castline.events import object_created
from castline.operations.pending import pending
from castline.operations.progress import progress_of
from castline.people import prove_forgotten
from castline.report import render_views
from castline.runs.request import uploaded_media
from castline.stages import failure_event, split_event
from tests.conftest import at_scale
from tests.mutation import mutated, spoilt
from tests.stages.test_ranges import MEDIA, cut_world, films

__all__ = ["cut_world", "films"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_mutated_part_leaves_a_result(world, data: st.DataObject) -> None:
    world.store.objects.clear()
    first, second, audio = world.split(colours=("red", "green"))
    world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
    world.analyse(first, second, audio)
    before = world.result()
    unit = data.draw(st.sampled_from([first, second, audio]))
    part = world.store.get(world.settings.output_bucket, unit.part_key)
    world.store.put(world.settings.output_bucket, unit.part_key, mutated(data, part))
    world.store.delete(world.settings.output_bucket, ["talk.mp4/result.json"])
    world.analyse(keys.manifest_key(unit.media, unit.run))
    result = world.result()
    assert result is not None
    assert result.status in ("complete", "partial")
    assert before.run == result.run


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_mutated_manifest_is_a_typed_error_or_a_valid_result(world, data: st.DataObject) -> None:
    world.store.objects.clear()
    frames, audio = world.split()
    world.analyse(frames, audio)
    key = keys.manifest_key(frames.media, frames.run)
    before = world.store.get(world.settings.stage1_bucket, key)
    world.store.put(world.settings.stage1_bucket, key, mutated(data, before))
    world.store.delete(world.settings.output_bucket, [key, "talk.mp4/result.json"])
    with contextlib.suppress(UnreadableObject):
        world.analyse(key)
    for source in uploaded_media(world.store, world.settings):
        progress_of(source, world.store, world.settings)
    list(pending(world.store, world.settings))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_mutated_result_is_shown_or_skipped(world, data: st.DataObject) -> None:
    world.store.objects.clear()
    world.analyse(*world.split())
    key = keys.result_key("talk.mp4")
    spoilt = mutated(data, world.store.get(world.settings.output_bucket, key))
    world.store.put(world.settings.output_bucket, key, spoilt)
    if result := world.result():
        render_views(result)
        print_result(Console(file=io.StringIO()), result)
    prove_forgotten("Ada", world.store, world.settings)


@pytest.fixture
def nearly(cut_world, films) -> tuple[Any, dict[tuple[str, str], bytes]]:
    """A recording in ranges, the last two of which have ended, beside another one; returns all stored objects."""
    world, bucket = cut_world, cut_world.settings.stage1_bucket
    world.upload(MEDIA, films[".mp4"])
    world.split("good.mp4")
    split_event(object_created(world.settings.input_bucket, MEDIA), world.store, world.settings)
    for key in [key for key in world.keys_in(bucket) if keys.parse_range(key)][-2:]:
        split_event(object_created(bucket, key), world.store, world.settings)
    return world, dict(world.store.objects)


@settings(max_examples=at_scale(12, 200), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_damaged_plan_or_range_outcome_is_a_typed_error_or_is_made_again(
    nearly, data: st.DataObject, failure_envelope
) -> None:
    world, stored = nearly
    bucket, run = world.settings.stage1_bucket, world.run(MEDIA)
    world.store.objects = dict(stored)
    asked = [key for key in world.keys_in(bucket) if keys.parse_range(key)]
    plan, done = keys.plan_key(MEDIA, run), keys.range_done_key(MEDIA, run, len(asked) - 1)
    victim = data.draw(st.sampled_from((plan, done)))
    world.store.put(bucket, victim, spoilt(data, stored[bucket, victim]))
    for event in (object_created(bucket, asked[-1]), object_created(world.settings.input_bucket, MEDIA)):
        with contextlib.suppress(CastlineError):
            split_event(event, world.store, world.settings)
    failure_event(failure_envelope(object_created(bucket, asked[0]), "video-splitting"), world.store, world.settings)
    for source in uploaded_media(world.store, world.settings):
        progress_of(source, world.store, world.settings)
    list(pending(world.store, world.settings))
    others = {where: body for where, body in stored.items() if MEDIA not in where[1]}
    assert others.items() <= world.store.objects.items()
