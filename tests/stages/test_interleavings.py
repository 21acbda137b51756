"""Whatever happens in between: what is published in the end is right, whole, and from one run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest

from castline import keys
from castline.events import object_created
from castline.operations import delete_media
from castline.operations.pending import pending
from castline.people import reassemble
from castline.recognition.photo import embed_photo
from castline.records import Manifest, Result
from castline.report import render_views
from castline.runs.complete import complete_run
from castline.runs.removal import owner_of
from castline.stages import analyse_event, failure_event
from tests.conftest import at_scale
from tests.stages.conftest import World
from tests.stages.interleaving import TurnStore, few_switches, interleave

MEDIA = "talk.mp4"
RANDOM = 60  # schedules of each kind beyond two switches
Action = Callable[[], object]
Scene = Callable[[], tuple[World, list[Action], Callable[[World], None]]]


def _world() -> World:
    world = World()
    world.store = TurnStore()
    return world


def _analyse(world: World, unit: keys.UnitId) -> Action:
    return lambda: analyse_event(world.event(unit), world.store, world.settings, world.engines)


def _consistent(world: World) -> Result:
    """The published result, after checking that everything beside it belongs to it."""
    result = world.result(MEDIA)
    assert result
    there = {
        owner.view: world.store.objects[world.settings.output_bucket, info.key]
        for info in world.store.find(world.settings.output_bucket, f"{MEDIA}/")
        if (owner := owner_of(info.key)).media == MEDIA and owner.view
    }
    images = {person.image: there[person.image] for person in result.people if person.image}
    assert there == {"result.json": result.to_json(), **images, **render_views(result, images)}
    return result


def _late_failure() -> tuple[World, list[Action], Callable[[World], None]]:
    """A unit's last attempt succeeds while the recorder writes that it was given up."""
    world = _world()
    frames, audio = world.split()
    world.analyse(audio)
    envelope = {"requestPayload": world.event(frames), "requestContext": {}, "responsePayload": {}}
    give_up = lambda: failure_event(envelope, world.store, world.settings)  # noqa: E731

    def right(world: World) -> None:
        assert _consistent(world).status == "complete"

    return world, [_analyse(world, frames), give_up], right


def _two_last_units() -> tuple[World, list[Action], Callable[[World], None]]:
    world = _world()
    frames, audio = world.split()

    def right(world: World) -> None:
        assert _consistent(world).status == "complete"

    return world, [_analyse(world, frames), _analyse(world, audio)], right


def _new_upload() -> tuple[World, list[Action], Callable[[World], None]]:
    """An old upload is assembled while a new one is uploaded, split, analysed and published."""
    world = _world()
    old = world.split(colours=("red",))
    world.analyse(*old)
    world.store.delete(world.settings.output_bucket, [f"{MEDIA}/result.json"])
    world.store.put(world.settings.stage1_bucket, "take 2", b"")

    def replace() -> None:
        upload = world.upload
        upload(MEDIA, b"another take")
        world.upload = lambda *_: None  # type: ignore[method-assign,assignment,return-value]
        world.analyse(*world.split(MEDIA, colours=("green", "blue")))

    def right(world: World) -> None:
        assert _consistent(world).run == world.run(MEDIA)
        assert len(_consistent(world).people) == 2

    return world, [lambda: complete_run(MEDIA, old[0].run, world.store, world.settings), replace], right


def _enrolment() -> tuple[World, list[Action], Callable[[World], None]]:
    """A person gets a name while the last unit is analysed."""
    world = _world()
    frames, audio = world.split()
    world.analyse(audio)

    def enrol() -> None:
        world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
        list(reassemble(world.store, world.settings, lambda body: embed_photo(body, world.engines)))

    def right(world: World) -> None:
        assert [person.name for person in _consistent(world).people] == ["Ada"]

    return world, [_analyse(world, frames), enrol], right


