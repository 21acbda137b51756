"""What the functions do with an event: the one place that knows the profile, and the steps of the state machine."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from castline import keys
from castline.engines.process import EngineSet, process_engines
from castline.events import Event, InvocationFailed, ObjectCreated, invocations_failed, objects_created
from castline.runs.common import Split, each
from castline.settings import Settings
from castline.stages import classic
from castline.stages.analyse import analyse_object
from castline.stages.announce import Announce, announcer
from castline.stages.failure import give_up
from castline.stages.ranges import split_range
from castline.stages.split import split_media
from castline.stages.steps import run_step
from castline.storage.base import ObjectStore

logger = Logger(service="failure-recorder")


def _classic(settings: Settings) -> bool:
    return settings.profile == "classic"


def split_event(
    event: Event, store: ObjectStore, settings: Settings, announce: Announce | None = None
) -> dict[str, Any]:
    """Split every media file of an S3 event, or do a step of the state machine.

    Args:
        announce: tells stage 2 of each new object; default: as the settings' orchestration has it.

    Returns:
        ``{"runs": [run ids]}``, without those that were already split; ``{"frames": [keys]}`` in the
        classic profile. Of a step: what ``stages.steps`` says.
    """
    split = classic.split_media if _classic(settings) else _split_object
    if "step" in event:
        return run_step(event, store, settings, split)
    tell = announce or announcer(settings)
    found = each(objects_created(event), lambda item: split(item, store, settings, tell))
    new = [one for one in found if one and one.new]
    if _classic(settings):
        return {"frames": [one.prefix + unit for one in new for unit in one.units]}
    return {"runs": [one.run for one in new]}


def _split_object(item: ObjectCreated, store: ObjectStore, settings: Settings, announce: Announce) -> Split | None:
    """A media file, or one range of a long one."""
    of_range = item.bucket == settings.stage1_bucket and keys.parse_range(item.key)
    return (split_range if of_range else split_media)(item, store, settings, announce)


def analyse_event(
    event: Event, store: ObjectStore, settings: Settings, engines: EngineSet | None = None
) -> dict[str, Any]:
    """Analyse every unit of an S3 event; a manifest only checks whether its run is complete.

    Returns:
        ``{"parts": [unit names], "assembled": [media]}``; ``{"answers": [keys]}`` in the classic profile.
    """
    loaded = engines or process_engines(settings, store)
    if _classic(settings):
        answers = each(objects_created(event), lambda item: classic.recognise(item, store, settings, loaded))
        return {"answers": [key for key in answers if key]}
    done = each(objects_created(event), lambda item: analyse_object(item, store, settings, loaded))
    return {
        "parts": [one.part for one in done if one.part],
        "assembled": [one.assembled for one in done if one.assembled],
    }


def failure_event(event: Event, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Record every failed invocation of an event, and assemble the runs that this completes.

    Returns:
        ``{"recorded": [media]}``; keys of answers in the classic profile.

    Raises:
        EventError: there is something in the event that is no failed invocation; the others are recorded.
    """

    def end(failed: InvocationFailed, item: ObjectCreated) -> str | None:
        logger.error("out of retries", key=item.key, function=failed.function, reason=failed.reason)
        if _classic(settings):
            return classic.give_up(item, store, settings)
        return give_up(failed, item, store, settings)

    def record(failed: InvocationFailed) -> list[str]:
        answers = each(failed.objects(), lambda item: end(failed, item))
        if not answers:  # it stays in the dead-letter queue, for a person
            logger.error("an event nobody understands failed", function=failed.function, reason=failed.reason)
        return [answer for answer in answers if answer]

    return {"recorded": [answer for answers in each(invocations_failed(event), record) for answer in answers]}