def _deletion() -> tuple[World, list[Action], Callable[[World], None]]:
    """A media file is deleted while its last unit is analysed."""
    world = _world()
    frames, audio = world.split()
    world.analyse(audio)

    def right(world: World) -> None:
        left = [where for where in world.store.objects if not where[1].startswith(".audit/")]
        assert left == []

    return world, [_analyse(world, frames), lambda: delete_media(MEDIA, world.store, world.settings)], right


SCENES = [_late_failure, _two_last_units, _new_upload, _enrolment, _deletion]


@pytest.mark.parametrize("scene", SCENES)
def test_every_order_with_two_switches(scene: Scene) -> None:
    world, actions, right = scene()
    counts = interleave(world.store, actions, [])
    right(world)
    schedules = list(few_switches(counts))
    _walk(scene, random.Random(2026).sample(schedules, min(len(schedules), at_scale(120, len(schedules)))))


@pytest.mark.parametrize("scene", SCENES)
def test_random_orders(scene: Scene) -> None:
    dice = random.Random(11)
    _walk(scene, ([dice.randrange(2) for _ in range(400)] for _ in range(RANDOM)))


def test_two_uploads_a_recorder_and_a_deletion_at_once() -> None:
    """Whatever happens in between, a last check publishes nothing deleted, nothing partial, and all of the newest
    upload; removed parts of it are made again.
    """
    dice = random.Random(7)
    stood = remade = gone = 0
    for _ in range(at_scale(RANDOM, 50 * RANDOM)):
        world, (old, replace), _ = _new_upload()
        frames = keys.UnitId(MEDIA, world.run(MEDIA), "frames", 0)
        envelope = {"requestPayload": world.event(frames), "requestContext": {}, "responsePayload": {}}

        def replace_if_there(replace: Action = replace) -> None:
            with suppress(AssertionError):  # the fixture's, once its object is deleted again
                replace()

        actions: list[Action] = [
            old,
            replace_if_there,
            lambda envelope=envelope, world=world: failure_event(envelope, world.store, world.settings),  # type: ignore[misc]
            lambda world=world: delete_media(MEDIA, world.store, world.settings),  # type: ignore[misc]
        ]
        # The upload is the first step of its actor: if it began with the others, it would always be deleted.
        before = dice.choices((0, 2, 3), k=dice.randrange(300))
        interleave(world.store, actions, before + dice.choices(range(4), k=600))
        if world.store.head(world.settings.input_bucket, MEDIA):
            for unit in _units(world):
                analyse_event(object_created(unit[0], unit[1]), world.store, world.settings, world.engines)
            if _all_of(world, world.run(MEDIA)):
                assert (_consistent(world).run, _consistent(world).status) == (world.run(MEDIA), "complete")
                stood += 1
            else:
                assert list(pending(world.store, world.settings)), "removed, and nobody knows"
                remade += 1
        elif world.result(MEDIA):
            _consistent(world)
        else:
            gone += 1
            delete_media(MEDIA, world.store, world.settings)
            assert [where for where in world.store.objects if owner_of(where[1]).media == MEDIA] == []
    assert min(stood, gone) >= RANDOM // 20, f"{stood} stood, {remade} removed in part, {gone} gone"


def _all_of(world: World, run: str) -> bool:
    """Whether stage 1 still has a run's manifest and units."""
    bucket = world.settings.stage1_bucket
    body = world.store.objects.get((bucket, keys.manifest_key(MEDIA, run)))
    units = [keys.UnitId(MEDIA, run, unit.kind, unit.index) for unit in Manifest.from_json(body).units] if body else []
    return bool(units) and all((bucket, unit.stage1_key) in world.store.objects for unit in units)


def _units(world: World) -> Iterator[tuple[str, str]]:
    bucket = world.settings.stage1_bucket
    yield from [(bucket, info.key) for info in world.store.find(bucket, f"{MEDIA}/") if keys.parse_unit(info.key)]


def _walk(scene: Scene, schedules: Iterable[list[int]]) -> None:
    for schedule in schedules:
        world, actions, right = scene()
        interleave(world.store, actions, schedule)
        try:
            right(world)
        except AssertionError as error:
            raise AssertionError(f"wrong in the order {schedule}") from error
